//! `rollcall backfill`

pub(crate) mod text;

use clap::Args;
use jiff::Timestamp;
use rollcall::backfill::{
    self, BackfillRequest, DryRun, PreviewRow, RunOptions, RunResult, RunTarget, Selection, Source,
    StopReason, UserResult, runs,
};
use rollcall::checks::verification::{Check, Verification};
use rollcall::connection_string::ConnectionSettings;
use rollcall::finding::{self, Finding};
use rollcall::session::Session;
use rollcall::verdict::Verdict;
use rollcall::wording::counted;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::progress::ProgressDisplay;
use super::runs::RunId;
use super::stop::StopSignal;
use super::user::{self, UserName};
use super::{confirmation, verify};
use crate::connection;
use crate::exit::Exit;
use crate::output::Output;
use crate::report::{Judged, Report};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall backfill
  rollcall backfill --apply
  rollcall backfill --apply --yes --batch-size 200 --max-users 1000
  rollcall backfill --apply --user 7d444840-9dc0-11d1-b245-5ffdce74fad2
  rollcall backfill --replay")]
pub(crate) struct BackfillArguments {
    /// Really create profiles; asks for confirmation on a terminal
    #[arg(long)]
    apply: bool,

    /// Do not ask
    #[arg(long, requires = "apply")]
    yes: bool,

    /// Users in one transaction
    #[arg(
        long,
        default_value_t = BackfillRequest::DEFAULT_BATCH_SIZE,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(BackfillRequest::MAX_BATCH_SIZE)),
    )]
    batch_size: u32,

    /// Stop after so many users
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=BackfillRequest::MAX_USERS))]
    max_users: Option<u64>,

    /// Only this user: an id, e-mail address or phone number
    #[arg(long, value_name = "USER", conflicts_with = "max_users")]
    user: Option<UserName>,

    /// Account type of every created profile, instead of the definition's
    #[arg(long, value_name = "TYPE")]
    account_type: Option<String>,

    /// Let the application's own signup triggers make the profiles, and what else they make
    #[arg(long, conflicts_with_all = ["user", "account_type", "run"])]
    replay: bool,

    /// Go on where that sends what no rollback takes back (calls to other servers)
    #[arg(long, requires = "apply")]
    allow_outside_calls: bool,

    /// Continue this run
    #[arg(
        long,
        value_name = "RUN",
        requires = "apply",
        conflicts_with_all = ["user", "max_users", "account_type", "note"],
    )]
    run: Option<RunId>,

    /// Why, for the list of runs; no personal data
    #[arg(long, value_name = "TEXT", requires = "apply", conflicts_with = "user")]
    note: Option<String>,

    /// Share of the time to work, from 0.01 to 1; the rest is pause
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    throttle: f32,
}

fn share(text: &str) -> Result<f32, &'static str> {
    text.parse::<f32>()
        .ok()
        .filter(|share| (0.01..=1.0).contains(share))
        .ok_or("must be a number from 0.01 to 1")
}

/// What a repair would do.
#[derive(Serialize, JsonSchema)]
pub(crate) struct DryRunReport {
    /// True: nothing was changed.
    dry_run: bool,
    /// With `--show-pii`, its rows are not masked.
    #[schemars(with = "DryRun")]
    backfill: Value,
}

/// What a repair did.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RepairReport<'a> {
    /// False: profiles were created.
    dry_run: bool,
    /// What it did.
    backfill: &'a RunResult,
    /// The verification after it; empty where somebody stopped it.
    checks: &'a [Check],
}

/// What became of one user, or would.
#[derive(Serialize, JsonSchema)]
pub(crate) struct UserReport<'a> {
    /// Whether nothing was changed.
    dry_run: bool,
    /// The user.
    user_id: Uuid,
    /// What became of them.
    backfill: &'a UserResult,
}

