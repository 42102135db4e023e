//! Users whose profile another transaction keeps locked: they are neither failures nor forgotten.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rollcall::backfill::{self, StopReason, UserResult};
use rollcall_tests::backfills::{options, unwatched};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{value, values};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use uuid::Uuid;

/// A project with missing profiles, and a connection that has begun to insert the first of them.
async fn project_with_a_locked_user(missing: u32) -> Result<(Project, Client, Uuid)> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(missing).await?;
    let holder = project.connect().await?;
    let users: Vec<Uuid> =
        values(&holder, "select min(u.id::text)::uuid from auth.users u").await?;
    let user = *users.first().context("somebody is missing")?;
    holder
        .batch_execute(&format!(
            "begin; insert into public.profiles (id) values ('{user}')"
        ))
        .await?;
    Ok((project, holder, user))
}

async fn failures(project: &Project) -> Result<i64> {
    value(
        &project.connect().await?,
        "select (select count(*) from rollcall.failure)
           + (select count(*) from public.user_events where kind = 'profile_backfill_error')",
    )
    .await
}

#[tokio::test]
async fn one_locked_user_is_tried_again_until_the_lock_is_gone() -> Result<()> {
    for dry_run in [true, false] {
        let (project, holder, user) = project_with_a_locked_user(1).await?;
        let release = async {
            sleep(Duration::from_secs(2)).await;
            holder.batch_execute("rollback").await
        };
        let mut session = project.session()?;
        let asked = options(1, None, None);
        let (outcome, released) = tokio::join!(
            backfill::apply_to_user(&mut session, user, &asked, dry_run, None),
            release
        );
        released?;
        assert_eq!(outcome?, UserResult::Created);
        assert_eq!(failures(&project).await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn one_user_who_stays_locked_is_an_error_that_may_pass() -> Result<()> {
    let (project, _holder, user) = project_with_a_locked_user(1).await?;
    let until = Some(Instant::now() + Duration::from_secs(2));
    let error = backfill::apply_to_user(
        &mut project.session()?,
        user,
        &options(1, None, None),
        false,
        until,
    )
    .await
    .err()
    .context("nothing can be said of the user")?;
    ensure!(error.is_retryable(), "{error}");
    assert_eq!(failures(&project).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_dry_run_counts_locked_users_apart() -> Result<()> {
    let (project, _holder, _) = project_with_a_locked_user(5).await?;
    let preview =
        backfill::dry_run(&mut project.session()?, &options(1000, None, None), None).await?;
    assert_eq!(
        (preview.would_create, preview.would_fail, preview.busy),
        (4, 0, 1)
    );
    Ok(())
}

#[tokio::test]
async fn a_repair_says_whom_it_could_not_come_to() -> Result<()> {
    let (project, _holder, _) = project_with_a_locked_user(5).await?;
    let outcome = backfill::apply(
        &mut project.session()?,
        &options(10, None, None),
        None,
        unwatched,
    )
    .await?;
    assert_eq!(
        (
            outcome.stop_reason,
            outcome.attempted,
            outcome.created,
            outcome.failed,
            outcome.busy
        ),
        (StopReason::Busy, 4, 4, 0, 1)
    );
    assert_eq!(outcome.remaining, Some(1));
    Ok(())
}
