//! What a repair says to a person.

use std::collections::BTreeMap;

use rollcall::backfill::{
    DryRun, Failure, MAX_FAILURES, RunResult, StopReason, TableWrites, UserResult, WriteOperation,
};
use rollcall::wording::counted;
use uuid::Uuid;

use crate::commands::trial::Trial;
use crate::output::{INSTALL_TO_TRY, Output};
use crate::table::or_dash;
use crate::terminal::wrapped;

/// How many users are named of each reason, and how many profiles are shown.
const NAMED: usize = 5;
const SHOWN: usize = 3;

pub(crate) fn of_dry_run(preview: &DryRun, is_replay: bool, output: &Output) -> String {
    wrapped(&dry_run(preview, is_replay, output), "")
}

fn dry_run(preview: &DryRun, is_replay: bool, output: &Output) -> String {
    let mut text = format!(
        "Dry run: nothing was changed. {} without a profile.\n",
        counted(preview.total_missing, "user")
    );
    if preview.total_missing == 0 {
        return text;
    }
    if is_replay {
        text += &replayed(preview);
    }
    if !preview.outside_calls.is_empty() {
        text += &of_outside_calls(&preview.outside_calls);
    }
    if !preview.not_tried_because.is_empty() {
        text += &format!(
            "Nobody was tried: {}.\n",
            preview.not_tried_because.join("; ")
        );
        if output.looks() {
            text += INSTALL_TO_TRY;
        }
        return text;
    }
    text += &Trial {
        tried: preview.tried,
        would_succeed: preview.would_create,
        would_fail: preview.would_fail,
        not_tried: preview.not_tried,
        busy: preview.busy,
    }
    .text("get a profile");
    text += &writes(preview);
    text += &failures(&preview.failures);
    text += &profiles(preview, output);
    if preview.would_create > 0 {
        text += &format!(
            "\nThe repair of all would take {}. To repair: rollcall backfill --apply{}{}\n",
            about(preview.estimated_seconds),
            if is_replay { " --replay" } else { "" },
            if preview.outside_calls.is_empty() {
                ""
            } else {
                " --allow-outside-calls"
            }
        );
    }
    text
}

/// What leaves the database for good.
pub(super) fn of_outside_calls(calls: &[String]) -> String {
    format!(
        "A repair calls other servers, which no rollback takes back: {}.\n",
        calls.join("; ")
    )
}

fn replayed(preview: &DryRun) -> String {
    let mut text = "The application's own signup triggers would make the profiles:\n".to_owned();
    for trigger in &preview.triggers {
        text += &format!("  {} runs {}()", trigger.trigger, trigger.function);
        if let Some(reason) = &trigger.skipped {
            text += &format!("; left out: {reason}");
        }
        text += "\n";
    }
    text
}

/// Rows by table, where there are others than profiles.
fn writes(preview: &DryRun) -> String {
    if preview.writes.len() < 2 {
        return String::new();
    }
    let mut text = "They would write:\n".to_owned();
    for TableWrites {
        table,
        operation,
        rows,
    } in &preview.writes
    {
        let operation = match operation {
            WriteOperation::Inserted => "inserted",
            WriteOperation::Updated => "updated",
            WriteOperation::Deleted => "deleted",
        };
        text += &format!("  {table}: {} {operation}\n", counted(*rows, "row"));
    }
    text
}

/// Some of the profiles as they would be.
fn profiles(preview: &DryRun, output: &Output) -> String {
    if preview.rows.is_empty() {
        return String::new();
    }
    let mut text = "\nFor instance:\n".to_owned();
    for (place, row) in preview.rows.iter().take(SHOWN).enumerate() {
        if place > 0 {
            text += "\n";
        }
        let width = row.columns.keys().map(|name| name.chars().count()).max();
        for (name, value) in &row.columns {
            let value = or_dash(output.personal(value.as_ref()));
            text += &format!("  {name:width$}  {value}\n", width = width.unwrap_or(0))
                .replace(|c: char| c.is_control() && c != '\n', "\u{fffd}");
        }
    }
    let more = preview.would_create - i64::try_from(SHOWN.min(preview.rows.len())).unwrap_or(0);
    if more > 0 {
        text += &format!("and {more} more: --format json lists the ids\n");
    }
    text
}

