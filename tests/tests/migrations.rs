//! Applying the migrations, by whichever tool and onto whatever is there, and taking them back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::events;
use rollcall::error::Error;
use rollcall::migrations::{self, Applied, Extent, Migration};
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{acting_as, catalog, contents, difference, refusal, value, values};
use tokio::time::timeout;
use tokio_postgres::Client;

/// The seed's `public.profiles` as these migrations make it, for projects that have one of their own already.
const USUAL_PROFILES: &str = "
    create table public.profiles (
      id uuid primary key references auth.users (id) on delete cascade,
      email text,
      created_at timestamptz not null default now()
    );
    alter table public.profiles enable row level security;";

/// What takes longer waits for ever.
const HANG: Duration = Duration::from_secs(60);

/// What counts and lists, some of it.
const DIAGNOSTICS: [&str; 6] = [
    "public.diagnose_auth_profile_consistency",
    "public.signup_audit_summary",
    "public.verify_profile_completeness",
    "rollcall.census",
    "rollcall.schema_version",
    "rollcall.audit_event",
];

async fn roll_back(project: &Project, extent: Extent) -> Result<()> {
    Ok(migrations::roll_back(&mut project.rollcall().await?, extent).await?)
}

async fn migrate_again(project: &Project) -> Result<Vec<Migration>> {
    Ok(migrations::apply(&mut project.rollcall().await?, true)
        .await?
        .migrations)
}

/// The files in the order of their names, with their text.
fn files() -> Result<Vec<(String, String)>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            let name = path.file_stem().context("a name")?.to_string_lossy();
            files.push((name.into_owned(), std::fs::read_to_string(&path)?));
        }
    }
    files.sort();
    ensure!(files.len() == migrations::ALL.len(), "{}", files.len());
    Ok(files)
}

/// As `psql -1 -f` does it.
async fn run_as_one_transaction(client: &Client, sql: &str) -> Result<()> {
    client
        .batch_execute(&format!("begin;\n{sql}\n;commit"))
        .await?;
    Ok(())
}

async fn run_files(client: &Client) -> Result<()> {
    for (name, sql) in files()? {
        run_as_one_transaction(client, &sql)
            .await
            .with_context(|| name)?;
    }
    Ok(())
}

async fn statement_error(project: &Project) -> Result<(String, String, String)> {
    match migrations::apply(&mut project.rollcall().await?, false).await {
        Err(Error::Statement {
            sqlstate,
            message,
            hint,
        }) => Ok((sqlstate, message, hint.unwrap_or_default())),
        other => anyhow::bail!("{other:?}"),
    }
}

/// Signs up with and without an e-mail address; both must succeed.
async fn sign_up_twice(project: &Project) -> Result<()> {
    let mut auth = project.auth().await?;
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    auth.sign_up(SignupKind::Anonymous, &Person::default())
        .await?;
    Ok(())
}

// Applying ------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn plain_files_and_the_program_make_the_same_objects() -> Result<()> {
    let (by_program, by_hand) = (
        Project::migrated().await?,
        Project::without_rollcall().await?,
    );
    let client = by_hand.connect().await?;
    ensure!(
        !value::<bool>(
            &client,
            "select rolsuper from pg_roles where rolname = current_user"
        )
        .await?
    );
    run_files(&client).await?;
    let expected = catalog(&by_program.connect().await?).await?;
    assert_eq!(difference(&expected, &catalog(&client).await?), [""; 0]);
    ensure!(expected.len() > 200, "the dump is blind");
    Ok(())
}

