//! What is on record between a user's signup and profile.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::database::{Database, column};
use crate::error::Result;
use crate::finding::{self, Finding};
use crate::verdict::Verdict;

const LIMIT: Duration = Duration::from_secs(20);

/// One event of a user.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UserEvent {
    /// Number of the event; grows with time.
    pub event_id: i64,
    /// `auth_user_created`, `profile_bootstrap_ok`, `profile_bootstrap_error`, `profile_backfilled` or
    /// `profile_backfill_error`.
    pub kind: String,
    /// `source`, and for errors `sqlstate`, `constraint`, `column`, `functions`.
    pub payload: EventPayload,
    /// When it happened. None: a table of events from before Rollcall may not say.
    pub created_at: Option<Timestamp>,
}

/// What an event says. A table of events from before Rollcall may hold anything, so whatever Rollcall does not write
/// itself is masked, unless a person asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPayload(Option<Value>);

impl EventPayload {
    /// Fields that Rollcall writes; ids and codes only.
    const OWN: [&str; 6] = [
        "source",
        "sqlstate",
        "constraint",
        "column",
        "functions",
        "run_id",
    ];

    pub(super) fn new(value: Option<Value>) -> Self {
        Self(value)
    }

    /// With every other field's value replaced by `***`.
    pub fn masked(&self) -> Option<Value> {
        match &self.0 {
            None => None,
            Some(Value::Object(fields)) => Some(
                fields
                    .iter()
                    .map(|(name, value)| {
                        let is_own = Self::OWN.contains(&name.as_str());
                        (
                            name.clone(),
                            if is_own {
                                value.clone()
                            } else {
                                Value::from("***")
                            },
                        )
                    })
                    .collect(),
            ),
            Some(_) => Some(Value::from("***")),
        }
    }

    /// As it stands in the table.
    pub fn reveal(&self) -> Option<&Value> {
        self.0.as_ref()
    }
}

impl Serialize for EventPayload {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.masked().serialize(serializer)
    }
}

/// What is on record of a user, and whether the profile is there now.
#[derive(Clone, Debug, Serialize)]
pub struct UserEvents {
    /// Whether the profile is there if it must be.
    pub verdict: Verdict,
    /// What led to it.
    pub findings: Vec<Finding>,
    /// The user.
    pub user_id: Uuid,
    /// The events, oldest first.
    pub events: Vec<UserEvent>,
}

/// The events of a user. A user who is gone has events, too.
///
/// # Errors
/// What the database refuses.
pub async fn of_user(database: &mut Database, user_id: Uuid) -> Result<UserEvents> {
    database
        .read(LIMIT, async |queries| {
            let missing = queries
                .row(
                    "select exists (select from rollcall.missing_among(array[$1])) as missing",
                    &[(&user_id, Type::UUID)],
                )
                .await?;
            let findings: Vec<Finding> = column::<bool>(&missing, "missing")?
                .then(|| finding::missing_profiles(1))
                .into_iter()
                .collect();
            let events = queries
                .rows(
                    "select e.event_id, e.kind, e.payload,
                       case when isfinite(e.created_at) then e.created_at end as created_at
                     from rollcall.user_events($1) e",
                    &[(&user_id, Type::UUID)],
                )
                .await?
                .iter()
                .map(|row| {
                    Ok(UserEvent {
                        event_id: column(row, "event_id")?,
                        kind: column(row, "kind")?,
                        payload: EventPayload(column(row, "payload")?),
                        created_at: column(row, "created_at")?,
                    })
                })
                .collect::<Result<_>>()?;
            Ok(UserEvents {
                verdict: Verdict::from_findings(&findings),
                findings,
                user_id,
                events,
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_wrote_into_an_event_is_masked() {
        let payload = EventPayload(Some(
            serde_json::json!({"source": "signup", "email": "ada@example.com"}),
        ));
        let shown = serde_json::to_string(&payload).expect("serialises");
        assert_eq!(shown, r#"{"email":"***","source":"signup"}"#);
        assert!(
            payload
                .reveal()
                .expect("there")
                .to_string()
                .contains("ada@example.com")
        );
    }
}
