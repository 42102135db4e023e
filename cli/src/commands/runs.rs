//! `rollcall runs`

use std::str::FromStr;

use clap::{Args, Subcommand};
use rollcall::backfill::runs::{self, Action};
use rollcall::backfill::{Run, RunKind, RunState};
use rollcall::connection_string::ConnectionSettings;
use rollcall::session::Session;
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::Output;
use crate::report::{Judged, Report};
use crate::table::{self, or_dash};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall runs
  rollcall runs --format json")]
pub(crate) struct RunsArguments {
    #[command(subcommand)]
    action: Option<RunsAction>,

    /// How many at most, newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, Subcommand)]
enum RunsAction {
    /// Everything that is known of one
    Show(RunArguments),
    /// Stop it after the batch in hand
    Pause(RunArguments),
    /// Let it continue: the next repair does it, or `backfill --apply --run RUN`
    Resume(RunArguments),
    /// End it after the batch in hand; what it created stays
    Cancel(RunArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Id of the run, or how it begins
    #[arg(value_name = "RUN")]
    run: RunId,
}

/// The id of a run, or its first characters.
#[derive(Clone, Debug)]
pub(super) struct RunId(String);

impl RunId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_id = (4..=36).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if is_id {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("must be the id of a run, or at least its first four characters")
        }
    }
}

/// Earlier backfills and those under way.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RunsReport<'a> {
    /// Newest first.
    pub(crate) runs: &'a [Run],
}

/// One backfill.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RunReport<'a> {
    /// Everything that is known of it.
    run: &'a Run,
}

pub(crate) async fn run(
    arguments: &RunsArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = Session::new(settings);
    let Some(action) = &arguments.action else {
        return match runs::list(&mut session, arguments.limit).await {
            Ok(runs) => {
                let report = Judged::done(RunsReport { runs: &runs });
                output.data(&Report::Runs(report), || list_text(&runs))?;
                Ok(Exit::Success)
            }
            Err(error) => output.blind(&error),
        };
    };
    let (RunsAction::Show(RunArguments { run })
    | RunsAction::Pause(RunArguments { run })
    | RunsAction::Resume(RunArguments { run })
    | RunsAction::Cancel(RunArguments { run })) = action;
    let found = runs::find(&mut session, run.as_str()).await?;
    let run = match action {
        RunsAction::Show(_) => found,
        RunsAction::Pause(_) => runs::control(&mut session, found.run_id, Action::Pause).await?,
        RunsAction::Resume(_) => runs::control(&mut session, found.run_id, Action::Resume).await?,
        RunsAction::Cancel(_) => runs::control(&mut session, found.run_id, Action::Cancel).await?,
    };
    let report = Judged::done(RunReport { run: &run });
    output.data(&Report::Run(report), || show_text(&run))?;
    Ok(Exit::Success)
}

/// One line a run, with its whole id; narrower than 80 columns.
fn list_text(runs: &[Run]) -> String {
    if runs.is_empty() {
        return "Nothing has run yet.\n".to_owned();
    }
    let mut text = String::new();
    for run in runs {
        text += &format!(
            "{}  {}\n  {}: {} {}, {} failed of {}\n",
            run.run_id,
            table::moment(run.created_at),
            state(run),
            run.created,
            done(run),
            run.failed,
            run.total_missing
        );
    }
    text
}

fn show_text(run: &Run) -> String {
    table::of_facts([
        ("run", run.run_id.to_string()),
        ("state", state(run)),
        ("waits for", or_dash(run.waits_for.as_deref())),
        ("started by", format!("{}, {}", run.started_by, run.source)),
        ("note", or_dash(run.note.as_deref())),
        ("made by", made_by(run).to_owned()),
        (
            match run.kind {
                RunKind::Profiles => "missing at first",
                RunKind::Emails => "to be changed",
            },
            run.total_missing.to_string(),
        ),
        (done(run), run.created.to_string()),
        ("failed", run.failed.to_string()),
        ("users at most", or_dash(run.max_users)),
        ("account type", or_dash(run.account_type.as_deref())),
        ("batch size", run.batch_size.to_string()),
        ("share of the time", format!("{:.2}", run.throttle)),
        ("signed up before", table::moment(run.signed_up_before)),
        ("began", table::moment(run.created_at)),
        ("last progress", table::moment(run.updated_at)),
        ("ended", or_dash(run.finished_at.map(table::moment))),
        ("undone", or_dash(run.undone_at.map(table::moment))),
    ])
}

fn made_by(run: &Run) -> &'static str {
    if run.is_replay {
        "the application's signup triggers"
    } else {
        "the definition"
    }
}

/// What it does to profiles.
fn done(run: &Run) -> &'static str {
    match run.kind {
        RunKind::Profiles => "created",
        RunKind::Emails => "changed",
    }
}

/// Where it stands, and whether a worker has its lease.
fn state(run: &Run) -> String {
    if run.undone_at.is_some() {
        return "undone".to_owned();
    }
    match (run.state, run.is_leased, run.stop_reason.as_deref()) {
        (RunState::Running, true, _) => "running".to_owned(),
        (RunState::Running, false, _) => "stalled".to_owned(),
        (RunState::Paused, _, _) => "paused".to_owned(),
        (RunState::Cancelled, _, _) => "cancelled".to_owned(),
        (RunState::Done, _, Some("max_users")) => "done, as many as asked".to_owned(),
        (RunState::Done, _, _) => "done".to_owned(),
        (RunState::Failed, _, Some(error)) => format!("failed: {error}"),
        (RunState::Failed, _, None) => "failed".to_owned(),
    }
}
