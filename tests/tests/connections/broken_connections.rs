//! The connection between a program and its database breaks at every step of the protocol: cut, reset, stalled,
//! its backend terminated. The program answers in time and says so, or the answer is right; the next one is right.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rollcall_tests::{
    at_once::at_once,
    command_line::rollcall,
    lambda::Lambda,
    project::{self, Project},
    proxy::{Fault, Proxy, Sender, Trap},
    random, sql,
};
use serde_json::{Value, json};

/// More steps than any check or repair here exchanges: an end for a loop that finds none.
const MOST: usize = 2_000;

/// What may be said of a broken connection.
const BROKEN: [&str; 4] = [
    "connection_lost",
    "database_unreachable",
    "database_timeout",
    "session_refused",
];

/// Users without a profile, of whom a batch takes a few.
const USERS: u32 = 12;
const BATCH: u32 = 5;

struct Setting {
    project: Project,
    proxy: Proxy,
    url: String,
}

async fn setting() -> Result<Setting> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(USERS).await?;
    let proxy = Proxy::start(&project.database, project::server()?.port()).await?;
    let url = proxy.url(&project.database);
    Ok(Setting {
        project,
        proxy,
        url,
    })
}

/// Either the answer is right, or it is `unknown` because of the connection, which passes.
fn is_true_or_unknown(answer: &Value, truth: &str) -> Result<bool> {
    if answer["verdict"] == truth {
        return Ok(true);
    }
    ensure!(answer["verdict"] == "unknown", "{answer}");
    let reason = answer["findings"][0]["id"].as_str();
    ensure!(
        reason.is_some_and(|reason| BROKEN.contains(&reason)),
        "{answer}"
    );
    Ok(false)
}

/// Lays a trap at every fifth step, the first of them at random (with `ROLLCALL_LONG` at each), until the exchange has
/// fewer, and says how many there were.
async fn at_every_step(
    fault: Fault,
    stays: bool,
    proxy: &Proxy,
    mut exchange: impl AsyncFnMut() -> Result<()>,
    mut afterwards: impl AsyncFnMut() -> Result<()>,
) -> Result<usize> {
    let mut points = 0;
    let (seed, first, stride) = sampling();
    for sender in Sender::ALL {
        for step in (first..MOST).step_by(stride) {
            let trap = Trap {
                sender,
                step,
                fault,
                stays,
            };
            proxy.lay(trap);
            exchange()
                .await
                .with_context(|| format!("{trap:?}, ROLLCALL_SEED={seed}"))?;
            let went_off = proxy.clear();
            afterwards()
                .await
                .with_context(|| format!("after {trap:?}"))?;
            if went_off == 0 {
                break;
            }
            points += 1;
        }
    }
    Ok(points)
}

/// The seed, the first step and the distance from one to the next.
fn sampling() -> (u64, usize, usize) {
    let (seed, stride) = (random::seed(), random::cases(5, 1));
    (
        seed,
        usize::try_from(seed % 5).unwrap_or_default() % stride,
        stride,
    )
}

/// The sum over `number` workers.
async fn all_at_once(
    number: usize,
    work: impl AsyncFn(usize) -> Result<usize> + Copy + 'static,
) -> Result<usize> {
    let sums = at_once((0..number).map(|worker| async move { work(worker).await })).await?;
    Ok(sums.into_iter().sum())
}

/// Keeps P7.
#[tokio::test]
async fn a_check_whose_connection_breaks_anywhere_is_right_or_unknown_and_the_next_is_right()
-> Result<()> {
    breaks_anywhere("health-check", "inconsistent").await
}

/// Keeps P7.
#[tokio::test]
async fn a_check_of_recent_signups_whose_connection_breaks_anywhere_is_right_or_unknown()
-> Result<()> {
    breaks_anywhere("recent-issues", "consistent").await
}

async fn breaks_anywhere(binary: &'static str, truth: &'static str) -> Result<()> {
    const FAULTS: [(Fault, bool); 4] = [
        (Fault::Cut, false),
        (Fault::Cut, true),
        (Fault::Reset, false),
        (Fault::Terminate, false),
    ];
    /// What the function is given where the fault stays: all of it is spent trying again.
    const LIMIT: Duration = Duration::from_secs(4);
    // Each in a project of its own: a function waits a moment before it tries again.
    let points = all_at_once(FAULTS.len(), async move |worker| {
        let (fault, stays) = FAULTS[worker];
        let setting = setting().await?;
        let lambda = Lambda::start(binary, &[("DATABASE_URL", &setting.url)]).await?;
        let broken = async || {
            let answer = if stays {
                lambda.invoke_within(json!({}), LIMIT).await?
            } else {
                lambda.invoke(json!({})).await?
            };
            let is_true = is_true_or_unknown(&answer, truth)?;
            // what passes is tried again; what stays is published, now or by the invocation before, or left to the alarm
            let notified = ["sent", "already_sent", "being_sent", "left_to_alarm"];
            ensure!(
                is_true || stays && notified.iter().any(|alert| answer["alert"] == *alert),
                "{answer}"
            );
            Ok(())
        };
        let next = async || {
            let answer = lambda.invoke(json!({})).await?;
            ensure!(answer["verdict"] == truth, "{answer}");
            Ok(())
        };
        let points = at_every_step(fault, stays, &setting.proxy, broken, next).await?;
        ensure!(points > 4, "{fault:?}, {stays}: {points}");
        Ok(points)
    })
    .await?;
    random::tell(&format!("broken checks: {binary} {points}"));
    Ok(())
}

