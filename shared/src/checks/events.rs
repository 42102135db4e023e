//! What is on record between a user's signup and profile.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::database::{Database, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding};
use crate::verdict::Verdict;

const LIMIT: Duration = Duration::from_secs(20);

/// One event of a user, as `rollcall.user_events()` has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserEvent {
    /// Number of the event; grows with time.
    pub event_id: i64,
    /// `auth_user_created`, `profile_bootstrap_ok`, `profile_bootstrap_error`, `profile_backfilled` or
    /// `profile_backfill_error`.
    pub kind: String,
    /// `source`, and for errors `sqlstate`, `constraint`, `column`, `functions`.
    pub payload: EventPayload,
    /// When it happened. None: a table of events from before Rollcall may not say.
    #[serde(deserialize_with = "moment")]
    pub created_at: Option<Timestamp>,
}

/// "infinity" is a date for PostgreSQL, and none for anybody else.
pub(super) fn moment<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Timestamp>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| text.parse().ok()))
}

/// What an event says. A table of events from before Rollcall may hold anything, so whatever Rollcall does not write
/// itself is masked, unless a person asks for it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
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

    pub(super) fn new(value: Value) -> Self {
        Self(Some(value))
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
                .then(finding::missing_profile)
                .into_iter()
                .collect();
            let events = queries
                .rows(
                    "select to_jsonb(e) as event from rollcall.user_events($1) e",
                    &[(&user_id, Type::UUID)],
                )
                .await?
                .iter()
                .map(|row| {
                    serde_json::from_value(column(row, "event")?)
                        .map_err(|_| Error::UnexpectedAnswer)
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
