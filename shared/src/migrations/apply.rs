//! Applying the migrations, or trying what that would do.

use std::time::Duration;

use serde_json::Value;
use tokio_postgres::types::Type;

use super::plan::{Facts, Plan};
use super::{ALL, Situation};
use crate::database::{Database, Queries};
use crate::error::{Error, Result};
use crate::{definition, retry};

const LIMIT: Duration = Duration::from_secs(60);

/// The migration that publishes the API under its names.
const PUBLIC_API: &str = "rollcall_public_api";

/// How long trying signups may take, in milliseconds, before the definition is drafted without them.
const EXAMPLE_LIMIT: &str = "set local statement_timeout = 6000";

/// What [`apply`] would do: the migrations are applied in a transaction that is rolled back, with signups that are tried for
/// the draft of a definition. "Up to date" says that all of it would change nothing.
///
/// # Errors
/// As [`apply`].
pub async fn plan(database: &mut Database, replace_api: bool) -> Result<Plan> {
    retry::run(database, async |database| {
        match rehearse(database, replace_api, true).await {
            // the application's own code takes too long, or fails in a way that a trial cannot catch
            Err(Error::Timeout | Error::Statement { .. }) if database.is_usable() => {
                rehearse(database, replace_api, false).await
            }
            plan => plan,
        }
    })
    .await
}

async fn rehearse(database: &mut Database, replace_api: bool, tries_signups: bool) -> Result<Plan> {
    forget_notices(database);
    let (before, after, example) = database
        .try_out(LIMIT, async |queries| {
            let (before, mut after) = install(queries, replace_api, None).await?;
            let is_needed = tries_signups
                && before.needs_example()
                && !Plan::between(&before, &after, Vec::new()).is_up_to_date;
            let mut example = None;
            if is_needed {
                queries.script(EXAMPLE_LIMIT).await?;
                example = definition::example_in(queries, None).await?;
                after = adopt(queries, example.as_ref(), after).await?;
            }
            Ok((before, after, example))
        })
        .await?;
    Ok(Plan {
        example,
        ..Plan::between(&before, &after, database.take_warnings())
    })
}

/// Applies all migrations in one transaction, where that would change something, and writes the history. With
/// `replace_api`, names of the public API that the application uses are taken over.
///
/// Only Rollcall's own objects are locked, and each of them for a moment; where one is in use, tries again.
///
/// # Errors
/// [`Error::NotSupabase`], [`Error::AuthTooOld`], [`Error::SchemaTaken`], [`Error::OtherVersion`] for a database that is
/// newer than the program, [`Error::InstallInProgress`], and what the server refuses; then nothing was changed.
pub async fn apply(database: &mut Database, replace_api: bool) -> Result<Plan> {
    let plan = plan(database, replace_api).await?;
    if plan.is_up_to_date {
        return Ok(plan);
    }
    apply_planned(database, replace_api, &plan).await
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
    retry::run(database, async |database| {
        forget_notices(database);
        let (before, after) = database
            .write(LIMIT, async |queries| {
                install(queries, replace_api, plan.example.as_ref()).await
            })
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

async fn install(
    queries: &Queries<'_>,
    replace_api: bool,
    example: Option<&Value>,
) -> Result<(Facts, Facts)> {
    queries.lock_install().await?;
    Situation::read(queries).await?.require_fitting()?;
    let before = Facts::read(queries).await?;
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
    queries
        .rows(
            "delete from rollcall.migration m where m.version <> all ($1)",
            &[(&versions(), Type::TEXT_ARRAY)],
        )
        .await?;
    let after = Facts::read(queries).await?;
    Ok((before, adopt(queries, example, after).await?))
}

/// Lets the definition be drafted from an example, where there is one. Returns the facts as they are then.
async fn adopt(queries: &Queries<'_>, example: Option<&Value>, facts: Facts) -> Result<Facts> {
    if example.is_none() {
        return Ok(facts);
    }
    queries
        .rows(
            "select rollcall.adopt_draft($1)",
            &[(&example, Type::JSONB)],
        )
        .await?;
    Facts::read(queries).await
}

fn versions() -> Vec<&'static str> {
    ALL.iter().map(|migration| migration.version).collect()
}
