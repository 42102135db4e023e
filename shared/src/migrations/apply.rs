//! Applying the migrations, or trying what that would do.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::plan::{Facts, Plan};
use super::{ALL, Situation};
use crate::database::{Database, Queries};
use crate::error::Result;
use crate::patience;

const LIMIT: Duration = Duration::from_secs(60);

/// What [`apply`] would do: the migrations are applied in a transaction that is rolled back.
///
/// # Errors
/// As [`apply`].
pub async fn plan(database: &mut Database, replace_api: bool) -> Result<Plan> {
    patience::run(database, async |database| {
        forget_notices(database);
        let (before, after) = database
            .try_out(LIMIT, async |queries| install(queries, replace_api).await)
            .await?;
        Ok(Plan::between(&before, &after, database.take_warnings()))
    })
    .await
}

/// Applies all migrations in one transaction, where one of them is new or changed or something of theirs is missing, and
/// writes the history. With `replace_api`, names of the public API that the application uses are taken over.
///
/// Only Rollcall's own objects are locked, and each of them for a moment; where one is in use, tries again.
///
/// # Errors
/// [`crate::error::Error::NotSupabase`], [`crate::error::Error::AuthTooOld`], [`crate::error::Error::SchemaTaken`],
/// [`crate::error::Error::OtherVersion`] for a database that is newer than the program,
/// [`crate::error::Error::InstallInProgress`], and what the server refuses; then nothing was changed.
pub async fn apply(database: &mut Database, replace_api: bool) -> Result<Plan> {
    patience::run(database, async |database| {
        forget_notices(database);
        let (before, after) = database
            .write(LIMIT, async |queries| install(queries, replace_api).await)
            .await?;
        Ok(Plan::between(&before, &after, database.take_warnings()))
    })
    .await
}

/// Those of a try before.
fn forget_notices(database: &mut Database) {
    database.take_warnings();
    database.take_notices();
}

async fn install(queries: &Queries<'_>, replace_api: bool) -> Result<(Facts, Facts)> {
    queries.lock_install().await?;
    Situation::read(queries).await?.require_fitting()?;
    let before = Facts::read(queries).await?;
    if !before.needs_work(replace_api) {
        return Ok((before.clone(), before));
    }
    let replace = if replace_api { "on" } else { "off" };
    queries
        .rows(
            "select pg_catalog.set_config('client_min_messages', 'warning', true),
               pg_catalog.set_config('rollcall.replace_api', $1, true)",
            &[(&replace, Type::TEXT)],
        )
        .await?;
    for migration in ALL {
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
    let after = Facts::read(queries).await?;
    Ok((before, after))
}
