//! The steps of the demo.

use anyhow::Context;
use rollcall::alert::Alert;
use rollcall::backfill::{self, BackfillRequest};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::health::HealthReport;
use rollcall::checks::verification::Verification;
use rollcall::connection_string::ConnectionSettings;
use rollcall::migrations;
use rollcall::session::Session;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Auth, Database};
use secrecy::SecretString;

use super::signups::Signups;
use crate::commands::{backfill as backfill_command, diagnose, verify};
use crate::output::Output;

/// What "Database error saving new user" guides advise, and what takes the trigger along without a word.
const BREAK_THE_TRIGGER: &str = "drop function public.handle_new_user() cascade";

/// Tells the story on an empty Supabase-shaped database, and returns the last verdict.
pub(super) async fn tell(database: &Database, output: &Output) -> anyhow::Result<Verdict> {
    let settings = ConnectionSettings::parse(&SecretString::from(database.url()), None)?;
    let mut session = Session::new(settings.clone());
    let mut auth = Auth::new(database).await?;
    let say = |text: &str| output.narrate(text);

    say(
        "\n1. A Supabase project gets Rollcall's migrations, as `rollcall migrate` applies them.\n",
    )?;
    let applied = migrate(&settings, false).await?;
    say(&format!(
        "{applied} migrations applied; public.profiles made, since there was none.\n"
    ))?;

    say(
        "\n2. People sign up in every way that Supabase Auth knows. The trigger gives each a profile.\n",
    )?;
    let healthy = Signups::of_every_kind(&mut auth, 1, 3).await?;
    say(&healthy.table(database).await?)?;

    say(&format!(
        "\n3. Somebody follows a guide and runs: {BREAK_THE_TRIGGER}\n   The trigger is gone with it. More people sign up, and nothing complains.\n"
    ))?;
    database
        .connect()
        .await?
        .batch_execute(BREAK_THE_TRIGGER)
        .await?;
    let locked_out = Signups::of_every_kind(&mut auth, 1_001, 1).await?;
    say(&locked_out.table(database).await?)?;

    say("\n4. The hourly health check notices. This is the alert it publishes:\n\n")?;
    let health = session
        .run(async |database| HealthReport::take(database).await)
        .await?;
    let alert = Alert::for_health(&health)
        .context("the health check found nothing, and there is something")?;
    say(&quoted(&format!(
        "Subject: {}\n\n{}",
        alert.subject, alert.body
    )))?;

    say("\n5. An engineer asks for the whole report: rollcall diagnose\n\n")?;
    let diagnosis = session
        .run(async |database| Diagnosis::take(database).await)
        .await?;
    say(&diagnose::text(&diagnosis))?;

    say("\n6. What would a repair do? rollcall backfill\n\n")?;
    let preview = backfill::dry_run(&mut session, None, None).await?;
    say(&backfill_command::dry_run_text(&preview))?;

    say(
        "\n7. First the cause, then the damage: rollcall migrate --again, rollcall backfill --apply\n\n",
    )?;
    migrate(&settings, true).await?;
    let outcome = backfill::apply(
        &mut session,
        BackfillRequest::DEFAULT_BATCH_SIZE,
        None,
        None,
        None,
        |_| (),
    )
    .await?;
    say(&backfill_command::outcome_text(&outcome))?;
    say(&locked_out.table(database).await?)?;

    say(
        "\n8. Is everything in order now? More people sign up, then: rollcall verify, rollcall health\n\n",
    )?;
    let latest = Signups::of_every_kind(&mut auth, 2_001, 1).await?;
    let verification = session
        .run(async |database| Verification::take(database).await)
        .await?;
    say(&verify::text(&verification))?;
    let health = session
        .run(async |database| HealthReport::take(database).await)
        .await?;
    output.data(&health, || {
        format!(
            "\n{} users, {} locked out and repaired. The health check says: {}\n",
            healthy.len() + locked_out.len() + latest.len(),
            locked_out.len(),
            health.verdict
        )
    })?;
    Ok(health.verdict)
}

async fn migrate(settings: &ConnectionSettings, again: bool) -> anyhow::Result<usize> {
    let mut database = rollcall::database::Database::connect(settings).await?;
    Ok(migrations::apply(&mut database, again).await?.len())
}

fn quoted(text: &str) -> String {
    text.lines()
        .map(|line| format!("  | {line}").trim_end().to_owned() + "\n")
        .collect()
}
