//! Stance *make*: Rollcall's own signup trigger, and guards around the application's trigger functions. Each is asked for on
//! purpose; the database decides whether it can do harm, and then refuses with the reason.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::types::Type;

use crate::database::{Database, Queries, column};
use crate::error::Result;
use crate::patience;
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(20);

/// A trigger on a table of Supabase Auth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
                .rows(
                    "select t.trigger_name, t.table_name, t.function_name, t.is_ours, t.is_enabled, t.note
                     from rollcall.trigger_status() t",
                    &[],
                )
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
            .run(async |database| {
                database
                    .read(LIMIT, async |queries| {
                        let (sql, function) = match self {
                            Self::Install => (
                                "select p.plan as words from rollcall.signup_trigger_plan() p",
                                None,
                            ),
                            Self::Remove => (include_str!("signup_trigger/plan_remove.sql"), None),
                            Self::Guard(name) => (
                                "select rollcall.guard_function($1::regprocedure) as words",
                                Some(name),
                            ),
                            Self::Unguard(name) => {
                                (include_str!("signup_trigger/plan_unguard.sql"), Some(name))
                            }
                        };
                        words(queries, sql, function).await
                    })
                    .await
            })
            .await
    }

    /// Does it, and says what was done. Its lock on `auth.users` is waited for a second at most, again and again for half a
    /// minute: whoever waits for it keeps the signups behind waiting.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub async fn apply(&self, session: &mut Session) -> Result<String> {
        patience::run_on(session, None, async |database| {
            database
                .write(LIMIT, async |queries| {
                    queries.lock_install().await?;
                    let (sql, function) = match self {
                        Self::Install => {
                            ("select rollcall.install_signup_trigger() as words", None)
                        }
                        Self::Remove => ("select rollcall.remove_signup_trigger() as words", None),
                        Self::Guard(name) => (
                            "select rollcall.guard_function($1::regprocedure, true) as words",
                            Some(name),
                        ),
                        Self::Unguard(name) => (
                            "select rollcall.unguard_function($1::regprocedure) as words",
                            Some(name),
                        ),
                    };
                    words(queries, sql, function).await
                })
                .await
        })
        .await
    }
}

async fn words(queries: &Queries<'_>, sql: &str, function: Option<&String>) -> Result<String> {
    let row = match function {
        Some(function) => queries.row(sql, &[(function, Type::TEXT)]).await?,
        None => queries.row(sql, &[]).await?,
    };
    column(&row, "words")
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
