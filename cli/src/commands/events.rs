//! `rollcall events`

use rollcall::checks::events::{self, UserEvents};
use rollcall::connection_string::ConnectionSettings;
use serde_json::{Value, json};

use super::payload;
use crate::arguments::EventsArguments;
use crate::connection;
use crate::exit::Exit;
use crate::output::{JsonReport, Output, verdict_and_findings};
use crate::table::{self, moment, or_dash};

pub(crate) async fn run(
    arguments: &EventsArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = connection::session(settings, output);
    match session
        .run(async |database| events::of_user(database, arguments.user_id).await)
        .await
    {
        Ok(report) => {
            output.data(&json(&report, output), || text(&report, output))?;
            Ok(report.verdict.into())
        }
        Err(error) => output.blind(&error),
    }
}

fn json<'a>(report: &'a UserEvents, output: &Output) -> JsonReport<'a, Value> {
    let events: Vec<Value> = report
        .events
        .iter()
        .map(|event| {
            json!({
                "event_id": event.event_id,
                "kind": event.kind,
                "payload": payload::shown(&event.payload, output),
                "created_at": event.created_at,
            })
        })
        .collect();
    JsonReport {
        verdict: report.verdict,
        findings: &report.findings,
        more: json!({ "user_id": report.user_id, "events": events }),
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
