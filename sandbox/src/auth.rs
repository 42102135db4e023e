//! Plays Supabase Auth: the same statements in the same transactions, and the same audit rows.
//!
//! What each flow writes follows supabase/auth v2.196. Tables that no signup check reads
//! (sessions, refresh tokens, one-time tokens) are left out.

mod audit;
mod change;
mod flow;
mod kind;
mod person;
mod removal;
mod signup;
mod statements;
mod user;
mod ways;

use anyhow::{Context, Result};
use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::database::{Database, connect};
use flow::Flow;

pub use kind::SignupKind;
pub use person::Person;

/// A Supabase Auth server with one connection to its database, as `supabase_auth_admin`.
#[derive(Debug)]
pub struct Auth {
    client: Client,
    /// What it puts into every time column; `None` for the real time. Set it to a time in the past
    /// to back-date what follows.
    pub clock: Option<Timestamp>,
    /// Off for projects whose audit log does not go to the database.
    pub audit_log: bool,
    /// Changes what some rows hold.
    pub release: Release,
}

/// Releases of Supabase Auth whose rows differ, oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// Older than April 2024: `auth.users` has no column `is_anonymous`.
    BeforeAnonymousUsers,
    /// Older than July 2025: a verified user's `user_signedup` has no traits, an admin-created user's no provider.
    Before2_177,
    /// v2.177.0 (July 2025) and newer.
    #[default]
    Current,
}

impl Auth {
    /// Starts Auth on a database, with the real time and the audit log on.
    ///
    /// # Errors
    /// If the server is down.
    pub async fn new(database: &Database) -> Result<Self> {
        let client = connect(&database.url_as("supabase_auth_admin")).await?;
        Ok(Self {
            client,
            clock: None,
            audit_log: true,
            release: Release::Current,
        })
    }

    /// One transaction of Auth, at one point in time.
    async fn begin(&mut self) -> Result<Flow<'_>> {
        let now = self.clock.unwrap_or_else(Timestamp::now);
        let transaction = self
            .client
            .transaction()
            .await
            .context("Supabase Auth lost its connection")?;
        Ok(Flow {
            transaction,
            now,
            audit_log: self.audit_log,
            release: self.release,
        })
    }
}

/// The SQLSTATE with which the database refused something, such as `23505` for a second user with
/// the same e-mail address or `P0001` for a trigger that raised; `None` for any other error.
pub fn sqlstate(error: &anyhow::Error) -> Option<&SqlState> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<tokio_postgres::Error>()?.code())
}
