//! `rollcall backfill`

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use rollcall::backfill::{
    self, BackfillRequest, DryRun, Ending, Failure, Outcome, Progress, Selection, UserOutcome,
};
use rollcall::checks::verification::Verification;
use rollcall::connection_string::ConnectionSettings;
use rollcall::finding::{self, Finding};
use rollcall::session::Session;
use rollcall::verdict::Verdict;
use serde_json::json;
use uuid::Uuid;

use super::{confirmation, verify};
use crate::arguments::BackfillArguments;
use crate::exit::Exit;
use crate::output::{JsonReport, Output};
use crate::table::{self, or_dash};

pub(crate) async fn run(
    arguments: &BackfillArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let request = request(arguments)?;
    let mut session = Session::new(settings);
    let account_type = request.account_type.as_deref();

    if request.dry_run {
        return match request.selection {
            Selection::Missing { max_users } => {
                match backfill::dry_run(&mut session, max_users, account_type, None).await {
                    Ok(preview) => say_dry_run(&preview, output),
                    Err(error) => output.blind(&error),
                }
            }
            Selection::User(user_id) => {
                match backfill::apply_to_user(&mut session, user_id, account_type, true, None).await
                {
                    Ok(outcome) => say_user(user_id, &outcome, true, output),
                    Err(error) => output.blind(&error),
                }
            }
        };
    }

    if !arguments.yes && !confirmed(&request, &mut session).await? {
        output.say("Nothing was changed.");
        return Ok(Exit::Failure);
    }
    match request.selection {
        Selection::User(user_id) => {
            match backfill::apply_to_user(&mut session, user_id, account_type, false, None).await {
                Ok(outcome) => say_user(user_id, &outcome, false, output),
                Err(error) => output.blind(&error),
            }
        }
        Selection::Missing { max_users } => {
            let bar = progress_bar();
            let outcome = backfill::apply(
                &mut session,
                request.batch_size,
                max_users,
                account_type,
                None,
                |progress| show(&bar, progress),
            )
            .await;
            bar.finish_and_clear();
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(error) => return output.blind(&error),
            };
            finish(&outcome, &mut session, output).await
        }
    }
}

/// Prints what was done; the proof afterwards decides how it ends, unless the repair was interrupted.
async fn finish(outcome: &Outcome, session: &mut Session, output: &Output) -> anyhow::Result<Exit> {
    let verification = match &outcome.interruption {
        Some(error) => Verification::unknown(error, Timestamp::now()),
        None => session
            .run(async |database| Verification::take(database).await)
            .await
            .unwrap_or_else(|error| Verification::unknown(&error, Timestamp::now())),
    };
    let report = JsonReport {
        verdict: verification.verdict,
        findings: &verification.findings,
        more: json!({ "dry_run": false, "backfill": outcome, "checks": verification.checks }),
    };
    output.data(&report, || {
        outcome_text(outcome) + "\n" + &verify::text(&verification)
    })?;
    Ok(verification.verdict.into())
}

/// The same limits as for a request over HTTP.
fn request(arguments: &BackfillArguments) -> anyhow::Result<BackfillRequest> {
    let mut wishes = json!({ "dry_run": !arguments.apply, "batch_size": arguments.batch_size });
    let optional = [
        ("max_users", arguments.max_users.map(|number| json!(number))),
        ("user_id", arguments.user.map(|user| json!(user))),
        (
            "account_type",
            arguments.account_type.as_ref().map(|name| json!(name)),
        ),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            wishes[name] = value;
        }
    }
    Ok(BackfillRequest::from_json(wishes.to_string().as_bytes())?)
}

async fn confirmed(request: &BackfillRequest, session: &mut Session) -> anyhow::Result<bool> {
    let who = match request.selection {
        Selection::User(user_id) => format!("the profile of user {user_id}"),
        Selection::Missing { max_users } => {
            let missing = backfill::count(session, None).await?;
            let number = max_users.map_or(missing, |max| {
                missing.min(i64::try_from(max).unwrap_or(i64::MAX))
            });
            format!("{number} profiles")
        }
    };
    let settings = session.settings();
    confirmation::ask(&format!(
        "Create {who} in database {} on {}?",
        settings.database_name(),
        settings.host_name()
    ))
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style =
        ProgressStyle::with_template("{bar:30} {pos} of {len} users, {per_sec}, {eta} left{msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(
        progress
            .total_missing
            .max(progress.attempted)
            .unsigned_abs(),
    );
    bar.set_position(progress.attempted.unsigned_abs());
    if progress.failed > 0 {
        bar.set_message(format!(", {} failed", progress.failed));
    }
}