#[tokio::test]
async fn every_file_can_be_run_a_second_time() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    for (name, sql) in files()? {
        run_as_one_transaction(&client, &sql).await?;
        let before = catalog(&client).await?;
        run_as_one_transaction(&client, &sql)
            .await
            .with_context(|| name.clone())?;
        assert_eq!(
            difference(&before, &catalog(&client).await?),
            [""; 0],
            "{name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn any_file_can_be_run_again_with_those_that_came_after_it() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    sign_up_twice(&project).await?;
    let (objects, rows) = (catalog(&client).await?, contents(&client).await?);
    let files = files()?;
    for first in 0..files.len() {
        for (name, sql) in &files[first..] {
            run_as_one_transaction(&client, sql)
                .await
                .with_context(|| name.clone())?;
        }
        assert_eq!(
            difference(&objects, &catalog(&client).await?),
            [""; 0],
            "{}",
            files[first].0
        );
    }
    assert_eq!(migrate_again(&project).await?, migrations::ALL);
    assert_eq!(difference(&objects, &catalog(&client).await?), [""; 0]);
    assert_eq!(difference(&rows, &contents(&client).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn the_history_is_the_one_that_the_supabase_cli_keeps() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let columns: Vec<String> = values(
        &client,
        "select attname || ' ' || format_type(atttypid, null) || case when attnotnull then ' not null' else '' end
         from pg_attribute where attrelid = 'supabase_migrations.schema_migrations'::regclass and attnum > 0 order by attnum",
    )
    .await?;
    assert_eq!(
        columns,
        ["version text not null", "statements text[]", "name text"]
    );

    let entries: Vec<String> = values(
        &client,
        "select version || '_' || name from supabase_migrations.schema_migrations order by version",
    )
    .await?;
    let names: Vec<String> = files()?.into_iter().map(|(name, _)| name).collect();
    assert_eq!(entries, names);
    let texts: Vec<String> = values(
        &client,
        "select array_to_string(statements, '') from supabase_migrations.schema_migrations order by version",
    )
    .await?;
    let files: Vec<String> = files()?.into_iter().map(|(_, sql)| sql).collect();
    assert_eq!(texts, files);
    Ok(())
}

#[tokio::test]
async fn what_the_supabase_cli_applied_is_not_applied_again() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    let (name, sql) = files()?.swap_remove(0);
    run_as_one_transaction(&client, &sql).await?;
    // the table of an older CLI, which kept the version only
    client
        .batch_execute(&format!(
            "create schema supabase_migrations;
             create table supabase_migrations.schema_migrations (version text not null primary key);
             insert into supabase_migrations.schema_migrations values ('20240101000000'), ('{}')",
            &name[..14]
        ))
        .await?;

    let mut database = project.rollcall().await?;
    assert_eq!(migrations::applied(&mut database).await?, [&name[..14]]);
    assert_eq!(
        migrations::apply(&mut database, false).await?.migrations,
        migrations::ALL[1..]
    );
    assert_eq!(
        migrations::apply(&mut database, false).await?,
        Applied::default()
    );
    assert_eq!(
        migrations::applied(&mut database).await?.len(),
        migrations::ALL.len()
    );
    let entries: i64 = value(
        &client,
        "select count(*) from supabase_migrations.schema_migrations",
    )
    .await?;
    assert_eq!(
        entries,
        i64::try_from(migrations::ALL.len())? + 1,
        "with the application's own"
    );
    Ok(())
}

#[tokio::test]
async fn a_migration_that_fails_leaves_those_before_it_and_nothing_of_itself() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute("create table public.user_events (id bigint, what text)")
        .await?;
    let (_, message, hint) = statement_error(&project).await?;
    ensure!(
        message.starts_with("public.user_events is a table of another kind"),
        "{message}"
    );
    ensure!(hint.contains("Rename the table"), "{hint}");
    let mut database = project.rollcall().await?;
    assert_eq!(
        migrations::applied(&mut database).await?,
        [migrations::ALL[0].version]
    );
    ensure!(
        value::<bool>(
            &client,
            "select to_regclass('rollcall.repair_failure') is null"
        )
        .await?
    );

    client
        .batch_execute("alter table public.user_events rename to things")
        .await?;
    assert_eq!(
        migrations::apply(&mut database, false).await?.migrations,
        migrations::ALL[1..]
    );
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_no_supabase_project_is_refused() -> Result<()> {
    let project = Project::without_rollcall().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("drop schema auth cascade")
        .await?;
    let client = project.connect().await?;
    let before = catalog(&client).await?;
    for again in [false, true] {
        let error = migrations::apply(&mut project.rollcall().await?, again)
            .await
            .err()
            .context("a refusal")?;
        assert_eq!(error.id(), "not_supabase");
    }
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_database_that_a_newer_program_migrated_is_refused() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create or replace function rollcall.schema_version() returns text
             language sql immutable set search_path = '' as $$ select '20991231235959' $$;
             comment on function rollcall.count_missing is 'Newer.'",
        )
        .await?;
    let before = catalog(&client).await?;
    for again in [false, true] {
        let error = migrations::apply(&mut project.rollcall().await?, again)
            .await
            .err()
            .context("a refusal")?;
        assert_eq!(error.id(), "other_version");
        ensure!(error.next_step().contains("Update this program"), "{error}");
    }
    // nor rolled back: the newer migrations would stay in the history without their objects
    for extent in [Extent::Diagnostics, Extent::Everything] {
        let error = migrations::roll_back(&mut project.rollcall().await?, extent)
            .await
            .err()
            .context("a refusal")?;
        assert_eq!(error.id(), "other_version");
    }
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn what_is_up_to_date_is_migrated_again_without_a_lock_that_a_signup_waits_for() -> Result<()>
{
    for application in [
        "",
        USUAL_PROFILES,
        // every way to put our trigger
        &format!("{USUAL_PROFILES} {OWN_SIGNUP}"),
        &format!("{USUAL_PROFILES} {OWN_SIGNUP} create trigger also after update on auth.users for each row execute function public.handle_new_user()"),
        &format!("{USUAL_PROFILES} {OWN_SIGNUP} alter trigger on_auth_user_created on auth.users rename to on_signup"),
        &format!("{USUAL_PROFILES} {OWN_SIGNUP} drop trigger on_auth_user_created on auth.users;
                  create constraint trigger a after insert on auth.users deferrable initially deferred for each row execute function public.handle_new_user()"),
    ] {
        let project = Project::without_rollcall().await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute(application)
            .await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute("do $$ declare f regprocedure; begin
                for f in select oid from pg_proc where pronamespace = 'public'::regnamespace and proname in ('handle_new_user', 'ensure_profile_exists')
                loop execute format('alter function %s owner to postgres', f); end loop;
                if to_regclass('public.profiles') is not null then alter table public.profiles owner to postgres; end if; end $$")
            .await?;
        let client = project.connect().await?;
        // once more for what the first run displaced
        for _ in 1..=2 {
            for (_, sql) in files()? {
                run_as_one_transaction(&client, &sql).await?;
            }
        }
        for (name, sql) in files()? {
            client.batch_execute(&format!("begin; {sql}")).await?;
            let locks: Vec<String> = values(
                &client,
                "select relation::regclass || ' ' || mode from pg_locks
                 where pid = pg_backend_pid() and relation in ('auth.users'::regclass, 'public.user_events'::regclass, rollcall.profile_table())
                   and mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')",
            )
            .await?;
            client.batch_execute("commit").await?;
            assert_eq!(locks, [""; 0], "{name} after {application}");
        }
    }
    Ok(())
}

/// Migrates while somebody holds `auth.users`, and signs up meanwhile.
async fn migrate_behind_an_open_update(project: &Project, again: bool) -> Result<()> {
    let holder = project.connect_as_superuser().await?;
    let mut auth = project.auth().await?;
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(100))
        .await?;
    holder
        .batch_execute("begin; update auth.users set last_sign_in_at = now()")
        .await?;
    let mut database = project.rollcall().await?;
    let signups = async {
        // all of them while the transaction is open: none waits for its end
        for number in 1..=12 {
            auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(number))
                .await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        holder.batch_execute("commit").await?;
        anyhow::Ok(())
    };
    let both = async { tokio::join!(migrations::apply(&mut database, again), signups) };
    let (migrated, signed_up) = timeout(HANG, both)
        .await
        .context("a signup waits for the migration")?;
    migrated?;
    signed_up?;
    assert_eq!(
        migrations::applied(&mut database).await?.len(),
        migrations::ALL.len()
    );
    let client = project.connect().await?;
    assert_eq!(
        value::<String>(&client, "select rollcall.signup_trigger_state()").await?,
        "in_place"
    );
    Ok(())
}

#[tokio::test]
async fn a_first_migration_behind_an_open_transaction_lets_signups_through() -> Result<()> {
    migrate_behind_an_open_update(&Project::without_rollcall().await?, false).await
}

#[tokio::test]
async fn another_migration_behind_an_open_transaction_lets_signups_through() -> Result<()> {
    let project = Project::migrated().await?;
    migrate_behind_an_open_update(&project, true).await?;
    // also where the trigger has to be made anew
    let project = Project::migrated().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("drop trigger on_auth_user_created on auth.users")
        .await?;
    migrate_behind_an_open_update(&project, true).await
}

#[tokio::test]
async fn every_script_bounds_the_wait_for_a_lock_by_itself() -> Result<()> {
    let holding = "begin; lock table auth.users in row exclusive mode";
    let project = Project::without_rollcall().await?;
    let (client, holder) = (
        project.connect().await?,
        project.connect_as_superuser().await?,
    );
    holder.batch_execute(holding).await?;
    let mut waited = 0;
    for (name, sql) in files()? {
        let refused = timeout(HANG, refusal(&client, &format!("begin; {sql}; commit"))).await;
        if let Some(code) = refused.context(name.clone())? {
            assert_eq!(code, "55P03", "{name}");
            waited += 1;
            holder.batch_execute("rollback").await?;
            client.batch_execute("rollback").await?;
            run_as_one_transaction(&client, &sql).await?;
            holder.batch_execute(holding).await?;
        }
    }
    assert_eq!(waited, 2, "the table that refers to it, and the trigger");
    let everything = include_str!("../../migrations/rollback/everything.sql");
    let refused = timeout(
        HANG,
        refusal(&client, &format!("begin; {everything}; commit")),
    )
    .await;
    let code = refused.context("the rollback waits for ever")?;
    assert_eq!(code.as_deref(), Some("55P03"));
    client.batch_execute("rollback").await?;
    holder.batch_execute("rollback").await?;
    run_as_one_transaction(&client, everything).await
}

// Onto a profiles table of one's own -----------------------------------------------------------------------------------

/// Applies the migrations onto a project with a `profiles` table of its own and one user in it, asserts that neither
/// the table nor the row changed, and that signups of every kind but duplicate addresses get a profile.
async fn keep_and_fill(table: &str, key: &str, row: &str) -> Result<Project> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(table).await?;
    let mut auth = project.auth().await?;
    let first = auth
        .sign_up(SignupKind::AdminCreate, &Person::numbered(9_999))
        .await?;
    client
        .batch_execute(&row.replace("FIRST", &first.to_string()))
        .await?;
    let rows_before: Vec<String> = values(&client, "select p::text from public.profiles p").await?;
    ensure!(rows_before.len() == 1);
    let about_profiles = |lines: Vec<String>| -> Vec<String> {
        lines
            .into_iter()
            .filter(|line| line.contains("profiles") && !line.contains("rollcall"))
            .filter(|line| !line.contains("function owner") && !line.starts_with("right on "))
            .collect()
    };
    let rights =
        "select coalesce(relacl::text, '') from pg_class where oid = 'public.profiles'::regclass";
    let before = about_profiles(catalog(&client).await?);
    let rights_before: String = value(&client, rights).await?;
    ensure!(before.len() > 3, "{before:?}");

    project.migrate().await?;
    assert_eq!(
        difference(&before, &about_profiles(catalog(&client).await?)),
        [""; 0]
    );
    assert_eq!(value::<String>(&client, rights).await?, rights_before);
    assert_eq!(
        values::<String>(&client, "select p::text from public.profiles p").await?,
        rows_before
    );

    for (number, kind) in (1..).zip(SignupKind::ALL) {
        let id = auth.sign_up(kind, &Person::numbered(number)).await?;
        let profiles = format!("select count(*) from public.profiles where {key}::text = '{id}'");
        let events = format!(
            "select coalesce(string_agg(kind || payload, ', '), '') from public.user_events where user_id = '{id}'"
        );
        let said: String = value(&client, &events).await?;
        assert_eq!(
            value::<i64>(&client, &profiles).await?,
            1,
            "{kind:?}: {said}"
        );
    }
    let one_by_hand = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(9_998))
        .await?;
    client
        .batch_execute(&format!(
            "delete from public.profiles where {key}::text = '{one_by_hand}'"
        ))
        .await?;
    let answer: serde_json::Value = value(
        &client,
        "select public.backfill_all_missing_profiles(100, false)",
    )
    .await?;
    assert_eq!(
        (&answer["failed"], &answer["successful"]),
        (&0.into(), &1.into()),
        "{answer}"
    );
    assert_eq!(
        value::<i64>(&client, "select rollcall.count_missing()").await?,
        0
    );
    Ok(project)
}

#[tokio::test]
async fn a_table_with_required_unique_address_and_names_is_filled() -> Result<()> {
    let project = keep_and_fill(
        "create table public.profiles (
           id uuid primary key references auth.users (id) on delete cascade,
           email text not null unique,
           username varchar(60) not null unique,
           full_name text not null,
           avatar_url text,
           created_at timestamptz not null,
           updated_at timestamptz default now()
         )",
        "id",
        "insert into public.profiles values ('FIRST', 'a@example.com', 'ada', 'Ada', null, now(), null)",
    )
    .await?;
    let client = project.connect().await?;
    let names: Vec<String> = values(
        &client,
        "select p.full_name from public.profiles p join auth.users u using (id) where u.email = 'person1@example.com'",
    )
    .await?;
    assert_eq!(names, ["Person 1"]);
    let placeholders: i64 = value(
        &client,
        "select count(*) from public.profiles p join auth.users u using (id)
         where u.email is null and p.email = 'missing-email-' || u.id || '@example.invalid'",
    )
    .await?;
    assert_eq!(placeholders, 4, "phone (2), wallet, anonymous");
    Ok(())
}

