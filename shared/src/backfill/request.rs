//! What a request for a repair may contain, checked before anything is touched.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// A request as callers send it; every field may be left out. Unknown fields are refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestBody {
    dry_run: Option<bool>,
    batch_size: Option<u32>,
    max_users: Option<u64>,
    user_id: Option<Uuid>,
    account_type: Option<String>,
    run_id: Option<Uuid>,
    note: Option<String>,
    throttle: Option<f32>,
    allow_outside_calls: Option<bool>,
    source: Option<String>,
}

/// A checked request.
#[derive(Clone, Debug, PartialEq)]
pub struct BackfillRequest {
    /// Find out what would happen, and change nothing.
    pub dry_run: bool,
    /// Whose profiles.
    pub selection: Selection,
    /// Users in one transaction, 1 to [`BackfillRequest::MAX_BATCH_SIZE`].
    pub batch_size: u32,
    /// Account type of every created profile, instead of the definition's; only a connection as the owner may give one.
    pub account_type: Option<String>,
    /// Why, for the record.
    pub note: Option<String>,
    /// Share of the time that batches may take, above 0 to 1.
    pub throttle: f32,
    /// Go on where creating a profile does what no rollback takes back.
    pub allow_outside_calls: bool,
    /// Whether the state machine asks.
    pub is_state_machine: bool,
}

/// Whose profiles are repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everyone without a profile, at most so many of them.
    Missing {
        /// Users that are attempted before the repair stops by itself.
        max_users: Option<u64>,
    },
    /// One user.
    User(Uuid),
    /// Those of a run that was begun before.
    Run(Uuid),
}

/// Why a request is refused: a fixed sentence that repeats nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRequest(pub &'static str);

impl Default for BackfillRequest {
    fn default() -> Self {
        Self {
            dry_run: true,
            selection: Selection::Missing { max_users: None },
            batch_size: Self::DEFAULT_BATCH_SIZE,
            account_type: None,
            note: None,
            throttle: 1.0,
            allow_outside_calls: false,
            is_state_machine: false,
        }
    }
}

impl BackfillRequest {
    /// Large enough that the cost of a transaction does not count, small enough that a crash loses little.
    pub const DEFAULT_BATCH_SIZE: u32 = 1000;
    /// Larger ones gain nothing and hold locks longer.
    pub const MAX_BATCH_SIZE: u32 = 10_000;
    /// No table has more users than this.
    pub const MAX_USERS: u64 = 1_000_000_000;
    /// Longest account type, in bytes.
    pub const MAX_ACCOUNT_TYPE: usize = 64;
    /// Longest note, in characters.
    pub const MAX_NOTE: usize = 200;
    /// The smallest share of the time.
    pub const MIN_THROTTLE: f64 = 0.01;

    /// The same request always as the same JSON, however it was written.
    pub fn canonical(&self) -> Value {
        let selection = match self.selection {
            Selection::Missing { max_users } => json!({ "max_users": max_users }),
            Selection::User(user_id) => json!({ "user_id": user_id }),
            Selection::Run(run_id) => json!({ "run_id": run_id }),
        };
        json!({
            "dry_run": self.dry_run,
            "selection": selection,
            "batch_size": self.batch_size,
            "account_type": self.account_type,
            "note": self.note,
            "throttle": self.throttle.to_string(),
            "allow_outside_calls": self.allow_outside_calls,
        })
    }

