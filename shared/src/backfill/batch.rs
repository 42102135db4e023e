//! What every statement of a repair is given, and what it answers: for a batch, and for each user.

use tokio_postgres::Row;
use uuid::Uuid;

use super::Failure;
use crate::database::column;
use crate::error::{Error, Result};

/// What one batch did, as the database says it.
pub(super) struct Batch {
    pub(super) attempted: i64,
    pub(super) created: i64,
    pub(super) failed: i64,
    /// Something was locked; the next try may succeed.
    pub(super) busy: i64,
    /// The next cursor; none: nobody was left.
    pub(super) last_user_id: Option<Uuid>,
    pub(super) failures: Vec<Failure>,
}

/// What became of one user: a row of `rollcall.repair_result`.
pub(super) enum UserResult {
    Created(Uuid),
    Failed(Failure),
    /// Something was locked; the next try may succeed.
    Busy,
}

impl UserResult {
    pub(super) fn read(row: &Row) -> Result<Self> {
        let user_id = column(row, "user_id")?;
        Ok(match column(row, "outcome")? {
            "created" => Self::Created(user_id),
            "busy" => Self::Busy,
            "failed" => Self::Failed(Failure {
                user_id,
                sqlstate: column(row, "code")?,
                constraint: column(row, "constraint_name")?,
                column: column(row, "column_name")?,
            }),
            _ => return Err(Error::UnexpectedAnswer),
        })
    }
}

/// Column values that replace the definition's.
pub(super) fn overrides(account_type: Option<&str>) -> serde_json::Value {
    account_type.map_or_else(
        || serde_json::json!({}),
        |wish| serde_json::json!({ "account_type": wish }),
    )
}
