//! A repair that ends at any point, by any means: it loses at most the batch in hand, and the next one goes on without
//! anybody's help.

use std::{
    pin::pin,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rollcall::{backfill, session::Session};
use rollcall_tests::{
    backfills::{LEASE, options, unwatched},
    programs::program,
    project::Project,
    random, sql,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

/// How long a backend may take to notice that its client is gone.
const GONE_LIMIT: Duration = Duration::from_secs(30);

/// Waits until nothing of Rollcall's works in this database any more.
async fn wait_until_nobody_works(client: &Client) -> Result<()> {
    let working = "select count(*) from pg_stat_activity
                   where datname = current_database() and application_name = 'rollcall'";
    let until = Instant::now() + GONE_LIMIT;
    while sql::value::<i64>(client, working).await? > 0 {
        ensure!(Instant::now() < until, "a backend stays for {GONE_LIMIT:?}");
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// How many profiles there are: whole batches of them, each with one event.
async fn whole_batches(client: &Client, users: i64, batch: i64) -> Result<i64> {
    let row = client
        .query_typed_one(
            "select (select count(*) from public.profiles),
               (select count(*) from public.user_events where kind = 'profile_backfilled'),
               (select count(distinct user_id) from public.user_events)",
            &[],
        )
        .await?;
    let (profiles, events, logged): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    ensure!(
        profiles == events && events == logged,
        "{profiles} profiles, {events} events of {logged} users"
    );
    ensure!(
        profiles == users || profiles % batch == 0,
        "part of a batch was kept: {profiles}"
    );
    Ok(profiles)
}

async fn nobody_has_a_profile(client: &Client) -> Result<()> {
    let sql =
        "delete from public.profiles; delete from rollcall.event; delete from rollcall.failure";
    Ok(client.batch_execute(sql).await?)
}

async fn repair(session: &mut Session, batch: u32) -> Result<i64> {
    let order = options(batch, None, None);
    // nobody waits until what a run that is gone had claimed is free by itself
    let outcome = timeout(LEASE, backfill::apply(session, &order, None, unwatched))
        .await
        .context("it waits")??;
    ensure!(
        outcome.interruption.is_none() && outcome.remaining == Some(0),
        "{outcome:?}"
    );
    Ok(outcome.created)
}

/// Keeps P2 and P3.
#[tokio::test]
async fn a_repair_that_is_dropped_at_any_poll_loses_at_most_the_batch_in_hand() -> Result<()> {
    const USERS: u32 = 12;
    const BATCH: u32 = 5;
    let project = Project::migrated().await?;
    project.add_users_without_profile(USERS).await?;
    let client = project.connect_as_superuser().await?;
    let mut polls = 0;
    loop {
        ensure!(polls < 10_000, "no repair comes to its end");
        nobody_has_a_profile(&client).await?;
        let mut session = project.session()?;
        let is_done = {
            let mut work = pin!(repair(&mut session, BATCH));
            let mut left = polls;
            std::future::poll_fn(|context| {
                if left == 0 {
                    return std::task::Poll::Ready(None);
                }
                left -= 1;
                work.as_mut().poll(context).map(Some)
            })
            .await
        };
        session.give_up().await;
        drop(session);
        wait_until_nobody_works(&client).await?;
        let what = || format!("dropped at poll {polls}");
        let kept = whole_batches(&client, USERS.into(), BATCH.into())
            .await
            .with_context(what)?;
        if let Some(created) = is_done {
            ensure!(created? == i64::from(USERS));
            break;
        }
        let created = repair(&mut project.session()?, BATCH)
            .await
            .with_context(what)?;
        ensure!(created + kept == i64::from(USERS), "{}", what());
        whole_batches(&client, USERS.into(), BATCH.into())
            .await
            .with_context(what)?;
        polls += 1;
    }
    random::tell(&format!("repairs dropped: {polls}"));
    ensure!(polls > 20, "{polls}");
    Ok(())
}

/// `rollcall backfill --apply` that is killed after `lifetime`, unless it ended before.
async fn killed_repair(project: &Project, batch: u32, lifetime: Duration) -> Result<bool> {
    let mut child = Command::new(program("rollcall")?)
        .args([
            "backfill",
            "--apply",
            "--yes",
            "--batch-size",
            &batch.to_string(),
        ])
        .env_clear()
        .env("DATABASE_URL", project.url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    sleep(lifetime).await;
    let ended = child.try_wait()?;
    child.kill()?;
    child.wait()?;
    match ended {
        None => Ok(true),
        Some(status) if status.success() => Ok(false),
        Some(status) => bail!("it ended by itself: {status}"),
    }
}

/// Keeps P2 and P3. With `ROLLCALL_LONG`: 1,000 kills on 100,000.
#[tokio::test]
async fn a_repair_that_is_killed_again_and_again_finishes_without_help() -> Result<()> {
    const BATCH: u32 = 50;
    let (users, kills) = random::cases((5_000, 50), (100_000, 1_000));
    let project = Project::migrated().await?;
    project.add_users_without_profile(users).await?;
    let client = project.connect_as_superuser().await?;
    let users = i64::from(users);

    let seed = random::seed();
    let (mut killed, mut rounds, mut before) = (0, 0, 0);
    while killed < kills {
        // From before it connects to after some batches.
        let lifetime = Duration::from_millis((seed.wrapping_mul(killed + 1) >> 32) % 150);
        let was_killed = killed_repair(&project, BATCH, lifetime).await?;
        wait_until_nobody_works(&client).await?;
        let what = || format!("kill {killed} after {lifetime:?} (ROLLCALL_SEED={seed})");
        let now = whole_batches(&client, users, BATCH.into())
            .await
            .with_context(what)?;
        ensure!(now >= before, "{}: {now} after {before}", what());
        killed += u64::from(was_killed);
        before = now;
        if now == users {
            rounds += 1;
            nobody_has_a_profile(&client).await?;
            before = 0;
        }
    }
    let created = repair(&mut project.session()?, 5_000).await?;
    ensure!(created + before == users, "{created} after {before}");
    whole_batches(&client, users, BATCH.into()).await?;
    random::tell(&format!(
        "repairs killed: {killed} on {users} missing, who were all repaired {rounds} times meanwhile (ROLLCALL_SEED={seed})"
    ));
    Ok(())
}
