//! What is said when the arguments are not understood.

use anyhow::anyhow;
use clap::error::{ContextKind, ContextValue, Error};

use crate::output::{Format, Output};
use crate::terminal::talk;

/// Says it, or prints the help or the version that was asked for, and ends. A program that asked for JSON gets the answer
/// that every failure has.
pub(crate) fn end(error: Error) -> ! {
    let error = discreet(error);
    if error.use_stderr() && wants_json(std::env::args()) {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        Output::new(Format::Json, false).failure_data(&anyhow!(
            "{}",
            line.trim_start_matches("error: ").to_owned()
        ));
    }
    if !error.use_stderr() {
        error.exit()
    }
    let text = error.render();
    let text = if console::colors_enabled_stderr() {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    talk(text.trim_end());
    std::process::exit(error.exit_code())
}

/// What was typed is not understood, so it is only searched for this.
fn wants_json(arguments: impl Iterator<Item = String>) -> bool {
    let words: Vec<String> = arguments.collect();
    words.iter().any(|word| word == "--format=json")
        || words
            .windows(2)
            .any(|pair| pair[0] == "--format" && pair[1] == "json")
}

/// An error of usage repeats what was typed, and goes into logs and tickets; not so an address or a
/// connection string in the wrong place.
fn discreet(mut error: Error) -> Error {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_for_json_is_understood_where_the_rest_is_not() {
        let wants = |line: &str| wants_json(line.split(' ').map(ToOwned::to_owned));
        assert!(wants("rollcall nonsense --format json"));
        assert!(wants("rollcall --format=json nonsense"));
        assert!(!wants("rollcall nonsense --format table"));
        assert!(!wants("rollcall json"));
    }
}