pub(crate) async fn run(
    arguments: &BackfillArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = if arguments.apply {
        Session::new(settings)
    } else {
        connection::session(settings, output)
    };
    let run_id = match &arguments.run {
        Some(run) => Some(runs::find(&mut session, run.as_str()).await?.run_id),
        None => None,
    };
    let user_id = match &arguments.user {
        Some(name) => match user::find(&mut session, name).await? {
            Ok(user_id) => Some(user_id),
            Err(error) => return output.blind(&error),
        },
        None => None,
    };
    let request = request(arguments, run_id, user_id)?;
    let mut options = options(arguments, &request);

    if request.dry_run {
        return dry_run(&mut session, &request, &options, output).await;
    }
    if !is_wanted(arguments, &request, &mut options, &mut session, output).await? {
        output.say("Nothing was changed.");
        return Ok(Exit::Failure);
    }
    if let Selection::User(user_id) = request.selection {
        return match backfill::apply_to_user(&mut session, user_id, &options, false, None).await {
            Ok(result) => say_user(user_id, &result, false, output),
            Err(error) => output.blind(&error),
        };
    }
    let stop = StopSignal::listen(text::how_to_continue);
    let mut display = ProgressDisplay::new(output);
    let result = backfill::apply(&mut session, &options, None, |progress| {
        stop.is_about(progress.run_id);
        display.show(progress);
        stop.flow()
    })
    .await;
    display.clear();
    match result {
        Ok(result) => finish(&result, &mut session, output).await,
        Err(error) => output.blind(&error),
    }
}

/// The same limits as for a request over HTTP.
fn request(
    arguments: &BackfillArguments,
    run_id: Option<Uuid>,
    user_id: Option<Uuid>,
) -> anyhow::Result<BackfillRequest> {
    let mut fields = json!({
        "dry_run": !arguments.apply, "batch_size": arguments.batch_size, "throttle": arguments.throttle,
        "allow_outside_calls": arguments.allow_outside_calls,
    });
    let optional = [
        ("max_users", arguments.max_users.map(|number| json!(number))),
        ("user_id", user_id.map(|user| json!(user))),
        (
            "account_type",
            arguments.account_type.as_ref().map(|name| json!(name)),
        ),
        ("run_id", run_id.map(|run| json!(run))),
        ("note", arguments.note.as_ref().map(|note| json!(note))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            fields[name] = value;
        }
    }
    Ok(BackfillRequest::from_json(fields.to_string().as_bytes())?)
}

fn options(arguments: &BackfillArguments, request: &BackfillRequest) -> RunOptions {
    let (target, max_users) = match request.selection {
        Selection::Run(run_id) => (RunTarget::Run(run_id), None),
        Selection::Missing { max_users } => (RunTarget::UnfinishedOrNew, max_users),
        Selection::User(_) => (RunTarget::UnfinishedOrNew, None),
    };
    RunOptions {
        target,
        note: request.note.clone(),
        batch_size: request.batch_size,
        max_users,
        account_type: request.account_type.clone(),
        replay: arguments.replay,
        allow_outside_calls: request.allow_outside_calls,
        throttle: request.throttle,
        ..RunOptions::new(Source::Cli)
    }
}

async fn dry_run(
    session: &mut Session,
    request: &BackfillRequest,
    options: &RunOptions,
    output: &Output,
) -> anyhow::Result<Exit> {
    if let Selection::User(user_id) = request.selection {
        return match backfill::apply_to_user(session, user_id, options, true, None).await {
            Ok(result) => say_user(user_id, &result, true, output),
            Err(error) => output.blind(&error),
        };
    }
    let preview = match backfill::dry_run(session, options, None).await {
        Ok(preview) => preview,
        Err(error) => return output.blind(&error),
    };
    let findings = missing(preview.total_missing);
    let mut backfill = serde_json::to_value(&preview)?;
    if output.shows_pii() {
        let rows: Vec<_> = preview.rows.iter().map(|row| shown(row, output)).collect();
        backfill["rows"] = json!(rows);
    }
    let report = Report::DryRun(Judged {
        verdict: Verdict::from_findings(&findings),
        findings: &findings,
        more: DryRunReport {
            dry_run: true,
            backfill,
        },
    });
    output.data(&report, || {
        text::of_dry_run(&preview, options.replay, output)
    })?;
    Ok(Exit::Success)
}

fn missing(users: i64) -> Vec<Finding> {
    (users > 0)
        .then(|| finding::missing_profiles(users))
        .into_iter()
        .collect()
}

