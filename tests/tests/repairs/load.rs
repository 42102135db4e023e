//! Many repairs at once, while people sign up.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rollcall::backfill;
use rollcall_tests::{
    backfills::{options, unwatched},
    lambda::Lambda,
    pooler::Pooler,
    project::{self, Project},
    random, sql,
};
use serde_json::{Value, json};
use tokio::{
    task::{JoinSet, LocalSet},
    time::{MissedTickBehavior, interval},
};
use tokio_postgres::Client;

/// Each profile that repairs made was logged once, by whoever made it, and nobody met a deadlock.
async fn each_was_made_once(client: &Client, created: i64) -> Result<()> {
    let row = client
        .query_typed_one(
            "select count(*), count(distinct user_id),
               (select count(*) from public.profiles),
               (select deadlocks from pg_stat_database where datname = current_database())
             from public.user_events where kind = 'profile_backfilled'",
            &[],
        )
        .await?;
    let [events, users, profiles, deadlocks]: [i64; 4] =
        std::array::from_fn(|column| row.get(column));
    ensure!(
        events == created && users == created && profiles >= created && deadlocks == 0,
        "{created} created, {events} events of {users} users, {profiles} profiles, {deadlocks} deadlocks"
    );
    Ok(())
}

/// Repairs by the public function until nobody is left.
async fn repair_by_function(project: &Project) -> Result<i64> {
    let client = project.connect().await?;
    let mut created = 0;
    // others repair, too: a call that creates nobody is none too many
    for _ in 0..1_000 {
        let sql = "select public.backfill_all_missing_profiles(250, false)";
        let answer: Value = sql::value(&client, sql).await?;
        created += answer["successful"].as_i64().context("no number")?;
        ensure!(answer["failed"] == 0, "{answer}");
        if answer["processed"] == 0 {
            return Ok(created);
        }
    }
    bail!("it never ends, with {created} created")
}

async fn repair_by_engine(project: &Project, batch_size: u32) -> Result<i64> {
    let outcome = backfill::apply(
        &mut project.session()?,
        &options(batch_size, None, None),
        None,
        unwatched,
    )
    .await?;
    ensure!(
        outcome.interruption.is_none() && outcome.failed == 0,
        "{outcome:?}"
    );
    Ok(outcome.created)
}

/// Keeps P4. With `ROLLCALL_LONG`: 500 rounds.
#[tokio::test]
async fn eight_repairers_of_either_kind_make_each_profile_once() -> Result<()> {
    const USERS: u32 = 5_000;
    let rounds = random::cases(20, 500);
    let project = Project::migrated().await?;
    project.add_users_without_profile(USERS).await?;
    let client = project.connect_as_superuser().await?;
    for round in 0..rounds {
        client
            .batch_execute("delete from public.profiles; delete from rollcall.event")
            .await?;
        let created = tokio::try_join!(
            repair_by_engine(&project, 500),
            repair_by_engine(&project, 500),
            repair_by_engine(&project, 499),
            repair_by_engine(&project, 250),
            repair_by_engine(&project, 100),
            repair_by_engine(&project, 1_000),
            repair_by_function(&project),
            repair_by_function(&project),
        )
        .with_context(|| format!("round {round}"))?;
        let (a, b, c, d, e, f, g, h) = created;
        let created = a + b + c + d + e + f + g + h;
        ensure!(created == i64::from(USERS), "round {round}: {created}");
        each_was_made_once(&client, created)
            .await
            .with_context(|| format!("round {round}"))?;
    }
    random::tell(&format!(
        "concurrent repairs: 8 × {USERS} × {rounds} rounds"
    ));
    Ok(())
}

/// Where a machine is so slow that the repairs take minutes, the users must not become more and more meanwhile.
const MOST_SIGNUPS: u32 = 2_500;

