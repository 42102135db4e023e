//! The other tables that a signup writes: who has a profile, and no row there. Nothing is defined about them, so nothing is
//! repaired; but whoever has no role, say, is locked out as well.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;

use super::diagnosis::Diagnosis;
use super::next_signup::Evidence;
use crate::database::{Database, column};
use crate::error::{Error, Result};
use crate::finding;

const LIMIT: Duration = Duration::from_secs(30);

/// A table that a signup was seen to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SideTable {
    /// Its name.
    pub table: String,
    /// Users who have a profile and no row there.
    pub users_without: i64,
    /// When the newest of them signed up.
    pub newest_without: Option<Timestamp>,
    /// Whether some of them signed up since the signup path last changed, while others got their row.
    #[serde(skip)]
    pub is_since: bool,
}

/// Adds them to a diagnosis that knows them. They stay null where the role may not read them.
///
/// # Errors
/// What may pass by itself: a lost connection, the time.
pub async fn add(database: &mut Database, mut report: Diagnosis) -> Result<Diagnosis> {
    let Some(evidence) = &report.evidence else {
        return Ok(report);
    };
    match read(database, evidence).await {
        Ok(tables) => {
            report.findings.extend(finding::side_rows_missing(&tables));
            report.verdict = finding::conclude(&mut report.findings);
            report.side_tables = Some(tables);
        }
        Err(error) if error.is_connection_lost() => return Err(error),
        Err(_) => {}
    }
    Ok(report)
}

async fn read(database: &mut Database, evidence: &Evidence) -> Result<Vec<SideTable>> {
    if evidence.side_tables.is_empty() {
        return Ok(Vec::new());
    }
    let (names, columns): (Vec<&str>, Vec<&str>) = evidence
        .side_tables
        .iter()
        .map(|(name, column)| (name.as_str(), column.as_str()))
        .unzip();
    database
        .read(LIMIT, async |queries| {
            let statements = queries
                .rows(
                    // what was kept with a check is looked up in the catalog before it becomes part of a statement
                    include_str!("side_tables/statements.sql"),
                    &[
                        (&names, Type::TEXT_ARRAY),
                        (&columns, Type::TEXT_ARRAY),
                        (&evidence.path_since, Type::TIMESTAMPTZ),
                        (&evidence.on_this_path, Type::UUID_ARRAY),
                    ],
                )
                .await?;
            let mut tables = Vec::new();
            for statement in &statements {
                let row = queries.row(column(statement, "statement")?, &[]).await?;
                tables.push(SideTable {
                    table: column(statement, "name")?,
                    users_without: column(&row, "users")?,
                    newest_without: column(&row, "newest")?,
                    is_since: column(&row, "is_since")?,
                });
            }
            Ok::<_, Error>(tables)
        })
        .await
}
