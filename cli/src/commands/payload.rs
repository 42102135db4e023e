//! What an event says, as this person asked to see it.

use rollcall::checks::events::EventPayload;
use serde_json::{Value, json};

use crate::output::Output;

pub(super) fn shown(payload: &EventPayload, output: &Output) -> Option<Value> {
    if output.shows_pii() {
        payload.reveal().cloned()
    } else {
        payload.masked()
    }
}

/// For a cell of a table.
pub(super) fn text(payload: &EventPayload, output: &Output) -> String {
    match shown(payload, output) {
        Some(Value::Object(fields)) => fields
            .iter()
            .filter(|(_, value)| !value.is_null() && **value != json!([]))
            .map(|(name, value)| format!("{name}: {}", words(value)))
            .collect::<Vec<_>>()
            .join(", "),
        Some(other) => words(&other),
        None => String::new(),
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
