//! What could not be looked at is unknown, never consistent.

use anyhow::{Context, Result, ensure};
use rollcall::backfill::{self, IdRange};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::health::HealthReport;
use rollcall::checks::recent::RecentReport;
use rollcall::checks::verification::Verification;
use rollcall::checks::{events, explain, mismatches};
use rollcall::connection_string::ConnectionSettings;
use rollcall::dashboard::Overview;
use rollcall::database::Database;
use rollcall::error::Error;
use rollcall::finding;
use rollcall::migrations::{self, Extent};
use rollcall::session::Session;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Options, Person, Server, SignupKind};
use rollcall_tests::backfills::order;
use rollcall_tests::project::Project;
use rollcall_tests::sql::value;
use uuid::Uuid;

/// Takes every check, and returns what each says: an error, or its verdict.
async fn every_check(
    settings: &ConnectionSettings,
    user: Uuid,
) -> Result<Vec<(&'static str, Result<Verdict, Error>)>> {
    let mut database = Database::connect(settings).await?;
    let database = &mut database;
    Ok(vec![
        (
            "health",
            HealthReport::take(database)
                .await
                .map(|report| report.verdict),
        ),
        (
            "diagnosis",
            Diagnosis::take(database).await.map(|report| report.verdict),
        ),
        (
            "recent",
            RecentReport::take(database)
                .await
                .map(|report| report.verdict),
        ),
        (
            "overview",
            Overview::take(database)
                .await
                .map(|overview| overview.health.verdict),
        ),
        (
            "verification",
            Verification::take(database)
                .await
                .map(|report| report.verdict),
        ),
        (
            "mismatches",
            mismatches::list(database, 10)
                .await
                .map(|report| report.verdict),
        ),
        (
            "explanation",
            explain::of_user(database, user)
                .await
                .map(|report| report.verdict),
        ),
        (
            "events",
            events::of_user(database, user)
                .await
                .map(|report| report.verdict),
        ),
    ])
}

/// Every check fails with an error that `fits`, with a next step, and the report made of it is `unknown`.
async fn everything_is_unknown(
    settings: &ConnectionSettings,
    user: Uuid,
    fits: impl Fn(&Error) -> bool,
) -> Result<()> {
    for (check, outcome) in every_check(settings, user).await? {
        let error = outcome
            .err()
            .with_context(|| format!("{check} gave a verdict"))?;
        ensure!(fits(&error), "{check}: {error:?}");
        ensure!(!error.next_step().is_empty());
        ensure!(!error.is_retryable(), "{check}: {error:?}");
        let findings = [finding::check_failed(&error)];
        assert_eq!(
            Verdict::from_findings(&findings),
            Verdict::Unknown,
            "{check}"
        );
        let now = jiff::Timestamp::now();
        assert_eq!(HealthReport::unknown(&error, now).verdict, Verdict::Unknown);
        assert_eq!(Diagnosis::unknown(&error, now).verdict, Verdict::Unknown);
        assert_eq!(RecentReport::unknown(&error, now).verdict, Verdict::Unknown);
        assert_eq!(Verification::unknown(&error, now).verdict, Verdict::Unknown);
    }
    let mut session = Session::new(settings.clone());
    let counted = backfill::count(&mut session, None).await;
    ensure!(counted.as_ref().is_err_and(&fits), "{counted:?}");
    let repaired = backfill::apply(&mut session, &options(10, None, None), None, unwatched).await;
    ensure!(repaired.as_ref().is_err_and(&fits), "{repaired:?}");
    let tried = backfill::dry_run(&mut session, &RunOptions::new(Source::Cli), None).await;
    ensure!(tried.as_ref().is_err_and(&fits), "{tried:?}");
    Ok(())
}

/// A user without a profile, so that zero is the wrong answer.
async fn with_a_missing_profile(project: &Project) -> Result<Uuid> {
    project.break_signups().await?;
    let id = project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    project.fix_signups().await?;
    Ok(id)
}

fn not_permitted(error: &Error) -> bool {
    matches!(error, Error::NotPermitted(_))
}

