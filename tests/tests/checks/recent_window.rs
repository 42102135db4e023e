//! How far back the scheduled check of recent signups looks, and who is still in flight.

use anyhow::{Result, ensure};
use rollcall::checks::health::HealthReport;
use rollcall::checks::history::{self, CheckName};
use rollcall::checks::recent::RecentReport;
use rollcall::scheduled_check::ScheduledReport;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::lambda::Lambda;
use rollcall_tests::project::Project;
use serde_json::{Value, json};

/// Moves the records of checks into the past, as if the schedule had slept since.
async fn let_the_schedule_sleep(project: &Project, interval: &str) -> Result<()> {
    project
        .connect()
        .await?
        .batch_execute(&format!(
            "update rollcall.check_run set checked_at = checked_at - interval '{interval}'"
        ))
        .await?;
    Ok(())
}

async fn sign_up_without_profile(project: &Project, ago: &str) -> Result<()> {
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(&format!(
            "begin; set local session_replication_role = replica;
             insert into auth.users (id, aud, role, email, created_at)
             values (gen_random_uuid(), 'authenticated', 'authenticated', gen_random_uuid() || '@example.com', now() - interval '{ago}');
             commit"
        ))
        .await?;
    Ok(())
}

async fn recent(project: &Project) -> Result<RecentReport> {
    Ok(RecentReport::take_scheduled(&mut project.rollcall().await?).await?)
}

#[tokio::test]
async fn a_first_check_looks_ten_minutes_back() -> Result<()> {
    let project = Project::migrated().await?;
    sign_up_without_profile(&project, "12 minutes").await?;
    let report = recent(&project).await?;
    assert_eq!(report.window.minutes, 10);
    assert_eq!(report.verdict, Verdict::Consistent);
    Ok(())
}

#[tokio::test]
async fn a_schedule_that_slept_for_a_day_misses_nothing() -> Result<()> {
    let project = Project::migrated().await?;
    recent(&project)
        .await?
        .to_check_run()
        .record(&mut project.rollcall().await?)
        .await?;
    let_the_schedule_sleep(&project, "1 day").await?;
    sign_up_without_profile(&project, "20 hours").await?;

    let report = recent(&project).await?;
    assert_eq!(report.verdict, Verdict::Inconsistent);
    assert_eq!(report.issues.as_ref().map(Vec::len), Some(1));
    ensure!(
        (24 * 60..=24 * 60 + 10).contains(&report.window.minutes),
        "{:?}",
        report.window
    );

    // the one after that has no gap to fill
    report
        .to_check_run()
        .record(&mut project.rollcall().await?)
        .await?;
    let next = recent(&project).await?;
    assert_eq!(next.window.minutes, 10);
    Ok(())
}

#[tokio::test]
async fn a_sleep_of_months_is_bounded_at_seven_days() -> Result<()> {
    let project = Project::migrated().await?;
    recent(&project)
        .await?
        .to_check_run()
        .record(&mut project.rollcall().await?)
        .await?;
    let_the_schedule_sleep(&project, "60 days").await?;
    assert_eq!(recent(&project).await?.window.minutes, 7 * 24 * 60);
    Ok(())
}

#[tokio::test]
async fn a_record_from_the_future_hides_no_signup() -> Result<()> {
    let project = Project::migrated().await?;
    recent(&project)
        .await?
        .to_check_run()
        .record(&mut project.rollcall().await?)
        .await?;
    let_the_schedule_sleep(&project, "-48 hours").await?;
    sign_up_without_profile(&project, "3 minutes").await?;
    let report = recent(&project).await?;
    assert_eq!(report.window.minutes, 10);
    assert_eq!(report.verdict, Verdict::Inconsistent);
    Ok(())
}

#[tokio::test]
async fn the_scheduled_functions_keep_what_they_said() -> Result<()> {
    let project = Project::migrated().await?;
    sign_up_without_profile(&project, "3 minutes").await?;
    for (function, check) in [
        ("health-check", CheckName::Health),
        ("recent-issues", CheckName::Recent),
    ] {
        let lambda = Lambda::start(function, &[("DATABASE_URL", &project.url())]).await?;
        let answer: Value = lambda.invoke(json!({})).await?;
        let runs = history::since(
            &mut project.rollcall().await?,
            check,
            jiff::Timestamp::UNIX_EPOCH,
        )
        .await?;
        assert_eq!(runs.len(), 1, "{function}");
        assert_eq!(runs[0].verdict.as_str(), answer["verdict"], "{function}");
        assert_eq!(runs[0].counts["missing"], json!(1), "{function}");
    }
    Ok(())
}

