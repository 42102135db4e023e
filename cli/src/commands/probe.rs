//! `rollcall probe`

use std::collections::BTreeSet;

use jiff::Timestamp;
use rollcall::checks::probe::{ProbeOutcome, ProbeReport, ProbedSignup};
use rollcall::connection_string::ConnectionSettings;

use crate::connection;
use crate::exit::Exit;
use crate::output::{Output, verdict_and_findings_in_full};
use crate::report::Report;
use crate::table::{self, or_dash};
use crate::terminal::wrapped;

pub(crate) async fn run(settings: ConnectionSettings, output: &Output) -> anyhow::Result<Exit> {
    let mut session = connection::session(settings, output);
    let report = session
        .run(async |database| ProbeReport::take(database).await)
        .await
        .unwrap_or_else(|error| ProbeReport::unknown(&error, Timestamp::now()));
    output.data(&Report::Probe(&report), || text(&report))?;
    Ok(report.verdict.into())
}

fn text(report: &ProbeReport) -> String {
    let mut text = verdict_and_findings_in_full(report.verdict, &report.findings);
    let Some(signups) = &report.signups else {
        return text;
    };
    text += "\n";
    text += &table::with_head(
        [
            "signup",
            "outcome",
            "SQLSTATE",
            "constraint",
            "columns",
            "in",
        ],
        signups.iter().map(|signup| {
            let columns: Vec<&str> = signup
                .column
                .iter()
                .chain(&signup.wrong_columns)
                .map(String::as_str)
                .collect();
            [
                signup.kind.replace('_', " "),
                outcome(signup.outcome).to_owned(),
                or_dash(signup.sqlstate.as_deref()),
                or_dash(signup.constraint.as_deref()),
                or_dash((!columns.is_empty()).then(|| columns.join(", "))),
                or_dash(signup.failed_functions.first().map(String::as_str)),
            ]
        }),
    );
    let written = tables_written(signups);
    if !written.is_empty() {
        text += &format!("\nA signup writes {}.\n", written.join(", "));
    }
    text += "\nEach signup was rolled back. Not seen by a probe:\n";
    for item in report.not_seen {
        text += &format!("{}\n", wrapped(&format!("  - {item}"), "  "));
    }
    text
}

/// Every table that a signup wrote, once.
fn tables_written(signups: &[ProbedSignup]) -> Vec<&str> {
    let tables = signups.iter().flat_map(|signup| &signup.tables_written);
    let tables: BTreeSet<&str> = tables.map(String::as_str).collect();
    tables.into_iter().collect()
}

fn outcome(outcome: ProbeOutcome) -> &'static str {
    match outcome {
        ProbeOutcome::RightProfile => "right profile",
        ProbeOutcome::WrongProfile => "wrong profile",
        ProbeOutcome::NoProfile => "no profile",
        ProbeOutcome::Blocked => "blocked",
        ProbeOutcome::NotExpected => "not expected",
        ProbeOutcome::Unknown => "unknown",
        ProbeOutcome::RefusedByRule => "refused by your rule",
        ProbeOutcome::Refused => "not tried",
    }
}