fn say_dry_run(preview: &DryRun, output: &Output) -> anyhow::Result<Exit> {
    let findings: Vec<Finding> = (preview.total_missing > 0)
        .then(|| finding::missing_profiles(preview.total_missing))
        .into_iter()
        .collect();
    let report = JsonReport {
        verdict: Verdict::from_findings(&findings),
        findings: &findings,
        more: json!({ "dry_run": true, "backfill": preview }),
    };
    output.data(&report, || dry_run_text(preview))?;
    Ok(Exit::Success)
}

pub(crate) fn dry_run_text(preview: &DryRun) -> String {
    let mut text = format!(
        "Dry run: nothing was changed. {} without a profile.\n",
        rollcall::wording::counted(preview.total_missing, "user")
    );
    if preview.total_missing == 0 {
        return text;
    }
    text += &format!(
        "Tried {}: {} would get a profile, {} would not.\n",
        preview.tried, preview.would_create, preview.would_fail
    );
    if preview.busy > 0 {
        text += &format!(
            "{} could not be tried: another transaction holds them.\n",
            preview.busy
        );
    }
    text += &failures(&preview.failures);
    text += "To repair: rollcall backfill --apply\n";
    text
}

pub(crate) fn outcome_text(outcome: &Outcome) -> String {
    let mut text = format!(
        "Created {} of {} missing profiles; {} failed, {} remain.\n",
        outcome.created,
        outcome.total_missing,
        outcome.failed,
        outcome.remaining.map_or_else(
            || "an unknown number".to_owned(),
            |number| number.to_string()
        ),
    );
    if outcome.ending == Ending::MaxUsers {
        text += &format!("Stopped after {} users, as asked.\n", outcome.attempted);
    }
    if outcome.busy > 0 {
        text += &format!(
            "{} stayed locked by another transaction; the next repair comes to them.\n",
            rollcall::wording::counted(outcome.busy, "user")
        );
    }
    if outcome.ending == Ending::Interrupted {
        text += "Interrupted; what was done stays, and the next repair goes on.\n";
    }
    text + &failures(&outcome.failures)
}

fn failures(failures: &[Failure]) -> String {
    const SHOWN: usize = 20;
    if failures.is_empty() {
        return String::new();
    }
    let mut text = table::with_head(
        ["user", "SQLSTATE", "constraint", "column"],
        failures.iter().take(SHOWN).map(|failure| {
            [
                failure.user_id.to_string(),
                failure.sqlstate.clone(),
                or_dash(failure.constraint.as_deref()),
                or_dash(failure.column.as_deref()),
            ]
        }),
    );
    if failures.len() > SHOWN {
        text += &format!(
            "and {} more: --format json lists up to {}\n",
            failures.len() - SHOWN,
            backfill::MAX_FAILURES
        );
    }
    text
}

fn say_user(
    user_id: Uuid,
    outcome: &UserOutcome,
    dry_run: bool,
    output: &Output,
) -> anyhow::Result<Exit> {
    let without = || vec![finding::missing_profiles(1)];
    let (findings, exit, sentence) = match outcome {
        UserOutcome::Created if dry_run => (
            without(),
            Exit::Success,
            "would get a profile; to repair, add --apply",
        ),
        UserOutcome::Created => (vec![], Exit::Success, "got a profile"),
        UserOutcome::AlreadyExists => (
            vec![],
            Exit::Success,
            "has a profile already; it was left as it is",
        ),
        UserOutcome::NotExpected => (
            vec![finding::user_not_expected()],
            Exit::Failure,
            "is not in auth.users, or is not expected to have a profile",
        ),
        UserOutcome::Failed(_) => (without(), Exit::Inconsistent, "cannot get a profile"),
    };
    let report = JsonReport {
        verdict: Verdict::from_findings(&findings),
        findings: &findings,
        more: json!({ "dry_run": dry_run, "user_id": user_id, "backfill": outcome }),
    };
    output.data(&report, || {
        let mut text = format!("User {user_id} {sentence}.\n");
        if let UserOutcome::Failed(failure) = outcome {
            text += &failures(std::slice::from_ref(failure));
        }
        text
    })?;
    Ok(exit)
}
