//! `rollcall mismatches`

use clap::Args;
use jiff::Timestamp;
use rollcall::checks::mismatches::{self, MismatchReport};
use rollcall::connection_string::ConnectionSettings;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::connection;
use crate::exit::Exit;
use crate::output::{Output, audit_log_line, verdict_and_findings};
use crate::report::{Judged, Report};
use crate::table::{self, moment, or_dash};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall mismatches --limit 20
  rollcall mismatches --show-pii --format json")]
pub(crate) struct MismatchesArguments {
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

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
            let answer = Report::Mismatches(judged(&report, output));
            output.data(&answer, || text(&report, output))?;
            Ok(report.verdict.into())
        }
        Err(error) => output.blind(&error),
    }
}

/// The affected users.
#[derive(Serialize, JsonSchema)]
pub(crate) struct MismatchesReport<'a> {
    /// How many there are in all.
    total: i64,
    /// State of the audit log: `on`, `stale` or `off`. Users who are gone are known from there alone.
    audit_log: &'a str,
    /// The newest of them, newest first.
    mismatches: Vec<Row<'a>>,
}

/// One affected user. E-mails are masked without `--show-pii`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Mismatch")]
struct Row<'a> {
    /// The user.
    user_id: Uuid,
    /// `auth_only` (no profile) or `audit_only` (in the audit log, no longer in `auth.users`).
    status: &'a str,
    /// Address in the audit log.
    audit_email: Option<String>,
    /// Address in `auth.users`.
    auth_email: Option<String>,
    /// When the audit log first saw the signup.
    audit_created_at: Option<Timestamp>,
    /// When the user was created.
    user_created_at: Option<Timestamp>,
}

fn judged<'a>(report: &'a MismatchReport, output: &Output) -> Judged<'a, MismatchesReport<'a>> {
    let mismatches = report.mismatches.iter().map(|row| Row {
        user_id: row.user_id,
        status: &row.status,
        audit_email: output.personal(row.audit_email.as_ref()),
        auth_email: output.personal(row.auth_email.as_ref()),
        audit_created_at: row.audit_created_at,
        user_created_at: row.user_created_at,
    });
    Judged {
        verdict: report.verdict,
        findings: &report.findings,
        more: MismatchesReport {
            total: report.total,
            audit_log: &report.audit_log,
            mismatches: mismatches.collect(),
        },
    }
}

fn what(status: &str) -> &str {
    match status {
        "auth_only" => "no profile",
        "audit_only" => "user is gone",
        other => other,
    }
}

fn text(report: &MismatchReport, output: &Output) -> String {
    let mut text = verdict_and_findings(report.verdict, &report.findings);
    text += &audit_log_line(Some(&report.audit_log), "users who are gone are not known");
    if report.mismatches.is_empty() {
        return text + "\nNobody is without a profile.\n";
    }
    text += "\n";
    text += &table::with_head(
        [
            "user",
            "what",
            "e-mail",
            "user created (UTC)",
            "in audit log since (UTC)",
        ],
        report.mismatches.iter().map(|row| {
            [
                row.user_id.to_string(),
                what(&row.status).to_owned(),
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