#[tokio::test]
async fn a_table_with_a_text_key_is_filled() -> Result<()> {
    let project = keep_and_fill(
        "create table public.profiles (user_id text primary key, email varchar(255), bio text)",
        "user_id",
        "insert into public.profiles values ('FIRST', null, 'a life')",
    )
    .await?;
    let client = project.connect().await?;
    client
        .batch_execute("insert into public.profiles (user_id) values ('no uuid'), ('')")
        .await?;
    assert_eq!(
        value::<i64>(&client, "select orphaned from rollcall.census()").await?,
        2
    );
    assert_eq!(
        value::<i64>(&client, "select missing from rollcall.census()").await?,
        0
    );

    // a key in capitals is the same user's
    client
        .batch_execute(
            "update public.profiles set user_id = upper(user_id);
             select public.ensure_profile_exists(id), public.backfill_user_profile(id) from auth.users",
        )
        .await?;
    assert_eq!(
        value::<i64>(&client, "select missing from rollcall.census()").await?,
        0
    );
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.profiles").await?,
        value::<i64>(&client, "select count(*) + 2 from auth.users").await?
    );
    Ok(())
}

#[tokio::test]
async fn a_table_with_an_enum_gets_no_privilege_from_a_signup() -> Result<()> {
    let project = keep_and_fill(
        "create type public.account_type_enum as enum ('SME', 'INVESTOR', 'PARTNER', 'ADMIN', 'government');
         create table public.profiles (
           id uuid primary key references auth.users (id) on delete cascade,
           email text,
           account_type public.account_type_enum not null
         )",
        "id",
        "insert into public.profiles values ('FIRST', null, 'ADMIN')",
    )
    .await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    for (number, wish, given) in [
        (101, "INVESTOR", "INVESTOR"),
        (102, "investor", "INVESTOR"),
        (103, "ADMIN", "SME"),
        (104, "admin", "SME"),
        (105, "government", "SME"),
        (106, "nonsense", "SME"),
    ] {
        let person = Person::numbered(number).with_metadata("account_type", wish.into());
        let id = auth.sign_up(SignupKind::EmailAutoconfirm, &person).await?;
        let got: String = value(
            &client,
            &format!("select account_type::text from public.profiles where id = '{id}'"),
        )
        .await?;
        assert_eq!(got, given, "{wish}");
    }
    Ok(())
}