    /// Reads a request from the text of a JSON object; empty text asks for the default, a dry run.
    ///
    /// # Errors
    /// [`InvalidRequest`] for anything but an object of known fields with values in range.
    pub fn from_json(text: &[u8]) -> Result<Self, InvalidRequest> {
        if text.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let value: Value =
            serde_json::from_slice(text).map_err(|_| InvalidRequest("The body is not JSON."))?;
        let Value::Object(fields) = value else {
            return Err(InvalidRequest("The body is not a JSON object."));
        };
        check_fields(&fields)?;
        // What passes the checks above fits, but for a field that is given twice: of two values, none is taken.
        let fields: RequestBody = serde_json::from_slice(text)
            .map_err(|_| InvalidRequest("The body gives a field twice."))?;

        Ok(Self {
            dry_run: fields.dry_run.unwrap_or(true),
            selection: selection(&fields)?,
            batch_size: fields.batch_size.unwrap_or(Self::DEFAULT_BATCH_SIZE),
            account_type: fields.account_type,
            note: fields.note,
            throttle: fields.throttle.unwrap_or(1.0),
            allow_outside_calls: fields.allow_outside_calls.unwrap_or(false),
            is_state_machine: fields.source.is_some(),
        })
    }
}

/// Whose profiles; of two ways to say it, none is taken.
fn selection(fields: &RequestBody) -> Result<Selection, InvalidRequest> {
    let refuse = |sentence| Err(InvalidRequest(sentence));
    match (fields.run_id, fields.user_id, fields.max_users) {
        (Some(run_id), None, None) if fields.account_type.is_none() => Ok(Selection::Run(run_id)),
        (Some(_), _, _) => refuse(
            "run_id goes with no other selection: a run keeps the bounds and values that it began with.",
        ),
        (None, Some(_), Some(_)) => refuse("user_id and max_users exclude each other."),
        (None, Some(user_id), None) => Ok(Selection::User(user_id)),
        (None, None, max_users) => Ok(Selection::Missing { max_users }),
    }
}

/// One fixed sentence for each way to be wrong, so that a caller learns which field it is and nothing is echoed.
fn check_fields(fields: &Map<String, Value>) -> Result<(), InvalidRequest> {
    let in_range = |value: &Value, maximum: u64| {
        value
            .as_u64()
            .is_some_and(|number| (1..=maximum).contains(&number))
    };
    for (name, value) in fields {
        let (fits, sentence) = match name.as_str() {
            "dry_run" => (value.is_boolean(), "dry_run must be true or false."),
            "batch_size" => (
                in_range(value, BackfillRequest::MAX_BATCH_SIZE.into()),
                "batch_size must be a whole number from 1 to 10000.",
            ),
            "max_users" => (
                in_range(value, BackfillRequest::MAX_USERS),
                "max_users must be a whole number from 1 to 1000000000.",
            ),
            "user_id" => (is_uuid(value), "user_id must be a UUID."),
            "run_id" => (is_uuid(value), "run_id must be a UUID."),
            "throttle" => (
                value
                    .as_f64()
                    .is_some_and(|share| (BackfillRequest::MIN_THROTTLE..=1.0).contains(&share)),
                "throttle must be a number from 0.01 to 1.",
            ),
            "allow_outside_calls" => (
                value.is_boolean(),
                "allow_outside_calls must be true or false.",
            ),
            "source" => (
                value == "state_machine",
                "source can only be state_machine.",
            ),
            "note" => (
                value.as_str().is_some_and(is_note),
                "note must be text without control characters, at most 200 characters.",
            ),
            "account_type" => (
                value.as_str().is_some_and(is_account_type),
                "account_type must be a word of letters, digits, - and _, at most 64 characters.",
            ),
            _ => (
                false,
                "The body has an unknown field; known are dry_run, batch_size, max_users, user_id, account_type, run_id, note, throttle, allow_outside_calls, source.",
            ),
        };
        if !fits {
            return Err(InvalidRequest(sentence));
        }
    }
    Ok(())
}

fn is_uuid(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.len() == 36 && Uuid::try_parse(text).is_ok())
}

fn is_note(text: &str) -> bool {
    text.chars().count() <= BackfillRequest::MAX_NOTE && !text.chars().any(char::is_control)
}

