//! Scheduled checks of many users read the ledger of signups instead of the tables; each test here makes it lie, and the
//! check must not. "Many" is forced by a setting.

use anyhow::{Result, ensure};
use rollcall::checks::Basis;
use rollcall::checks::health::HealthReport;
use rollcall::checks::recent::RecentReport;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Options, Person, Server};
use rollcall_tests::lambda::Lambda;
use rollcall_tests::ledger::{
    basis, counter_reaches, health, prepare, project_with_trusted_ledger, sign_up,
};
use rollcall_tests::project::Project;
use rollcall_tests::sql::value;
use serde_json::json;

async fn recent(project: &Project) -> Result<RecentReport> {
    Ok(RecentReport::take_scheduled(&mut project.rollcall().await?).await?)
}

fn missing(report: &HealthReport) -> Option<i64> {
    report.users.as_ref().map(|users| users.missing)
}

/// What a check would have said that reads nothing but the ledger.
async fn missing_by_the_ledger_alone(project: &Project) -> Result<i64> {
    project
        .count("select count(*) from rollcall.ledger_missing('-infinity')")
        .await
}

#[tokio::test]
async fn a_small_project_is_proved_by_every_check_and_keeps_nothing() -> Result<()> {
    let project = Project::migrated().await?;
    sign_up(&project, 1..=2).await?;
    for _ in 0..2 {
        let report = health(&project).await?;
        assert_eq!(basis(&report), (Some(Basis::Full), None));
        assert_eq!(report.last_full_proof, Some(report.check_time));
        let report = recent(&project).await?;
        assert_eq!(
            (report.basis, report.ledger_doubt.as_deref()),
            (Some(Basis::Full), None)
        );
        ensure!(report.looked_for_vanished);
    }
    assert_eq!(
        project.count("select count(*) from rollcall.proof").await?,
        0
    );
    Ok(())
}

#[tokio::test]
async fn by_the_ledger_a_check_finds_failing_signups_and_sees_their_repair() -> Result<()> {
    let project = project_with_trusted_ledger().await?;
    let client = project.connect().await?;
    let email = Person::numbered(6).email.unwrap_or_default();
    client
        .batch_execute(&format!(
            "alter table public.profiles add constraint refuses check (email <> '{email}')"
        ))
        .await?;
    sign_up(&project, 6..=7).await?;
    assert_eq!(missing_by_the_ledger_alone(&project).await?, 1);

    let now = recent(&project).await?;
    assert_eq!(
        (now.basis, now.verdict),
        (Some(Basis::Ledger), Verdict::Inconsistent)
    );
    assert_eq!(now.issues.as_ref().map(Vec::len), Some(1));
    ensure!(!now.looked_for_vanished);
    ensure!(
        now.findings
            .iter()
            .any(|finding| finding.id == "vanished_users_not_looked_for")
    );
    for _ in 0..3 {
        let report = health(&project).await?;
        assert_eq!(basis(&report), (Some(Basis::Ledger), None));
        assert_eq!(
            (report.verdict, missing(&report)),
            (Verdict::Inconsistent, Some(1))
        );
        assert_eq!(
            (
                report.recent_signups_count,
                report.signups_missing_profiles,
                report.health_percentage
            ),
            (Some(7), Some(1), Some(85.71))
        );
        ensure!(report.last_full_proof < Some(report.check_time));
    }

    client
        .batch_execute(
            "alter table public.profiles drop constraint refuses;
             select public.backfill_all_missing_profiles(100, false)",
        )
        .await?;
    let report = health(&project).await?;
    assert_eq!(basis(&report), (Some(Basis::Ledger), None));
    assert_eq!(
        (report.verdict, missing(&report)),
        (Verdict::Consistent, Some(0))
    );
    assert_eq!(recent(&project).await?.verdict, Verdict::Consistent);
    Ok(())
}

