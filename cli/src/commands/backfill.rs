//! `rollcall backfill`

use jiff::Timestamp;
use rollcall::backfill::{
    self, BackfillRequest, DryRun, Ending, Face, Failure, IdRange, Order, Outcome, PreviewRow,
    Selection, UserOutcome, Which, runs,
};
use rollcall::checks::verification::Verification;
use rollcall::connection_string::ConnectionSettings;
use rollcall::finding::{self, Finding};
use rollcall::session::Session;
use rollcall::verdict::Verdict;
use rollcall::wording::counted;
use serde_json::json;
use uuid::Uuid;

use super::progress::ProgressDisplay;
use super::{confirmation, verify};
use crate::arguments::BackfillArguments;
use crate::connection;
use crate::exit::Exit;
use crate::output::{JsonReport, Output};
use crate::table::{self, or_dash};

pub(crate) async fn run(
    arguments: &BackfillArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let request = request(arguments)?;
    let mut session = connection::session(settings, output);

    if !request.dry_run && !arguments.yes && !confirmed(&request, &mut session).await? {
        output.say("Nothing was changed.");
        return Ok(Exit::Failure);
    }
    let account_type = request.account_type.as_deref();
    match request.selection {
        Selection::User(user_id) => {
            let dry_run = request.dry_run;
            match backfill::apply_to_user(&mut session, user_id, account_type, dry_run, None).await
            {
                Ok(outcome) => say_user(user_id, &outcome, dry_run, output),
                Err(error) => output.blind(&error),
            }
        }
        Selection::Missing { max_users, range } if request.dry_run => {
            match backfill::dry_run(&mut session, range, max_users, account_type, None).await {
                Ok(preview) => say_dry_run(&preview, output),
                Err(error) => output.blind(&error),
            }
        }
        _ => {
            let mut display = ProgressDisplay::new(output);
            let outcome = backfill::apply(&mut session, &order(&request), None, |progress| {
                display.show(progress);
            })
            .await;
            display.clear();
            match outcome {
                Ok(outcome) => finish(&outcome, &mut session, output).await,
                Err(error) => output.blind(&error),
            }
        }
    }
}

fn order(request: &BackfillRequest) -> Order {
    let (which, max_users, range) = match request.selection {
        Selection::Run(run_id) => (Which::Run(run_id), None, IdRange::EVERYONE),
        Selection::Missing { max_users, range } => (Which::Open, max_users, range),
        Selection::User(_) | Selection::Plan(_) => (Which::Open, None, IdRange::EVERYONE),
    };
    Order {
        which,
        note: request.note.clone(),
        batch_size: request.batch_size,
        max_users,
        account_type: request.account_type.clone(),
        range,
        duty: request.duty,
        ..Order::new(Face::Cli)
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
    let mut wishes = json!({
        "dry_run": !arguments.apply, "batch_size": arguments.batch_size, "duty": arguments.duty,
    });
    let optional = [
        ("max_users", arguments.max_users.map(|number| json!(number))),
        ("user_id", arguments.user.map(|user| json!(user))),
        (
            "account_type",
            arguments.account_type.as_ref().map(|name| json!(name)),
        ),
        ("from_user_id", arguments.from.map(|user| json!(user))),
        ("to_user_id", arguments.to.map(|user| json!(user))),
        ("run_id", arguments.run.map(|run| json!(run))),
        ("note", arguments.note.as_ref().map(|note| json!(note))),
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
        Selection::Missing { max_users, range } => {
            let missing = backfill::count(session, range, None).await?;
            let number = max_users.map_or(missing, |max| {
                missing.min(i64::try_from(max).unwrap_or(i64::MAX))
            });
            counted(number, "profile")
        }
        Selection::Run(run_id) => {
            let run = runs::show(session, run_id).await?;
            let range = IdRange {
                first: run.from_user_id,
                last: run.to_user_id,
            };
            let missing = backfill::count(session, range, None).await?;
            format!(
                "up to {}, going on with run {run_id},",
                counted(missing, "profile")
            )
        }
        Selection::Plan(_) => return Ok(false),
    };
    let settings = session.settings();
    confirmation::ask(&format!(
        "Create {who} in database {} on {}?",
        settings.database_name(),
        settings.host_name()
    ))
}

fn say_dry_run(preview: &DryRun, output: &Output) -> anyhow::Result<Exit> {
    let findings: Vec<Finding> = (preview.total_missing > 0)
        .then(|| finding::missing_profiles(preview.total_missing))
        .into_iter()
        .collect();
    let mut report = JsonReport {
        verdict: Verdict::from_findings(&findings),
        findings: &findings,
        more: json!({ "dry_run": true, "backfill": preview }),
    };
    if output.shows_pii() {
        let rows: Vec<_> = preview.rows.iter().map(|row| shown(row, output)).collect();
        report.more["backfill"]["rows"] = json!(rows);
    }
    output.data(&report, || dry_run_text(preview, output))?;
    Ok(Exit::Success)
}

pub(crate) fn dry_run_text(preview: &DryRun, output: &Output) -> String {
    let mut text = format!(
        "Dry run: nothing was changed. {} without a profile.\n",
        counted(preview.total_missing, "user")
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
    text += &format!(
        "The repair of all would take about {} s, estimated from this trial.\n",
        preview.estimated_seconds
    );
    text += &failures(&preview.failures);
    text += &rows_text(preview, output);
    text += "To repair: rollcall backfill --apply\n";
    text
}

/// The profiles as they would be, the first few of them.
fn rows_text(preview: &DryRun, output: &Output) -> String {
    const SHOWN: usize = 10;
    let Some(first) = preview.rows.first() else {
        return String::new();
    };
    let names = first.columns.keys().cloned().collect();
    let rows = preview.rows.iter().take(SHOWN).map(|row| {
        row.columns
            .values()
            .map(|value| or_dash(output.personal(value.as_ref())))
            .collect::<Vec<_>>()
    });
    let mut text = "These would be created:\n".to_owned() + &table::of_rows(names, rows);
    let created = usize::try_from(preview.would_create).unwrap_or(usize::MAX);
    if created > SHOWN.min(preview.rows.len()) {
        text += &format!(
            "and {} more: --format json lists the ids of all that were tried\n",
            created - SHOWN.min(preview.rows.len())
        );
    }
    text
}

fn shown(row: &PreviewRow, output: &Output) -> serde_json::Value {
    let columns: serde_json::Map<_, _> = row
        .columns
        .iter()
        .map(|(name, value)| (name.clone(), json!(output.personal(value.as_ref()))))
        .collect();
    json!({ "user_id": row.user_id, "columns": columns })
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
    if outcome.skipped > 0 {
        text += &format!(
            "{} of them failed before, and nothing changed for them since: not tried again.\n",
            outcome.skipped
        );
    }
    match outcome.ending {
        Ending::MaxUsers => {
            text += &format!("Stopped after {} users, as asked.\n", outcome.attempted);
        }
        Ending::Paused => text += "The run is paused: rollcall runs resume lets it go on.\n",
        Ending::Cancelled => text += "The run was cancelled; what it created stays.\n",
        Ending::Failed => text += "The run was ended by an error: rollcall runs show names it.\n",
        _ => {}
    }
    if outcome.busy > 0 {
        text += &format!(
            "{} stayed locked by another transaction; the next repair comes to them.\n",
            counted(outcome.busy, "user")
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