#[tokio::test]
async fn a_check_that_could_not_look_moves_no_watermark() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    client
        .batch_execute("update rollcall.settings set target_table = null")
        .await?;
    let lambda = Lambda::start("recent-issues", &[("DATABASE_URL", &project.url())]).await?;
    let answer: Value = lambda.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "unknown");
    assert_eq!(
        project
            .count("select count(*) from rollcall.check_run")
            .await?,
        0
    );
    Ok(())
}

#[tokio::test]
async fn old_records_are_forgotten() -> Result<()> {
    let project = Project::migrated().await?;
    let report = recent(&project).await?;
    let mut database = project.rollcall().await?;
    report.to_check_run().record(&mut database).await?;
    let_the_schedule_sleep(&project, "91 days").await?;
    recent(&project)
        .await?
        .to_check_run()
        .record(&mut database)
        .await?;
    assert_eq!(
        project
            .count("select count(*) from rollcall.check_run")
            .await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn a_signup_whose_transaction_is_open_is_not_missing() -> Result<()> {
    let project = Project::migrated().await?;
    project.break_signups().await?;
    let mut client = project.connect().await?;
    let signup = client.transaction().await?;
    signup
        .batch_execute(
            "insert into auth.users (id, aud, role, email, created_at)
             values ('00000000-0000-4000-8000-000000000001', 'authenticated', 'authenticated', 'a@example.com', now())",
        )
        .await?;
    assert_eq!(
        RecentReport::take(&mut project.rollcall().await?)
            .await?
            .verdict,
        Verdict::Consistent
    );
    signup.commit().await?;
    assert_eq!(
        RecentReport::take(&mut project.rollcall().await?)
            .await?
            .verdict,
        Verdict::Inconsistent
    );
    Ok(())
}

#[tokio::test]
async fn inside_the_grace_period_nobody_is_missing_and_after_it_everybody_is() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    sign_up_without_profile(&project, "20 seconds").await?;
    let missing = async || -> Result<(Verdict, Option<i64>, i64, i64, String)> {
        let mut database = project.rollcall().await?;
        let health = HealthReport::take(&mut database).await?;
        let recent = RecentReport::take(&mut database).await?;
        let row = client
            .query_one(
                "select
                   (select count(*) from public.check_recent_signup_issues()),
                   (select count(*) from public.get_auth_profile_mismatches()),
                   (select status from public.verify_profile_completeness() limit 1)",
                &[],
            )
            .await?;
        ensure!(health.verdict == recent.verdict);
        Ok((
            health.verdict,
            health.signups_missing_profiles,
            row.get(0),
            row.get(1),
            row.get(2),
        ))
    };
    let found = (Verdict::Inconsistent, Some(1), 1, 1, "FAIL".to_owned());
    let quiet = (Verdict::Consistent, Some(0), 0, 0, "PASS".to_owned());
    assert_eq!(missing().await?, found);
    client
        .batch_execute("update rollcall.settings set grace_period = '10 minutes'")
        .await?;
    assert_eq!(missing().await?, quiet);
    client
        .batch_execute("update rollcall.settings set grace_period = '10 seconds'")
        .await?;
    assert_eq!(missing().await?, found);
    Ok(())
}

/// The definition that a tried signup suggests leaves unconfirmed users out.
#[tokio::test]
async fn a_profile_that_is_made_at_the_confirmation_is_missed_from_then_on() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create table public.profiles (id uuid primary key references auth.users on delete cascade, email text);
             create function public.on_confirmation() returns trigger language plpgsql security definer set search_path = '' as $$
             begin insert into public.profiles (id, email) values (new.id, new.email); return new; end $$;
             create trigger on_confirmation after update on auth.users for each row
               when (old.email_confirmed_at is null and new.email_confirmed_at is not null) execute function public.on_confirmation()",
        )
        .await?;
    project.migrate().await?;
    let missing = async || -> Result<Option<i64>> {
        let report = HealthReport::take(&mut project.rollcall().await?).await?;
        Ok(report.users.map(|users| users.missing))
    };
    let confirm = async || -> Result<()> {
        project
            .connect_as_superuser()
            .await?
            .batch_execute(
                "begin; set local session_replication_role = replica;
                 update auth.users set email_confirmed_at = now(); commit",
            )
            .await?;
        Ok(())
    };
    sign_up_without_profile(&project, "2 minutes").await?;
    assert_eq!(missing().await?, Some(0), "not confirmed");
    confirm().await?;
    assert_eq!(missing().await?, Some(1));
    Ok(())
}
