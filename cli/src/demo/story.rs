//! The steps of the demo.

use std::time::Duration;

use anyhow::{Context, ensure};
use rollcall::alert::message::{email, subject};
use rollcall::alert::{Notification, Origin, Settings, store};
use rollcall::backfill::{self, RunOptions, Source};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::health::HealthReport;
use rollcall::checks::verification::Verification;
use rollcall::connection_string::ConnectionSettings;
use rollcall::migrations;
use rollcall::scheduled_check::ScheduledReport;
use rollcall::session::Session;
use rollcall::verdict::Verdict;
use rollcall::{database, stance};
use rollcall_sandbox::{Auth, Database};
use secrecy::SecretString;
use tokio::time::Instant;
use uuid::Uuid;

use super::signups::Signups;
use crate::commands::{backfill as backfill_command, diagnose, migrate, verify};
use crate::output::Output;
use crate::report::Report;
use crate::terminal::wrapped;

/// Tells the story on an empty Supabase-shaped database, and returns the last verdict.
pub(super) async fn tell(database: &Database, output: &Output) -> anyhow::Result<Verdict> {
    let settings = ConnectionSettings::parse(&SecretString::from(database.url()), None)?;
    let mut auth = Auth::new(database).await?;
    let chapter = |title: &str| output.chapter(title);
    let say = |text: &str| output.narrate(text);

    chapter(
        "1. An application on Supabase. Its own trigger gives everybody a profile and a wallet.",
    )?;
    run(database, include_str!("application.sql")).await?;
    let healthy = Signups::of_every_kind(&mut auth, 1, 3).await?;
    say(&healthy.table(database).await?)?;

    chapter(
        "2. A deployment. Profiles need a handle now, and the trigger's function passes over its errors.",
    )?;
    run(database, include_str!("deployment.sql")).await?;
    let locked_out = Signups::of_every_kind(&mut auth, 1_001, 1).await?;
    say("People sign up, and nothing complains:\n\n")?;
    say(&locked_out.table(database).await?)?;

    chapter("3. An engineer looks, with nothing installed: rollcall diagnose")?;
    let before = objects(database).await?;
    let diagnosis = look(&settings).await?;
    ensure!(
        before == objects(database).await?,
        "looking left something behind"
    );
    say(&diagnose::text(&diagnosis))?;
    say(
        "\nAll of that was looked at in a transaction that is rolled back. The database is as it was before.\n",
    )?;

    chapter("4. Rollcall is installed to watch: rollcall migrate")?;
    let code = application_code(database).await?;
    let mut connection = database::Database::connect(&settings).await?;
    let done = migrations::apply(&mut connection, false).await?;
    say(&migrate::text(&done, "Done"))?;

    chapter("5. The hourly health check runs. This is the alert that it publishes:")?;
    let mut session = Session::new(settings.clone());
    let health = session
        .run(async |database| HealthReport::take(database).await)
        .await?;
    let alert = alert(&mut session, &health)
        .await?
        .context("the health check found nothing, and there is something")?;
    let origin = Origin::default();
    say(&quoted(&format!(
        "Subject: {}\n\n{}",
        subject(&alert, &origin),
        email::text(&alert, &origin)
    )))?;

    chapter(
        "6. The team corrects its function. What would a repair through it do? rollcall backfill --replay",
    )?;
    ensure!(
        code == application_code(database).await?,
        "installing changed the application"
    );
    run(database, include_str!("correction.sql")).await?;
    let options = RunOptions {
        replay: true,
        ..RunOptions::new(Source::Cli)
    };
    let dry_run = backfill::dry_run(&mut session, &options, None).await?;
    say(&backfill_command::text::of_dry_run(&dry_run, true, output))?;

    chapter("7. The repair: rollcall backfill --apply --replay")?;
    let result = backfill::apply(&mut session, &options, None, |_| {
        std::ops::ControlFlow::Continue(())
    })
    .await?;
    say(&backfill_command::text::of_result(&result))?;
    say(&locked_out.table(database).await?)?;

    chapter(
        "8. Is everything in order now? More people sign up, then: rollcall verify, rollcall health",
    )?;
    let latest = Signups::of_every_kind(&mut auth, 2_001, 1).await?;
    say("Their profiles and wallets are made by the application's own code, as before:\n\n")?;
    say(&latest.table(database).await?)?;
    say("\n")?;
    let verification = session
        .run(async |database| Verification::take(database).await)
        .await?;
    say(&verify::text(&verification))?;
    let health = session
        .run(async |database| HealthReport::take(database).await)
        .await?;
    output.data(&Report::Health(&health), || {
        format!(
            "\n{} users, {} locked out and repaired. The health check says: {}\n",
            healthy.len() + locked_out.len() + latest.len(),
            locked_out.len(),
            health.verdict
        )
    })?;
    Ok(health.verdict)
}

/// The report of `rollcall diagnose` where Rollcall is not installed.
async fn look(settings: &ConnectionSettings) -> anyhow::Result<Diagnosis> {
    let mut connection = database::Database::connect(settings).await?;
    stance::take(&mut connection).await?;
    Ok(Diagnosis::take(&mut connection).await?)
}

async fn run(database: &Database, sql: &str) -> anyhow::Result<()> {
    Ok(database.connect().await?.batch_execute(sql).await?)
}

/// How many schemas, tables, functions and triggers there are.
async fn objects(database: &Database) -> anyhow::Result<i64> {
    let row = database
        .connect()
        .await?
        .query_one(
            "select (select count(*) from pg_namespace) + (select count(*) from pg_class)
               + (select count(*) from pg_proc) + (select count(*) from pg_trigger)",
            &[],
        )
        .await?;
    Ok(row.get(0))
}

/// What the application's signups run.
async fn application_code(database: &Database) -> anyhow::Result<String> {
    let row = database
        .connect()
        .await?
        .query_one(
            "select string_agg(pg_get_triggerdef(t.oid) || pg_get_functiondef(t.tgfoid), ' ' order by t.oid)
             from pg_trigger t where t.tgrelid = 'auth.users'::regclass and not t.tgisinternal",
            &[],
        )
        .await?;
    Ok(row.get(0))
}

/// What the function `health-check` publishes because of this report.
async fn alert(
    session: &mut Session,
    report: &HealthReport,
) -> anyhow::Result<Option<Notification>> {
    let result = report.to_result();
    let (settings, lease_owner) = (Settings::default(), Uuid::new_v4());
    let until = Instant::now() + Duration::from_secs(10);
    let recorded = store::record(session, &result, None, &settings, lease_owner, until).await?;
    Ok(recorded.lease.map(|lease| lease.notification))
}

fn quoted(text: &str) -> String {
    text.lines()
        .map(|line| wrapped(format!("  | {line}").trim_end(), "|   ") + "\n")
        .collect()
}
