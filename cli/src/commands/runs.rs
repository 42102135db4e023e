//! `rollcall runs`

use rollcall::backfill::runs::{self, Action, Speed};
use rollcall::backfill::{Run, RunState};
use rollcall::connection_string::ConnectionSettings;
use rollcall::error::Result;
use rollcall::session::Session;
use serde_json::json;

use crate::arguments::{RunsAction, RunsArguments};
use crate::exit::Exit;
use crate::output::Output;
use crate::table::{self, or_dash};

pub(crate) async fn run(
    arguments: &RunsArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = Session::new(settings);
    let Some(action) = &arguments.action else {
        return match runs::list(&mut session, arguments.limit).await {
            Ok(runs) => {
                output.data(&json!({ "runs": runs }), || list_text(&runs))?;
                Ok(Exit::Success)
            }
            Err(error) => output.blind(&error),
        };
    };
    let outcome = match action {
        RunsAction::Show(run) => runs::show(&mut session, run.run_id).await,
        RunsAction::Pause(run) => runs::control(&mut session, run.run_id, Action::Pause).await,
        RunsAction::Resume(run) => runs::control(&mut session, run.run_id, Action::Resume).await,
        RunsAction::Cancel(run) => runs::control(&mut session, run.run_id, Action::Cancel).await,
        RunsAction::Set(set) => {
            let speed = Speed {
                batch_size: set.batch_size,
                duty: set.duty,
                max_lag_ms: set.max_lag_ms,
            };
            runs::set(&mut session, set.run_id, speed).await
        }
    };
    say(outcome, output)
}

fn say(outcome: Result<Run>, output: &Output) -> anyhow::Result<Exit> {
    let run = outcome?;
    output.data(&json!({ "run": run }), || show_text(&run))?;
    Ok(Exit::Success)
}

fn list_text(runs: &[Run]) -> String {
    if runs.is_empty() {
        return "No backfill has run yet.\n".to_owned();
    }
    table::with_head(
        ["run", "state", "began", "from", "created", "failed", "of"],
        runs.iter().map(|run| {
            [
                run.run_id.to_string(),
                state(run),
                table::moment(run.created_at),
                run.face.clone(),
                run.created.to_string(),
                run.failed.to_string(),
                run.total_missing.to_string(),
            ]
        }),
    )
}

fn show_text(run: &Run) -> String {
    table::of_facts([
        ("run", run.run_id.to_string()),
        ("state", state(run)),
        ("waits for", or_dash(run.waits_for.as_deref())),
        ("started by", format!("{}, {}", run.started_by, run.face)),
        ("note", or_dash(run.note.as_deref())),
        ("missing at first", run.total_missing.to_string()),
        ("created", run.created.to_string()),
        ("failed", run.failed.to_string()),
        ("of these not tried again", run.skipped.to_string()),
        ("users at most", or_dash(run.max_users)),
        ("account type", or_dash(run.account_type.as_deref())),
        ("first id", or_dash(run.from_user_id)),
        ("last id", or_dash(run.to_user_id)),
        ("batch size", run.batch_size.to_string()),
        ("share of the time", format!("{:.2}", run.duty)),
        ("lag allowed, ms", or_dash(run.max_lag_ms)),
        ("signed up before", table::moment(run.signed_up_before)),
        ("began", table::moment(run.created_at)),
        ("last came further", table::moment(run.updated_at)),
        ("ended", or_dash(run.finished_at.map(table::moment))),
        ("taken back", or_dash(run.undone_at.map(table::moment))),
    ])
}

/// Where it stands, and whether somebody is at it.
fn state(run: &Run) -> String {
    match (run.state, run.is_held, run.ending.as_deref()) {
        (RunState::Running, true, _) => "running".to_owned(),
        (RunState::Running, false, _) => "left alone".to_owned(),
        (RunState::Paused, _, _) => "paused".to_owned(),
        (RunState::Cancelled, _, _) => "cancelled".to_owned(),
        (RunState::Done, _, Some("max_users")) => "done, as many as asked".to_owned(),
        (RunState::Done, _, _) => "done".to_owned(),
        (RunState::Failed, _, Some(error)) => format!("failed: {error}"),
        (RunState::Failed, _, None) => "failed".to_owned(),
    }
}
