//! `rollcall events`

use clap::Args;
use jiff::Timestamp;
use rollcall::checks::events::{self, UserEvents};
use rollcall::connection_string::ConnectionSettings;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::payload;
use super::user::{self, UserName};
use crate::connection;
use crate::exit::Exit;
use crate::output::{Output, verdict_and_findings};
use crate::report::{Judged, Report};
use crate::table::{self, moment, or_dash};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall events 7d444840-9dc0-11d1-b245-5ffdce74fad2")]
pub(crate) struct EventsArguments {
    /// Id, e-mail address or phone number of the user
    #[arg(value_name = "USER")]
    user: UserName,
}

pub(crate) async fn run(
    arguments: &EventsArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = connection::session(settings, output);
    let user_id = match user::find(&mut session, &arguments.user).await? {
        Ok(user_id) => user_id,
        Err(error) => return output.blind(&error),
    };
    match session
        .run(async |database| events::of_user(database, user_id).await)
        .await
    {
        Ok(report) => {
            let answer = Report::Events(judged(&report, output));
            output.data(&answer, || text(&report, output))?;
            Ok(report.verdict.into())
        }
        Err(error) => output.blind(&error),
    }
}

/// What is on record of a user.
#[derive(Serialize, JsonSchema)]
pub(crate) struct EventsReport<'a> {
    /// The user.
    user_id: Uuid,
    /// The events, oldest first.
    events: Vec<Event<'a>>,
}

/// One event of a user.
#[derive(Serialize, JsonSchema)]
struct Event<'a> {
    /// Number of the event; grows with time.
    event_id: i64,
    /// `auth_user_created`, `profile_bootstrap_ok`, `profile_bootstrap_error`, `profile_backfilled` or
    /// `profile_backfill_error`.
    kind: &'a str,
    /// Ids and codes. What Rollcall did not write itself is masked without `--show-pii`.
    payload: Option<Value>,
    /// When it happened; null where a table of events from before Rollcall does not say.
    created_at: Option<Timestamp>,
}

fn judged<'a>(report: &'a UserEvents, output: &Output) -> Judged<'a, EventsReport<'a>> {
    let events = report.events.iter().map(|event| Event {
        event_id: event.event_id,
        kind: &event.kind,
        payload: payload::shown(&event.payload, output),
        created_at: event.created_at,
    });
    Judged {
        verdict: report.verdict,
        findings: &report.findings,
        more: EventsReport {
            user_id: report.user_id,
            events: events.collect(),
        },
    }
}

fn text(report: &UserEvents, output: &Output) -> String {
    let mut text = verdict_and_findings(report.verdict, &report.findings);
    if report.events.is_empty() {
        return text + "\nNothing is on record of this user.\n";
    }
    text += "\n";
    text += &table::with_head(
        ["event", "when (UTC)", "kind", "details"],
        report.events.iter().map(|event| {
            [
                event.event_id.to_string(),
                or_dash(event.created_at.map(moment)),
                event.kind.clone(),
                payload::text(&event.payload, output),
            ]
        }),
    );
    text
}
