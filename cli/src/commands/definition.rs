//! `rollcall definition`

use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use rollcall::connection_string::ConnectionSettings;
use rollcall::definition::{self, Candidate, Comparison, Definition, DefinitionFile};
use rollcall::error::Error;
use rollcall::session::Session;
use schemars::JsonSchema;
use serde::Serialize;

use super::confirmation;
use crate::connection;
use crate::exit::Exit;
use crate::output::{Format, Output, verdict_and_findings_in_full};
use crate::report::{Judged, Report};
use crate::table::{self, moment};
use crate::terminal::{self, wrapped};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall definition show
  rollcall definition draft public.members > members.sql
  rollcall definition set members.sql
  rollcall definition check")]
pub(crate) struct DefinitionArguments {
    #[command(subcommand)]
    action: DefinitionAction,
}

#[derive(Debug, Subcommand)]
enum DefinitionAction {
    /// Print the definition in force
    Show,
    /// Print a definition drafted from a table's columns and rows
    Draft {
        /// The profile table; without it, the best candidate
        table: Option<String>,
    },
    /// Compare the definition with the profiles there are: counts by column and kind of user
    Check,
    /// Put a definition in force
    Set {
        /// A file as `draft` prints it; - reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,

        /// The profile table, where the file does not name it
        #[arg(long)]
        table: Option<String>,

        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Who must have a profile, and what a new one contains.
#[derive(Serialize, JsonSchema)]
pub(crate) struct DefinitionInForce<'a> {
    definition: &'a Definition,
}

/// A definition was put in force.
#[derive(Serialize, JsonSchema)]
pub(crate) struct NewDefinition<'a> {
    /// The profile table, with its schema.
    table: &'a str,
}

pub(crate) async fn run(
    arguments: &DefinitionArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = match &arguments.action {
        DefinitionAction::Set { .. } => Session::new(settings),
        _ => connection::session(settings, output),
    };
    match &arguments.action {
        DefinitionAction::Show => show(&mut session, output).await,
        DefinitionAction::Draft { table } => draft(&mut session, table.as_deref(), output).await,
        DefinitionAction::Check => check(&mut session, output).await,
        DefinitionAction::Set { file, table, yes } => {
            set(&mut session, file, table.as_deref(), *yes, output).await
        }
    }
}

async fn show(session: &mut Session, output: &Output) -> anyhow::Result<Exit> {
    let current = session
        .run(async |database| definition::current(database).await)
        .await?;
    let Some(current) = current else {
        let candidates = candidates(session).await?;
        return output.blind(&no_definition(&candidates));
    };
    let report = Judged::done(DefinitionInForce {
        definition: &current,
    });
    output.data(&Report::Definition(report), || show_text(&current))?;
    Ok(Exit::Success)
}

fn show_text(current: &Definition) -> String {
    let file = DefinitionFile {
        table: Some(current.table.clone()),
        query: current.query.clone(),
    };
    format!(
        "-- {}, by {} at {} UTC; key {}\n{}",
        origin(current),
        current.defined_by,
        moment(current.defined_at),
        current.key_column,
        terminal::sql(&file.text())
    )
}

async fn candidates(session: &mut Session) -> anyhow::Result<Vec<Candidate>> {
    Ok(session
        .run(async |database| definition::candidates(database).await)
        .await?)
}

/// That there is no definition, with the candidates.
fn no_definition(candidates: &[Candidate]) -> Error {
    let hint = if candidates.is_empty() {
        "No table could hold the profiles. Write a definition, and set it: rollcall definition set FILE --table TABLE."
            .to_owned()
    } else {
        let commands: Vec<String> = candidates
            .iter()
            .map(|candidate| {
                format!(
                    "rollcall definition draft '{}' ({})",
                    candidate.table, candidate.reason
                )
            })
            .collect();
        format!(
            "Draft one, and set it with rollcall definition set FILE: {}.",
            commands.join("; ")
        )
    };
    Error::NoDefinition {
        message: "there is no definition of who must have a profile".to_owned(),
        hint: Some(hint),
    }
}

async fn draft(session: &mut Session, name: Option<&str>, output: &Output) -> anyhow::Result<Exit> {
    let table = match name {
        Some(name) => Some(find_table(session, name).await?),
        None => None,
    };
    let draft = session
        .run(async |database| definition::draft(database, table.as_deref()).await)
        .await?;
    let Some(draft) = draft else {
        return output.blind(&no_definition(&[]));
    };
    if table.is_none() {
        for other in candidates(session).await? {
            if other.table != draft.table {
                output.say(&format!(
                    "Another candidate: {} ({})",
                    other.table, other.reason
                ));
            }
        }
    }
    match output.format() {
        // a file for `definition set`, and nothing else
        Format::Table => {
            let file = DefinitionFile {
                table: Some(draft.table),
                query: draft.query,
            };
            output.document(terminal::sql(&file.text()).as_bytes())?;
        }
        Format::Json => output.data(&Report::Draft(Judged::done(&draft)), String::new)?,
    }
    Ok(Exit::Success)
}

