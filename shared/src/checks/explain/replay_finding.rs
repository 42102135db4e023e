//! What a replayed signup says of a user who has no profile.

use super::{Replay, ReplayError, ReplayOutcome};
use crate::finding::{Finding, Severity};

/// What came of the replay, with the next step.
pub(super) fn replayed(replay: &Replay) -> Finding {
    match (replay.outcome, replay.errors.as_slice()) {
        (ReplayOutcome::Refused, [error, ..]) => refused(error),
        (ReplayOutcome::Swallowed, [error, others @ ..]) => swallowed(error, others),
        (ReplayOutcome::Created, _) => created(replay),
        (ReplayOutcome::LeftOut, _) => left_out(replay),
        _ => not_replayed(&replay.not_tried_because),
    }
}

fn refused(error: &ReplayError) -> Finding {
    Finding {
        meaning: Some(ROLLED_BACK.to_owned()),
        evidence: callers(error).into_iter().collect(),
        ..Finding::new(
            "signup_refuses_user",
            Severity::Warning,
            format!(
                "the application's own code refuses this user: {}",
                words(error)
            ),
            FIX_FIRST,
        )
    }
}

fn swallowed(error: &ReplayError, others: &[ReplayError]) -> Finding {
    let hidden = if error.is_about_profile {
        "the application's code hides the error that leaves this user without a profile"
    } else {
        "the application's code makes no profile for this user, and hides an error"
    };
    let mut evidence: Vec<String> = callers(error).into_iter().collect();
    evidence.extend(
        error
            .caught_in
            .as_ref()
            .map(|function| format!("caught in {function}()")),
    );
    evidence.extend(
        others
            .iter()
            .map(|other| format!("hidden, too: {}", words(other))),
    );
    Finding {
        meaning: Some(ROLLED_BACK.to_owned()),
        evidence,
        ..Finding::new(
            "signup_hides_error",
            Severity::Warning,
            format!("{hidden}: {}", words(error)),
            FIX_FIRST,
        )
    }
}

fn created(replay: &Replay) -> Finding {
    Finding {
        meaning: replay.role.as_ref().map(|role| {
            format!(
                "The replay ran as {role}. A right that only the role of Supabase Auth lacks does not show in it; rollcall doctor sees it."
            )
        }),
        ..Finding::new(
            "signup_would_succeed",
            Severity::Info,
            "the signup would give this user a profile now: the cause is gone",
            "See what it would make for all who are missing: rollcall backfill --replay. Repair: rollcall backfill --apply --replay.",
        )
    }
}

fn left_out(replay: &Replay) -> Finding {
    let mut evidence = replay.triggers.clone();
    evidence.extend(
        replay
            .unread
            .iter()
            .map(|function| format!("what {function} catches could not be seen")),
    );
    let how = if replay.unread.is_empty() {
        "it ran without an error and made no profile"
    } else {
        "it ran without an error that could be seen, and made no profile"
    };
    Finding {
        meaning: Some(ROLLED_BACK.to_owned()),
        evidence,
        ..Finding::new(
            "signup_leaves_user_out",
            Severity::Warning,
            format!("the application's code leaves this user out: {how}"),
            "If that is meant, the definition should leave them out, too: rollcall definition show. If not, read the conditions of what ran.",
        )
    }
}

fn not_replayed(reasons: &[String]) -> Finding {
    Finding::new(
        "signup_not_replayed",
        Severity::Info,
        format!(
            "this user's signup was not replayed: {}",
            reasons.join("; ")
        ),
        "Find the cause in the catalog: rollcall doctor.",
    )
}

const ROLLED_BACK: &str =
    "This user's signup was replayed through your own triggers, and rolled back.";

const FIX_FIRST: &str = "Fix that; what the catalog shows of it: rollcall doctor. Then see what a repair would do: rollcall backfill --replay.";

/// `a right is missing (SQLSTATE 42501) in public.g()`
fn words(error: &ReplayError) -> String {
    let mut names = format!("SQLSTATE {}", error.sqlstate);
    for (kind, name) in [("constraint", &error.constraint), ("column", &error.column)] {
        if let Some(name) = name {
            names += &format!(", {kind} {name}");
        }
    }
    let mut words = format!("{} ({names})", reason(error));
    if let Some(function) = error.functions.first() {
        words += &format!(" in {function}()");
    }
    words
}

/// What the SQLSTATE means in the application's code; a repair's words speak of the definition.
fn reason(error: &ReplayError) -> &str {
    match error.sqlstate.as_str() {
        "P0001" => "it raises an exception of its own",
        "P0004" => "an assertion fails",
        "3F000" => "a schema that it names does not exist",
        "42P01" => "a table that it names does not exist, or is not on its search_path",
        "42883" => "a function that it calls does not exist, or is not on its search_path",
        "42703" => "a column that it names does not exist",
        "42704" => "something that it names does not exist, or is not on its search_path",
        "42P10" => "no unique constraint fits what \"on conflict\" names",
        "428C9" => "it writes a generated column",
        code if code.starts_with("42") && code != "42501" => {
            "it does not fit the tables as they are"
        }
        _ => &error.reason,
    }
}

/// By way of which functions the one was called in which it failed.
fn callers(error: &ReplayError) -> Option<String> {
    let called: Vec<String> = error
        .functions
        .iter()
        .map(|function| format!("{function}()"))
        .collect();
    (called.len() > 1).then(|| format!("called by {}", called[1..].join(", by ")))
}
