//! `rollcall recent`

use jiff::Timestamp;
use rollcall::checks::next_signup::{self, Asker};
use rollcall::checks::recent::RecentReport;
use rollcall::connection_string::ConnectionSettings;
use rollcall::wording::counted;

use crate::connection;
use crate::exit::Exit;
use crate::output::{Output, proof, verdict_and_findings};
use crate::report::Report;
use crate::table::{self, moment, or_dash};
use crate::terminal::wrapped;

pub(crate) async fn run(settings: ConnectionSettings, output: &Output) -> anyhow::Result<Exit> {
    let mut session = connection::session(settings, output);
    let report = session
        .run(async |database| next_signup::take(database, Asker::Person).await)
        .await
        .unwrap_or_else(|error| RecentReport::unknown(&error, Timestamp::now()));
    output.data(&Report::Recent(&report), || text(&report))?;
    Ok(report.verdict.into())
}

fn text(report: &RecentReport) -> String {
    let mut text = verdict_and_findings(report.verdict, &report.findings);
    // what was not looked at is no good news
    let Some(issues) = report.issues.as_deref() else {
        return text;
    };
    if issues.is_empty() {
        let minutes = report.window.minutes;
        let mut sentences = match report.signups_count {
            Some(signups @ 1..) => format!(
                "\n{} in the last {minutes} minutes, each with its profile.",
                counted(signups, "signup")
            ),
            _ => format!("\nNobody signed up in the last {minutes} minutes."),
        };
        sentences += &proof(report.evidence.as_ref(), report.check_time).map_or_else(
            || " A signup that was refused leaves no row: rollcall probe.\n".to_owned(),
            |(name, value)| format!(" {name}: {value}.\n"),
        );
        return text + &wrapped(&sentences, "");
    }
    text += "\n";
    text += &table::with_head(
        [
            "user",
            "signed up (UTC)",
            "minutes ago",
            "audit log says",
            "user exists",
            "has profile",
        ],
        issues.iter().map(|issue| {
            let yes_no = |yes| if yes { "yes" } else { "no" }.to_owned();
            [
                issue.user_id.to_string(),
                moment(issue.created_at),
                format!("{:.1}", issue.minutes_since_signup),
                or_dash(issue.action.as_deref()),
                yes_no(issue.has_auth_user),
                yes_no(issue.has_profile),
            ]
        }),
    );
    text
}
