//! `rollcall mismatches`

use rollcall::checks::mismatches::{self, MismatchReport};
use rollcall::connection_string::ConnectionSettings;
use serde_json::{Value, json};

use crate::arguments::MismatchesArguments;
use crate::connection;
use crate::exit::Exit;
use crate::output::{JsonReport, Output, audit_log_line, verdict_and_findings};
use crate::table::{self, moment, or_dash};

pub(crate) async fn run(
    arguments: &MismatchesArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = connection::session(settings, output);
    match session
        .run(async |database| mismatches::list(database, arguments.limit).await)
        .await
    {
        Ok(report) => {
            output.data(&json(&report, output), || text(&report, output))?;
            Ok(report.verdict.into())
        }
        Err(error) => output.blind(&error),
    }
}

fn json<'a>(report: &'a MismatchReport, output: &Output) -> JsonReport<'a, Value> {
    let rows: Vec<Value> = report
        .mismatches
        .iter()
        .map(|row| {
            json!({
                "user_id": row.user_id,
                "status": row.status,
                "audit_email": output.personal(row.audit_email.as_ref()),
                "auth_email": output.personal(row.auth_email.as_ref()),
                "audit_created_at": row.audit_created_at,
                "user_created_at": row.user_created_at,
            })
        })
        .collect();
    JsonReport {
        verdict: report.verdict,
        findings: &report.findings,
        more: json!({ "total": report.total, "audit_log": report.audit_log, "mismatches": rows }),
    }
}

fn text(report: &MismatchReport, output: &Output) -> String {
    let mut text = verdict_and_findings(report.verdict, &report.findings);
    text += &audit_log_line(
        Some(&report.audit_log),
        "users who are gone are not available",
    );
    if report.mismatches.is_empty() {
        return text + "\nNobody is without a profile.\n";
    }
    text += "\n";
    text += &table::with_head(
        [
            "user",
            "status",
            "e-mail",
            "user created (UTC)",
            "in audit log since (UTC)",
        ],
        report.mismatches.iter().map(|row| {
            [
                row.user_id.to_string(),
                row.status.clone(),
                or_dash(output.personal(row.auth_email.as_ref().or(row.audit_email.as_ref()))),
                or_dash(row.user_created_at.map(moment)),
                or_dash(row.audit_created_at.map(moment)),
            ]
        }),
    );
    if let more @ 1.. =
        report.total - i64::try_from(report.mismatches.len()).unwrap_or(report.total)
    {
        text += &format!("and {more} more: raise --limit\n");
    }
    text
}