/// A function answers although nobody else does.
#[tokio::test]
async fn a_check_whose_connection_stalls_anywhere_answers_in_time() -> Result<()> {
    /// What the function is given; most of it is spent waiting.
    const LIMIT: Duration = Duration::from_secs(4);
    /// So many stalls are waited for at once.
    const AT_ONCE: usize = 6;
    let points = all_at_once(AT_ONCE, async |worker| {
        let Setting {
            project: _project,
            proxy,
            url,
        } = setting().await?;
        let lambda = Lambda::start("health-check", &[("DATABASE_URL", &url)]).await?;
        let mut points = 0;
        let (_, first, stride) = sampling();
        for sender in Sender::ALL {
            for step in (first + worker * stride..MOST).step_by(AT_ONCE * stride) {
                let trap = Trap {
                    sender,
                    step,
                    fault: Fault::Stall,
                    stays: true,
                };
                proxy.lay(trap);
                let answer = lambda
                    .invoke_within(json!({}), LIMIT)
                    .await
                    .with_context(|| format!("{trap:?}"))?;
                // what is recorded after the answer may stall, too
                is_true_or_unknown(&answer, "inconsistent").with_context(|| format!("{trap:?}"))?;
                if proxy.clear() == 0 {
                    break;
                }
                points += 1;
                let answer = lambda
                    .invoke(json!({}))
                    .await
                    .with_context(|| format!("after {trap:?}"))?;
                ensure!(
                    answer["verdict"] == "inconsistent",
                    "after {trap:?}: {answer}"
                );
            }
        }
        Ok(points)
    })
    .await?;
    random::tell(&format!("stalled checks: {points}"));
    ensure!(points > 10, "{points}");
    Ok(())
}

/// Nobody has a profile any more, nor is anything known of one.
async fn nobody_has_a_profile(project: &Project) -> Result<()> {
    let client = project.connect_as_superuser().await?;
    // whoever still works on a connection that is gone has to be gone first
    let end = "select pg_terminate_backend(pid, 5000) from pg_stat_activity
               where datname = current_database() and application_name = 'rollcall'";
    client.batch_execute(end).await?;
    client
        .batch_execute(
            "delete from public.profiles; delete from rollcall.event; delete from rollcall.failure",
        )
        .await?;
    Ok(())
}

/// Everyone has a profile, and each was logged once.
async fn everyone_was_repaired_once(project: &Project) -> Result<()> {
    let client = project.connect().await?;
    let counts: Vec<i64> = sql::values(
        &client,
        "select count(*) from public.profiles
         union all select count(distinct user_id) from rollcall.event
         union all select count(*) from rollcall.event",
    )
    .await?;
    ensure!(counts == [i64::from(USERS); 3], "{counts:?}");
    Ok(())
}

/// Profiles there are, whole batches of them, each with its event.
async fn only_whole_batches_were_kept(project: &Project) -> Result<()> {
    let client = project.connect().await?;
    let row = client
        .query_typed_one(
            "select (select count(*) from public.profiles), (select count(*) from rollcall.event)",
            &[],
        )
        .await?;
    let (profiles, events): (i64, i64) = (row.get(0), row.get(1));
    ensure!(
        profiles == events && (profiles == i64::from(USERS) || profiles % i64::from(BATCH) == 0),
        "{profiles} profiles, {events} events"
    );
    Ok(())
}

