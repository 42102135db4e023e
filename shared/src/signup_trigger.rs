//! Stance *make*: Rollcall's own signup trigger, and guards around the application's trigger functions. Each is asked for on
//! purpose; the database decides whether it can do harm, and then refuses with the reason.

mod guard;

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::types::Type;

use self::guard::{Guard, Unguard};
use crate::database::{Database, Queries, column};
use crate::error::Result;
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(20);

/// A trigger on a table of Supabase Auth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TriggerStatus {
    /// Its name.
    pub trigger: String,
    /// Its table, with its schema.
    pub table: String,
    /// The function that it runs.
    pub function: String,
    /// Whether it is Rollcall's.
    pub is_ours: bool,
    /// Whether it fires.
    pub is_enabled: bool,
    /// When it fires, and whether its function is guarded.
    pub note: String,
}

/// The triggers on the tables of Supabase Auth, in the order in which they fire.
///
/// # Errors
/// What the server refuses.
pub async fn status(database: &mut Database) -> Result<Vec<TriggerStatus>> {
    database
        .read(LIMIT, async |queries| {
            queries
                .rows(include_str!("signup_trigger/status.sql"), &[])
                .await?
                .iter()
                .map(|row| {
                    Ok(TriggerStatus {
                        trigger: column(row, "trigger_name")?,
                        table: column(row, "table_name")?,
                        function: column(row, "function_name")?,
                        is_ours: column(row, "is_ours")?,
                        is_enabled: column(row, "is_enabled")?,
                        note: column(row, "note")?,
                    })
                })
                .collect()
        })
        .await
}

/// A change of what happens at a signup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds Rollcall's trigger.
    Install,
    /// Takes Rollcall's trigger off.
    Remove,
    /// Puts the body of this function of the application's into a block that catches its errors.
    Guard(String),
    /// Gives this function its own body back.
    Unguard(String),
}

impl Change {
    /// What it would do, in words.
    ///
    /// # Errors
    /// [`crate::error::Error::Statement`] with the reason where it is refused.
    pub async fn plan(&self, session: &mut Session) -> Result<String> {
        session
            .read(LIMIT, async |queries| match self {
                Self::Install => {
                    let sql = "select p.plan as words from rollcall.signup_trigger_plan() p";
                    words(queries, sql).await
                }
                Self::Remove => {
                    words(queries, include_str!("signup_trigger/plan_remove.sql")).await
                }
                Self::Guard(name) => Ok(Guard::of(queries, name).await?.plan()),
                Self::Unguard(name) => Ok(Unguard::of(queries, name).await?.plan()),
            })
            .await
    }

    /// Does it, and says what was done. Its lock on `auth.users` is waited for a second at most, again and again for half a
    /// minute: whoever waits for it keeps the signups behind waiting.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub async fn apply(&self, session: &mut Session) -> Result<String> {
        session
            .retry(None, async |database| {
                database
                    .write(LIMIT, async |queries| {
                        queries.lock_install().await?;
                        match self {
                            Self::Install => {
                                words(queries, "select rollcall.install_signup_trigger() as words")
                                    .await
                            }
                            Self::Remove => {
                                words(queries, "select rollcall.remove_signup_trigger() as words")
                                    .await
                            }
                            Self::Guard(name) => {
                                Guard::of(queries, name).await?.apply(queries).await
                            }
                            Self::Unguard(name) => {
                                Unguard::of(queries, name).await?.apply(queries).await
                            }
                        }
                    })
                    .await
            })
            .await
    }
}

async fn words(queries: &Queries<'_>, sql: &str) -> Result<String> {
    column(&queries.row(sql, &[]).await?, "words")
}

/// A function as the catalog spells it, with its schema and arguments; none where there is no such function. Without a
/// schema it is one of `public`, without arguments it has none.
///
/// # Errors
/// What the server refuses.
pub async fn find_function(database: &mut Database, name: &str) -> Result<Option<String>> {
    let name = if name.contains('(') {
        name.to_owned()
    } else {
        format!("{name}()")
    };
    database
        .read(LIMIT, async |queries| {
            let row = queries
                .row(
                    "select coalesce(to_regprocedure($1), to_regprocedure('public.' || $1))::text as found",
                    &[(&name, Type::TEXT)],
                )
                .await?;
            column(&row, "found")
        })
        .await
}