#[tokio::test]
async fn an_owner_whom_row_level_security_binds_is_not_permitted_rather_than_content() -> Result<()>
{
    // roles belong to the whole server, so this needs one of its own
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::migrated_on(&server).await?;
    let user = with_a_missing_profile(&project).await?;
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute("alter role postgres nobypassrls")
        .await?;

    everything_is_unknown(&project.settings()?, user, not_permitted).await?;

    let client = project.connect().await?;
    for sql in [
        "select * from public.signup_audit_summary",
        "select * from public.auth_profile_mismatch",
        "select * from public.diagnose_auth_profile_consistency()",
        "select * from public.get_auth_profile_mismatches()",
        "select * from public.check_recent_signup_issues()",
        "select * from public.monitor_signup_health()",
        "select * from public.verify_profile_completeness()",
        "select public.backfill_all_missing_profiles()",
        "select public.backfill_all_missing_profiles(10, false)",
        "select rollcall.audit_log_state()",
        "select rollcall.missing_users(null, 10)",
        "select rollcall.is_expected(gen_random_uuid())",
        "select * from rollcall.repair_users(array[gen_random_uuid()], 'test')",
    ] {
        let error = client
            .batch_execute(sql)
            .await
            .err()
            .with_context(|| format!("{sql} gave an answer"))?;
        let error = error.as_db_error().context("of the database")?;
        assert_eq!(error.code().code(), "42501", "{sql}");
    }
    let error = client
        .batch_execute("select rollcall.require_sight()")
        .await
        .err()
        .context("an error")?;
    let error = error.as_db_error().context("of the database")?;
    ensure!(
        error
            .message()
            .starts_with("rollcall: row level security hides rows of"),
        "{error}"
    );
    ensure!(
        error.hint().is_some_and(|hint| hint.contains("BYPASSRLS")),
        "{error:?}"
    );
    let answer: serde_json::Value = value(
        &client,
        &format!("select public.backfill_user_profile('{user}')"),
    )
    .await?;
    assert_eq!(
        (&answer["success"], &answer["sqlstate"]),
        (&false.into(), &"42501".into()),
        "{answer}"
    );

    // and a signup is not blocked by it
    let other = project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(2))
        .await?;

    admin.batch_execute("alter role postgres bypassrls").await?;
    let missing: i64 = value(&client, "select rollcall.count_missing()").await?;
    let has_profile: bool = value(
        &client,
        &format!("select exists (select from public.profiles where id = '{other}')"),
    )
    .await?;
    assert_eq!(missing, if has_profile { 1 } else { 2 });
    Ok(())
}

#[tokio::test]
async fn a_definition_that_belongs_to_a_role_that_sees_nothing_is_no_definition() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::migrated_on(&server).await?;
    let user = with_a_missing_profile(&project).await?;
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute(
            "create role developer;
             grant usage on schema auth to developer; grant select on auth.users to developer;
             grant all on schema rollcall to developer;
             alter view rollcall.expected_profile owner to developer;
             grant select on rollcall.expected_profile to postgres",
        )
        .await?;
    everything_is_unknown(&project.settings()?, user, not_permitted).await
}

#[tokio::test]
async fn a_definition_over_a_table_of_hidden_rows_is_no_definition() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::migrated_on(&server).await?;
    let user = with_a_missing_profile(&project).await?;
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute(
            "create role developer;
             create table public.waiting_list (id uuid primary key);
             alter table public.waiting_list enable row level security;
             grant usage on schema auth to developer; grant select on auth.users to developer;
             create policy see_users on auth.users to developer using (true);
             grant select on public.waiting_list to developer;
             drop view rollcall.expected_profile;
             create view rollcall.expected_profile as
             select u.id as _user_id, u.created_at as _signed_up_at, u.id
             from auth.users u where exists (select from public.waiting_list w where w.id = u.id);
             grant all on schema rollcall to developer;
             alter view rollcall.expected_profile owner to developer;
             grant select on rollcall.expected_profile to postgres",
        )
        .await?;
    everything_is_unknown(&project.settings()?, user, not_permitted).await
}

#[tokio::test]
async fn a_database_without_the_migrations_is_unknown() -> Result<()> {
    let project = Project::without_rollcall().await?;
    everything_is_unknown(&project.settings()?, Uuid::new_v4(), |error| {
        matches!(error, Error::NotMigrated)
    })
    .await
}

