//! What one batch did, and what every statement of a repair is given.

use uuid::Uuid;

use super::Failure;

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

/// Column values that replace the definition's.
pub(super) fn overrides(account_type: Option<&str>) -> serde_json::Value {
    account_type.map_or_else(
        || serde_json::json!({}),
        |wish| serde_json::json!({ "account_type": wish }),
    )
}
