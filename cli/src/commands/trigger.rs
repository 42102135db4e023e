//! `rollcall trigger`

use anyhow::Context;
use rollcall::connection_string::ConnectionSettings;
use rollcall::session::Session;
use rollcall::signup_trigger::{self, Change, TriggerStatus};
use serde_json::json;

use crate::arguments::{TriggerAction, TriggerArguments};
use crate::exit::Exit;
use crate::output::{Output, wrapped};
use crate::table;

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
        output.data(&json!({ "is_applied": false, "plan": plan }), || {
            wrapped(
                &format!("Plan: {plan}\n\nNothing was changed. To do it, add --apply.\n"),
                "  ",
            )
        })?;
        return Ok(Exit::Success);
    }
    output.narrate(&wrapped(&format!("Plan: {plan}\n\n"), "  "))?;
    let done = change.apply(&mut session).await?;
    output.data(
        &json!({ "is_applied": true, "plan": plan, "done": done }),
        || wrapped(&format!("Done: {done}.\n"), "  "),
    )?;
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
            output.data(&json!({ "triggers": triggers }), || status_text(&triggers))?;
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
