//! A profile table that changes after the migrations: no check says that all is well while no profile can be made, or
//! while another table is counted than the one that is filled.

use anyhow::{Context, Result, ensure};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::health::HealthReport;
use rollcall::checks::recent::RecentReport;
use rollcall::error::Result as CheckResult;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::project::Project;
use rollcall_tests::sql::value;

/// A project with three users and their profiles, and then `change` as the superuser.
async fn project_after(change: &str) -> Result<Project> {
    let project = Project::migrated().await?;
    for number in 1..=3 {
        sign_up(&project, number).await?;
    }
    let healthy = HealthReport::take(&mut project.rollcall().await?).await?;
    assert_eq!(healthy.verdict, Verdict::Consistent);
    project
        .connect_as_superuser()
        .await?
        .batch_execute(change)
        .await
        .context(change.to_owned())?;
    Ok(project)
}

async fn sign_up(project: &Project, number: u32) -> Result<()> {
    project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(number))
        .await
        .context("the signup is blocked")?;
    Ok(())
}

#[tokio::test]
async fn another_table_under_the_name_is_not_counted_as_the_one_there_was() -> Result<()> {
    for change in [
        "alter table public.profiles rename to profiles_old;
         create table public.profiles (like public.profiles_old including all);
         alter table public.profiles owner to postgres",
        "alter table public.profiles rename to people",
        "create schema app; alter table public.profiles set schema app",
    ] {
        let project = project_after(change).await?;
        let mut database = project.rollcall().await?;
        let checks: [CheckResult<Verdict>; 3] = [
            HealthReport::take(&mut database)
                .await
                .map(|report| report.verdict),
            RecentReport::take(&mut database)
                .await
                .map(|report| report.verdict),
            Diagnosis::take(&mut database)
                .await
                .map(|report| report.verdict),
        ];
        for check in checks {
            let error = check.err().with_context(|| change.to_owned())?;
            ensure!(error.to_string().contains("does not read"), "{error}");
            ensure!(error.next_step().contains("adopt_profile_table"), "{error}");
        }
        sign_up(&project, 4).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_table_that_took_the_place_is_adopted_and_filled() -> Result<()> {
    let project = project_after(
        "alter table public.profiles rename to profiles_old;
         create table public.profiles (like public.profiles_old including all);
         alter table public.profiles owner to postgres",
    )
    .await?;
    let client = project.connect().await?;
    client
        .batch_execute("select rollcall.adopt_profile_table()")
        .await?;
    let report = HealthReport::take(&mut project.rollcall().await?).await?;
    let users = report.users.context("counted")?;
    assert_eq!((report.verdict, users.missing), (Verdict::Inconsistent, 3));
    let repaired: String = value(
        &client,
        "select public.backfill_all_missing_profiles(10, false) ->> 'successful'",
    )
    .await?;
    assert_eq!(repaired, "3");
    Ok(())
}

#[tokio::test]
async fn a_definition_that_no_longer_fits_is_an_alarm_before_anyone_is_missed() -> Result<()> {
    for (change, reason) in [
        (
            "alter table public.profiles rename column account_type to kind",
            "does not fit",
        ),
        (
            "alter table public.profiles drop column account_type",
            "does not fit",
        ),
        (
            "alter table public.profiles drop constraint profiles_pkey cascade",
            "does not fit",
        ),
        (
            "revoke insert on public.profiles from postgres, service_role",
            "SQLSTATE 42501",
        ),
        (
            "drop function rollcall.bootstrap_profile(uuid, jsonb)",
            "bootstrap_profile",
        ),
        (
            "drop function rollcall.create_profiles(uuid[], jsonb)",
            "create_profiles",
        ),
        (
            "revoke execute on function rollcall.bootstrap_profile(uuid, jsonb) from postgres",
            "bootstrap_profile",
        ),
    ] {
        let project = project_after(change).await?;
        for findings in [
            HealthReport::take(&mut project.rollcall().await?)
                .await?
                .findings,
            Diagnosis::take(&mut project.rollcall().await?)
                .await?
                .findings,
        ] {
            assert_eq!(
                Verdict::from_findings(&findings),
                Verdict::Inconsistent,
                "{change}"
            );
            let finding = findings
                .iter()
                .find(|finding| finding.id == "profiles_cannot_be_made")
                .with_context(|| change.to_owned())?;
            ensure!(
                finding.summary.contains(reason),
                "{change}: {}",
                finding.summary
            );
        }
        sign_up(&project, 4).await?;
    }
    Ok(())
}