#[tokio::test]
async fn a_database_after_a_rollback_is_unknown() -> Result<()> {
    for extent in [Extent::Diagnostics, Extent::Everything] {
        let project = Project::migrated().await?;
        let user = with_a_missing_profile(&project).await?;
        migrations::roll_back(&mut project.rollcall().await?, extent).await?;
        if extent == Extent::Everything {
            everything_is_unknown(&project.settings()?, user, |error| {
                matches!(error, Error::NotMigrated)
            })
            .await?;
        }
        let session = &mut project.session()?;
        let report = session
            .run(async |database| HealthReport::take(database).await)
            .await;
        ensure!(matches!(report, Err(Error::NotMigrated)), "{report:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_database_of_another_version_is_unknown() -> Result<()> {
    for version in ["20991231235959", "20250101000000"] {
        let project = Project::migrated().await?;
        with_a_missing_profile(&project).await?;
        project
            .connect()
            .await?
            .batch_execute(&format!(
                "create or replace function rollcall.schema_version() returns text language sql immutable set search_path = '' as $$ select '{version}' $$"
            ))
            .await?;
        let report = project
            .session()?
            .run(async |database| HealthReport::take(database).await)
            .await;
        let error = report.err().context("a verdict")?;
        ensure!(
            matches!(&error, Error::OtherVersion { found, .. } if found == version),
            "{error:?}"
        );
        let says = if version > migrations::newest() {
            "Update this program"
        } else {
            "rollcall migrate"
        };
        ensure!(error.next_step().contains(says), "{}", error.next_step());
        assert_eq!(
            Verdict::from_findings(&[finding::check_failed(&error)]),
            Verdict::Unknown
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_definition_that_was_dropped_is_unknown() -> Result<()> {
    for dropped in [
        "drop view rollcall.expected_profile",
        "drop view rollcall.actual_profile",
        "drop table public.profiles cascade",
        "drop view rollcall.expected_profile; create view rollcall.expected_profile as select id as _user_id from auth.users",
        "drop view rollcall.expected_profile;
         create view rollcall.expected_profile as select id::text as _user_id, created_at as _signed_up_at, id from auth.users",
    ] {
        let project = Project::migrated().await?;
        let user = with_a_missing_profile(&project).await?;
        project.connect().await?.batch_execute(dropped).await?;
        let names_it = |error: &Error| matches!(error, Error::Statement { .. } | Error::NotMigrated);
        for (check, outcome) in every_check(&project.settings()?, user).await? {
            match outcome {
                Ok(Verdict::Consistent) => panic!("{check} is content after {dropped}"),
                Ok(_) => (),
                Err(error) => ensure!(names_it(&error), "{check} after {dropped}: {error:?}"),
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_view_of_the_definition_comes_with_a_hint() -> Result<()> {
    let project = Project::migrated().await?;
    project
        .connect()
        .await?
        .batch_execute("drop view rollcall.actual_profile")
        .await?;
    let report = HealthReport::take(&mut project.rollcall().await?).await;
    let error = report.err().context("a verdict")?;
    ensure!(error.next_step().contains("rollcall migrate"), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_role_without_rights_is_not_permitted() -> Result<()> {
    let project = Project::migrated().await?;
    let user = with_a_missing_profile(&project).await?;
    for role in ["authenticator", "supabase_auth_admin"] {
        let settings = ConnectionSettings::parse(&project.database.url_as(role).into(), None)?;
        everything_is_unknown(&settings, user, not_permitted)
            .await
            .context(role)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_check_that_runs_into_a_lock_is_unknown() -> Result<()> {
    let project = Project::migrated().await?;
    with_a_missing_profile(&project).await?;
    let holder = project.connect().await?;
    holder
        .batch_execute("begin; lock table public.profiles in access exclusive mode")
        .await?;
    let report = HealthReport::take(&mut project.rollcall().await?).await;
    let error = report.err().context("a verdict")?;
    ensure!(error.is_retryable(), "{error:?}");
    assert_eq!(
        Verdict::from_findings(&[finding::check_failed(&error)]),
        Verdict::Unknown
    );
    Ok(())
}

#[tokio::test]
async fn a_user_with_an_impossible_date_blinds_no_check_and_is_repaired() -> Result<()> {
    for date in ["'2099-01-01'", "'infinity'", "'-infinity'", "null"] {
        let project = Project::migrated().await?;
        let user = Uuid::new_v4();
        project
            .connect_as_superuser()
            .await?
            .batch_execute(&format!(
                "begin; set local session_replication_role = replica;
                 insert into auth.users (id, email, created_at, last_sign_in_at) values ('{user}', 'a@example.com', {date}, {date});
                 commit"
            ))
            .await?;
        for (check, outcome) in every_check(&project.settings()?, user).await? {
            ensure!(outcome.is_ok(), "{check} with {date}: {outcome:?}");
        }
        let mut session = project.session()?;
        backfill::dry_run(&mut session, &RunOptions::new(Source::Cli), None).await?;
        let outcome =
            backfill::apply(&mut session, &options(10, None, None), None, unwatched).await?;
        assert_eq!((outcome.created, outcome.remaining), (1, Some(0)), "{date}");
    }
    Ok(())
}
