//! The SQL that people and `supabase.rpc()` call: names, arguments, columns, meaning.

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{acting_as, value, values};
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

async fn columns(client: &Client, from: &str) -> Result<Vec<String>> {
    let statement = client.prepare(&format!("select * from {from}")).await?;
    let column =
        |column: &tokio_postgres::Column| format!("{} {}", column.name(), column.type_().name());
    Ok(statement.columns().iter().map(column).collect())
}

#[tokio::test]
async fn every_relation_has_the_columns_it_is_known_for() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    for (from, expected) in [
        (
            "public.signup_audit_summary",
            "user_id uuid, email text, action text, created_at timestamptz",
        ),
        (
            "public.auth_profile_mismatch",
            "user_id uuid, audit_email text, action text, audit_created_at timestamptz, auth_user_id uuid, auth_email text, \
             user_created_at timestamptz, profile_id uuid, profile_email text, profile_created_at timestamptz, status text",
        ),
        (
            "public.diagnose_auth_profile_consistency()",
            "status text, count int8, description text",
        ),
        (
            "public.get_auth_profile_mismatches()",
            "user_id uuid, audit_email text, auth_email text, status text, audit_created_at timestamptz, user_created_at timestamptz",
        ),
        (
            "public.check_recent_signup_issues()",
            "user_id uuid, email text, action text, created_at timestamptz, has_auth_user bool, has_profile bool, \
             minutes_since_signup numeric",
        ),
        (
            "public.get_user_signup_events(null)",
            "event_id int8, kind text, payload jsonb, created_at timestamptz",
        ),
        (
            "public.monitor_signup_health()",
            "check_time timestamptz, recent_signups_count int8, signups_missing_profiles int8, health_percentage numeric",
        ),
        (
            "public.verify_profile_completeness()",
            "check_name text, status text, count int8, details text",
        ),
        (
            "public.user_events",
            "id int8, user_id uuid, kind text, payload jsonb, created_at timestamptz",
        ),
        (
            "public.backfill_user_profile(null)",
            "backfill_user_profile jsonb",
        ),
        (
            "public.backfill_all_missing_profiles()",
            "backfill_all_missing_profiles jsonb",
        ),
    ] {
        assert_eq!(columns(&client, from).await?.join(", "), expected, "{from}");
    }
    Ok(())
}

#[tokio::test]
async fn every_function_has_the_arguments_it_is_known_for() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let found: Vec<String> = values(
        &client,
        "select p.proname || '(' || pg_get_function_arguments(p.oid) || ') ' || format_type(p.prorettype, null)
         from pg_proc p where p.pronamespace = 'public'::regnamespace order by p.proname collate \"C\"",
    )
    .await?;
    assert_eq!(
        found,
        [
            "backfill_all_missing_profiles(p_batch_size integer DEFAULT 100, p_dry_run boolean DEFAULT true) jsonb",
            "backfill_user_profile(p_user_id uuid, p_email text DEFAULT NULL::text, p_account_type text DEFAULT NULL::text) jsonb",
            "check_recent_signup_issues() record",
            "diagnose_auth_profile_consistency() record",
            "ensure_profile_exists(p_user_id uuid, p_email text DEFAULT NULL::text, p_full_name text DEFAULT NULL::text, p_msisdn text DEFAULT NULL::text, p_profile_type text DEFAULT NULL::text) void",
            "get_auth_profile_mismatches(p_limit integer DEFAULT 100) record",
            "get_user_signup_events(p_user_id uuid) record",
            "handle_new_user() trigger",
            "monitor_signup_health() record",
            "verify_profile_completeness() record",
        ]
    );
    Ok(())
}

/// One user of each state: healthy, without a profile, gone by SQL, gone by an administrator, soft-deleted.
struct Cast {
    project: Project,
    client: Client,
    healthy: Uuid,
    missing: Uuid,
    missing_unlogged: Uuid,
    vanished: Uuid,
    deleted: Uuid,
    soft_deleted: Uuid,
}