async fn find_table(session: &mut Session, name: &str) -> anyhow::Result<String> {
    session
        .run(async |database| definition::find_table(database, name).await)
        .await?
        .with_context(|| {
            format!("there is no table {name}; a name with capitals is written '\"Members\"', one of another schema 'app.members'")
        })
}

async fn set(
    session: &mut Session,
    path: &Path,
    table: Option<&str>,
    is_confirmed: bool,
    output: &Output,
) -> anyhow::Result<Exit> {
    let file = DefinitionFile::parse(&read(path)?);
    let table = match (table, file.table.as_deref()) {
        (Some(given), Some(named)) if given != named => {
            bail!("the file is for {named}, and --table says {given}: which one?")
        }
        (Some(name), _) | (None, Some(name)) => name.to_owned(),
        (None, None) => bail!(
            "which table? Begin the file with the line \"-- table: public.members\", or give --table"
        ),
    };
    let table = find_table(session, &table).await?;
    let current = session
        .run(async |database| definition::current(database).await)
        .await?;
    output.narrate(&wrapped(&plan(&table, current.as_ref()), "  "))?;
    let settings = session.settings();
    let question = format!(
        "Put it in force in database {} on {}?",
        settings.database_name(),
        settings.host_name()
    );
    if !is_confirmed && !confirmation::ask(&question)? {
        output.say("Nothing was changed.");
        return Ok(Exit::Failure);
    }
    session
        .run(async |database| definition::set(database, &table, &file.query).await)
        .await?;
    let report = Judged::done(NewDefinition { table: &table });
    output.data(&Report::NewDefinition(report), || {
        wrapped(
            &format!("In force: the definition for {table}. Compare it with the profiles there are: rollcall definition check\n"),
            "",
        )
    })?;
    Ok(Exit::Success)
}

fn plan(table: &str, current: Option<&Definition>) -> String {
    let before = match current {
        Some(current) => format!(
            "Replaces the one for {}, {}, by {} at {} UTC.",
            current.table,
            origin(current),
            current.defined_by,
            moment(current.defined_at)
        ),
        None => "There is none yet.".to_owned(),
    };
    format!("Plan: a definition for {table}. {before}\n\n")
}

fn origin(definition: &Definition) -> &'static str {
    if definition.is_draft {
        "drafted by Rollcall"
    } else {
        "set by a person"
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

async fn check(session: &mut Session, output: &Output) -> anyhow::Result<Exit> {
    match session
        .run(async |database| definition::check(database).await)
        .await
    {
        Ok(comparison) => {
            output.data(&Report::Comparison(&comparison), || check_text(&comparison))?;
            Ok(comparison.verdict.into())
        }
        Err(error) => output.blind(&error),
    }
}

fn check_text(comparison: &Comparison) -> String {
    if comparison.kinds.is_empty() {
        return "There are no users yet, so there is nothing to compare.\n".to_owned();
    }
    let verdict = verdict_and_findings_in_full(comparison.verdict, &comparison.findings);
    let kinds = table::with_head(
        [
            "kind of user",
            "users",
            "must have a profile",
            "and have one",
            "have one all the same",
        ],
        comparison.kinds.iter().map(|kind| {
            [
                kind.kind.clone(),
                kind.users.to_string(),
                kind.expected.to_string(),
                kind.with_profile.to_string(),
                kind.unexpected.to_string(),
            ]
        }),
    );
    let columns = table::with_head(
        [
            "kind of user",
            "column",
            "same",
            "empty in the profile",
            "empty in the definition",
            "other",
        ],
        comparison.kinds.iter().flat_map(|kind| {
            kind.columns.iter().map(|column| {
                [
                    kind.kind.clone(),
                    column.column.clone(),
                    column.same.to_string(),
                    column.only_definition.to_string(),
                    column.only_profile.to_string(),
                    column.other.to_string(),
                ]
            })
        }),
    );
    format!(
        "{verdict}\n{kinds}\nProfiles there are, against what a repair would create:\n{columns}\n{}",
        wrapped(
            "Other values are no fault where users may edit them. A repair changes no profile that is there.\n",
            ""
        )
    )
}
