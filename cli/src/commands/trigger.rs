//! `rollcall trigger`

use anyhow::Context;
use clap::{Args, Subcommand};
use rollcall::connection_string::ConnectionSettings;
use rollcall::session::Session;
use rollcall::signup_trigger::{self, Change, TriggerStatus};
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::Output;
use crate::report::{Judged, Report};
use crate::table;
use crate::terminal::wrapped;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall trigger status
  rollcall trigger install
  rollcall trigger install --apply
  rollcall trigger guard public.handle_new_user --apply")]
pub(crate) struct TriggerArguments {
    #[command(subcommand)]
    action: TriggerAction,
}

#[derive(Debug, Subcommand)]
enum TriggerAction {
    /// List the triggers on the tables of Supabase Auth
    Status,
    /// Add Rollcall's trigger to auth.users, after all others; prints the plan unless --apply is given
    Install(ApplyArguments),
    /// Take Rollcall's trigger off auth.users; prints the plan unless --apply is given
    Remove(ApplyArguments),
    /// Let a trigger function of the application's fail without blocking the signup; prints the plan unless --apply is given
    Guard(GuardArguments),
    /// Give a guarded function its own body back; prints the plan unless --apply is given
    Unguard(GuardArguments),
}

#[derive(Debug, Args)]
struct ApplyArguments {
    /// Do it
    #[arg(long)]
    apply: bool,
}

#[derive(Debug, Args)]
struct GuardArguments {
    /// The function, as public.handle_new_user
    #[arg(value_name = "FUNCTION")]
    function: String,

    #[command(flatten)]
    apply: ApplyArguments,
}

/// The triggers on the tables of Supabase Auth.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TriggersReport<'a> {
    /// In the order in which they fire.
    triggers: &'a [TriggerStatus],
}

/// A change of what a signup runs.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TriggerChangeReport<'a> {
    /// Whether it was done.
    is_applied: bool,
    /// What is changed, in words.
    plan: &'a str,
    /// What was changed, in words; null where nothing was.
    done: Option<&'a str>,
}

pub(crate) async fn run(
    arguments: &TriggerArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = Session::new(settings);
    let (change, apply) = match &arguments.action {
        TriggerAction::Status => return status(&mut session, output).await,
        TriggerAction::Install(apply) => (Change::Install, apply),
        TriggerAction::Remove(apply) => (Change::Remove, apply),
        TriggerAction::Guard(guard) => {
            let function = find(&mut session, &guard.function).await?;
            (Change::Guard(function), &guard.apply)
        }
        TriggerAction::Unguard(guard) => {
            let function = find(&mut session, &guard.function).await?;
            (Change::Unguard(function), &guard.apply)
        }
    };
    let plan = change.plan(&mut session).await?;
    if !apply.apply {
        let report = Judged::done(TriggerChangeReport {
            is_applied: false,
            plan: &plan,
            done: None,
        });
        output.data(&Report::TriggerChange(report), || {
            wrapped(
                &format!("Plan: {plan}\n\nNothing was changed. To do it, add --apply.\n"),
                "  ",
            )
        })?;
        return Ok(Exit::Success);
    }
    output.narrate(&wrapped(&format!("Plan: {plan}\n\n"), "  "))?;
    let done = change.apply(&mut session).await?;
    let report = Judged::done(TriggerChangeReport {
        is_applied: true,
        plan: &plan,
        done: Some(&done),
    });
    output.data(&Report::TriggerChange(report), || {
        wrapped(&format!("Done: {done}.\n"), "  ")
    })?;
    Ok(Exit::Success)
}

async fn find(session: &mut Session, name: &str) -> anyhow::Result<String> {
    session
        .run(async |database| signup_trigger::find_function(database, name).await)
        .await?
        .with_context(|| {
            format!("there is no function {name}; list those of triggers: rollcall trigger status")
        })
}

async fn status(session: &mut Session, output: &Output) -> anyhow::Result<Exit> {
    match session
        .run(async |database| signup_trigger::status(database).await)
        .await
    {
        Ok(triggers) => {
            let report = Judged::done(TriggersReport {
                triggers: &triggers,
            });
            output.data(&Report::Triggers(report), || status_text(&triggers))?;
            Ok(Exit::Success)
        }
        Err(error) => output.blind(&error),
    }
}

fn status_text(triggers: &[TriggerStatus]) -> String {
    if triggers.is_empty() {
        return "There is no trigger on the tables of Supabase Auth.\n".to_owned();
    }
    table::with_head(
        ["trigger", "table", "function", "whose", "enabled", "fires"],
        triggers.iter().map(|trigger| {
            let yes_no = |yes| if yes { "yes" } else { "no" }.to_owned();
            [
                trigger.trigger.clone(),
                trigger.table.clone(),
                trigger.function.clone(),
                if trigger.is_ours {
                    "Rollcall's"
                } else {
                    "the application's"
                }
                .to_owned(),
                yes_no(trigger.is_enabled),
                trigger.note.clone(),
            ]
        }),
    )
}