async fn cast() -> Result<Cast> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    let kind = SignupKind::EmailAutoconfirm;
    let healthy = auth.sign_up(kind, &Person::numbered(1)).await?;
    let vanished = auth.sign_up(kind, &Person::numbered(2)).await?;
    let deleted = auth.sign_up(kind, &Person::numbered(3)).await?;
    let soft_deleted = auth.sign_up(kind, &Person::numbered(4)).await?;
    auth.sql_delete(vanished).await?;
    auth.hard_delete(deleted).await?;
    auth.soft_delete(soft_deleted).await?;
    project.break_signups().await?;
    let missing = auth.sign_up(kind, &Person::numbered(5)).await?;
    let missing_unlogged = auth
        .sign_up(SignupKind::Anonymous, &Person::default())
        .await?;
    let client = project.connect().await?;
    Ok(Cast {
        project,
        client,
        healthy,
        missing,
        missing_unlogged,
        vanished,
        deleted,
        soft_deleted,
    })
}

#[tokio::test]
async fn the_summary_lists_the_first_signup_event_of_each_user() -> Result<()> {
    let cast = cast().await?;
    let rows: Vec<String> = values(
        &cast.client,
        "select concat_ws(' ', user_id, email, action) from public.signup_audit_summary order by created_at",
    )
    .await?;
    let row = |id: Uuid, number: u32| format!("{id} person{number}@example.com user_signedup");
    assert_eq!(
        rows,
        [
            row(cast.healthy, 1),
            row(cast.vanished, 2),
            row(cast.deleted, 3),
            row(cast.soft_deleted, 4),
            row(cast.missing, 5)
        ]
    );
    Ok(())
}

