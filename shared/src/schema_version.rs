//! Whether the database has the migrations that this program was built with.

use std::time::Duration;

use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};
use crate::migrations;

const LIMIT: Duration = Duration::from_secs(10);

/// Compares the database's newest migration with the program's.
///
/// # Errors
/// [`Error::NotMigrated`], [`Error::OtherVersion`], and what reading returns.
pub async fn require(database: &mut Database) -> Result<()> {
    database
        .read(LIMIT, async |queries| {
            queries.end_with(require_in(queries)).await
        })
        .await
}

/// The same in a transaction that is open.
///
/// # Errors
/// As [`require`].
pub(crate) async fn require_in(queries: &Queries<'_>) -> Result<()> {
    let row = queries
        .row("select rollcall.schema_version() as version", &[])
        .await?;
    let found: String = column(&row, "version")?;
    let needed = migrations::newest();
    if found == needed {
        Ok(())
    } else {
        Err(Error::OtherVersion { found, needed })
    }
}
