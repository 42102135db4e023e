//! What a sync of e-mail addresses says to a person.

use std::collections::BTreeMap;

use rollcall::email_sync::{
    EmailChange, EmailLook, EmailSync, EmailTrial, FailedEmail, MAX_FAILURES,
};
use rollcall::wording::counted;
use uuid::Uuid;

use super::SHOWN;
use crate::commands::trial::Trial;
use crate::output::{INSTALL_TO_TRY, Output};
use crate::terminal::wrapped;

/// How many users are named of each reason.
const NAMED: usize = 5;

pub(super) fn of_dry_run(
    look: &EmailLook,
    trial: &EmailTrial,
    all: bool,
    output: &Output,
) -> String {
    let mut text = "Dry run: nothing was changed. ".to_owned();
    text += &look_text(look, all);
    if look.offered > 0 {
        text += &of_trial(trial);
        if output.looks() {
            text += INSTALL_TO_TRY;
        }
        text += "\nFor instance:\n";
        for change in look.changes.iter().take(SHOWN) {
            text += &of_change(change, output);
        }
    }
    if trial.would_change + trial.not_tried > 0 && !output.looks() {
        text += &format!(
            "\nTo do it: rollcall sync-emails{} --apply{}\n",
            if all { " --all" } else { "" },
            if look.outside_calls.is_empty() {
                ""
            } else {
                " --allow-outside-calls"
            },
        );
    }
    wrapped(&text, "  ")
}

pub(super) fn of_look(look: &EmailLook, all: bool) -> String {
    wrapped(&look_text(look, all), "  ")
}

fn look_text(look: &EmailLook, all: bool) -> String {
    let mut text = format!(
        "{} with another e-mail than the user's.\n",
        counted(look.different, "profile")
    );
    let kinds = [
        (look.offered, "would get the user's address"),
        (
            look.unknown,
            "stay: nothing shows that the profile's address was ever the user's, so a person may have chosen it (with --all they change, too)",
        ),
        (
            look.without_address,
            "stay: the user has no address, and the profile's may be one that they gave",
        ),
        (
            look.made_up,
            "stay: the definition does not copy the user's address",
        ),
    ];
    for (count, what) in kinds.into_iter().filter(|(count, _)| *count > 0) {
        text += &format!("  {count} {what}\n");
    }
    if !look.outside_calls.is_empty() && look.offered > 0 {
        text += &format!(
            "A trigger of the profile table calls other servers, which no rollback takes back: {}.\n",
            look.outside_calls.join("; ")
        );
    }
    if all && look.offered > 0 {
        text += "With --all, addresses that people chose for their profiles are overwritten.\n";
    }
    text
}

fn of_trial(trial: &EmailTrial) -> String {
    if !trial.not_tried_because.is_empty() {
        return format!("None was tried: {}.\n", trial.not_tried_because.join("; "));
    }
    let text = Trial {
        tried: trial.tried,
        would_succeed: trial.would_change,
        would_fail: trial.would_fail,
        not_tried: trial.not_tried,
        busy: trial.busy,
    }
    .text("change");
    text + &failures(&trial.failures)
}

fn of_change(change: &EmailChange, output: &Output) -> String {
    format!(
        "  {}: {} becomes {}\n",
        change.user_id,
        output
            .personal(change.found.as_ref())
            .unwrap_or_else(|| "no address".to_owned()),
        output.personal(Some(&change.wanted)).unwrap_or_default()
    )
}

pub(super) fn of_sync(sync: &EmailSync) -> String {
    let mut text = format!(
        "Run {}: {} changed of {}; {} changed or went meanwhile and stay, {} locked, {} failed.\n",
        sync.run_id,
        sync.changed,
        counted(sync.offered, "profile"),
        sync.skipped,
        sync.busy,
        sync.failed
    );
    text += &failures(&sync.failures);
    if !sync.is_complete {
        text += "It was ended before all were attempted. For the rest: rollcall sync-emails\n";
    }
    if sync.changed > 0 {
        text += &format!(
            "To set these addresses back: rollcall undo {}\n",
            sync.run_id
        );
    }
    wrapped(&text, "")
}

/// What becomes of a run that was stopped at once.
pub(super) fn how_to_end(run_id: Uuid) -> String {
    format!("What run {run_id} changed stays. End it with: rollcall runs cancel {run_id}")
}

/// Failures by reason, with some of the users.
fn failures(failures: &[FailedEmail]) -> String {
    let mut by_reason: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
    for failure in failures {
        by_reason
            .entry(&failure.sqlstate)
            .or_default()
            .push(failure.user_id);
    }
    let mut text = String::new();
    for (sqlstate, users) in by_reason {
        text += &format!(
            "\n{}: {} (SQLSTATE {sqlstate})\n",
            counted(i64::try_from(users.len()).unwrap_or(i64::MAX), "profile"),
            reason(sqlstate)
        );
        for user in users.iter().take(NAMED) {
            text += &format!("  {user}\n");
        }
        if users.len() > NAMED {
            text += &format!(
                "  and {} more: --format json lists up to {MAX_FAILURES}\n",
                users.len() - NAMED
            );
        }
    }
    text
}

/// Why a profile could not be changed, in words.
fn reason(sqlstate: &str) -> &'static str {
    match sqlstate {
        "23505" => "another profile has the address",
        "23502" | "23514" => "a constraint refuses it",
        "RC002" => "a trigger kept the old address",
        "P0001" => "a trigger of the application refused it",
        _ if sqlstate.starts_with("22") => "it does not fit the type of the column",
        _ => "the database refused it",
    }
}