#[tokio::test]
async fn a_role_column_keeps_its_default_whatever_a_signup_asks_for() -> Result<()> {
    let project = keep_and_fill(
        "create table public.profiles (
           id uuid primary key references auth.users (id) on delete cascade,
           email text,
           role text not null default 'member',
           is_admin boolean not null default false,
           account_type text not null default 'free' check (account_type in ('free', 'paid')),
           user_type text not null default 'basic'
         )",
        "id",
        "insert into public.profiles (id, role) values ('FIRST', 'admin')",
    )
    .await?;
    let client = project.connect().await?;
    let mut person = Person::numbered(200);
    for (key, wish) in [
        ("role", "admin"),
        ("is_admin", "true"),
        ("account_type", "paid"),
        ("user_type", "sme"),
    ] {
        person = person.with_metadata(key, wish.into());
    }
    let id = project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &person)
        .await?;
    let got: String = value(
        &client,
        &format!("select concat_ws(' ', role, is_admin, account_type, user_type) from public.profiles where id = '{id}'"),
    )
    .await?;
    assert_eq!(got, "member f free basic");
    Ok(())
}

#[tokio::test]
async fn a_table_that_numbers_its_rows_is_filled_by_its_reference_to_the_user() -> Result<()> {
    let project = keep_and_fill(
        "create table public.profiles (
           id bigserial primary key,
           public_id uuid not null unique default gen_random_uuid(),
           user_id uuid not null unique references auth.users (id) on delete cascade,
           email text
         )",
        "user_id",
        "insert into public.profiles (user_id) values ('FIRST')",
    )
    .await?;
    let client = project.connect().await?;
    assert_eq!(
        value::<String>(&client, "select rollcall.profile_key()::text").await?,
        "user_id"
    );
    Ok(())
}

#[tokio::test]
async fn a_column_that_nothing_can_fill_is_named_and_signups_go_on() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create table public.profiles (id uuid primary key references auth.users (id), tenant_id bigint not null)",
        )
        .await?;
    project.migrate().await?;
    sign_up_twice(&project).await?;
    let unfilled: Vec<String> =
        values(&client, "select c::text from rollcall.unfilled_columns() c").await?;
    assert_eq!(unfilled, ["tenant_id"]);
    let reasons: Vec<String> = values(
        &client,
        "select distinct sqlstate || ' ' || column_name from rollcall.recent_errors(10)",
    )
    .await?;
    assert_eq!(reasons, ["23502 tenant_id"]);
    assert_eq!(
        value::<i64>(&client, "select rollcall.count_missing()").await?,
        2
    );
    Ok(())
}

async fn refused_without_a_trace(table: &str) -> Result<(String, String)> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(table).await?;
    let (objects, rows) = (catalog(&client).await?, contents(&client).await?);
    let (_, message, hint) = statement_error(&project).await?;
    assert_eq!(difference(&objects, &catalog(&client).await?), [""; 0]);
    assert_eq!(difference(&rows, &contents(&client).await?), [""; 0]);
    sign_up_twice(&project).await?;
    Ok((message, hint))
}

#[tokio::test]
async fn a_table_without_a_usable_key_is_refused_and_nothing_changes() -> Result<()> {
    for table in [
        "create table public.profiles (email text primary key, name text)",
        "create table public.profiles (id uuid, email text)",
        "create table public.profiles (id bigserial primary key, user_id uuid)",
        "create table public.profiles (id uuid, org uuid, primary key (id, org))",
        "create table public.profiles (id uuid); create unique index on public.profiles (id) where id is not null",
        "create table public.profiles (id uuid unique deferrable)",
    ] {
        let (message, hint) = refused_without_a_trace(table).await.context(table)?;
        assert_eq!(
            message, "public.profiles has no column that can hold a user's id",
            "{table}"
        );
        ensure!(hint.contains("unique (user_id)"), "{hint}");
    }
    Ok(())
}

#[tokio::test]
async fn a_view_in_the_place_of_the_table_is_refused_and_nothing_changes() -> Result<()> {
    let (message, hint) = refused_without_a_trace(
        "create table public.members (id uuid primary key, email text);
         create view public.profiles as select id, email from public.members",
    )
    .await?;
    assert_eq!(message, "public.profiles is not a table");
    ensure!(hint.contains("as _profile"), "{hint}");
    Ok(())
}

// The definition is the team's -----------------------------------------------------------------------------------------

#[tokio::test]
async fn an_edited_definition_survives_every_migration() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "drop view rollcall.expected_profile;
             create view rollcall.expected_profile as
             select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text
             from auth.users u where u.deleted_at is null and not u.is_anonymous",
        )
        .await?;
    migrate_again(&project).await?;
    sign_up_twice(&project).await?;
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.profiles").await?,
        1
    );
    assert_eq!(
        value::<i64>(&client, "select rollcall.count_missing()").await?,
        0
    );
    assert_eq!(
        value::<String>(&client, "select account_type from public.profiles").await?,
        "sme"
    );
    for function in [
        "diagnose_auth_profile_consistency()",
        "verify_profile_completeness()",
        "monitor_signup_health()",
        "check_recent_signup_issues()",
        "get_auth_profile_mismatches()",
    ] {
        client
            .batch_execute(&format!("select * from public.{function}"))
            .await
            .context(function)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_definition_of_key_alone_is_enough() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "drop view rollcall.expected_profile;
             create view rollcall.expected_profile as
             select id as _user_id, created_at as _signed_up_at, id from auth.users where deleted_at is null",
        )
        .await?;
    sign_up_twice(&project).await?;
    assert_eq!(
        value::<i64>(&client, "select healthy from rollcall.census()").await?,
        2
    );
    let emails: String = value(
        &client,
        "select status || ' ' || details from public.verify_profile_completeness() where check_name = 'Email consistency'",
    )
    .await?;
    assert_eq!(emails, "PASS not applicable: the profiles have no e-mail");
    Ok(())
}

