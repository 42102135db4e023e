//! What could not be looked at is unknown, never consistent.

use anyhow::{Context, Result, ensure};
use rollcall::backfill::{self, RunOptions, Source};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::doctor::DoctorReport;
use rollcall::checks::health::HealthReport;
use rollcall::checks::probe::ProbeReport;
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
use rollcall_tests::backfills::{options, unwatched};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{refusal, value, values};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// Takes every check but the probe, and returns what each says: an error, or its verdict.
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
            "doctor",
            DoctorReport::take(database)
                .await
                .map(|report| report.verdict),
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

/// It is about the next signup, so that it may be right to be content where somebody is missing.
async fn probe(settings: &ConnectionSettings) -> Result<Verdict, Error> {
    let mut database = Database::connect(settings).await?;
    let report = ProbeReport::take(&mut database).await?;
    Ok(report.verdict)
}

/// Every report is `unknown`, most of them by an error that `fits` and has a next step; nothing is repaired.
async fn everything_is_unknown(
    settings: &ConnectionSettings,
    user: Uuid,
    fits: impl Fn(&Error) -> bool,
) -> Result<()> {
    let mut outcomes = every_check(settings, user).await?;
    outcomes.push(("probe", probe(settings).await));
    for (check, outcome) in outcomes {
        let error = match outcome {
            Ok(verdict) => {
                assert_eq!(verdict, Verdict::Unknown, "{check}");
                continue;
            }
            Err(error) => error,
        };
        ensure!(fits(&error), "{check}: {error:?}");
        ensure!(!error.next_step().is_empty());
        ensure!(!error.is_retryable(), "{check}: {error:?}");
        let findings = [finding::check_failed(&error)];
        assert_eq!(
            Verdict::from_findings(&findings),
            Verdict::Unknown,
            "{check}"
        );
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

/// No report is `consistent`, and each says something: an error with a next step, or a finding.
async fn nothing_is_consistent(project: &Project, user: Uuid) -> Result<()> {
    for (check, outcome) in every_check(&project.settings()?, user).await? {
        match outcome {
            Ok(verdict) => ensure!(verdict != Verdict::Consistent, "{check} is content"),
            Err(error) => ensure!(!error.next_step().is_empty(), "{check}: {error:?}"),
        }
    }
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
        "select rollcall.audit_counts()",
        "select rollcall.user_facts()",
        "select rollcall.email_drift()",
        "select rollcall.recent_health('1 hour')",
        "select rollcall.recent_issues('1 hour')",
        "select rollcall.mismatches()",
        "select rollcall.newest_with_profile()",
        "select rollcall.user_record(gen_random_uuid())",
        "select rollcall.probe_signup()",
        "select * from rollcall.user_counts()",
        "select rollcall.is_expected(gen_random_uuid())",
        "select * from rollcall.repair_users(array[gen_random_uuid()], 'backfill')",
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
        .batch_execute("select rollcall.require_definition()")
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

/// More is read than the two tables that are looked after.
#[tokio::test]
async fn rows_of_another_table_that_are_hidden_from_the_owner_are_not_permitted_rather_than_content()
-> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::migrated_on(&server).await?;
    let user = with_a_missing_profile(&project).await?;
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute(
            "create table public.members as select u.id as user_id from auth.users u;
             drop view public.user_events;
             create table public.user_events (id bigint, user_id uuid, kind text, payload jsonb, created_at timestamptz);
             grant select on public.members, public.user_events to postgres",
        )
        .await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "select rollcall.define('public.profiles', $$
               select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email from auth.users u
               where exists (select from public.members m where m.user_id = u.id) $$)",
        )
        .await?;
    let run: Uuid = value(
        &client,
        "select run_id from rollcall.start_run('cli', '{}')",
    )
    .await?;
    admin
        .batch_execute(
            "alter role postgres nobypassrls; alter table auth.users disable row level security;
             alter table auth.audit_log_entries disable row level security; alter table public.members enable row level security;
             alter table public.user_events enable row level security",
        )
        .await?;
    let calls = [
        "public.get_auth_profile_mismatches()".to_owned(),
        "public.diagnose_auth_profile_consistency()".to_owned(),
        "public.monitor_signup_health()".to_owned(),
        "public.check_recent_signup_issues()".to_owned(),
        "public.verify_profile_completeness()".to_owned(),
        "public.backfill_all_missing_profiles(10, false)".to_owned(),
        "rollcall.user_counts()".to_owned(),
        "rollcall.email_drift()".to_owned(),
        "rollcall.recent_health('1 day')".to_owned(),
        "rollcall.recent_issues('1 day')".to_owned(),
        "rollcall.mismatches()".to_owned(),
        "rollcall.newest_with_profile()".to_owned(),
        "rollcall.definition_fault()".to_owned(),
        "rollcall.count_missing()".to_owned(),
        format!("rollcall.user_record('{user}')"),
        format!("rollcall.user_events('{user}')"),
        format!("rollcall.is_expected('{user}')"),
        format!("rollcall.missing_among('{{{user}}}')"),
        format!("rollcall.preview_users('{{{user}}}', 1)"),
        format!("rollcall.repair_users('{{{user}}}', 'backfill')"),
        format!("rollcall.advance_run('{run}', '{run}', 10)"),
    ];
    let mut answered = Vec::new();
    for call in calls {
        let refused = refusal(&client, &format!("select * from {call}")).await;
        if refused.as_deref() != Some("42501") {
            answered.push((call, refused));
        }
    }
    assert_eq!(answered, []);
    let unreadable: Option<String> =
        value(&client, "select rollcall.row_facts() ->> 'unreadable'").await?;
    assert_eq!(unreadable.as_deref(), Some("42501"));
    Ok(())
}