#[tokio::test]
async fn the_mismatch_view_has_one_row_for_each_user_that_counts() -> Result<()> {
    let cast = cast().await?;
    let rows: Vec<String> = values(
        &cast.client,
        "select concat_ws(' ', user_id, status, audit_email, auth_user_id is not null, auth_email, profile_id is not null, profile_email)
         from public.auth_profile_mismatch order by coalesce(user_created_at, audit_created_at)",
    )
    .await?;
    assert_eq!(
        rows,
        [
            format!(
                "{} healthy person1@example.com t person1@example.com t person1@example.com",
                cast.healthy
            ),
            format!("{} audit_only person2@example.com f f", cast.vanished),
            format!("{} audit_only person3@example.com f f", cast.deleted),
            format!(
                "{} auth_only person5@example.com t person5@example.com f",
                cast.missing
            ),
            format!("{} auth_only t f", cast.missing_unlogged),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn the_diagnosis_counts_users_in_the_known_order() -> Result<()> {
    let cast = cast().await?;
    let rows: Vec<String> = values(
        &cast.client,
        "select status || ' = ' || count from public.diagnose_auth_profile_consistency()",
    )
    .await?;
    assert_eq!(
        rows,
        [
            "Total Signup Audit Entries = 5",
            "Healthy (Auth + Profile) = 1",
            "Auth Only (Missing Profile) = 2",
            "Audit Only (Deleted/Orphaned) = 2",
            "Total auth.users = 4",
            "Total public.profiles = 2",
            "Users without Profiles = 2",
            "Soft-deleted Users = 1",
            "Recorded Deletions = 2",
            "Profiles without Users = 0",
        ]
    );
    let described: bool = value(
        &cast.client,
        "select bool_and(description <> '') from public.diagnose_auth_profile_consistency()",
    )
    .await?;
    ensure!(described);
    Ok(())
}

#[tokio::test]
async fn the_mismatches_are_listed_newest_first_up_to_a_limit() -> Result<()> {
    let cast = cast().await?;
    let list =
        |limit: &str| format!("select user_id from public.get_auth_profile_mismatches({limit})");
    let everyone = [
        cast.missing_unlogged,
        cast.missing,
        cast.deleted,
        cast.vanished,
    ];
    assert_eq!(values::<Uuid>(&cast.client, &list("")).await?, everyone);
    assert_eq!(values::<Uuid>(&cast.client, &list("null")).await?, everyone);
    assert_eq!(
        values::<Uuid>(&cast.client, &list("p_limit => 2")).await?,
        everyone[..2]
    );
    ensure!(values::<Uuid>(&cast.client, &list("0")).await?.is_empty());
    let refused = cast
        .client
        .batch_execute(&list("-1"))
        .await
        .err()
        .context("an error")?;
    ensure!(
        refused
            .as_db_error()
            .is_some_and(|error| error.message() == "rollcall: p_limit must not be negative")
    );
    let default: i64 = {
        cast.project.add_users_without_profile(150).await?;
        value(
            &cast.client,
            "select count(*) from public.get_auth_profile_mismatches()",
        )
        .await?
    };
    assert_eq!(default, 100);
    Ok(())
}

#[tokio::test]
async fn recent_issues_are_the_missing_and_the_vanished() -> Result<()> {
    let cast = cast().await?;
    let rows: Vec<String> = values(
        &cast.client,
        "select concat_ws(' ', user_id, email, action, has_auth_user, has_profile) from public.check_recent_signup_issues()",
    )
    .await?;
    assert_eq!(
        rows,
        [
            format!("{} t f", cast.missing_unlogged),
            format!("{} person5@example.com user_signedup t f", cast.missing),
            format!("{} person2@example.com user_signedup f f", cast.vanished),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_users_events_come_oldest_first_and_outlive_the_user() -> Result<()> {
    let cast = cast().await?;
    for id in [cast.healthy, cast.vanished, cast.deleted, cast.soft_deleted] {
        let kinds: Vec<String> = values(
            &cast.client,
            &format!("select kind from public.get_user_signup_events('{id}')"),
        )
        .await?;
        assert_eq!(kinds, ["auth_user_created", "profile_bootstrap_ok"]);
    }
    cast.client
        .batch_execute(&format!(
            "select public.backfill_user_profile('{}')",
            cast.missing
        ))
        .await?;
    let events: Vec<Value> = values(
        &cast.client,
        &format!(
            "select to_jsonb(e) from public.get_user_signup_events('{}') e",
            cast.missing
        ),
    )
    .await?;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["kind"], "profile_backfilled");
    assert_eq!(
        events[0]["payload"],
        serde_json::json!({"source": "backfill_user_profile"})
    );
    ensure!(events[0]["event_id"].is_i64() && events[0]["created_at"].is_string());
    let nobodys = "select event_id from public.get_user_signup_events(null)";
    ensure!(values::<i64>(&cast.client, nobodys).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn health_is_the_share_of_the_last_hours_signups_with_two_decimals() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    let health = "select concat_ws(' ', recent_signups_count, signups_missing_profiles, health_percentage) from public.monitor_signup_health()";
    assert_eq!(value::<String>(&client, health).await?, "0 0 100.00");
    for number in 1..=3 {
        auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(number))
            .await?;
    }
    assert_eq!(value::<String>(&client, health).await?, "3 0 100.00");
    project.break_signups().await?;
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(4))
        .await?;
    assert_eq!(value::<String>(&client, health).await?, "4 1 75.00");
    ensure!(
        value::<bool>(
            &client,
            "select check_time = now() from public.monitor_signup_health()"
        )
        .await?
    );
    Ok(())
}

#[tokio::test]
async fn health_is_never_rounded_up_to_all() -> Result<()> {
    for (signups, missing, percentage) in [
        (20_001, 1, "99.99"),
        (3, 1, "66.67"),
        (3, 2, "33.33"),
        (1, 1, "0.00"),
    ] {
        let project = Project::migrated().await?;
        let client = project.connect_as_superuser().await?;
        client
            .batch_execute(&format!(
                "begin; set local session_replication_role = replica;
                 insert into auth.users (id, created_at) select gen_random_uuid(), now() from generate_series(1, {signups});
                 insert into public.profiles (id) select id from auth.users offset {missing};
                 commit"
            ))
            .await?;
        let health: String = value(
            &client,
            "select concat_ws(' ', recent_signups_count, signups_missing_profiles, health_percentage) from public.monitor_signup_health()",
        )
        .await?;
        assert_eq!(health, format!("{signups} {missing} {percentage}"));
    }
    Ok(())
}

#[tokio::test]
async fn a_date_in_the_future_or_none_skews_nothing() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(
            "begin; set local session_replication_role = replica;
             insert into auth.users (id, email, created_at, last_sign_in_at) values
               (gen_random_uuid(), 'future@example.com', '2099-01-01', null),
               (gen_random_uuid(), 'never@example.com', 'infinity', null),
               (gen_random_uuid(), 'ever@example.com', '-infinity', null),
               (gen_random_uuid(), 'none@example.com', null, null),
               (gen_random_uuid(), 'back@example.com', now() - interval '3 hours', 'infinity');
             insert into auth.audit_log_entries (id, payload, created_at)
             select gen_random_uuid(), json_build_object('action', 'user_signedup', 'actor_id', id, 'actor_username', email), now() - interval '3 hours'
             from auth.users where email = 'back@example.com';
             commit",
        )
        .await?;
    let health: String = value(
        &client,
        "select concat_ws(' ', recent_signups_count, signups_missing_profiles, health_percentage) from public.monitor_signup_health()",
    )
    .await?;
    assert_eq!(health, "0 0 100.00");
    let recent: Vec<String> = values(
        &client,
        "select email from public.check_recent_signup_issues()",
    )
    .await?;
    assert_eq!(recent, [""; 0]);
    assert_eq!(
        value::<String>(&client, "select rollcall.audit_log_state()").await?,
        "on"
    );
    assert_eq!(
        value::<i64>(
            &client,
            "select count(*) from public.get_auth_profile_mismatches()"
        )
        .await?,
        5
    );

    let answer: Value = value(
        &client,
        "select public.backfill_all_missing_profiles(10, false)",
    )
    .await?;
    assert_eq!(answer["successful"], 5, "{answer}");
    Ok(())
}

#[tokio::test]
async fn the_proof_says_what_passes_and_what_does_not() -> Result<()> {
    let cast = cast().await?;
    let proof = "select concat_ws(' | ', check_name, status, count, details) from public.verify_profile_completeness()";
    assert_eq!(
        values::<String>(&cast.client, proof).await?,
        [
            "Auth users without profiles | FAIL | 2 | 2 users missing profiles",
            "Profiles without auth users | PASS | 0 | 0 profiles orphaned",
            "Email consistency | PASS | 0 | 0 mismatched emails",
        ]
    );
    cast.client
        .batch_execute(
            "select public.backfill_all_missing_profiles(100, false);
             alter table public.profiles drop constraint profiles_id_fkey;
             insert into public.profiles (id) values (gen_random_uuid());
             update public.profiles set email = 'old@example.com' where email = 'person1@example.com'",
        )
        .await?;
    assert_eq!(
        values::<String>(&cast.client, proof).await?,
        [
            "Auth users without profiles | PASS | 0 | 0 users missing profiles",
            "Profiles without auth users | WARNING | 1 | 1 profiles orphaned",
            "Email consistency | WARNING | 1 | 1 mismatched emails",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_backfill_of_all_answers_what_it_did() -> Result<()> {
    let cast = cast().await?;
    cast.client
        .batch_execute(
            "alter table public.profiles add constraint known check (email is not null) not valid",
        )
        .await?;
    let dry: Value = value(
        &cast.client,
        "select public.backfill_all_missing_profiles()",
    )
    .await?;
    assert_eq!(
        dry,
        serde_json::json!({"dry_run": true, "total_missing": 2, "message": "Would backfill 1 profiles", "batch_size": 100, "would_succeed": 1, "would_fail": 1})
    );
    let real: Value = value(
        &cast.client,
        "select public.backfill_all_missing_profiles(p_batch_size => 10, p_dry_run => false)",
    )
    .await?;
    assert_eq!(
        real,
        serde_json::json!({
            "dry_run": false, "total_missing": 2, "processed": 2, "successful": 1, "failed": 1, "remaining": 1,
            "results": [
                {"user_id": cast.missing_unlogged, "success": false, "sqlstate": "23514",
                 "error": "a value does not satisfy a check constraint (constraint known)"},
                {"user_id": cast.missing, "success": true, "action": "backfilled"},
            ]
        })
    );
    Ok(())
}

#[tokio::test]
async fn results_are_bounded() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    project.add_users_without_profile(2_500).await?;
    client.batch_execute("alter table public.profiles add constraint a_constraint_with_a_name_as_long_as_postgresql_lets_it_be_______ check (id is null)").await?;
    let answer: Value = value(
        &client,
        "select public.backfill_all_missing_profiles(2500, false)",
    )
    .await?;
    assert_eq!(
        (&answer["processed"], &answer["failed"]),
        (&2_500.into(), &2_500.into())
    );
    ensure!(
        answer["results"]
            .as_array()
            .is_some_and(|results| results.len() <= 1_000)
    );
    ensure!(
        answer.to_string().len() <= 256 * 1024,
        "{} bytes",
        answer.to_string().len()
    );
    Ok(())
}

#[tokio::test]
async fn a_profile_is_made_for_whoever_asks_as_the_applications_server() -> Result<()> {
    let cast = cast().await?;
    let server = acting_as(&cast.project.database, "service_role", None).await?;
    server
        .batch_execute(&format!(
            "select public.ensure_profile_exists('{}', 'given@example.com', 'Name', '123', 'customer')",
            cast.missing
        ))
        .await?;
    let profile: String = value(
        &server,
        &format!(
            "select email || ' ' || account_type from public.profiles where id = '{}'",
            cast.missing
        ),
    )
    .await?;
    assert_eq!(
        profile, "given@example.com sme",
        "columns that the definition lacks are left out"
    );
    let kinds: Vec<String> = values(
        &server,
        &format!(
            "select kind from public.get_user_signup_events('{}')",
            cast.missing
        ),
    )
    .await?;
    assert_eq!(kinds, ["profile_backfilled"]);
    // for nobody: no error, no profile
    server
        .batch_execute("select public.ensure_profile_exists(gen_random_uuid())")
        .await?;
    assert_eq!(
        value::<i64>(&server, "select count(*) from public.profiles").await?,
        3
    );
    Ok(())
}

#[tokio::test]
async fn the_events_are_of_the_known_kinds() -> Result<()> {
    let cast = cast().await?;
    cast.client
        .batch_execute(
            "alter table public.profiles add constraint known check (email is not null) not valid;
             select public.backfill_all_missing_profiles(10, false)",
        )
        .await?;
    cast.project.fix_signups().await?;
    cast.project
        .auth()
        .await?
        .sign_up(SignupKind::Anonymous, &Person::default())
        .await?;
    let kinds: Vec<String> = values(
        &cast.client,
        "select distinct kind from public.user_events order by kind",
    )
    .await?;
    assert_eq!(
        kinds,
        [
            "auth_user_created",
            "profile_backfill_error",
            "profile_backfilled",
            "profile_bootstrap_error",
            "profile_bootstrap_ok"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_table_of_events_of_the_applications_is_read_and_not_touched() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    let user = Uuid::new_v4();
    client
        .batch_execute(&format!(
            "create table public.user_events (
               id bigint generated always as identity primary key, user_id uuid, kind text, payload jsonb, created_at timestamptz default now());
             insert into public.user_events (user_id, kind, created_at) values ('{user}', 'newsletter', now() - interval '1 day')"
        ))
        .await?;
    project.migrate().await?;
    client
        .batch_execute(
            "select rollcall.create_profile_table(); select rollcall.install_signup_trigger()",
        )
        .await?;
    client
        .batch_execute(&format!(
            "insert into auth.users (id, email) values ('{user}', 'a@example.com')"
        ))
        .await?;
    let kinds: Vec<String> = values(
        &client,
        &format!("select kind from public.get_user_signup_events('{user}')"),
    )
    .await?;
    assert_eq!(
        kinds,
        ["newsletter", "auth_user_created", "profile_bootstrap_ok"]
    );
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.user_events").await?,
        1
    );
    Ok(())
}

/// `create or replace` keeps the comment that says whose the function was.
#[tokio::test]
async fn a_function_that_the_application_deploys_over_one_of_these_stays_its_own() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create or replace function public.monitor_signup_health()
             returns table (check_time timestamptz, recent_signups_count bigint, signups_missing_profiles bigint, health_percentage numeric)
             language sql as 'select now(), 7::bigint, 0::bigint, 100.0'",
        )
        .await?;
    project.upgrade().await?;
    assert_eq!(
        value::<i64>(
            &client,
            "select recent_signups_count from public.monitor_signup_health()"
        )
        .await?,
        7
    );
    Ok(())
}