#[tokio::test]
async fn a_definition_that_does_not_fit_is_an_error_with_a_hint_and_never_a_blocked_signup()
-> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "drop view rollcall.expected_profile;
             create view rollcall.expected_profile as
             select id as _user_id, created_at as _signed_up_at, id, email::text as e_mail from auth.users",
        )
        .await?;
    sign_up_twice(&project).await?;
    assert_eq!(
        value::<i64>(&client, "select rollcall.count_missing()").await?,
        2
    );
    let error = client
        .batch_execute("select rollcall.repair_users(array[gen_random_uuid()], 'test')")
        .await
        .err()
        .context("an error")?;
    let error = error.as_db_error().context("of the database")?;
    assert_eq!(
        error.message(),
        "rollcall: rollcall.expected_profile does not fit the table public.profiles"
    );
    ensure!(
        error
            .detail()
            .is_some_and(|detail| detail.contains("e_mail")),
        "{error:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_table_under_another_name_is_adopted() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            r#"create schema "My App";
               create table "My App".members (
                 "User Id" text primary key, email text, created_at timestamp not null default now());
               drop view rollcall.expected_profile;
               create view rollcall.expected_profile as
               select u.id as _user_id, u.created_at as _signed_up_at, null::"My App".members as _profile,
                 u.id::text as "User Id", u.email::text as email
               from auth.users u where u.deleted_at is null;
               select rollcall.adopt_profile_table()"#,
        )
        .await
        .err()
        .context("a unique text column is a key by its name only")?;
    client
        .batch_execute(
            "drop view if exists rollcall.expected_profile;
             create table public.members (user_id text primary key, email text, created_at timestamp not null default now());
             create view rollcall.expected_profile as
             select u.id as _user_id, u.created_at as _signed_up_at, null::public.members as _profile,
               u.id::text as user_id, u.email::text as email
             from auth.users u where u.deleted_at is null;
             select rollcall.adopt_profile_table()",
        )
        .await?;
    sign_up_twice(&project).await?;
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.members").await?,
        2
    );
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.profiles").await?,
        0
    );
    assert_eq!(
        value::<i64>(&client, "select healthy from rollcall.census()").await?,
        2
    );

    migrate_again(&project).await?;
    assert_eq!(
        value::<i64>(&client, "select healthy from rollcall.census()").await?,
        2
    );
    Ok(())
}

// What is in the way ---------------------------------------------------------------------------------------------------

const OWN_SIGNUP: &str = "
    create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = public as $$
    begin
      insert into profiles (id, email) values (new.id, new.email);
      return new;
    end $$;
    comment on function public.handle_new_user() is 'Ours.';
    revoke all on function public.handle_new_user() from public, anon, authenticated;
    create function public.ensure_profile_exists(p_user_id uuid, p_email text, p_full_name text, p_msisdn text, p_profile_type text default 'customer')
    returns void language sql security definer set search_path = public as $$
      insert into profiles (id, email) values (p_user_id, p_email) $$;
    revoke all on function public.ensure_profile_exists(uuid, text, text, text, text) from public, anon, authenticated;
    create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();";

#[tokio::test]
async fn a_trigger_of_the_application_is_displaced_and_given_back_as_it_was() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(USUAL_PROFILES).await?;
    client.batch_execute(OWN_SIGNUP).await?;
    let before = catalog(&client).await?;

    project.migrate().await?;
    migrate_again(&project).await?;
    sign_up_twice(&project).await?;
    assert_eq!(
        values::<String>(
            &client,
            "select object from rollcall.displaced order by object"
        )
        .await?,
        [
            "function public.ensure_profile_exists(uuid,text,text,text,text)",
            "function public.handle_new_user()",
            "trigger on_auth_user_created on auth.users",
        ],
    );
    assert_eq!(
        value::<i64>(
            &client,
            "select count(*) from public.user_events where kind = 'profile_bootstrap_ok'"
        )
        .await?,
        2
    );

    roll_back(&project, Extent::Everything).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    sign_up_again(&project).await?;
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.profiles").await?,
        3
    );
    Ok(())
}