#[tokio::test]
async fn rows_that_a_restore_brought_past_the_triggers_are_found_by_the_counters() -> Result<()> {
    let project = project_with_trusted_ledger().await?;
    project.add_users_without_profile(20).await?;
    counter_reaches(&project, "users_inserted", 25).await?;
    assert_eq!(missing_by_the_ledger_alone(&project).await?, 0);

    let report = health(&project).await?;
    assert_eq!(basis(&report), (Some(Basis::Full), Some("inserts_apart")));
    assert_eq!(
        (report.verdict, missing(&report)),
        (Verdict::Inconsistent, Some(20))
    );
    // that was a full proof, so the ledger can be trusted again, and they are not forgotten
    let report = health(&project).await?;
    assert_eq!(basis(&report), (Some(Basis::Ledger), None));
    assert_eq!(
        (report.verdict, missing(&report)),
        (Verdict::Inconsistent, Some(20))
    );
    Ok(())
}

#[tokio::test]
async fn one_row_that_came_past_the_triggers_is_met_by_a_slice() -> Result<()> {
    let project = project_with_trusted_ledger().await?;
    project.add_users_without_profile(1).await?;
    assert_eq!(missing_by_the_ledger_alone(&project).await?, 0);
    let report = health(&project).await?;
    assert_eq!(basis(&report), (Some(Basis::Full), Some("slice")));
    assert_eq!(missing(&report), Some(1));
    Ok(())
}

#[tokio::test]
async fn the_slices_come_round_to_everyone() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(
            "update rollcall.settings set full_proof_below_users = 0;
             insert into auth.users (id, email, created_at)
             select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, n || '@example.com', now() - interval '1 day'
             from generate_series(1, 2500) n",
        )
        .await?;
    drop(client);
    counter_reaches(&project, "users_inserted", 2500).await?;
    health(&project).await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(
            "begin; set local session_replication_role = replica;
             insert into auth.users (id, email, created_at)
             values ('ffffffff-ffff-4fff-bfff-ffffffffffff', 'last@example.com', now() - interval '1 day');
             commit",
        )
        .await?;
    // slices of 500
    for _ in 0..5 {
        let report = recent(&project).await?;
        assert_eq!(
            (report.basis, report.ledger_doubt),
            (Some(Basis::Ledger), None)
        );
    }
    let report = recent(&project).await?;
    assert_eq!(
        (report.basis, report.ledger_doubt.as_deref()),
        (Some(Basis::Full), Some("slice"))
    );
    assert_eq!(missing(&health(&project).await?), Some(1));
    Ok(())
}

#[tokio::test]
async fn a_profile_that_lost_its_user_and_one_that_was_deleted_are_met_by_a_slice() -> Result<()> {
    for change in [
        "delete from public.profiles where id = (select id from public.profiles limit 1)",
        "alter table public.profiles drop constraint profiles_id_fkey; delete from auth.users where id = (select id from auth.users limit 1)",
    ] {
        let project = project_with_trusted_ledger().await?;
        let client = project.connect_as_superuser().await?;
        // they signed up long before what the ledger is read for
        client
            .batch_execute(
                "update public.user_events set created_at = created_at - interval '3 days'",
            )
            .await?;
        client.batch_execute(change).await?;
        let report = health(&project).await?;
        assert_eq!(
            basis(&report),
            (Some(Basis::Full), Some("slice")),
            "{change}"
        );
        ensure!(!report.findings.is_empty(), "{change}");
    }
    Ok(())
}

#[tokio::test]
async fn a_trigger_that_was_off_for_a_while_is_in_the_catalog() -> Result<()> {
    let project = project_with_trusted_ledger().await?;
    project.break_signups().await?;
    sign_up(&project, 6..=6).await?;
    project.mend_signups().await?;
    assert_eq!(missing_by_the_ledger_alone(&project).await?, 0);
    let report = health(&project).await?;
    assert_eq!(basis(&report), (Some(Basis::Full), Some("catalog_changed")));
    assert_eq!(missing(&report), Some(1));
    Ok(())
}