/// Each function of ours, one at a time, belongs to a role that sees nothing.
#[tokio::test]
async fn a_function_that_belongs_to_a_role_without_rights_gives_no_good_news() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::migrated_on(&server).await?;
    let user = with_a_missing_profile(&project).await?;
    let admin = project.connect_as_superuser().await?;
    // it may look at the tables, and row level security hides their rows
    admin
        .batch_execute(
            "create role developer;
             grant usage on schema auth, rollcall to developer;
             grant select on all tables in schema auth to developer; grant select on all tables in schema rollcall to developer;
             grant select on public.profiles to developer; grant execute on all functions in schema rollcall to developer",
        )
        .await?;
    let functions: Vec<String> = values(
        &admin,
        "select p.oid::regprocedure::text from pg_proc p
         where p.pronamespace = 'rollcall'::regnamespace and p.prosecdef order by 1",
    )
    .await?;
    ensure!(functions.len() > 20, "{functions:?}");
    for function in functions {
        admin
            .batch_execute(&format!("alter function {function} owner to developer"))
            .await?;
        // the user is missing whoever owns what a report does not call
        nothing_is_consistent(&project, user)
            .await
            .context(function.clone())?;
        if function.starts_with("rollcall.probe_signup") {
            let probed = probe(&project.settings()?).await;
            ensure!(!matches!(probed, Ok(Verdict::Consistent)), "{function}");
        }
        admin
            .batch_execute(&format!("alter function {function} owner to postgres"))
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn rights_of_ours_that_were_revoked_give_no_good_news() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    for revoked in [
        "revoke all on auth.users from postgres",
        "revoke all on schema auth from postgres",
        "alter table public.profiles owner to supabase_admin; revoke all on public.profiles from postgres",
        "alter table rollcall.settings owner to supabase_admin; revoke all on rollcall.settings from postgres",
        "alter schema rollcall owner to supabase_admin; revoke all on schema rollcall from postgres",
    ] {
        let project = Project::migrated_on(&server).await?;
        let user = with_a_missing_profile(&project).await?;
        let admin = project.connect_as_superuser().await?;
        // Supabase's postgres reads everything, through a role that it is a member of
        admin
            .batch_execute("revoke pg_read_all_data from postgres")
            .await?;
        admin.batch_execute(revoked).await?;
        nothing_is_consistent(&project, user)
            .await
            .context(revoked)?;
        admin
            .batch_execute("grant pg_read_all_data to postgres")
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_monitor_whose_rights_were_revoked_is_not_permitted() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::migrated_on(&server).await?;
    let user = with_a_missing_profile(&project).await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(
            "alter role rollcall_monitor login; revoke all on all functions in schema rollcall from rollcall_monitor",
        )
        .await?;
    let url = project.database.url_as("rollcall_monitor");
    let settings = ConnectionSettings::parse(&url.into(), None)?;
    everything_is_unknown(&settings, user, not_permitted).await
}

#[tokio::test]
async fn a_definition_that_expects_nobody_while_there_are_profiles_is_unknown() -> Result<()> {
    let project = Project::migrated().await?;
    project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "select rollcall.define('public.profiles',
               $$select u.id as _user_id, u.created_at as _signed_up_at, u.id from auth.users u where u.email = 'nobody'$$)",
        )
        .await?;
    let mut database = project.rollcall().await?;
    let database = &mut database;
    let health = HealthReport::take(database).await?;
    ensure!(
        health
            .findings
            .iter()
            .any(|finding| finding.id == "definition_expects_nobody"),
        "{health:?}"
    );
    for (report, verdict) in [
        ("health", health.verdict),
        ("diagnosis", Diagnosis::take(database).await?.verdict),
        ("overview", Overview::take(database).await?.health.verdict),
        ("verification", Verification::take(database).await?.verdict),
        ("mismatches", mismatches::list(database, 10).await?.verdict),
    ] {
        assert_eq!(verdict, Verdict::Unknown, "{report}");
    }
    let status: String = value(
        &client,
        "select status from public.verify_profile_completeness() where check_name = 'Auth users without profiles'",
    )
    .await?;
    assert_eq!(status, "FAIL");
    Ok(())
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
async fn where_there_is_no_definition_everything_is_unknown() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    let user = Uuid::new_v4();
    client
        .batch_execute(&format!(
            "insert into auth.users (id, email) values ('{user}', 'a@example.com')"
        ))
        .await?;
    project.migrate().await?;
    everything_is_unknown(&project.settings()?, user, |error| {
        matches!(error, Error::NoDefinition { .. })
            && error.next_step().contains("rollcall definition")
    })
    .await
}

