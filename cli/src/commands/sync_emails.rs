//! `rollcall sync-emails`

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use rollcall::backfill::runs;
use rollcall::checks::verification::{Check, Verification};
use rollcall::connection_string::ConnectionSettings;
use rollcall::email_sync::{self, EmailChange, EmailLook, EmailSync, FailedEmail};
use rollcall::finding;
use rollcall::session::Session;
use rollcall::verdict::Verdict;
use rollcall::wording::counted;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::confirmation;
use super::verify;
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

/// How many profiles a dry run shows, and how many users are named of each reason.
const SHOWN: usize = 5;

/// What a sync of e-mail addresses would do.
#[derive(Serialize, JsonSchema)]
pub(crate) struct EmailLookReport<'a> {
    /// True: nothing was changed.
    dry_run: bool,
    /// Which profiles it would change, in numbers.
    email_sync: &'a EmailLook,
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
    /// The verification after it.
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
        return dry_run(&look, arguments.all, output);
    }
    if !is_wanted(arguments, &look, &session, output)? {
        output.say("Nothing was changed.");
        return Ok(Exit::Failure);
    }
    match email_sync::apply(&mut session, &look, arguments.batch_size).await {
        Ok(sync) => finish(&sync, &mut session, output).await,
        Err(error) => output.blind(&error),
    }
}

fn dry_run(look: &EmailLook, all: bool, output: &Output) -> anyhow::Result<Exit> {
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
    output.data(&report, || {
        let mut text = "Dry run: nothing was changed. ".to_owned();
        text += &of_look(look, all);
        for change in examples {
            text += &of_change(change, output);
        }
        if look.offered > 0 {
            text += &format!(
                "\nWhat a unique constraint or a trigger refuses shows when it is done. To do it: rollcall sync-emails{} --apply{}\n",
                if all { " --all" } else { "" },
                if look.outside_calls.is_empty() { "" } else { " --allow-outside-calls" },
            );
        }
        text
    })?;
    Ok(Exit::Success)
}

fn of_look(look: &EmailLook, all: bool) -> String {
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
        text += &of_outside_calls(look);
    }
    if all && look.offered > 0 {
        text += "With --all, addresses that people chose for their profiles are overwritten.\n";
    }
    text
}

fn of_outside_calls(look: &EmailLook) -> String {
    format!(
        "A trigger of the profile table calls other servers, which no rollback takes back: {}.\n",
        look.outside_calls.join("; ")
    )
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
    output.say(&of_look(look, arguments.all));
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

/// Prints what was done, and the verification afterwards.
async fn finish(sync: &EmailSync, session: &mut Session, output: &Output) -> anyhow::Result<Exit> {
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
        of_sync(sync) + "\n" + &verify::text(&verification)
    })?;
    let is_done = sync.is_complete && sync.failed == 0 && sync.busy == 0;
    Ok(match verification.verdict.into() {
        Exit::Success if !is_done => Exit::Inconsistent,
        exit => exit,
    })
}

fn of_sync(sync: &EmailSync) -> String {
    let mut text = format!(
        "Run {}: {} changed of {}; {} changed or went meanwhile and stay, {} locked, {} failed.\n",
        sync.run_id,
        sync.changed,
        counted(sync.offered, "profile"),
        sync.skipped,
        sync.busy,
        sync.failed
    );
    let mut reasons: BTreeMap<&str, Vec<&FailedEmail>> = BTreeMap::new();
    for failure in &sync.failures {
        reasons.entry(&failure.sqlstate).or_default().push(failure);
    }
    for (sqlstate, failures) in reasons {
        let users: Vec<_> = failures
            .iter()
            .take(SHOWN)
            .map(|failure| failure.user_id.to_string())
            .collect();
        text += &format!(
            "  {} with {sqlstate} ({}): {}{}\n",
            failures.len(),
            reason(sqlstate),
            users.join(", "),
            if failures.len() > SHOWN { ", …" } else { "" }
        );
    }
    if !sync.is_complete {
        text += "Somebody ended it before all were attempted.\n";
    }
    if sync.changed > 0 {
        text += &format!(
            "To set these addresses back: rollcall undo {}\n",
            sync.run_id
        );
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
