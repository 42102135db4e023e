//! `rollcall sync-emails`

mod text;

use clap::Args;
use jiff::Timestamp;
use rollcall::backfill::runs;
use rollcall::checks::verification::{Check, Verification};
use rollcall::connection_string::ConnectionSettings;
use rollcall::email_sync::{self, EmailLook, EmailSync, EmailTrial};
use rollcall::finding;
use rollcall::session::Session;
use rollcall::verdict::Verdict;
use rollcall::wording::counted;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::stop::StopSignal;
use super::{confirmation, verify};
use crate::connection;
use crate::exit::Exit;
use crate::output::Output;
use crate::report::{Judged, Report};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall sync-emails
  rollcall sync-emails --apply
  rollcall sync-emails --all --apply --yes")]
pub(crate) struct SyncEmailsArguments {
    /// Really change profiles; asks for confirmation on a terminal
    #[arg(long)]
    apply: bool,

    /// Do not ask
    #[arg(long, requires = "apply")]
    yes: bool,

    /// Also where the profile's address is not known to have been the user's: a person may have chosen it
    #[arg(long)]
    all: bool,

    /// Profiles in one transaction
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch_size: u32,

    /// Go on where a trigger of the profile table calls other servers
    #[arg(long, requires = "apply")]
    allow_outside_calls: bool,
}

/// How many profiles a dry run shows.
const SHOWN: usize = 5;

/// What a sync of e-mail addresses would do.
#[derive(Serialize, JsonSchema)]
pub(crate) struct EmailLookReport<'a> {
    /// True: nothing was changed.
    dry_run: bool,
    /// Which profiles it would change, in numbers.
    email_sync: &'a EmailLook,
    /// What became of those that were tried, and rolled back.
    trial: &'a EmailTrial,
    /// A few of them.
    examples: Vec<EmailExample>,
}

/// A profile that would change. Addresses are masked unless `--show-pii` is given.
#[derive(Serialize, JsonSchema)]
struct EmailExample {
    /// Whose it is.
    user_id: Uuid,
    /// What stands there.
    found: Option<String>,
    /// What would stand there.
    wanted: Option<String>,
}

/// What a sync of e-mail addresses did.
#[derive(Serialize, JsonSchema)]
pub(crate) struct EmailSyncReport<'a> {
    /// False: profiles were changed.
    dry_run: bool,
    /// What it did.
    email_sync: &'a EmailSync,
    /// The verification after it; empty where somebody ended it before all were attempted.
    checks: &'a [Check],
}

pub(crate) async fn run(
    arguments: &SyncEmailsArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = if arguments.apply {
        Session::new(settings)
    } else {
        connection::session(settings, output)
    };
    let look = match email_sync::look(&mut session, arguments.all).await {
        Ok(look) => look,
        Err(error) => return output.blind(&error),
    };
    if !arguments.apply || look.changes.is_empty() {
        return match email_sync::try_out(&mut session, &look).await {
            Ok(trial) => dry_run(&look, &trial, arguments.all, output),
            Err(error) => output.blind(&error),
        };
    }
    if !is_wanted(arguments, &look, &session, output)? {
        output.say("Nothing was changed.");
        return Ok(Exit::Failure);
    }
    let stop = StopSignal::listen(text::how_to_end);
    let sync = email_sync::apply(&mut session, &look, arguments.batch_size, |run_id| {
        stop.is_about(run_id);
        stop.flow()
    })
    .await;
    match sync {
        Ok(sync) => finish(&sync, &mut session, output).await,
        Err(error) => output.blind(&error),
    }
}

fn dry_run(
    look: &EmailLook,
    trial: &EmailTrial,
    all: bool,
    output: &Output,
) -> anyhow::Result<Exit> {
    let findings: Vec<_> = (look.different > 0)
        .then(|| finding::email_mismatches(look.different))
        .into_iter()
        .collect();
    let examples: Vec<_> = look.changes.iter().take(SHOWN).collect();
    let report = Report::EmailLook(Judged {
        verdict: Verdict::from_findings(&findings),
        findings: &findings,
        more: EmailLookReport {
            dry_run: true,
            email_sync: look,
            trial,
            examples: examples
                .iter()
                .map(|change| EmailExample {
                    user_id: change.user_id,
                    found: output.personal(change.found.as_ref()),
                    wanted: output.personal(Some(&change.wanted)),
                })
                .collect(),
        },
    });
    output.data(&report, || text::of_dry_run(look, trial, all, output))?;
    Ok(Exit::Success)
}

/// Asks on a terminal; elsewhere the answer came as `--yes`. What leaves the database wants a flag of its own there.
fn is_wanted(
    arguments: &SyncEmailsArguments,
    look: &EmailLook,
    session: &Session,
    output: &Output,
) -> anyhow::Result<bool> {
    let is_allowed = look.outside_calls.is_empty() || arguments.allow_outside_calls;
    if arguments.yes {
        if !is_allowed {
            return Err(runs::has_outside_calls(&look.outside_calls).into());
        }
        return Ok(true);
    }
    confirmation::require_terminal()?;
    output.say(&text::of_look(look, arguments.all));
    let settings = session.settings();
    confirmation::ask(&format!(
        "Change the e-mail address of {} in database {} on {}?",
        counted(
            i64::try_from(look.changes.len()).unwrap_or(i64::MAX),
            "profile"
        ),
        settings.database_name(),
        settings.host_name()
    ))
}

/// Prints what was done, and the verification afterwards, unless somebody ended it before.
async fn finish(sync: &EmailSync, session: &mut Session, output: &Output) -> anyhow::Result<Exit> {
    if !sync.is_complete {
        let report = Report::EmailSync(Judged {
            verdict: Verdict::Unknown,
            findings: &[],
            more: EmailSyncReport {
                dry_run: false,
                email_sync: sync,
                checks: &[],
            },
        });
        output.data(&report, || text::of_sync(sync))?;
        return Ok(Exit::Failure);
    }
    let verification = session
        .run(async |database| Verification::take(database).await)
        .await
        .unwrap_or_else(|error| Verification::unknown(&error, Timestamp::now()));
    let report = Report::EmailSync(Judged {
        verdict: verification.verdict,
        findings: &verification.findings,
        more: EmailSyncReport {
            dry_run: false,
            email_sync: sync,
            checks: &verification.checks,
        },
    });
    output.data(&report, || {
        text::of_sync(sync) + "\n" + &verify::text(&verification)
    })?;
    let is_done = sync.failed == 0 && sync.busy == 0;
    Ok(match verification.verdict.into() {
        Exit::Success if !is_done => Exit::Inconsistent,
        exit => exit,
    })
}
