//! Since when profiles have another e-mail than their user.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;

use crate::database::column;
use crate::error::Result;

/// When the users last changed whose profiles have another e-mail. Supabase Auth keeps no moment at which an address changed,
/// only that of a row's newest change, whatever it was: the addresses have been what they are at least since then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EmailDriftAge {
    /// Of the oldest.
    pub oldest_at_least_since: Timestamp,
    /// Of the newest.
    pub newest_at_least_since: Timestamp,
}

impl EmailDriftAge {
    /// None: no e-mail differs, or Supabase Auth does not know.
    pub(super) fn read(row: &Row) -> Result<Option<Self>> {
        let oldest: Option<Timestamp> = column(row, "oldest")?;
        let newest: Option<Timestamp> = column(row, "newest")?;
        Ok(oldest.zip(newest).map(|(oldest, newest)| Self {
            oldest_at_least_since: oldest,
            newest_at_least_since: newest,
        }))
    }
}