/// Keeps P2 and P3.
#[tokio::test]
async fn a_repair_whose_connection_breaks_anywhere_loses_at_most_the_batch_in_hand() -> Result<()> {
    const FAULTS: [Fault; 3] = [Fault::Cut, Fault::Reset, Fault::Terminate];
    let points = all_at_once(FAULTS.len(), async |worker| {
        let fault = FAULTS[worker];
        let Setting {
            project,
            proxy,
            url,
        } = setting().await?;
        let lambda = Lambda::start("backfill", &[("DATABASE_URL", &url)]).await?;
        let request = json!({"dry_run": false, "batch_size": BATCH});
        let broken = async || {
            nobody_has_a_profile(&project).await?;
            let answer = lambda.invoke(request.clone()).await?;
            only_whole_batches_were_kept(&project).await?;
            if !answer["statusCode"].is_null() {
                ensure!(answer["retryable"] == true, "{answer}");
            }
            Ok(())
        };
        let next = async || {
            let answer = lambda.invoke(request.clone()).await?;
            ensure!(answer["remaining"] == 0, "{answer}");
            everyone_was_repaired_once(&project).await
        };
        let points = at_every_step(fault, false, &proxy, broken, next).await?;
        ensure!(points > 6, "{fault:?}: {points}");
        Ok(points)
    })
    .await?;
    random::tell(&format!("broken repairs: {points}"));
    Ok(())
}

#[tokio::test]
async fn a_repair_whose_connection_stalls_anywhere_answers_in_time_and_the_next_finishes()
-> Result<()> {
    const LIMIT: Duration = Duration::from_secs(5);
    const AT_ONCE: usize = 6;
    let points = all_at_once(AT_ONCE, async |worker| {
        let Setting {
            project,
            proxy,
            url,
        } = setting().await?;
        let lambda = Lambda::start("backfill", &[("DATABASE_URL", &url)]).await?;
        let request = json!({"dry_run": false, "batch_size": BATCH});
        let mut points = 0;
        let (_, first, stride) = sampling();
        for sender in Sender::ALL {
            for step in (first + worker * stride..MOST).step_by(AT_ONCE * stride) {
                let trap = Trap {
                    sender,
                    step,
                    fault: Fault::Stall,
                    stays: false,
                };
                let what = || format!("{trap:?}");
                nobody_has_a_profile(&project).await?;
                proxy.lay(trap);
                let answer = lambda
                    .invoke_within(request.clone(), LIMIT)
                    .await
                    .with_context(what)?;
                if proxy.clear() == 0 {
                    break;
                }
                points += 1;
                if !answer["statusCode"].is_null() {
                    ensure!(answer["retryable"] == true, "{trap:?}: {answer}");
                }
                let next = lambda.invoke(request.clone()).await.with_context(what)?;
                ensure!(next["remaining"] == 0, "{trap:?}: {answer}, then {next}");
                everyone_was_repaired_once(&project)
                    .await
                    .with_context(what)?;
            }
        }
        Ok(points)
    })
    .await?;
    random::tell(&format!("stalled repairs: {points}"));
    ensure!(points > 10, "{points}");
    Ok(())
}

#[tokio::test]
async fn a_command_whose_connection_breaks_anywhere_says_so_and_the_next_is_right() -> Result<()> {
    let points = all_at_once(2, async |worker| {
        let points = match worker {
            0 => checks_break_anywhere().await?,
            _ => repairs_break_anywhere().await?,
        };
        ensure!(points > 6, "{worker}: {points}");
        Ok(points)
    })
    .await?;
    random::tell(&format!("broken commands: {points}"));
    Ok(())
}

async fn checks_break_anywhere() -> Result<usize> {
    let Setting {
        project: _project,
        proxy,
        url,
    } = setting().await?;
    let env = [("DATABASE_URL", url.as_str())];
    let health = ["health", "--format", "json"];
    let broken = async || {
        let finished = rollcall(&env, &health).await?;
        let is_true = is_true_or_unknown(&finished.json()?, "inconsistent")?;
        let status = if is_true { 1 } else { 2 };
        ensure!(finished.status == Some(status), "{finished}");
        Ok(())
    };
    let next = async || {
        let finished = rollcall(&env, &health).await?;
        ensure!(finished.status == Some(1), "{finished}");
        Ok(())
    };
    at_every_step(Fault::Reset, false, &proxy, broken, next).await
}

async fn repairs_break_anywhere() -> Result<usize> {
    let Setting {
        project,
        proxy,
        url,
    } = setting().await?;
    let env = [("DATABASE_URL", url.as_str())];
    let backfill = [
        "backfill",
        "--apply",
        "--yes",
        "--batch-size",
        "5",
        "--format",
        "json",
    ];
    let broken = async || {
        nobody_has_a_profile(&project).await?;
        let finished = rollcall(&env, &backfill).await?;
        only_whole_batches_were_kept(&project).await?;
        ensure!(matches!(finished.status, Some(0..=2)), "{finished}");
        Ok(())
    };
    let next = async || {
        let finished = rollcall(&env, &backfill).await?;
        ensure!(finished.status == Some(0), "{finished}");
        everyone_was_repaired_once(&project).await
    };
    at_every_step(Fault::Cut, false, &proxy, broken, next).await
}
