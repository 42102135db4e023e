//! `rollcall rollback`

use clap::Args;
use rollcall::connection_string::ConnectionSettings;
use rollcall::database::{Database, Warning};
use rollcall::migrations::{self, Extent, RolledBack};
use schemars::JsonSchema;
use serde::Serialize;

use super::confirmation;
use crate::exit::Exit;
use crate::output::{Output, labelled};
use crate::report::{Judged, Report};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall rollback
  rollcall rollback --diagnostics --plan
  rollcall rollback --yes")]
pub(crate) struct RollbackArguments {
    /// Only the functions and views that count and list
    #[arg(long)]
    diagnostics: bool,

    /// Only print the plan
    #[arg(long, conflicts_with = "yes")]
    plan: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// What a rollback removes, or has removed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RollbackReport<'a> {
    /// Whether it was done.
    is_applied: bool,
    /// What is removed, given back and left, each in a sentence.
    steps: &'a [String],
    /// What Rollcall's SQL warns of.
    warnings: &'a [Warning],
}

pub(crate) async fn run(
    arguments: &RollbackArguments,
    settings: &ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let extent = if arguments.diagnostics {
        Extent::Diagnostics
    } else {
        Extent::Everything
    };
    let mut database = Database::connect(settings).await?;
    let plan = migrations::plan_roll_back(&mut database, extent).await?;
    if arguments.plan {
        output.data(&report(&plan, false), || text(&plan, "Plan"))?;
        return Ok(Exit::Success);
    }
    output.narrate(&text(&plan, "Plan"))?;
    output.narrate("\n")?;
    let question = format!(
        "Do this to database {} on {}?",
        settings.database_name(),
        settings.host_name()
    );
    if !arguments.yes && !confirmation::ask(&question)? {
        output.say("Nothing was changed.");
        return Ok(Exit::Failure);
    }
    let done = migrations::roll_back(&mut database, extent).await?;
    for warning in &done.warnings {
        output.warning(warning);
    }
    output.data(&report(&done, true), || text(&done, "Done"))?;
    Ok(Exit::Success)
}

fn report(rolled_back: &RolledBack, is_applied: bool) -> Report<'_> {
    Report::Rollback(Judged::done(RollbackReport {
        is_applied,
        steps: &rolled_back.steps,
        warnings: &rolled_back.warnings,
    }))
}

fn text(rolled_back: &RolledBack, title: &str) -> String {
    let steps = rolled_back
        .steps
        .iter()
        .map(|step| match step.split_once(' ') {
            // "removed …", "left …"; "gave back …" is two words
            Some(("gave", rest)) => labelled("gave back", rest.trim_start_matches("back ")),
            Some((label, rest)) => labelled(label, rest),
            None => labelled("", step),
        });
    format!("{title}:\n{}", steps.collect::<String>())
}
