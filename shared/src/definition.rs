//! The definition of who must have a profile: reading it, drafting one, comparing it with the rows there are, setting it.

mod check;
mod file;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;

use crate::database::{Database, Queries, column};
use crate::error::Result;

pub use check::{Comparison, KindComparison, Shares, check};
pub use file::DefinitionFile;

const LIMIT: Duration = Duration::from_secs(20);

/// A draft may try signups of every kind, and asks the rows there are.
const DRAFT_LIMIT: Duration = Duration::from_secs(60);

/// The definition in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Definition {
    /// The profile table, with its schema.
    pub table: String,
    /// The column that holds the user's id.
    pub key_column: String,
    /// The columns that a created profile is given.
    pub columns: Vec<String>,
    /// The query: one row for each user who must have a profile.
    pub query: String,
    /// Whether Rollcall drafted it; one that a person has set is never replaced.
    pub is_draft: bool,
    /// When it was put in force.
    pub defined_at: Timestamp,
    /// By which role.
    pub defined_by: String,
}

/// A table that could hold the profiles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its name, with its schema.
    pub table: String,
    /// Why.
    pub reason: String,
}

/// The definition in force; none where there is none.
///
/// # Errors
/// What the server refuses.
pub async fn current(database: &mut Database) -> Result<Option<Definition>> {
    database
        .read(LIMIT, async |queries| {
            let rows = queries
                .rows(include_str!("definition/current.sql"), &[])
                .await?;
            let Some(row) = rows.first() else {
                return Ok(None);
            };
            Ok(Some(Definition {
                table: column(row, "target_table")?,
                key_column: column(row, "key_column")?,
                columns: column(row, "columns")?,
                query: column(row, "query")?,
                is_draft: column(row, "is_draft")?,
                defined_at: column(row, "defined_at")?,
                defined_by: column(row, "defined_by")?,
            }))
        })
        .await
}

/// Tables that could hold the profiles, best first.
///
/// # Errors
/// What the server refuses.
pub async fn candidates(database: &mut Database) -> Result<Vec<Candidate>> {
    database.try_out(DRAFT_LIMIT, candidates_in).await
}

/// The same in a transaction that is open.
///
/// # Errors
/// As [`candidates`].
pub(crate) async fn candidates_in(queries: &Queries<'_>) -> Result<Vec<Candidate>> {
    queries
        .rows(
            "select c.table_name::text as candidate, c.reason from rollcall.candidate_tables() c",
            &[],
        )
        .await?
        .iter()
        .map(|row| {
            Ok(Candidate {
                table: column(row, "candidate")?,
                reason: column(row, "reason")?,
            })
        })
        .collect()
}

/// A table as the catalog spells it, with its schema; none where there is no such table. Without a schema it is one of
/// `public`.
///
/// # Errors
/// What the server refuses.
pub async fn find_table(database: &mut Database, name: &str) -> Result<Option<String>> {
    database
        .read(LIMIT, async |queries| {
            let row = queries
                .row(
                    "select coalesce(to_regclass($1), to_regclass('public.' || $1))::text as found",
                    &[(&name, Type::TEXT)],
                )
                .await?;
            column(&row, "found")
        })
        .await
}

/// A definition for a table, from its columns and rows: a query with what is known of it as comments.
///
/// # Errors
/// What the server refuses.
pub async fn draft(database: &mut Database, table: &str) -> Result<String> {
    database
        .try_out(DRAFT_LIMIT, async |queries| {
            let row = queries
                .row(
                    "select rollcall.draft_definition($1::regclass) as draft",
                    &[(&table, Type::TEXT)],
                )
                .await?;
            column(&row, "draft")
        })
        .await
}

/// Checks a definition and puts it in force.
///
/// # Errors
/// [`crate::error::Error::Statement`] with the reason where it is refused; then nothing was changed.
pub async fn set(database: &mut Database, table: &str, query: &str) -> Result<()> {
    database
        .write(LIMIT, async |queries| {
            queries
                .rows(
                    "select rollcall.define($1::regclass, $2)",
                    &[(&table, Type::TEXT), (&query, Type::TEXT)],
                )
                .await?;
            Ok(())
        })
        .await
}