#[tokio::test]
async fn without_its_trigger_the_ledger_is_never_read() -> Result<()> {
    for breakage in [
        "alter table auth.users disable trigger on_auth_user_created",
        "drop trigger on_auth_user_created on auth.users",
    ] {
        let project = project_with_trusted_ledger().await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute(breakage)
            .await?;
        sign_up(&project, 6..=6).await?;
        assert_eq!(missing_by_the_ledger_alone(&project).await?, 0);
        for _ in 0..2 {
            let now = recent(&project).await?;
            assert_eq!(
                (now.basis, now.ledger_doubt.as_deref()),
                (Some(Basis::Full), Some("signup_trigger"))
            );
            assert_eq!(now.issues.as_ref().map(Vec::len), Some(1));
            let report = health(&project).await?;
            assert_eq!(basis(&report), (Some(Basis::Full), Some("signup_trigger")));
            assert_eq!(missing(&report), Some(1));
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_emptied_table_and_an_edited_definition_are_in_the_catalog() -> Result<()> {
    for (change, expected) in [
        ("truncate public.profiles", 5),
        ("truncate public.user_events", 0),
        (
            "create or replace view rollcall.expected_profile as
             select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email, 'sme'::text as account_type
             from auth.users u where u.deleted_at is not null",
            0,
        ),
    ] {
        let project = project_with_trusted_ledger().await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute(change)
            .await?;
        let report = health(&project).await?;
        assert_eq!(
            basis(&report),
            (Some(Basis::Full), Some("catalog_changed")),
            "{change}"
        );
        assert_eq!(missing(&report), Some(expected), "{change}");
    }
    Ok(())
}

#[tokio::test]
async fn a_crash_which_resets_the_counters_is_followed_by_a_full_proof() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = prepare(Project::migrated_on(&server).await?).await?;
    project.add_users_without_profile(20).await?;
    server.restart()?;
    assert_eq!(missing_by_the_ledger_alone(&project).await?, 0);
    let report = health(&project).await?;
    assert_eq!(basis(&report), (Some(Basis::Full), Some("catalog_changed")));
    assert_eq!(missing(&report), Some(20));
    Ok(())
}

#[tokio::test]
async fn a_signup_whose_transaction_was_open_over_several_checks_is_not_missed() -> Result<()> {
    let project = project_with_trusted_ledger().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "alter table public.profiles add constraint refuses check (email <> 'slow@example.com')",
        )
        .await?;
    let mut slow = project.connect().await?;
    let transaction = slow.transaction().await?;
    transaction
        .batch_execute(
            "insert into auth.users (id, aud, role, email, created_at)
             values ('00000000-0000-4000-8000-000000000009', 'authenticated', 'authenticated', 'slow@example.com', now() - interval '3 hours')",
        )
        .await?;
    let before: String = value(&client, "select read_from::text from rollcall.proof").await?;
    for _ in 0..3 {
        let report = recent(&project).await?;
        assert_eq!(
            (report.basis, report.verdict),
            (Some(Basis::Ledger), Verdict::Consistent)
        );
    }
    // a lost slice would find it, too; this is about the ledger
    client
        .batch_execute(
            "update rollcall.proof set slice_after = 'fffffffe-0000-4000-8000-000000000000'",
        )
        .await?;
    transaction.commit().await?;
    // a watermark at the last check would have passed it
    assert_eq!(
        project
            .count("select count(*) from public.user_events e, rollcall.proof p where e.kind = 'auth_user_created' and e.created_at >= p.checked_at")
            .await?,
        0
    );
    ensure!(
        before <= value::<String>(&client, "select read_from::text from rollcall.proof").await?
    );
    // make the window as short as the check allows, so that only the place where reading begins can find the event
    client
        .batch_execute(
            "update public.user_events e set created_at = e.created_at - interval '2 hours'
             where e.user_id = '00000000-0000-4000-8000-000000000009';
             update rollcall.proof set read_from = read_from - interval '2 hours'",
        )
        .await?;
    let report = recent(&project).await?;
    assert_eq!(
        (report.basis, report.verdict),
        (Some(Basis::Ledger), Verdict::Inconsistent)
    );
    assert_eq!(report.issues.as_ref().map(Vec::len), Some(1));
    assert_eq!(missing(&health(&project).await?), Some(1));
    Ok(())
}

#[tokio::test]
async fn reading_begins_behind_every_transaction_that_is_open() -> Result<()> {
    let project = project_with_trusted_ledger().await?;
    let client = project.connect().await?;
    let read_from = async || -> Result<String> {
        value(&client, "select read_from::text from rollcall.proof").await
    };
    let mut open = project.connect().await?;
    let transaction = open.transaction().await?;
    transaction
        .batch_execute("select pg_current_xact_id()")
        .await?;
    recent(&project).await?;
    recent(&project).await?;
    let pinned = read_from().await?;
    recent(&project).await?;
    recent(&project).await?;
    assert_eq!(read_from().await?, pinned);
    transaction.commit().await?;
    recent(&project).await?;
    recent(&project).await?;
    ensure!(read_from().await? > pinned);
    Ok(())
}

#[tokio::test]
async fn the_full_proof_comes_daily_and_after_a_gap() -> Result<()> {
    let project = project_with_trusted_ledger().await?;
    let client = project.connect().await?;
    for (aged, doubt) in [
        (
            "proved_at = proved_at - interval '25 hours'",
            "proof_is_old",
        ),
        (
            "checked_at = checked_at - interval '4 hours'",
            "checks_slept",
        ),
        ("proved_at = proved_at + interval '2 days'", "proof_is_old"),
    ] {
        client
            .batch_execute(&format!("update rollcall.proof set {aged}"))
            .await?;
        let report = health(&project).await?;
        assert_eq!(basis(&report), (Some(Basis::Full), Some(doubt)));
        assert_eq!(basis(&health(&project).await?), (Some(Basis::Ledger), None));
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_kept_hides_no_report() -> Result<()> {
    let project = project_with_trusted_ledger().await?;
    let mut other = project.connect().await?;
    let lock = other.transaction().await?;
    // nobody else can write it, and everybody read
    lock.batch_execute("lock table rollcall.proof in share mode")
        .await?;
    let report = health(&project).await?;
    assert_eq!(
        (basis(&report), report.verdict),
        ((Some(Basis::Ledger), None), Verdict::Consistent)
    );
    project.break_signups().await?;
    sign_up(&project, 6..=6).await?;
    let report = health(&project).await?;
    assert_eq!(basis(&report), (Some(Basis::Full), Some("signup_trigger")));
    assert_eq!(missing(&report), Some(1));
    Ok(())
}

#[tokio::test]
async fn the_functions_read_the_ledger_as_the_role_that_may_only_read_reports() -> Result<()> {
    let project = project_with_trusted_ledger().await?;
    project
        .connect()
        .await?
        .batch_execute("alter role rollcall_monitor login")
        .await?;
    let url = project.database.url_as("rollcall_monitor");
    for function in ["recent-issues", "health-check"] {
        let lambda = Lambda::start(function, &[("DATABASE_URL", &url)]).await?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], "consistent", "{answer}");
        assert_eq!(answer["basis"], "ledger", "{answer}");
        ensure!(answer["last_full_proof"].is_string(), "{answer}");
        ensure!(
            !lambda.process.output()?.contains("could not be kept"),
            "{}",
            lambda.process.output()?
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_fault_in_a_catalog_that_was_sound_an_hour_ago_is_found() -> Result<()> {
    let project = project_with_trusted_ledger().await?;
    ensure!(
        project
            .count("select count(*) from rollcall.proof where sound_catalog is not null")
            .await?
            == 1,
        "the doctor found nothing, and that was not kept"
    );
    ensure!(is_sound(&project).await?);
    project
        .connect()
        .await?
        .batch_execute(
            "alter table public.profiles add column nickname text not null default 'none';
             alter table public.profiles alter column nickname drop default",
        )
        .await?;
    // what was kept would have said: nothing to be found
    let report = health(&project).await?;
    assert_eq!(basis(&report), (Some(Basis::Ledger), None));
    assert_eq!(report.verdict, Verdict::Inconsistent);
    ensure!(
        report
            .findings
            .iter()
            .any(|finding| finding.id == "unfilled_columns")
    );
    // and it is no longer kept as sound
    assert_eq!(health(&project).await?.verdict, Verdict::Inconsistent);
    Ok(())
}

#[tokio::test]
async fn whatever_the_doctor_reads_in_the_catalog_changes_its_state() -> Result<()> {
    // roles belong to a whole server
    let server = Server::start(&Options::from_env()?)?;
    let project = prepare(Project::migrated_on(&server).await?).await?;
    let client = project.connect_as_superuser().await?;
    for nothing in ["analyze", "vacuum auth.users"] {
        client.batch_execute(nothing).await?;
        ensure!(is_sound(&project).await?, "{nothing}");
    }
    for change in [
        "alter function public.handle_new_user() security invoker",
        "alter table auth.users disable trigger on_auth_user_created",
        "revoke all on schema public from supabase_auth_admin",
        "grant usage on schema public to supabase_auth_admin",
        "grant insert (email) on public.profiles to supabase_auth_admin",
        "alter table public.profiles alter column account_type drop default",
        "alter table public.profiles add constraint positive check (email <> '')",
        "alter table public.profiles drop constraint positive",
        "create policy everyone on public.profiles for insert with check (true)",
        "create view public.people as select id, email from auth.users",
        "grant select on public.people to anon",
        "create type public.mood as enum ('good')",
        "alter type public.mood add value 'bad'",
        "create unique index one_email on public.profiles (lower(email))",
        "alter role supabase_auth_admin set search_path = auth, public",
        "grant anon to supabase_auth_admin",
        "alter role supabase_auth_admin bypassrls",
        "create or replace function public.newcomer() returns void language sql as 'select'",
    ] {
        client
            .batch_execute("select rollcall.keep_sound_catalog(rollcall.catalog_state())")
            .await?;
        ensure!(is_sound(&project).await?, "before {change}");
        client.batch_execute(change).await?;
        ensure!(!is_sound(&project).await?, "{change}");
    }
    client
        .batch_execute(
            "select rollcall.keep_sound_catalog(rollcall.catalog_state());
             update rollcall.proof set sound_catalog_at = now() - interval '25 hours'",
        )
        .await?;
    ensure!(!is_sound(&project).await?, "it was looked at a day ago");
    Ok(())
}

async fn is_sound(project: &Project) -> Result<bool> {
    value(
        &project.connect().await?,
        "select rollcall.catalog_is_sound()",
    )
    .await
}

#[tokio::test]
async fn a_definition_that_reads_other_tables_is_looked_at_each_time() -> Result<()> {
    let project = project_with_trusted_ledger().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create table public.plans (name text);
             insert into public.plans values ('sme');
             create or replace view rollcall.expected_profile as
               select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email,
                 (select p.name from public.plans p limit 1) as account_type
               from auth.users u;
             select rollcall.adopt_profile_table();
             select rollcall.prove();
             select rollcall.keep_sound_catalog(rollcall.catalog_state())",
        )
        .await?;
    ensure!(!is_sound(&project).await?);
    client.batch_execute("delete from public.plans").await?;
    let report = health(&project).await?;
    assert_eq!(basis(&report), (Some(Basis::Ledger), None));
    ensure!(
        report
            .findings
            .iter()
            .any(|finding| finding.id == "definition_gives_null"),
        "{:?}",
        report.findings
    );
    Ok(())
}