fn is_account_type(text: &str) -> bool {
    (1..=BackfillRequest::MAX_ACCOUNT_TYPE).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_is_a_dry_run_for_everyone() {
        for text in ["", " \n", "{}"] {
            assert_eq!(
                BackfillRequest::from_json(text.as_bytes()),
                Ok(BackfillRequest::default()),
                "{text:?}"
            );
        }
        assert!(BackfillRequest::default().dry_run);
    }

    #[test]
    fn every_field_is_read() {
        let request = BackfillRequest::from_json(
            br#"{"dry_run":false,"batch_size":7,"max_users":9,"account_type":"sme"}"#,
        );
        assert_eq!(
            request,
            Ok(BackfillRequest {
                dry_run: false,
                selection: Selection::Missing { max_users: Some(9) },
                batch_size: 7,
                account_type: Some("sme".to_owned()),
                ..BackfillRequest::default()
            })
        );
        let request =
            BackfillRequest::from_json(br#"{"user_id":"7d444840-9dc0-11d1-b245-5ffdce74fad2"}"#)
                .expect("reads");
        assert!(matches!(request.selection, Selection::User(_)));
        let request = BackfillRequest::from_json(
            br#"{"throttle":0.5,"note":"ticket","allow_outside_calls":true,"source":"state_machine"}"#,
        )
        .expect("reads");
        assert!(request.allow_outside_calls && request.is_state_machine);
        assert_eq!(request.note.as_deref(), Some("ticket"));
        let request =
            BackfillRequest::from_json(br#"{"run_id":"7d444840-9dc0-11d1-b245-5ffdce74fad2"}"#)
                .expect("reads");
        assert!(request.dry_run && matches!(request.selection, Selection::Run(_)));
    }

    #[test]
    fn anything_else_is_refused_with_a_sentence_that_repeats_nothing() {
        for text in [
            "nonsense-canary",
            "null",
            "[]",
            "1",
            "\"canary\"",
            "{",
            "{\"canary\":1}",
            "{\"dry_run\":\"canary\"}",
            "{\"dry_run\":null}",
            "{\"dry_run\":0}",
            "{\"batch_size\":0}",
            "{\"batch_size\":10001}",
            "{\"batch_size\":-1}",
            "{\"batch_size\":1.5}",
            "{\"batch_size\":\"5\"}",
            "{\"batch_size\":1e3}",
            "{\"max_users\":0}",
            "{\"max_users\":18446744073709551616}",
            "{\"user_id\":\"canary\"}",
            "{\"user_id\":7}",
            "{\"user_id\":\"7d4448409dc011d1b2455ffdce74fad2\"}",
            "{\"account_type\":\"\"}",
            "{\"account_type\":\"canary'; drop table x\"}",
            "{\"account_type\":null}",
            "{\"Dry_Run\":false}",
            "{\"user_id\":\"7d444840-9dc0-11d1-b245-5ffdce74fad2\",\"max_users\":5}",
            "{\"run_id\":\"canary\"}",
            "{\"run_id\":\"7d444840-9dc0-11d1-b245-5ffdce74fad2\",\"max_users\":5}",
            "{\"run_id\":\"7d444840-9dc0-11d1-b245-5ffdce74fad2\",\"account_type\":\"canary\"}",
            "{\"from_user_id\":\"canary\"}",
            "{\"replay\":true}",
            "{\"throttle\":0}",
            "{\"throttle\":\"canary\"}",
            "{\"allow_outside_calls\":\"canary\"}",
            "{\"source\":\"canary\"}",
            "{\"note\":\"canary\\u0000\"}",
        ] {
            let refusal = BackfillRequest::from_json(text.as_bytes())
                .expect_err(text)
                .to_string();
            assert!(!refusal.contains("canary"), "{text}: {refusal}");
        }
        assert!(BackfillRequest::from_json(b"\xff\xfe").is_err());
    }

    #[test]
    fn a_field_given_twice_is_refused() {
        for text in [
            r#"{"dry_run":true,"dry_run":false}"#,
            r#"{"batch_size":1,"batch_size":2}"#,
        ] {
            assert!(
                BackfillRequest::from_json(text.as_bytes()).is_err(),
                "{text}"
            );
        }
    }
}
