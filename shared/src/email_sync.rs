//! Profiles whose e-mail address is a copy that the user's change did not reach: which, and bringing them up to date on
//! request. A repair never does that; here rows that exist are changed, one column of them, as the owner of the database.
//!
//! Offered is a profile where the definition copies the address, the user has one, and what stands in the profile is known
//! to have been the user's: Supabase Auth's records say so (the audit log, an identity). Anything else may be an address
//! that a person chose.

mod apply;
mod batch;
mod statements;
mod trial;
mod undo;

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use self::statements::Statements;
use crate::database::column;
use crate::error::{Error, Result};
use crate::masked::{Email, Masked};
use crate::session::Session;

pub use apply::{EmailSync, FailedEmail, MAX_FAILURES, apply};
pub use trial::{EmailTrial, try_out};
pub use undo::undo;

/// Longer than reading an audit log of millions of entries takes.
const LOOK_LIMIT: Duration = Duration::from_secs(120);

/// How many profiles one call changes at most: what is to be changed is kept in memory.
pub const MAX_AT_ONCE: i64 = 100_000;

/// Which profiles hold another e-mail address than their user. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EmailLook {
    /// Profiles with another address than their user's, but for case. The other counts are of these.
    pub different: i64,
    /// Those that a sync changes.
    pub offered: i64,
    /// The profile's address is not known to have been the user's.
    pub unknown: i64,
    /// The user has no address; the profile's may be one that they gave.
    pub without_address: i64,
    /// The definition makes up an address, or copies it from elsewhere.
    pub made_up: i64,
    /// What a trigger of the profile table seems to send to other servers, by name.
    pub outside_calls: Vec<String>,
    /// Why a change cannot be tried and rolled back. Empty: it can.
    #[serde(skip)]
    pub not_tried_because: Vec<String>,
    /// The profiles that are offered, at most [`MAX_AT_ONCE`].
    #[serde(skip)]
    pub changes: Vec<EmailChange>,
}

/// One profile that a sync changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EmailChange {
    /// Whose it is.
    pub user_id: Uuid,
    /// What stands there.
    pub found: Option<Masked<Email>>,
    /// What is to stand there.
    pub wanted: Masked<Email>,
}

/// Finds the profiles whose address a sync changes; with `all` also those whose address is not known to have been the
/// user's. The audit log is read as a whole, without `all`.
///
/// # Errors
/// [`Error::NotPermitted`] for another role than the owner of the schema, and what the database refuses.
pub async fn look(session: &mut Session, all: bool) -> Result<EmailLook> {
    session
        .retry(None, async |database| {
            database
                .read(LOOK_LIMIT, async |queries| {
                    let statements = Statements::read(queries).await?;
                    let mut look = EmailLook {
                        different: 0,
                        offered: 0,
                        unknown: 0,
                        without_address: 0,
                        made_up: 0,
                        outside_calls: statements.outside_calls,
                        not_tried_because: statements.not_tried_because,
                        changes: Vec::new(),
                    };
                    let Some(list) = statements.list else {
                        return Ok(look);
                    };
                    let row = queries
                        .row(&list, &[(&all, Type::BOOL), (&MAX_AT_ONCE, Type::INT8)])
                        .await?;
                    look.different = column(&row, "different")?;
                    look.offered = column(&row, "offered")?;
                    look.unknown = column(&row, "unknown")?;
                    look.without_address = column(&row, "without_address")?;
                    look.made_up = column(&row, "made_up")?;
                    let user_ids: Vec<Uuid> = column(&row, "user_ids")?;
                    let found: Vec<Option<String>> = column(&row, "found")?;
                    let wanted: Vec<String> = column(&row, "wanted")?;
                    look.changes = user_ids
                        .into_iter()
                        .zip(found)
                        .zip(wanted)
                        .map(|((user_id, found), wanted)| EmailChange {
                            user_id,
                            found: found.map(Masked::new),
                            wanted: Masked::new(wanted),
                        })
                        .collect();
                    Ok::<_, Error>(look)
                })
                .await
        })
        .await
}
