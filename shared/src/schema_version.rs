//! Whether the database has the migrations that this program was built with.

use std::time::Duration;

use crate::database::{Database, column};
use crate::error::{Error, Result};
use crate::migrations;

const LIMIT: Duration = Duration::from_secs(10);

/// Compares the database's newest migration with the program's.
///
/// # Errors
/// [`Error::NotMigrated`], [`Error::OtherVersion`], and what reading returns.
pub async fn require(database: &mut Database) -> Result<()> {
    let found: String = database
        .read(LIMIT, async |queries| {
            column(
                &queries
                    .row("select rollcall.schema_version() as version", &[])
                    .await?,
                "version",
            )
        })
        .await?;
    let needed = migrations::newest();
    if found == needed {
        Ok(())
    } else {
        Err(Error::OtherVersion { found, needed })
    }
}
