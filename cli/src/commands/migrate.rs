//! `rollcall migrate`

use clap::Args;
use rollcall::connection_string::ConnectionSettings;
use rollcall::database::Database;
use rollcall::migrations::{self, DefinitionChange, FileState, NameState, Plan};
use rollcall::wording::counted;
use schemars::JsonSchema;
use serde::Serialize;

use super::confirmation;
use crate::exit::Exit;
use crate::output::{Output, labelled};
use crate::report::{Judged, Report};
use crate::terminal::wrapped;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall migrate
  rollcall migrate --plan
  rollcall migrate --yes --replace-api")]
pub(crate) struct MigrateArguments {
    /// Only print the plan
    #[arg(long, conflicts_with = "yes")]
    plan: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Take over names of the public API that the application uses; a rollback gives them back
    #[arg(long)]
    replace_api: bool,
}

/// What an installation changes, or has changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct MigrationReport<'a> {
    /// The newest migration of this program.
    version: &'a str,
    /// Whether the database has it now.
    is_applied: bool,
    /// What is changed, or was.
    plan: &'a Plan,
}

pub(crate) async fn run(
    arguments: &MigrateArguments,
    settings: &ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut database = Database::connect(settings).await?;
    let plan = migrations::plan(&mut database, arguments.replace_api).await?;
    if arguments.plan || plan.is_up_to_date {
        output.data(&report(plan.is_up_to_date, &plan), || text(&plan, "Plan"))?;
        return Ok(Exit::Success);
    }
    output.narrate(&text(&plan, "Plan"))?;
    output.narrate("\n")?;
    let question = format!(
        "Apply this to database {} on {}?",
        settings.database_name(),
        settings.host_name()
    );
    if !arguments.yes && !confirmation::ask(&question)? {
        output.say("Nothing was changed.");
        return Ok(Exit::Failure);
    }
    let done = migrations::apply_planned(&mut database, arguments.replace_api, &plan).await?;
    for warning in &done.warnings {
        output.warning(warning);
    }
    output.data(&report(true, &done), || text(&done, "Done"))?;
    Ok(Exit::Success)
}

fn report(is_applied: bool, plan: &Plan) -> Report<'_> {
    Report::Migration(Judged::done(MigrationReport {
        version: migrations::newest(),
        is_applied,
        plan,
    }))
}

/// The same words before and after.
pub(crate) fn text(plan: &Plan, title: &str) -> String {
    let version = migrations::newest();
    let mut text = if plan.is_up_to_date {
        format!("Up to date at {version}.\n")
    } else {
        format!("{title}: {}\n", what(plan))
    };
    let names_of = |state| {
        let names: Vec<&str> = plan
            .names
            .iter()
            .filter(|name| name.state == state)
            .map(|name| name.name)
            .collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let mut line = |label: &str, words: &str| text += &labelled(label, words);
    if !plan.is_up_to_date {
        if plan.files.iter().all(|file| file.state == FileState::New) {
            line("new", "schema rollcall, private");
        }
        for (label, names) in [
            ("dropped since", &plan.missing),
            ("changed since", &plan.changed),
            ("rights on", &plan.rights),
        ] {
            if !names.is_empty() {
                line("again", &format!("{label}: {}", names.join(", ")));
            }
        }
        let roles: Vec<&str> = plan
            .roles
            .iter()
            .filter(|role| role.is_new)
            .map(|role| role.name.as_str())
            .collect();
        if !roles.is_empty() {
            line("new", &format!("roles without login: {}", roles.join(", ")));
        }
        if let Some(names) = names_of(NameState::Created) {
            line("new", &format!("in public, for service_role only: {names}"));
        }
        if let Some(names) = names_of(NameState::Replaced) {
            line(
                "taken over",
                &format!(
                    "in public: {names}; the application's own are kept, and a rollback gives them back"
                ),
            );
        }
    }
    if let Some(names) = names_of(NameState::Taken) {
        line(
            "unchanged",
            &format!(
                "in public: {names}; the application uses these names (--replace-api takes them over)"
            ),
        );
    }
    if !plan.application_triggers.is_empty() {
        line(
            "unchanged",
            &format!("triggers: {}", plan.application_triggers.join(", ")),
        );
    }
    for words in definition(&plan.definition) {
        line("definition", &words);
    }
    if names_of(NameState::Replaced).is_some() {
        text += "Nothing else of the application's is changed, and no trigger is made.\n";
    } else if !plan.is_up_to_date {
        text += &wrapped(
            "No table, function, trigger or right of the application's is changed, and no trigger is made.\n",
            "",
        );
    }
    text
}

fn what(plan: &Plan) -> String {
    let version = migrations::newest();
    let number = |state| plan.files.iter().filter(|file| file.state == state).count();
    let (new, changed) = (number(FileState::New), number(FileState::Changed));
    match (new, changed) {
        (new, _) if new == plan.files.len() => format!("Rollcall {version}"),
        (0, 0) => format!("Rollcall {version}, what is missing of it"),
        _ => format!(
            "Rollcall {version}: {}, {changed} changed",
            counted(i64::try_from(new).unwrap_or(i64::MAX), "new file")
        ),
    }
}

fn definition(change: &DefinitionChange) -> Vec<String> {
    match change {
        DefinitionChange::Set { table } => {
            vec![format!("for {table}, as a person has set it; it stays")]
        }
        DefinitionChange::Drafted { table, is_new } => {
            let origin = if *is_new { "drafted" } else { "the draft of before," };
            vec![format!(
                "{origin} for {table}, from its columns and rows (rollcall definition show)"
            )]
        }
        DefinitionChange::None { candidates } if candidates.is_empty() => vec![
            "none: no table could hold the profiles, so every verdict is unknown (rollcall definition set FILE)"
                .to_owned(),
        ],
        DefinitionChange::None { candidates } => {
            let mut lines = vec![
                "none: no table stands out, so every verdict is unknown until one is chosen:".to_owned(),
            ];
            lines.extend(candidates.iter().map(|candidate| {
                format!(
                    "{0} ({1}): rollcall definition draft '{0}'",
                    candidate.table, candidate.reason
                )
            }));
            lines
        }
    }
}