/// Without a precision that an estimate does not have.
pub(in crate::commands) fn about(seconds: f64) -> String {
    if seconds < 2.0 {
        "a moment".to_owned()
    } else if seconds < 90.0 {
        format!("about {seconds:.0} seconds")
    } else {
        format!("about {:.0} minutes", (seconds / 60.0).max(2.0))
    }
}

pub(crate) fn of_result(result: &RunResult) -> String {
    let mut text = format!(
        "Created {} of {} missing profiles; {} failed, {} remain.\n",
        result.created,
        result.total_missing,
        result.failed,
        result.remaining.map_or_else(
            || "an unknown number".to_owned(),
            |number| number.to_string()
        ),
    );
    let run_id = result.run_id;
    match result.stop_reason {
        StopReason::MaxUsers => {
            text += &format!("Stopped after {} users, as asked.\n", result.attempted);
            if result.remaining != Some(0) {
                text += "For the rest: rollcall backfill --apply\n";
            }
        }
        StopReason::Stopped => text += &format!("Stopped. {}\n", how_to_continue(run_id)),
        StopReason::Interrupted => {
            text += &format!("Interrupted. {}\n", how_to_continue(run_id));
        }
        StopReason::Paused => {
            text += &format!("The run is paused. To continue: rollcall runs resume {run_id}\n");
        }
        StopReason::Cancelled => text += "The run was cancelled; what it created stays.\n",
        StopReason::Failed => {
            text += &format!("An error ended the run. To see it: rollcall runs show {run_id}\n");
        }
        StopReason::Complete | StopReason::Busy | StopReason::OutOfTime | StopReason::Leased => {}
    }
    if result.busy > 0 {
        text += &format!(
            "{} stayed locked by another transaction; the next repair comes to them.\n",
            counted(result.busy, "user")
        );
    }
    wrapped(&(text + &failures(&result.failures)), "")
}

/// What becomes of a run that was stopped.
pub(super) fn how_to_continue(run_id: Uuid) -> String {
    format!(
        "What run {run_id} created stays. Continue it with: rollcall backfill --apply --run {run_id}"
    )
}

pub(super) fn of_user(user_id: Uuid, result: &UserResult, dry_run: bool) -> String {
    let sentence = match result {
        UserResult::Created if dry_run => "would get a profile. To repair, add --apply",
        UserResult::Created => "got a profile",
        UserResult::AlreadyExists => "has a profile already; it was left as it is",
        UserResult::NotExpected => "is not in auth.users, or is not expected to have a profile",
        UserResult::Failed(_) => "cannot get a profile",
        UserResult::NotTried { .. } => "has no profile, and was not tried",
    };
    let text = format!("User {user_id} {sentence}.\n");
    let text = match result {
        UserResult::Failed(failure) => text + &failures(std::slice::from_ref(failure)),
        UserResult::NotTried { not_tried_because } => {
            format!("{text}{}.\n", not_tried_because.join("; "))
        }
        _ => text,
    };
    wrapped(&text, "")
}

/// Failures by reason, the commonest first, with some of the users.
fn failures(failures: &[Failure]) -> String {
    let mut by_reason: BTreeMap<(&str, &str), Vec<Uuid>> = BTreeMap::new();
    for failure in failures {
        by_reason
            .entry((&failure.reason, &failure.sqlstate))
            .or_default()
            .push(failure.user_id);
    }
    let mut groups: Vec<_> = by_reason.into_iter().collect();
    groups.sort_by_key(|(_, users)| std::cmp::Reverse(users.len()));
    let mut text = String::new();
    for ((reason, sqlstate), users) in groups {
        // some name a constraint or a column in brackets
        let reason = match reason.strip_suffix(')') {
            Some(open) => format!("{open}, SQLSTATE {sqlstate})"),
            None => format!("{reason} (SQLSTATE {sqlstate})"),
        };
        text += &format!(
            "\n{}: {reason}\n",
            counted(i64::try_from(users.len()).unwrap_or(i64::MAX), "user")
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
    if let Some(failure) = failures.first() {
        text += &format!(
            "\nWhat to fix: rollcall doctor. For one of them: rollcall explain {}\n",
            failure.user_id
        );
    }
    text
}