#[tokio::test]
async fn a_definition_that_was_removed_is_unknown() -> Result<()> {
    for removed in [
        "update rollcall.settings set target_table = null",
        "delete from rollcall.settings",
    ] {
        let project = Project::migrated().await?;
        let user = with_a_missing_profile(&project).await?;
        project.connect().await?.batch_execute(removed).await?;
        everything_is_unknown(&project.settings()?, user, |error| {
            matches!(error, Error::NoDefinition { .. })
        })
        .await
        .context(removed)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_definition_that_does_not_fit_any_more_gives_no_good_news() -> Result<()> {
    for changed in [
        "drop table public.profiles cascade",
        "alter table public.profiles rename to people",
        "create schema app; alter table public.profiles set schema app",
        "alter table public.profiles rename column id to user_id",
        "alter table public.profiles drop column id cascade",
        "alter table public.profiles drop column email",
        "alter table public.profiles drop column account_type",
        "alter table public.profiles drop constraint profiles_pkey",
        "alter table public.profiles rename to people; create view public.profiles as select * from public.people",
        "update rollcall.settings set query = 'select u.id as _user_id from auth.users u'",
        "update rollcall.settings set query = 'select * from public.gone'",
        "update rollcall.settings set actual_query = null",
        "drop function rollcall.require_definition()",
        "drop table rollcall.settings cascade",
    ] {
        let project = Project::migrated().await?;
        let user = with_a_missing_profile(&project).await?;
        project
            .connect()
            .await?
            .batch_execute(changed)
            .await
            .context(changed)?;
        nothing_is_consistent(&project, user)
            .await
            .context(changed)?;
    }
    Ok(())
}

/// Nobody is missing, and no profile could be made: that is no good news either.
#[tokio::test]
async fn a_definition_that_does_not_fit_is_found_before_anybody_is_missing() -> Result<()> {
    for changed in [
        "alter table public.profiles drop column email",
        "alter table public.profiles drop column account_type",
        "alter table public.profiles drop constraint profiles_pkey",
        "alter table public.profiles add column tenant_id uuid not null",
    ] {
        let project = Project::migrated().await?;
        project
            .connect()
            .await?
            .batch_execute(changed)
            .await
            .context(changed)?;
        let mut database = project.rollcall().await?;
        let health = HealthReport::take(&mut database).await;
        ensure!(
            health
                .as_ref()
                .map_or(true, |report| report.verdict != Verdict::Consistent),
            "{changed}: {health:?}"
        );
        let doctor = DoctorReport::take(&mut database).await;
        ensure!(
            doctor
                .as_ref()
                .map_or(true, |report| report.verdict != Verdict::Consistent),
            "{changed}: {doctor:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_profile_table_that_is_gone_is_named_with_what_to_do() -> Result<()> {
    let project = Project::migrated().await?;
    project
        .connect()
        .await?
        .batch_execute("alter table public.profiles rename to people")
        .await?;
    let report = RecentReport::take(&mut project.rollcall().await?).await;
    let error = report.err().context("a verdict")?;
    ensure!(error.to_string().contains("public.profiles"), "{error}");
    ensure!(
        error.next_step().contains("rollcall definition"),
        "{error:?}"
    );
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

/// It says that it could not look, and that the same may work in a moment; it does not say that anything is wrong.
#[tokio::test]
async fn a_check_that_runs_into_a_lock_is_unknown_and_accuses_nobody() -> Result<()> {
    for locked in ["auth.users", "public.profiles"] {
        let project = Project::migrated().await?;
        let user = with_a_missing_profile(&project).await?;
        let holder = project.connect_as_superuser().await?;
        holder
            .batch_execute(&format!(
                "begin; lock table {locked} in access exclusive mode"
            ))
            .await?;
        for (check, outcome) in every_check(&project.settings()?, user).await? {
            match outcome {
                Ok(verdict) => assert_eq!(verdict, Verdict::Unknown, "{check}, {locked}"),
                Err(error) => {
                    ensure!(error.is_retryable(), "{check}, {locked}: {error:?}");
                    assert_eq!(
                        Verdict::from_findings(&[finding::check_failed(&error)]),
                        Verdict::Unknown
                    );
                }
            }
        }
        let fault = project
            .connect()
            .await?
            .batch_execute("set lock_timeout = '200ms'; select rollcall.definition_fault()")
            .await
            .err()
            .context("a fault was found")?;
        assert_eq!(fault.code().map(SqlState::code), Some("55P03"), "{locked}");
    }
    Ok(())
}

#[tokio::test]
async fn where_nothing_can_be_written_what_is_installed_still_looks() -> Result<()> {
    let project = Project::migrated().await?;
    let user = with_a_missing_profile(&project).await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(&format!(
            "alter database {} set default_transaction_read_only = on",
            project.database.name()
        ))
        .await?;
    for (check, outcome) in every_check(&project.settings()?, user).await? {
        match outcome {
            Ok(verdict) => ensure!(verdict != Verdict::Consistent, "{check}"),
            Err(error) => panic!("{check}: {error:?}"),
        }
    }
    let probed = probe(&project.settings()?).await;
    ensure!(!matches!(probed, Ok(Verdict::Consistent)), "{probed:?}");
    let mut session = project.session()?;
    let repaired = backfill::apply(&mut session, &options(10, None, None), None, unwatched).await;
    ensure!(repaired.is_err(), "{repaired:?}");
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
