//! What is said when the arguments are not understood.

use clap::error::{ContextKind, ContextValue, Error};

/// An error of usage repeats what was typed, and goes into logs and tickets; not so an address or a
/// connection string in the wrong place.
pub(crate) fn discreet(mut error: Error) -> Error {
    let repeated: Vec<ContextKind> = error
        .context()
        .filter(|(_, value)| matches!(value, ContextValue::String(text) if may_be_secret(text)))
        .map(|(kind, _)| kind)
        .collect();
    for kind in repeated {
        error.insert(kind, ContextValue::String("***".to_owned()));
    }
    error
}

fn may_be_secret(text: &str) -> bool {
    ["@", "://", "password="]
        .iter()
        .any(|sign| text.contains(sign))
}