fn shown(row: &PreviewRow, output: &Output) -> serde_json::Value {
    let columns: serde_json::Map<_, _> = row
        .columns
        .iter()
        .map(|(name, value)| (name.clone(), json!(output.personal(value.as_ref()))))
        .collect();
    json!({ "user_id": row.user_id, "columns": columns })
}

/// Asks on a terminal; elsewhere the answer came as `--yes`. What leaves the database is asked for by name, or was asked
/// for by a flag.
async fn is_wanted(
    arguments: &BackfillArguments,
    request: &BackfillRequest,
    options: &mut RunOptions,
    session: &mut Session,
    output: &Output,
) -> anyhow::Result<bool> {
    if arguments.yes {
        return Ok(true);
    }
    confirmation::require_terminal()?;
    let (who, calls) = match request.selection {
        Selection::User(user_id) => (format!("the profile of user {user_id}"), vec![]),
        Selection::Run(run_id) => {
            let missing = backfill::count(session, None).await?;
            let who = format!(
                "up to {}, continuing run {run_id},",
                counted(missing, "profile")
            );
            (who, vec![])
        }
        Selection::Missing { max_users } => {
            let preview = backfill::dry_run(session, options, None).await?;
            if options.replay {
                output.say(&text::of_dry_run(&preview, true, output));
            }
            let number = max_users.map_or(preview.total_missing, |max| {
                preview
                    .total_missing
                    .min(i64::try_from(max).unwrap_or(i64::MAX))
            });
            (counted(number, "profile"), preview.outside_calls)
        }
    };
    let warning = if calls.is_empty() {
        String::new()
    } else {
        text::of_outside_calls(&calls)
    };
    let settings = session.settings();
    let is_wanted = confirmation::ask(&format!(
        "{warning}Create {who} in database {} on {}?",
        settings.database_name(),
        settings.host_name()
    ))?;
    options.allow_outside_calls |= is_wanted && !calls.is_empty();
    Ok(is_wanted)
}

/// Prints what was done; the verification afterwards decides how it ends, unless the repair was interrupted.
async fn finish(
    result: &RunResult,
    session: &mut Session,
    output: &Output,
) -> anyhow::Result<Exit> {
    if result.stop_reason == StopReason::Stopped {
        let report = Report::Repair(Judged {
            verdict: Verdict::Unknown,
            findings: &[],
            more: RepairReport {
                dry_run: false,
                backfill: result,
                checks: &[],
            },
        });
        output.data(&report, || text::of_result(result))?;
        return Ok(Exit::Failure);
    }
    let verification = match &result.interruption {
        Some(error) => Verification::unknown(error, Timestamp::now()),
        None => session
            .run(async |database| Verification::take(database).await)
            .await
            .unwrap_or_else(|error| Verification::unknown(&error, Timestamp::now())),
    };
    let report = Report::Repair(Judged {
        verdict: verification.verdict,
        findings: &verification.findings,
        more: RepairReport {
            dry_run: false,
            backfill: result,
            checks: &verification.checks,
        },
    });
    output.data(&report, || {
        text::of_result(result) + "\n" + &verify::text(&verification)
    })?;
    Ok(verification.verdict.into())
}

fn say_user(
    user_id: Uuid,
    result: &UserResult,
    dry_run: bool,
    output: &Output,
) -> anyhow::Result<Exit> {
    let missing = || vec![finding::missing_profile()];
    let (findings, exit) = match result {
        UserResult::Created if dry_run => (missing(), Exit::Success),
        UserResult::Created | UserResult::AlreadyExists => (vec![], Exit::Success),
        UserResult::NotTried { .. } => (missing(), Exit::Success),
        UserResult::NotExpected => (vec![finding::user_not_expected()], Exit::Failure),
        UserResult::Failed(_) => (missing(), Exit::Inconsistent),
    };
    let report = Report::User(Judged {
        verdict: Verdict::from_findings(&findings),
        findings: &findings,
        more: UserReport {
            dry_run,
            user_id,
            backfill: result,
        },
    });
    output.data(&report, || text::of_user(user_id, result, dry_run))?;
    Ok(exit)
}
