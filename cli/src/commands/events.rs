//! `rollcall events`

use rollcall::checks::events::{self, UserEvents};
use rollcall::connection_string::ConnectionSettings;
use rollcall::session::Session;

use crate::arguments::EventsArguments;
use crate::exit::Exit;
use crate::output::{Output, verdict_and_findings};
use crate::table::{self, moment};

pub(crate) async fn run(
    arguments: &EventsArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = Session::new(settings);
    match session
        .run(async |database| events::of_user(database, arguments.user_id).await)
        .await
    {
        Ok(report) => {
            output.data(&report, || text(&report))?;
            Ok(report.verdict.into())
        }
        Err(error) => output.blind(&error),
    }
}

fn text(report: &UserEvents) -> String {
    let mut text = verdict_and_findings(report.verdict, &report.findings);
    if report.events.is_empty() {
        return text + "\nNothing is on record of this user.\n";
    }
    text += "\n";
    text += &table::with_head(
        ["event", "when (UTC)", "kind", "details"],
        report.events.iter().map(|event| {
            let payload = event
                .payload
                .as_ref()
                .and_then(|payload| payload.as_object());
            let details: Vec<String> = payload
                .into_iter()
                .flatten()
                .map(|(name, value)| {
                    format!(
                        "{name}: {}",
                        value
                            .as_str()
                            .map_or_else(|| value.to_string(), ToOwned::to_owned)
                    )
                })
                .collect();
            [
                event.event_id.to_string(),
                moment(event.created_at),
                event.kind.clone(),
                details.join(", "),
            ]
        }),
    );
    text
}
