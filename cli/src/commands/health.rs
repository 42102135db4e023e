//! `rollcall health`

use jiff::Timestamp;
use rollcall::checks::health::HealthReport;
use rollcall::checks::next_signup::{self, Asker};
use rollcall::connection_string::ConnectionSettings;

use crate::connection;
use crate::exit::Exit;
use crate::output::{Output, proof, signup_trigger, verdict_and_findings};
use crate::report::Report;
use crate::table::{self, or_dash};

pub(crate) async fn run(settings: ConnectionSettings, output: &Output) -> anyhow::Result<Exit> {
    let mut session = connection::session(settings, output);
    let report = session
        .run(async |database| next_signup::take(database, Asker::Person).await)
        .await
        .unwrap_or_else(|error| HealthReport::unknown(&error, Timestamp::now()));
    output.data(&Report::Health(&report), || text(&report))?;
    Ok(report.verdict.into())
}

fn text(report: &HealthReport) -> String {
    let mut text = verdict_and_findings(report.verdict, &report.findings);
    if report.users.is_none() {
        return text;
    }
    text += "\n";
    text += &table::of_facts(
        [
            (
                "Signups of the last hour",
                or_dash(report.recent_signups_count),
            ),
            (
                "  without a profile",
                or_dash(report.signups_missing_profiles),
            ),
            (
                "  healthy, %",
                or_dash(report.health_percentage.map(|share| format!("{share:.2}"))),
            ),
            (
                "Users who must have a profile",
                or_dash(report.users.as_ref().map(|users| users.expected)),
            ),
            (
                "  without one",
                or_dash(report.users.as_ref().map(|users| users.missing)),
            ),
            (
                "Signup trigger",
                signup_trigger(report.signup_trigger.as_deref()),
            ),
        ]
        .into_iter()
        .chain(proof(report.evidence.as_ref(), report.check_time)),
    );
    text
}
