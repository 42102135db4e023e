//! Applying the migrations, or trying what that would do.

use std::time::Duration;

use serde_json::Value;
use tokio_postgres::types::Type;

use super::plan::{Facts, Plan};
use super::{ALL, Situation};
use crate::database::{Database, Queries};
use crate::error::{Error, Result};
use crate::{definition, patience};

const LIMIT: Duration = Duration::from_secs(60);

/// The migration that publishes the API under its names.
const PUBLIC_API: &str = "rollcall_public_api";

/// How long trying signups may take before the definition is drafted without them.
const EXAMPLE_LIMIT: Duration = Duration::from_secs(6);

/// What [`apply`] would do: the migrations are applied in a transaction that is rolled back. Before, signups are tried and
/// rolled back, too, for the draft of a definition.
///
/// # Errors
/// As [`apply`].
pub async fn plan(database: &mut Database, replace_api: bool) -> Result<Plan> {
    patience::run(database, async |database| {
        let example = example(database).await?;
        forget_notices(database);
        let (before, after) = database
            .try_out(LIMIT, async |queries| {
                install(queries, replace_api, example.as_ref()).await
            })
            .await?;
        Ok(Plan {
            example,
            ..Plan::between(&before, &after, database.take_warnings())
        })
    })
    .await
}

/// Applies all migrations in one transaction, where one of them is new or changed or something of theirs is missing, and
/// writes the history. With `replace_api`, names of the public API that the application uses are taken over.
///
/// Only Rollcall's own objects are locked, and each of them for a moment; where one is in use, tries again.
///
/// # Errors
/// [`Error::NotSupabase`], [`Error::AuthTooOld`], [`Error::SchemaTaken`], [`Error::OtherVersion`] for a database that is
/// newer than the program, [`Error::InstallInProgress`], and what the server refuses; then nothing was changed.
pub async fn apply(database: &mut Database, replace_api: bool) -> Result<Plan> {
    let example = patience::run(database, example).await?;
    write(database, replace_api, example.as_ref()).await
}

/// The same, with what the plan has found out by trying signups. The answer is what was done.
///
/// # Errors
/// As [`apply`].
pub async fn apply_planned(
    database: &mut Database,
    replace_api: bool,
    plan: &Plan,
) -> Result<Plan> {
    write(database, replace_api, plan.example.as_ref()).await
}

async fn write(
    database: &mut Database,
    replace_api: bool,
    example: Option<&Value>,
) -> Result<Plan> {
    patience::run(database, async |database| {
        forget_notices(database);
        let (before, after) = database
            .write(LIMIT, async |queries| {
                install(queries, replace_api, example).await
            })
            .await?;
        Ok(Plan::between(&before, &after, database.take_warnings()))
    })
    .await
}

/// What signups that are tried and rolled back tell about the profile table; none where nothing is to be drafted, or
/// nothing can be tried.
async fn example(database: &mut Database) -> Result<Option<Value>> {
    let tried = database
        .try_out(EXAMPLE_LIMIT, async |queries| {
            queries.lock_install().await?;
            Situation::read(queries).await?.require_fitting()?;
            let before = Facts::read(queries).await?;
            if !before.needs_example() {
                return Ok(None);
            }
            for migration in ALL {
                queries.script(migration.sql).await?;
            }
            definition::example_in(queries, None).await
        })
        .await;
    match tried {
        Ok(example) => Ok(example),
        // the application's own code takes too long, or fails in a way that a trial cannot catch
        Err(Error::Timeout | Error::Statement { .. }) if database.is_usable() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Those of a try before.
fn forget_notices(database: &mut Database) {
    database.take_warnings();
    database.take_notices();
}

async fn install(
    queries: &Queries<'_>,
    replace_api: bool,
    example: Option<&Value>,
) -> Result<(Facts, Facts)> {
    queries.lock_install().await?;
    Situation::read(queries).await?.require_fitting()?;
    let before = Facts::read(queries).await?;
    if !before.needs_work(replace_api) {
        return Ok((before.clone(), before));
    }
    queries
        .rows(
            "select pg_catalog.set_config('client_min_messages', 'warning', true),
               pg_catalog.set_config('rollcall.names', $1, true)",
            &[(&before.their_names.join(","), Type::TEXT)],
        )
        .await?;
    for migration in ALL {
        if replace_api && migration.name == PUBLIC_API {
            queries.script(include_str!("take_over.sql")).await?;
        }
        queries.script(migration.sql).await?;
        queries
            .rows(
                include_str!("record.sql"),
                &[
                    (&migration.version, Type::TEXT),
                    (&migration.name, Type::TEXT),
                    (&migration.checksum(), Type::TEXT),
                ],
            )
            .await?;
    }
    if example.is_some() {
        queries
            .rows(
                "select rollcall.adopt_draft($1)",
                &[(&example, Type::JSONB)],
            )
            .await?;
    }
    let after = Facts::read(queries).await?;
    Ok((before, after))
}