async fn sign_up_again(project: &Project) -> Result<()> {
    let mut auth = project.auth().await?;
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(77))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_trigger_under_our_name_with_a_function_of_another_name_is_given_back() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(USUAL_PROFILES).await?;
    client
        .batch_execute(
            "create schema app;
             create function app.make_profile() returns trigger language plpgsql security definer set search_path = '' as $$
             begin insert into public.profiles (id) values (new.id); return new; end $$;
             create trigger on_auth_user_created after insert on auth.users for each row
               when (new.email is not null) execute function app.make_profile()",
        )
        .await?;
    let before = catalog(&client).await?;
    project.migrate().await?;
    sign_up_twice(&project).await?;
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.profiles").await?,
        2
    );
    roll_back(&project, Extent::Everything).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_trigger_of_the_application_under_another_name_is_not_broken() -> Result<()> {
    for name in [
        "a_first",
        "on_auth_user_created_2",
        "on_signup",
        "zzz_zzz",
        "zzzz_last",
        "~last",
    ] {
        let project = Project::without_rollcall().await?;
        let client = project.connect().await?;
        client.batch_execute(USUAL_PROFILES).await?;
        client
            .batch_execute(&format!(
                "create function public.make_profile() returns trigger language plpgsql security definer set search_path = '' as $$
                 begin insert into public.profiles (id, email) values (new.id, 'theirs'); return new; end $$;
                 create trigger \"{name}\" after insert on auth.users for each row execute function public.make_profile()"
            ))
            .await?;
        let before = catalog(&client).await?;
        project.migrate().await?;
        migrate_again(&project).await?;
        sign_up_twice(&project)
            .await
            .with_context(|| name.to_owned())?;
        assert_eq!(
            value::<i64>(
                &client,
                "select count(*) from public.profiles where email = 'theirs'"
            )
            .await?,
            2,
            "{name}"
        );
        roll_back(&project, Extent::Everything).await?;
        assert_eq!(
            difference(&before, &catalog(&client).await?),
            [""; 0],
            "{name}"
        );
        sign_up_again(&project).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_second_trigger_on_the_applications_function_is_given_back_with_it() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(USUAL_PROFILES).await?;
    client
        .batch_execute(
            "create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
             begin insert into public.profiles (id) values (new.id) on conflict do nothing; return new; end $$;
             create trigger on_signup after insert on auth.users for each row execute function public.handle_new_user()",
        )
        .await?;
    let before = catalog(&client).await?;
    project.migrate().await?;
    sign_up_twice(&project).await?;
    assert_eq!(
        value::<i64>(&client, "select healthy from rollcall.census()").await?,
        2
    );
    let twice: i64 = value(
        &client,
        "select count(*) from (select from public.user_events group by user_id, kind having count(*) > 1) e",
    )
    .await?;
    assert_eq!(twice, 0);
    roll_back(&project, Extent::Everything).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    Ok(())
}

/// What an earlier implementation left behind, with its flaws.
const EARLIER: &str = "
    create type public.account_type_enum as enum ('SME', 'INVESTOR', 'ADMIN');
    create table public.profiles (
      id uuid primary key references auth.users (id) on delete cascade,
      email text not null, account_type public.account_type_enum not null default 'SME',
      created_at timestamptz default now(), updated_at timestamptz default now());
    create unique index profiles_email_key on public.profiles (email);
    create table public.user_events (
      id bigserial primary key, user_id uuid references auth.users (id) on delete cascade,
      kind text not null, payload jsonb, created_at timestamptz default timezone('utc', now()));
    alter table public.user_events enable row level security;
    create policy user_events_select_owner on public.user_events for select using (auth.uid() = user_id);
    create policy user_events_insert_owner on public.user_events for insert with check (auth.uid() = user_id);
    create policy user_events_all_service_role on public.user_events for all using (true) with check (true);
    create index idx_user_events_kind_created_at on public.user_events (kind, created_at desc);
    create view public.signup_audit_summary as
      select distinct null::uuid as user_id, ''::text as email, ''::text as action, now() as created_at;
    create view public.auth_profile_mismatch as
      select s.user_id, s.email as audit_email, s.action, s.created_at as audit_created_at, u.id as auth_user_id,
        u.email as auth_email, u.created_at as user_created_at, p.id as profile_id, p.email as profile_email,
        p.created_at as profile_created_at, 'unknown'::text as status
      from public.signup_audit_summary s left join auth.users u on u.id = s.user_id left join public.profiles p on p.id = u.id;
    create function public.get_auth_profile_mismatches(p_limit integer default 100)
      returns table (user_id uuid, audit_email text, auth_email text, status text, audit_created_at timestamptz, user_created_at timestamptz)
      language plpgsql security definer as $$ begin return query select m.user_id, m.audit_email, m.auth_email, m.status,
        m.audit_created_at, m.user_created_at from public.auth_profile_mismatch m; end $$;
    create function public.diagnose_auth_profile_consistency() returns table (status text, count bigint, description text)
      language plpgsql security definer as $$ begin return query select status, 1::bigint, '' from public.auth_profile_mismatch; end $$;
    create function public.check_recent_signup_issues()
      returns table (user_id uuid, email text, action text, created_at timestamptz, has_auth_user boolean, has_profile boolean, minutes_since_signup numeric)
      language plpgsql security definer as $$ begin return; end $$;
    create function public.get_user_signup_events(p_user_id uuid) returns table (event_id bigint, kind text, payload jsonb, created_at timestamptz)
      language plpgsql security definer as $$ begin return; end $$;
    create function public.monitor_signup_health()
      returns table (check_time timestamptz, recent_signups_count bigint, signups_missing_profiles bigint, health_percentage numeric)
      language plpgsql security definer as $$ begin return; end $$;
    create function public.verify_profile_completeness() returns table (check_name text, status text, count bigint, details text)
      language plpgsql security definer as $$ begin return; end $$;
    create function public.log_user_event(p_user_id uuid, p_kind text, p_payload jsonb default null) returns void
      language plpgsql security definer as $$ begin
        insert into public.user_events (user_id, kind, payload) values (p_user_id, p_kind, p_payload); end $$;
    create function public.ensure_profile_exists(p_user_id uuid, p_email text, p_full_name text, p_msisdn text, p_profile_type text default 'customer')
      returns void language plpgsql security definer as $$ begin
        insert into public.profiles (id, email, msisdn) values (p_user_id, p_email, p_msisdn); end $$;
    grant execute on function public.ensure_profile_exists(uuid, text, text, text, text) to authenticated;
    create function public.handle_new_user() returns trigger language plpgsql security definer as $$ begin
        perform public.ensure_profile_exists(new.id, new.email, '', '', 'customer'); return new;
      exception when others then return new; end $$;
    create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
    create function public.backfill_user_profile(p_user_id uuid, p_email text default null, p_account_type text default 'SME')
      returns jsonb language plpgsql security definer set search_path = public, auth as $$ begin return '{}'::jsonb; end $$;
    create function public.backfill_all_missing_profiles(p_batch_size integer default 100, p_dry_run boolean default true)
      returns jsonb language plpgsql security definer as $$ begin return '{}'::jsonb; end $$;";

#[tokio::test]
async fn the_objects_of_an_earlier_implementation_are_upgraded() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(EARLIER).await?;
    let mut auth = project.auth().await?;
    let missed = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(5))
        .await?;
    client
        .batch_execute(&format!("insert into public.user_events (user_id, kind) values ('{missed}', 'profile_bootstrap_error')"))
        .await?;

    project.migrate().await?;
    migrate_again(&project).await?;

    let answer: serde_json::Value = value(
        &client,
        &format!("select public.backfill_user_profile('{missed}')"),
    )
    .await?;
    assert_eq!(answer["account_type"], "SME");
    assert_eq!(answer["action"], "backfilled", "{answer}");
    sign_up_twice(&project).await?;
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.profiles").await?,
        3
    );
    assert_eq!(
        value::<i64>(
            &client,
            "select count(*) from public.diagnose_auth_profile_consistency()"
        )
        .await?,
        10
    );
    client
        .batch_execute("select * from public.get_auth_profile_mismatches()")
        .await?;

    auth.hard_delete(missed).await?;
    let kept: Vec<String> = values(
        &client,
        &format!("select kind from public.user_events where user_id = '{missed}' order by id"),
    )
    .await?;
    assert_eq!(
        kept,
        ["profile_bootstrap_error", "profile_backfilled"],
        "events survive their user"
    );

    let user = acting_as(&project.database, "authenticated", Some(missed)).await?;
    for sql in [
        "select * from public.user_events",
        "insert into public.user_events (user_id, kind) values (gen_random_uuid(), 'forged')",
        "select public.ensure_profile_exists(gen_random_uuid(), '', '', '', '')",
        "select public.backfill_all_missing_profiles()",
    ] {
        assert_eq!(refusal(&user, sql).await.as_deref(), Some("42501"), "{sql}");
    }
    let text: String = value(
        &client,
        "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'public.auth_profile_mismatch'::regclass and attname = 'auth_email'",
    )
    .await?;
    assert_eq!(text, "text");
    Ok(())
}

#[tokio::test]
async fn events_are_kept_in_utc_whatever_the_sessions_time_zone() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(EARLIER).await?;
    project.migrate().await?;
    client
        .batch_execute(
            "set timezone = 'Africa/Lusaka';
             select public.ensure_profile_exists(gen_random_uuid());
             insert into public.user_events (user_id, kind) values (gen_random_uuid(), 'probe')",
        )
        .await?;
    ensure!(value::<bool>(&client, "select bool_and(created_at between now() - interval '1 minute' and now()) from public.user_events").await?);
    Ok(())
}

