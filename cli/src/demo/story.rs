//! The steps of the demo.

use anyhow::Context;
use rollcall::alert::{Notice, Observation, Settings, store};
use rollcall::backfill::{self, Face, IdRange, Order};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::health::HealthReport;
use rollcall::checks::verification::Verification;
use rollcall::connection_string::ConnectionSettings;
use rollcall::migrations;
use rollcall::session::Session;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Auth, Database};
use secrecy::SecretString;
use uuid::Uuid;

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
    let chapter = |title: &str| output.chapter(title);
    let say = |text: &str| output.narrate(text);

    chapter(
        "1. A Supabase project gets Rollcall's migrations, as `rollcall migrate` applies them.",
    )?;
    let applied = migrate(&settings).await?;
    say(&format!(
        "{applied} migrations applied; public.profiles made, since there was none.\n"
    ))?;

    chapter(
        "2. People sign up in every way that Supabase Auth knows. The trigger gives each a profile.",
    )?;
    let healthy = Signups::of_every_kind(&mut auth, 1, 3).await?;
    say(&healthy.table(database).await?)?;

    chapter("3. Somebody follows a guide. More people sign up, and nothing complains.")?;
    say(&format!(
        "The guide says: {BREAK_THE_TRIGGER}. The trigger is gone with it.\n"
    ))?;
    database
        .connect()
        .await?
        .batch_execute(BREAK_THE_TRIGGER)
        .await?;
    let locked_out = Signups::of_every_kind(&mut auth, 1_001, 1).await?;
    say(&locked_out.table(database).await?)?;

    chapter("4. The hourly health check notices. This is the alert it publishes:")?;
    let health = session
        .run(async |database| HealthReport::take(database).await)
        .await?;
    let alert = alert(&mut session, &health)
        .await?
        .context("the health check found nothing, and there is something")?;
    say(&quoted(&format!(
        "Subject: {}\n\n{}",
        alert.subject, alert.text
    )))?;

    chapter("5. An engineer asks for the whole report: rollcall diagnose")?;
    let diagnosis = session
        .run(async |database| Diagnosis::take(database).await)
        .await?;
    say(&diagnose::text(&diagnosis))?;

    chapter("6. What would a repair do? rollcall backfill")?;
    let preview = backfill::dry_run(&mut session, IdRange::EVERYONE, None, None, None).await?;
    say(&backfill_command::dry_run_text(&preview, output))?;

    chapter(
        "7. First the cause, then the damage: rollcall migrate --again, rollcall backfill --apply",
    )?;
    migrate(&settings).await?;
    let outcome = backfill::apply(&mut session, &Order::new(Face::Cli), None, |_| ()).await?;
    say(&backfill_command::outcome_text(&outcome))?;
    say(&locked_out.table(database).await?)?;

    chapter(
        "8. Is everything in order now? More people sign up, then: rollcall verify, rollcall health",
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

/// What the function `health-check` publishes because of this report.
async fn alert(session: &mut Session, report: &HealthReport) -> anyhow::Result<Option<Notice>> {
    let mut observation = Observation::of_health(report);
    let user_ids = session
        .run(async |database| store::missing_user_ids(database).await)
        .await?;
    observation.name_users(user_ids);
    let (settings, lease_owner) = (Settings::default(), Uuid::new_v4());
    let outcome = store::record(session, &observation, &settings, lease_owner, None).await?;
    Ok(outcome.lease.map(|lease| lease.notice))
}

async fn migrate(settings: &ConnectionSettings) -> anyhow::Result<usize> {
    let mut database = rollcall::database::Database::connect(settings).await?;
    Ok(migrations::apply(&mut database, false).await?.files.len())
}

fn quoted(text: &str) -> String {
    text.lines()
        .map(|line| format!("  | {line}").trim_end().to_owned() + "\n")
        .collect()
}
