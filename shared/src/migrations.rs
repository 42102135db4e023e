//! The migrations, inside the program, and the history table that the Supabase CLI keeps, too.

use std::time::Duration;

use tokio_postgres::types::Type;

use crate::database::{Database, Warning, column};
use crate::error::{Error, Result};
use crate::patience;

const LIMIT: Duration = Duration::from_secs(60);

/// One migration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// 14 digits; the order of application.
    pub version: &'static str,
    /// What it is about.
    pub name: &'static str,
    sql: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../migrations/", $version, "_", $name, ".sql")),
        }
    };
}

/// All migrations in order.
pub const ALL: &[Migration] = &[
    migration!("20261127000100", "rollcall_tables"),
    migration!("20261127000200", "rollcall_definition"),
    migration!("20261127000400", "rollcall_checks"),
    migration!("20261127000700", "rollcall_signup_trigger"),
    migration!("20261127000800", "rollcall_alerts"),
    migration!("20261127000900", "rollcall_public_api"),
    migration!("20261127000990", "rollcall_rights"),
];

/// The newest version that this program knows.
pub fn newest() -> &'static str {
    ALL[ALL.len() - 1].version
}

/// What applying the migrations did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// In order; those that the history had are not among them.
    pub migrations: Vec<Migration>,
    /// What they found worth a word: objects of the application whose place they took, a definition that does not fit.
    pub warnings: Vec<Warning>,
}

/// How much a rollback takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The functions and views that count and list.
    Diagnostics,
    /// All of Rollcall; profiles and the application's own objects stay.
    Everything,
}

/// The same statements as the Supabase CLI's, so that either tool finds the table of the other.
const HISTORY_TABLE: &str = "
    create schema if not exists supabase_migrations;
    create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
    alter table supabase_migrations.schema_migrations add column if not exists statements text[];
    alter table supabase_migrations.schema_migrations add column if not exists name text;
    set local client_min_messages = warning;
";

/// Refuses a database that is no Supabase project, and one that a newer program has migrated.
async fn require_fitting(database: &mut Database) -> Result<()> {
    let (is_supabase, version) = database
        .read(LIMIT, async |queries| {
            let row = queries
                .row(
                    "select to_regclass('auth.users') is not null as is_supabase,
                       to_regprocedure('rollcall.schema_version()') is not null as has_version",
                    &[],
                )
                .await?;
            let version: Option<String> = if column(&row, "has_version")? {
                Some(column(
                    &queries
                        .row("select rollcall.schema_version() as version", &[])
                        .await?,
                    "version",
                )?)
            } else {
                None
            };
            Ok((column::<bool>(&row, "is_supabase")?, version))
        })
        .await?;
    if !is_supabase {
        return Err(Error::NotSupabase);
    }
    match version {
        Some(found) if found.as_str() > newest() => Err(Error::OtherVersion {
            found,
            needed: newest(),
        }),
        _ => Ok(()),
    }
}

/// Applies what the history does not have, each migration in a transaction of its own together with its entry.
/// With `again`, applies all of them; they are safe to run twice.
///
/// A migration that waits for a lock lets the signups behind it wait, too: it gives up after a second, and tries again.
///
/// # Errors
/// [`Error::NotSupabase`], [`Error::OtherVersion`] for a database that is newer than the program, and what the server
/// refuses; the migrations before the one that failed stay applied.
pub async fn apply(database: &mut Database, again: bool) -> Result<Applied> {
    require_fitting(database).await?;
    let known = applied(database).await?;
    let mut done = Applied::default();
    for migration in ALL {
        if !again && known.iter().any(|version| version == migration.version) {
            continue;
        }
        patience::run(database, async |database| {
            // those of a try before
            database.take_warnings();
            database
                .write(LIMIT, async |queries| {
                    queries.script(HISTORY_TABLE).await?;
                    queries.script(migration.sql).await?;
                    queries
                        .rows(
                            "insert into supabase_migrations.schema_migrations (version, name, statements)
                             values ($1, $2, array[$3]) on conflict (version) do nothing",
                            &[
                                (&migration.version, Type::TEXT),
                                (&migration.name, Type::TEXT),
                                (&migration.sql, Type::TEXT),
                            ],
                        )
                        .await
                })
                .await
        })
        .await?;
        done.migrations.push(*migration);
        done.warnings.extend(database.take_warnings());
    }
    Ok(done)
}

/// Versions of Rollcall's that the history has, in order.
///
/// # Errors
/// What the server refuses.
pub async fn applied(database: &mut Database) -> Result<Vec<String>> {
    let ours: Vec<&str> = ALL.iter().map(|migration| migration.version).collect();
    database
        .read(LIMIT, async |queries| {
            let table = queries.row("select to_regclass('supabase_migrations.schema_migrations') is not null as there", &[]).await?;
            if !column::<bool>(&table, "there")? {
                return Ok(Vec::new());
            }
            queries
                .rows(
                    "select version from supabase_migrations.schema_migrations where version = any ($1) order by version",
                    &[(&ours, Type::TEXT_ARRAY)],
                )
                .await?
                .iter()
                .map(|row| column(row, "version"))
                .collect()
        })
        .await
}

/// Runs a rollback script.
///
/// # Errors
/// [`Error::NotSupabase`], [`Error::OtherVersion`] for a database that is newer than the program, and what the server
/// refuses; then nothing was changed.
pub async fn roll_back(database: &mut Database, extent: Extent) -> Result<()> {
    require_fitting(database).await?;
    let script = match extent {
        Extent::Diagnostics => include_str!("../../migrations/rollback/diagnostics.sql"),
        Extent::Everything => include_str!("../../migrations/rollback/everything.sql"),
    };
    patience::run(database, async |database| {
        database
            .write(LIMIT, async |queries| {
                queries
                    .script("set local client_min_messages = warning")
                    .await?;
                queries.script(script).await
            })
            .await
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_what_the_folder_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .into_string()
                    .expect("UTF-8")
            })
            .filter(|name| name.ends_with(".sql"))
            .collect();
        files.sort();
        let listed: Vec<String> = ALL
            .iter()
            .map(|m| format!("{}_{}.sql", m.version, m.name))
            .collect();
        assert_eq!(listed, files);
    }

    #[test]
    fn the_newest_migration_says_its_own_version() {
        assert!(
            ALL[ALL.len() - 1]
                .sql
                .contains(&format!("$$ select '{}' $$", newest()))
        );
    }
}