#[tokio::test]
async fn a_table_of_events_is_given_back_as_it_was() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(USUAL_PROFILES).await?;
    client
        .batch_execute(
            "create table public.user_events (
               id bigserial primary key, user_id uuid references auth.users (id) on delete cascade,
               kind text not null, payload jsonb, created_at timestamptz default timezone('utc', now()));
             alter table public.user_events enable row level security;
             create policy user_events_select_owner on public.user_events for select using (auth.uid() = user_id);
             create policy user_events_insert_owner on public.user_events for insert to authenticated with check (auth.uid() = user_id);
             create policy user_events_all_service_role on public.user_events for all to service_role using (true) with check (true);
             revoke truncate on public.user_events from anon",
        )
        .await?;
    let before = catalog(&client).await?;
    project.migrate().await?;
    migrate_again(&project).await?;
    sign_up_twice(&project).await?;
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.user_events").await?,
        4
    );
    roll_back(&project, Extent::Everything).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.user_events").await?,
        4,
        "with what was written meanwhile"
    );
    Ok(())
}

#[tokio::test]
async fn a_migration_tells_what_it_took_the_place_of_and_what_does_not_fit() -> Result<()> {
    for (change, expected) in [
        (
            "",
            vec![
                "your function public.handle_new_user() is replaced",
                "your function public.ensure_profile_exists",
                "your trigger on_auth_user_created no longer runs",
            ],
        ),
        (
            "alter table public.profiles add column plan text not null",
            vec![
                "requires values for: plan",
                "your own signup functions stay",
            ],
        ),
    ] {
        let project = Project::without_rollcall().await?;
        let client = project.connect().await?;
        for sql in [USUAL_PROFILES, OWN_SIGNUP, change] {
            client.batch_execute(sql).await?;
        }
        let applied = migrations::apply(&mut project.rollcall().await?, false).await?;
        for message in &expected {
            let warning = applied
                .warnings
                .iter()
                .find(|warning| warning.message.contains(message))
                .with_context(|| format!("{message}: {:?}", applied.warnings))?;
            ensure!(warning.hint.is_some(), "{message}");
        }
        assert_eq!(applied.warnings.len(), expected.len());
    }
    Ok(())
}

#[tokio::test]
async fn events_of_nobody_and_of_no_time_blind_no_report() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create table public.user_events (
               id bigserial primary key, user_id uuid, kind text not null, payload jsonb, created_at timestamptz);
             insert into public.user_events (user_id, kind, payload, created_at) values
               (null, 'profile_bootstrap_error', '{}', null),
               (null, 'profile_backfill_error', '{}', now()),
               ('00000000-0000-4000-8000-000000000001', 'profile_bootstrap_error', '{}', null),
               ('00000000-0000-4000-8000-000000000001', 'profile_bootstrap_error', '{}', 'infinity')",
        )
        .await?;
    project.migrate().await?;
    let mut database = project.rollcall().await?;
    let report = Diagnosis::take(&mut database).await?;
    assert_eq!(report.verdict, Verdict::Consistent);
    let user = uuid::Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0001);
    let events = events::of_user(&mut database, user).await?.events;
    assert_eq!(events.len(), 2);
    ensure!(events.iter().all(|event| event.created_at.is_none()));
    Ok(())
}

