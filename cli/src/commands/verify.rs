//! `rollcall verify`

use jiff::Timestamp;
use rollcall::checks::verification::Verification;
use rollcall::connection_string::ConnectionSettings;

use crate::connection;
use crate::exit::Exit;
use crate::output::{Output, audit_log_line, verdict_and_findings};
use crate::report::Report;
use crate::table;

pub(crate) async fn run(settings: ConnectionSettings, output: &Output) -> anyhow::Result<Exit> {
    let mut session = connection::session(settings, output);
    let report = session
        .run(async |database| Verification::take(database).await)
        .await
        .unwrap_or_else(|error| Verification::unknown(&error, Timestamp::now()));
    output.data(&Report::Verification(&report), || text(&report))?;
    Ok(report.verdict.into())
}

pub(crate) fn text(report: &Verification) -> String {
    let mut text = verdict_and_findings(report.verdict, &report.findings);
    if report.checks.is_empty() {
        return text;
    }
    text += &audit_log_line(
        report.audit_log.as_deref(),
        "this verification does not need it",
    );
    text += "\n";
    text += &table::with_head(
        ["check", "status", "count", "details"],
        report.checks.iter().map(|check| {
            [
                check.check_name.clone(),
                check.status.clone(),
                check.count.to_string(),
                check.details.clone(),
            ]
        }),
    );
    text
}
