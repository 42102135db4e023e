//! `rollcall undo`

use clap::Args;
use rollcall::backfill::{self, MAX_SKIPPED, Run, RunKind, SkipReason, Undo, runs};
use rollcall::connection_string::ConnectionSettings;
use rollcall::email_sync;
use rollcall::error::Result;
use rollcall::session::Session;
use rollcall::wording::counted;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::confirmation;
use super::runs::RunId;
use crate::exit::Exit;
use crate::output::Output;
use crate::report::{Judged, Report};
use crate::terminal::wrapped;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall undo 7d444840")]
pub(crate) struct UndoArguments {
    /// Id of the run, or how it begins
    #[arg(value_name = "RUN")]
    run: RunId,

    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// What became of a run's profiles.
#[derive(Serialize, JsonSchema)]
pub(crate) struct UndoReport<'a> {
    /// The run.
    run_id: Uuid,
    /// What became of its profiles.
    undo: &'a Undo,
}

pub(crate) async fn run(
    arguments: &UndoArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = Session::new(settings);
    let run = runs::find(&mut session, arguments.run.as_str()).await?;
    if run.is_replay {
        output.say("This run was a replay: what the signup triggers made in other tables stays.");
    }
    if !arguments.yes {
        confirmation::require_terminal()?;
        let preview = undo(&mut session, &run, false).await?;
        let settings = session.settings();
        let is_wanted = confirmation::ask(&format!(
            "{} that run {} {} in database {} on {}? {} changed since or in use stay.",
            match run.kind {
                RunKind::Profiles => format!("Delete {}", counted(preview.removed, "profile")),
                RunKind::Emails => {
                    format!(
                        "Set back the e-mail address of {}",
                        counted(preview.removed, "profile")
                    )
                }
            },
            run.run_id,
            match run.kind {
                RunKind::Profiles => "created",
                RunKind::Emails => "changed",
            },
            settings.database_name(),
            settings.host_name(),
            preview.skipped,
        ))?;
        if !is_wanted {
            output.say("Nothing was changed.");
            return Ok(Exit::Failure);
        }
    }
    let done = undo(&mut session, &run, true).await?;
    let report = Judged::done(UndoReport {
        run_id: run.run_id,
        undo: &done,
    });
    output.data(&Report::Undo(report), || text(&run, &done))?;
    Ok(Exit::Success)
}

async fn undo(session: &mut Session, run: &Run, apply: bool) -> Result<Undo> {
    match run.kind {
        RunKind::Profiles => backfill::undo(session, run.run_id, apply).await,
        RunKind::Emails => email_sync::undo(session, run.run_id, apply).await,
    }
}

fn text(run: &Run, done: &Undo) -> String {
    const SHOWN: usize = 20;
    let mut text = format!(
        "Undone: {} {}; {} were gone already, {} stay.\n",
        counted(done.removed, "profile"),
        match run.kind {
            RunKind::Profiles => "deleted",
            RunKind::Emails => "set back",
        },
        done.gone,
        done.skipped
    );
    if done.removed > 0 {
        text += "What triggers wrote into other tables stays.\n";
    }
    for profile in done.skipped_profiles.iter().take(SHOWN) {
        let reason = match profile.reason {
            SkipReason::Changed => "it was changed since",
            SkipReason::Referenced => "other rows refer to it",
            SkipReason::Refused if run.kind == RunKind::Emails => {
                "the database refuses the former address"
            }
            SkipReason::Refused => {
                "the database refuses to delete it, or its user would go with it"
            }
            SkipReason::NoReceipt => "it cannot be told whether it is as the run made it",
        };
        text += &format!("  {} stays: {reason}\n", profile.user_id);
    }
    if done.skipped_profiles.len() > SHOWN {
        text += &format!(
            "  and {} more: --format json lists up to {MAX_SKIPPED}\n",
            done.skipped_profiles.len() - SHOWN
        );
    }
    wrapped(&text, "  ")
}