#[tokio::test]
async fn rights_policies_and_comments_of_a_table_of_events_are_given_back() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(USUAL_PROFILES).await?;
    client
        .batch_execute(
            "create table public.user_events (
               id bigint generated always as identity primary key, user_id uuid, kind text not null, payload jsonb,
               created_at timestamptz);
             comment on table public.user_events is 'What our users did.';
             alter table public.user_events add constraint of_a_user foreign key (user_id) references auth.users (id) not valid;
             comment on constraint of_a_user on public.user_events is 'Theirs.';
             create index user_events_user_id_kind_idx on public.user_events (user_id, kind);
             create policy \"own rows\" on public.user_events as restrictive for select to anon, authenticated using (auth.uid() = user_id);
             comment on policy \"own rows\" on public.user_events is 'Their own.';
             create policy user_events_service_role on public.user_events for all to service_role using (true);
             revoke all on public.user_events from anon, authenticated, service_role;
             grant select (id, kind), insert (kind) on public.user_events to authenticated;
             grant select on public.user_events to service_role with grant option;
             create function public.log_user_event(p_user_id uuid, p_kind text, p_payload jsonb default null) returns void
             language sql security definer set search_path = '' as $$
               insert into public.user_events (user_id, kind, payload) values (p_user_id, p_kind, p_payload) $$",
        )
        .await?;
    let before = catalog(&client).await?;
    for _ in 1..=2 {
        project.migrate().await?;
        migrate_again(&project).await?;
        sign_up_twice(&project).await?;
        for role in ["anon", "authenticated"] {
            let user = acting_as(&project.database, role, Some(uuid::Uuid::new_v4())).await?;
            for sql in [
                "select public.log_user_event(gen_random_uuid(), 'profile_bootstrap_error')",
                "insert into public.user_events (kind) values ('forged')",
                "select kind from public.user_events",
            ] {
                assert_eq!(
                    refusal(&user, sql).await.as_deref(),
                    Some("42501"),
                    "{role}: {sql}"
                );
            }
        }
        roll_back(&project, Extent::Everything).await?;
        assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
        client
            .batch_execute("truncate public.user_events restart identity")
            .await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute("delete from auth.users")
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_table_of_events_of_another_kind_is_refused_by_name_and_nothing_is_half_applied()
-> Result<()> {
    let with = |id: &str, payload: &str, more: &str| {
        format!(
            "create table public.user_events (id {id}, user_id uuid, kind text, payload {payload}, created_at timestamptz {more})"
        )
    };
    for (table, named) in [
        (
            with("uuid primary key default gen_random_uuid()", "jsonb", ""),
            "id",
        ),
        (with("bigint primary key", "jsonb", ""), "id"),
        (with("bigserial primary key", "json", ""), "payload"),
        (
            with(
                "bigserial primary key",
                "jsonb",
                ", tenant integer not null",
            ),
            "tenant",
        ),
        (
            with(
                "uuid",
                "json",
                ", tenant integer not null, host text not null",
            ),
            "id, payload, tenant, host",
        ),
    ] {
        let project = Project::without_rollcall().await?;
        let client = project.connect().await?;
        client.batch_execute(USUAL_PROFILES).await?;
        client.batch_execute(OWN_SIGNUP).await?;
        client.batch_execute(&table).await?;
        run_as_one_transaction(&client, &files()?[0].1).await?;
        let before = catalog(&client).await?;
        let (_, message, hint) = statement_error(&project).await?;
        assert_eq!(
            message,
            format!("public.user_events is a table of another kind; see its columns {named}"),
        );
        ensure!(hint.contains("Rename the table"), "{hint}");
        assert_eq!(
            difference(&before, &catalog(&client).await?),
            [""; 0],
            "{named}"
        );
        assert_eq!(
            migrations::applied(&mut project.rollcall().await?).await?,
            [migrations::ALL[0].version]
        );
        sign_up_twice(&project).await?;
        assert_eq!(
            value::<i64>(&client, "select count(*) from public.profiles").await?,
            2,
            "theirs goes on"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_trigger_of_the_application_that_works_at_commit_is_not_broken() -> Result<()> {
    for name in ["a_first", "on_signup"] {
        let project = Project::without_rollcall().await?;
        let client = project.connect().await?;
        client.batch_execute(USUAL_PROFILES).await?;
        client
            .batch_execute(&format!(
                "create function public.make_profile() returns trigger language plpgsql security definer set search_path = '' as $$
                 begin insert into public.profiles (id, email) values (new.id, 'theirs'); return null; end $$;
                 create constraint trigger {name} after insert on auth.users deferrable initially deferred
                   for each row execute function public.make_profile()"
            ))
            .await?;
        let before = catalog(&client).await?;
        project.migrate().await?;
        migrate_again(&project).await?;
        sign_up_twice(&project)
            .await
            .with_context(|| name.to_owned())?;
        assert_eq!(
            value::<i64>(&client, "select healthy from rollcall.census()").await?,
            2,
            "{name}"
        );
        roll_back(&project, Extent::Everything).await?;
        assert_eq!(
            difference(&before, &catalog(&client).await?),
            [""; 0],
            "{name}"
        );
    }
    Ok(())
}

// Rolling back ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn rolling_back_the_diagnostics_takes_only_them_and_a_migration_brings_them_back()
-> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    sign_up_twice(&project).await?;
    let before = catalog(&client).await?;
    let rows: Vec<String> =
        values(&client, "select p::text from public.profiles p order by id").await?;
    let tables = "select c.oid::regclass::text from pg_class c
                  where c.relkind = 'r' and c.relnamespace in ('rollcall'::regnamespace, 'public'::regnamespace) order by 1";
    let tables_before: Vec<String> = values(&client, tables).await?;
    for round in 1..=2 {
        roll_back(&project, Extent::Diagnostics).await?;
        let changes = difference(&before, &catalog(&client).await?);
        ensure!(!changes.is_empty());
        let made: Vec<_> = changes
            .iter()
            .filter(|line| line.starts_with('+'))
            .collect();
        assert!(made.is_empty(), "round {round}: {made:?}");
        for name in DIAGNOSTICS {
            ensure!(
                value::<bool>(
                    &client,
                    &format!(
                        "select to_regproc('{name}') is null and to_regclass('{name}') is null"
                    )
                )
                .await?,
                "{name} is still there"
            );
        }
    }
    assert_eq!(values::<String>(&client, tables).await?, tables_before);
    assert_eq!(
        values::<String>(&client, "select p::text from public.profiles p order by id").await?,
        rows
    );
    sign_up_again(&project).await?;
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.profiles").await?,
        3,
        "signups still get theirs"
    );
    project.add_users_without_profile(1).await?;
    client
        .batch_execute("select public.backfill_all_missing_profiles(10, false)")
        .await?;
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.profiles").await?,
        4,
        "the repair still repairs"
    );

    let applied = migrations::apply(&mut project.rollcall().await?, false).await?;
    let first = migrations::ALL
        .iter()
        .position(|migration| migration.name == "rollcall_checks")
        .context("a list without checks")?;
    assert_eq!(applied.migrations, migrations::ALL[first..]);
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn rolling_back_everything_leaves_a_project_as_it_was() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(USUAL_PROFILES).await?;
    let before = catalog(&client).await?;
    for round in 1..=2 {
        project.migrate().await?;
        let mut auth = project.auth().await?;
        auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(round))
            .await?;
        let rows: Vec<String> =
            values(&client, "select p::text from public.profiles p order by id").await?;
        roll_back(&project, Extent::Everything).await?;
        assert_eq!(
            difference(&before, &catalog(&client).await?),
            [""; 0],
            "round {round}"
        );
        roll_back(&project, Extent::Everything).await?;
        assert_eq!(
            difference(&before, &catalog(&client).await?),
            [""; 0],
            "round {round}"
        );
        assert_eq!(
            values::<String>(&client, "select p::text from public.profiles p order by id").await?,
            rows
        );
        assert_eq!(rows.len(), usize::try_from(round)?);
    }
    assert_eq!(
        value::<i64>(
            &client,
            "select count(*) from supabase_migrations.schema_migrations"
        )
        .await?,
        0
    );
    Ok(())
}

#[tokio::test]
async fn rolling_back_keeps_the_profiles_that_the_migrations_made_a_table_for() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    sign_up_twice(&project).await?;
    let table = |lines: Vec<String>| -> Vec<String> {
        lines
            .into_iter()
            .filter(|line| line.contains("public.profiles"))
            .filter(|line| !line.contains("rollcall."))
            .collect()
    };
    let before = table(catalog(&client).await?);
    roll_back(&project, Extent::Everything).await?;
    assert_eq!(
        difference(&before, &table(catalog(&client).await?)),
        [""; 0]
    );
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.profiles").await?,
        2
    );
    ensure!(value::<bool>(&client, "select to_regclass('public.user_events') is null").await?);
    ensure!(value::<bool>(&client, "select to_regnamespace('rollcall') is null").await?);
    Ok(())
}

#[tokio::test]
async fn a_rollback_never_takes_an_object_of_the_application_along() -> Result<()> {
    for theirs in [
        "create view public.ours as select * from rollcall.expected_profile",
        "create materialized view public.ours as select _user_id from rollcall.actual_profile",
        "create view public.ours as select * from rollcall.mismatches()",
        "create view public.ours as select * from public.signup_audit_summary",
        "create table public.ours (repairs rollcall.repair_result)",
        "create table public.ours (missing bigint default rollcall.count_missing())",
        "create table public.ours (id uuid); alter table public.ours enable row level security;
         create policy ours on public.ours using (rollcall.is_expected(id))",
        "create function public.ours(r rollcall.repair_result) returns text language sql as $$ select r.code $$",
        "create function public.ours() returns bigint language sql begin atomic select rollcall.count_missing(); end",
    ] {
        let project = Project::migrated().await?;
        let client = project.connect().await?;
        client.batch_execute(theirs).await.context(theirs)?;
        let before = catalog(&client).await?;
        let outcome =
            migrations::roll_back(&mut project.rollcall().await?, Extent::Everything).await;
        assert_eq!(
            difference(&before, &catalog(&client).await?),
            [""; 0],
            "{theirs}"
        );
        match outcome {
            Err(Error::Statement { sqlstate, .. }) => assert_eq!(sqlstate, "2BP01", "{theirs}"),
            other => panic!("{theirs}: {other:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn rolling_back_what_was_never_applied_does_nothing() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    let before = catalog(&client).await?;
    for extent in [Extent::Diagnostics, Extent::Everything] {
        roll_back(&project, extent).await?;
        assert_eq!(
            difference(&before, &catalog(&client).await?),
            [""; 0],
            "{extent:?}"
        );
    }
    Ok(())
}