/// Signs people up at this pace until told to stop; the number of those who did.
async fn sign_up_steadily(project: &Project, per_second: u32, is_over: &AtomicBool) -> Result<u32> {
    let client = rollcall_sandbox::connect(&project.database.url_as("supabase_auth_admin")).await?;
    let mut pace = interval(Duration::from_secs(1) / per_second);
    // A machine that is too slow for the pace goes as fast as it can.
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) && number < MOST_SIGNUPS {
        pace.tick().await;
        client
            .batch_execute(
                "insert into auth.users (id, email, created_at)
                 values (gen_random_uuid(), gen_random_uuid() || '@example.com', now())",
            )
            .await
            .context("P11: a signup is blocked")?;
        number += 1;
    }
    Ok(number)
}

/// Invokes a function until there is nothing left for it to do. An invocation that was in another's way, or whose time
/// was up, says so, and the next goes on.
///
/// The sum of what they say they created: none if one could not say it, whose batches are in the record of the run only.
async fn repair_by_invocations(lambda: &Lambda) -> Result<Option<i64>> {
    // How many it takes depends on the machine: on a busy one, most are in each other's way.
    const HANGS: Duration = Duration::from_secs(300);
    let began = Instant::now();
    let mut created = Some(0);
    let mut answer = Value::Null;
    while began.elapsed() < HANGS {
        answer = lambda
            .invoke(json!({"dry_run": false, "batch_size": 100}))
            .await?;
        if answer["retryable"] == true {
            created = None;
            continue;
        }
        ensure!(
            answer["statusCode"].is_null() && answer["failed"] == 0,
            "{answer}"
        );
        let of_this_one = answer["created"].as_i64().context("no number")?;
        created = created.map(|created| created + of_this_one);
        if answer["stop_reason"] == "complete" {
            return Ok(created);
        }
    }
    bail!("not done after {HANGS:?}: {answer}")
}

/// Keeps P4 and P11.
#[tokio::test]
async fn fifty_backfills_on_ten_connections_block_no_signup_and_repair_everyone() -> Result<()> {
    const INVOCATIONS: usize = 50;
    const USERS: u32 = 10_000;
    let Some(pooler) = Pooler::start_with(project::server()?, 10).await? else {
        return Ok(());
    };
    let project = Project::migrated().await?;
    project.add_users_without_profile(USERS).await?;
    let url = pooler.url(&project.database);

    let is_over = AtomicBool::new(false);
    let began = Instant::now();
    let repairs = async {
        let mut functions = JoinSet::new();
        for _ in 0..INVOCATIONS {
            let url = url.clone();
            functions.spawn_local(async move {
                let lambda = Lambda::start("backfill", &[("DATABASE_URL", &url)]).await?;
                repair_by_invocations(&lambda).await
            });
        }
        let mut said = Some(0);
        while let Some(one) = functions.join_next().await {
            let one = one??;
            said = said.zip(one).map(|(said, one)| said + one);
        }
        anyhow::Ok(said)
    };
    let repairs = async {
        let said = LocalSet::new().run_until(repairs).await;
        is_over.store(true, Ordering::Relaxed);
        said
    };
    let (said, first, second, third, fourth) = tokio::try_join!(
        repairs,
        sign_up_steadily(&project, 50, &is_over),
        sign_up_steadily(&project, 50, &is_over),
        sign_up_steadily(&project, 50, &is_over),
        sign_up_steadily(&project, 50, &is_over),
    )?;
    let signups = first + second + third + fourth;
    let seconds = began.elapsed().as_secs_f64();

    let client = project.connect().await?;
    let created = sql::value(&client, "select sum(created)::bigint from rollcall.run").await?;
    each_was_made_once(&client, created).await?;
    ensure!(said.is_none_or(|said| said == created), "{said:?} said");
    let missing: i64 = sql::value(
        &client,
        "select count(*) from auth.users u where not exists (select from public.profiles p where p.id = u.id)",
    )
    .await?;
    ensure!(
        missing == 0 && created == i64::from(USERS),
        "{missing} missing, {created} created"
    );
    random::tell(&format!(
        "load: {INVOCATIONS} backfills of {USERS} on 10 connections in {seconds:.1} s, {signups} signups meanwhile ({:.0}/s)",
        f64::from(signups) / seconds
    ));
    Ok(())
}
