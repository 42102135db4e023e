//! `rollcall doctor`

use jiff::Timestamp;
use rollcall::checks::doctor::DoctorReport;
use rollcall::checks::next_signup::{self, Asker};
use rollcall::connection_string::ConnectionSettings;
use rollcall::error::Result;

use crate::connection;
use crate::exit::Exit;
use crate::output::{Output, proof, verdict_and_findings_in_full};
use crate::report::Report;
use crate::terminal::wrapped;

pub(crate) async fn run(settings: ConnectionSettings, output: &Output) -> anyhow::Result<Exit> {
    let report = take(settings, Asker::Person, output)
        .await
        .unwrap_or_else(|error| DoctorReport::unknown(&error, Timestamp::now()));
    output.data(&Report::Doctor(&report), || text(&report))?;
    Ok(report.verdict.into())
}

/// Every check, and the next signup.
pub(super) async fn take(
    settings: ConnectionSettings,
    asker: Asker,
    output: &Output,
) -> Result<DoctorReport> {
    let mut session = connection::session(settings, output);
    session
        .run(async |database| next_signup::take(database, asker).await)
        .await
}

pub(super) fn text(report: &DoctorReport) -> String {
    let mut text = verdict_and_findings_in_full(report.verdict, &report.findings);
    if let Some(checks) = report.checks {
        let sentence = format!(
            "\n{checks} checks looked at the signup trigger, what it runs, the profile table and its rights.\n"
        );
        text += &wrapped(&sentence, "");
    }
    if let Some((name, value)) = proof(report.evidence.as_ref(), report.check_time) {
        text += &format!("{name}: {value}.\n");
    }
    text
}
