//! Installing, by whichever tool and onto whatever is there; what it leaves alone; and taking it back.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rollcall::error::Error;
use rollcall::migrations::{self, DefinitionChange, Extent, FileState, NameState, Plan};
use rollcall::signup_trigger::Change;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::command_line::{Finished, rollcall};
use rollcall_tests::programs::program;
use rollcall_tests::project::Project;
use rollcall_tests::sql::{catalog, contents, difference, refusal, value, values};
use tokio::time::timeout;
use tokio_postgres::Client;

/// What takes longer waits for ever.
const HANG: Duration = Duration::from_secs(60);

const APPLICATION: &str = include_str!("../../src/project/application.sql");

/// Names of the public API that an application has for something else, with rights and comments of its own.
const TAKEN_NAMES: &str = "
    create table public.user_events (id bigint generated always as identity, what text not null);
    comment on table public.user_events is 'Clicks.';
    grant select on public.user_events to anon;
    create function public.monitor_signup_health() returns integer language sql as $$ select 42 $$;
    comment on function public.monitor_signup_health() is 'Ours.';
    revoke all on function public.monitor_signup_health() from public, anon;
    create function public.ensure_profile_exists(p_user_id uuid) returns void language sql as $$ select $$;
    create view public.signup_audit_summary as select 1 as day, 2 as signups;
    comment on view public.signup_audit_summary is 'Signups a day.';
    revoke all on public.signup_audit_summary from anon;";

/// A project with an application of its own, in which Rollcall was never heard of.
async fn application(more: &str) -> Result<Project> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(APPLICATION).await?;
    client.batch_execute(more).await?;
    Ok(project)
}

async fn apply(project: &Project, replace_api: bool) -> Result<Plan> {
    Ok(migrations::apply(&mut project.rollcall().await?, replace_api).await?)
}

async fn plan(project: &Project, replace_api: bool) -> Result<Plan> {
    Ok(migrations::plan(&mut project.rollcall().await?, replace_api).await?)
}

async fn roll_back(project: &Project) -> Result<Vec<String>> {
    let done = migrations::roll_back(&mut project.rollcall().await?, Extent::Everything).await?;
    Ok(done.steps)
}

async fn refused<T>(outcome: rollcall::error::Result<T>) -> Result<Error> {
    outcome.err().context("a refusal")
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

async fn sign_up(project: &Project) -> Result<()> {
    let mut auth = project.auth().await?;
    for (number, kind) in (1..).zip(SignupKind::ALL) {
        auth.sign_up(kind, &Person::numbered(number)).await?;
    }
    Ok(())
}

/// The names in `public` that became Rollcall's.
fn after_names(done: &Plan) -> Vec<&'static str> {
    done.names
        .iter()
        .filter(|name| name.state == NameState::Created)
        .map(|name| name.name)
        .collect()
}

// Applying ------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn plain_files_and_the_program_make_the_same_objects() -> Result<()> {
    let by_program = Project::without_rollcall().await?;
    apply(&by_program, false).await?;
    let by_hand = Project::without_rollcall().await?;
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

    // its history is empty: everything is applied once more, and written down
    let done = apply(&by_hand, false).await?;
    let states: Vec<_> = done.files.iter().map(|file| file.state).collect();
    assert_eq!(states, vec![FileState::New; migrations::ALL.len()]);
    assert_eq!(difference(&expected, &catalog(&client).await?), [""; 0]);
    ensure!(plan(&by_hand, false).await?.is_up_to_date);
    Ok(())
}

#[tokio::test]
async fn every_file_can_be_run_a_second_time() -> Result<()> {
    let project = application(TAKEN_NAMES).await?;
    let client = project.connect().await?;
    for (name, sql) in files()? {
        run_as_one_transaction(&client, &sql)
            .await
            .with_context(|| name.clone())?;
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
    // and all of them once more
    let before = catalog(&client).await?;
    run_files(&client).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn the_history_is_rollcalls_own() -> Result<()> {
    let project = application(
        "create schema supabase_migrations;
         create table supabase_migrations.schema_migrations (version text primary key, statements text[], name text);
         insert into supabase_migrations.schema_migrations values ('20240101000000', '{}', 'first')",
    )
    .await?;
    let client = project.connect().await?;
    apply(&project, false).await?;
    let theirs: Vec<String> = values(
        &client,
        "select version from supabase_migrations.schema_migrations",
    )
    .await?;
    assert_eq!(theirs, ["20240101000000"]);
    let ours: Vec<String> = values(
        &client,
        "select version || '_' || name from rollcall.migration order by version",
    )
    .await?;
    let names: Vec<String> = files()?.into_iter().map(|(name, _)| name).collect();
    assert_eq!(ours, names);
    let checksums: Vec<String> = values(
        &client,
        "select checksum from rollcall.migration order by version",
    )
    .await?;
    let expected: Vec<String> = migrations::ALL.iter().map(|m| m.checksum()).collect();
    assert_eq!(checksums, expected);

    // the entry of an exported file is the CLI's own, and stays
    client
        .batch_execute(
            "insert into supabase_migrations.schema_migrations values ('20240201000000', '{}', 'rollcall')",
        )
        .await?;
    let steps = roll_back(&project).await?;
    ensure!(
        steps
            .iter()
            .any(|step| step.contains("--status reverted 20240201000000")),
        "{steps:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_plan_changes_nothing_and_says_what_applying_does() -> Result<()> {
    let project = application(TAKEN_NAMES).await?;
    let client = project.connect().await?;
    sign_up(&project).await?;
    let (objects, rows) = (catalog(&client).await?, contents(&client).await?);
    let planned = plan(&project, false).await?;
    assert_eq!(difference(&objects, &catalog(&client).await?), [""; 0]);
    assert_eq!(difference(&rows, &contents(&client).await?), [""; 0]);

    ensure!(!planned.is_up_to_date);
    let taken: Vec<&str> = planned
        .names
        .iter()
        .filter(|name| name.state == NameState::Taken)
        .map(|name| name.name)
        .collect();
    assert_eq!(
        taken,
        [
            "ensure_profile_exists",
            "monitor_signup_health",
            "signup_audit_summary",
            "user_events"
        ]
    );
    assert_eq!(
        planned.application_triggers,
        ["on_auth_user_created on auth.users: public.handle_new_user()"]
    );
    assert_eq!(
        planned.definition,
        DefinitionChange::Drafted {
            table: "public.profiles".to_owned(),
            is_new: true
        }
    );
    let done = apply(&project, false).await?;
    assert_eq!(
        (
            done.files,
            done.names,
            done.definition,
            done.application_triggers
        ),
        (
            planned.files,
            planned.names,
            planned.definition,
            planned.application_triggers
        )
    );
    Ok(())
}

#[tokio::test]
async fn what_is_up_to_date_is_left_as_it_is() -> Result<()> {
    let project = application("").await?;
    let client = project.connect().await?;
    apply(&project, false).await?;
    let (objects, rows) = (catalog(&client).await?, contents(&client).await?);
    for _ in 0..2 {
        ensure!(apply(&project, false).await?.is_up_to_date);
    }
    assert_eq!(difference(&objects, &catalog(&client).await?), [""; 0]);
    assert_eq!(difference(&rows, &contents(&client).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn what_was_dropped_is_made_again() -> Result<()> {
    let project = application("").await?;
    let client = project.connect().await?;
    apply(&project, false).await?;
    let before = catalog(&client).await?;
    client
        .batch_execute(
            "drop function public.monitor_signup_health();
             drop function rollcall.user_counts();
             drop table rollcall.receipt",
        )
        .await?;
    let done = apply(&project, false).await?;
    ensure!(!done.is_up_to_date);
    assert_eq!(
        done.missing,
        [
            "public.monitor_signup_health()",
            "rollcall.receipt",
            "rollcall.user_counts()"
        ]
    );
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    ensure!(apply(&project, false).await?.is_up_to_date);

    // a file of another text, as after an update of the program
    client
        .batch_execute(
            "update rollcall.migration set checksum = 'old' where name = 'rollcall_checks'",
        )
        .await?;
    let done = apply(&project, false).await?;
    let changed: Vec<&str> = done
        .files
        .iter()
        .filter(|file| file.state == FileState::Changed)
        .map(|file| file.name)
        .collect();
    assert_eq!(changed, ["rollcall_checks"]);
    ensure!(apply(&project, false).await?.is_up_to_date);
    Ok(())
}

#[tokio::test]
async fn an_installation_that_fails_leaves_nothing() -> Result<()> {
    let project = application(
        // a domain under the name of one of our tables' types
        "create schema rollcall; comment on schema rollcall is 'Rollcall: half of it.';
         create view rollcall.event as select 1 as id",
    )
    .await?;
    let client = project.connect().await?;
    let before = catalog(&client).await?;
    let error = refused(migrations::apply(&mut project.rollcall().await?, false).await).await?;
    assert_eq!(error.id(), "statement_refused", "{error}");
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn several_installations_at_once_end_in_one() -> Result<()> {
    let project = application("").await?;
    let (a, b, c) = tokio::join!(
        apply(&project, false),
        apply(&project, false),
        apply(&project, false)
    );
    let fresh = [a?, b?, c?]
        .iter()
        .filter(|plan| !plan.is_up_to_date)
        .count();
    assert_eq!(fresh, 1);
    Ok(())
}

#[tokio::test]
async fn an_installation_waits_for_nobody_but_another_installation() -> Result<()> {
    let project = application("").await?;
    let holder = project.connect_as_superuser().await?;
    // whoever takes more than a look at them waits
    holder
        .batch_execute(
            "begin; lock table auth.users, auth.identities, auth.audit_log_entries, public.profiles in exclusive mode",
        )
        .await?;
    let done = timeout(HANG, apply(&project, false))
        .await
        .context("it waits")??;
    ensure!(!done.is_up_to_date);
    let removed = timeout(HANG, roll_back(&project))
        .await
        .context("it waits")??;
    ensure!(removed.len() > 2, "{removed:?}");
    holder.batch_execute("rollback").await?;
    Ok(())
}

// What is refused --------------------------------------------------------------------------------------------------------

async fn refused_without_a_trace(project: &Project, id: &str) -> Result<Error> {
    let client = project.connect().await?;
    let before = catalog(&client).await?;
    let planned = refused(migrations::plan(&mut project.rollcall().await?, false).await).await?;
    let error = refused(migrations::apply(&mut project.rollcall().await?, true).await).await?;
    assert_eq!((planned.id(), error.id()), (id, id), "{error}");
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    Ok(error)
}

#[tokio::test]
async fn a_database_that_is_no_supabase_project_is_refused() -> Result<()> {
    let project = Project::without_rollcall().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("drop schema auth cascade")
        .await?;
    refused_without_a_trace(&project, "not_supabase").await?;
    Ok(())
}

#[tokio::test]
async fn a_database_that_a_newer_program_migrated_is_refused() -> Result<()> {
    let project = application("").await?;
    apply(&project, false).await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create or replace function rollcall.schema_version() returns text
             language sql immutable set search_path = '' as $$ select '20991231235959' $$",
        )
        .await?;
    let error = refused_without_a_trace(&project, "other_version").await?;
    ensure!(error.next_step().contains("Update this program"), "{error}");
    // nor rolled back: the newer migrations may have made what this program does not know
    for extent in [Extent::Diagnostics, Extent::Everything] {
        let error =
            refused(migrations::roll_back(&mut project.rollcall().await?, extent).await).await?;
        assert_eq!(error.id(), "other_version");
    }
    Ok(())
}

#[tokio::test]
async fn an_auth_that_is_too_old_is_named_and_one_without_anonymous_users_is_not() -> Result<()> {
    let project = application("").await?;
    let superuser = project.connect_as_superuser().await?;
    superuser
        .batch_execute("alter table auth.users drop column is_anonymous")
        .await?;
    apply(&project, false).await?;
    let mut session = project.session()?;
    let comparison = session
        .run(async |database| rollcall::definition::check(database).await)
        .await?;
    assert_eq!(comparison.kinds.len(), 0);
    roll_back(&project).await?;

    superuser
        .batch_execute(
            "alter table auth.users drop column is_sso_user cascade, drop column deleted_at",
        )
        .await?;
    let error = refused_without_a_trace(&project, "auth_too_old").await?;
    ensure!(
        error.to_string().contains("deleted_at, is_sso_user"),
        "{error}"
    );
    Ok(())
}

// What it leaves alone ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn installing_changes_nothing_of_the_applications() -> Result<()> {
    let (watched, twin) = (
        application(TAKEN_NAMES).await?,
        application(TAKEN_NAMES).await?,
    );
    let client = watched.connect().await?;
    sign_up(&watched).await?;
    let before = catalog(&client).await?;
    let rows: Vec<String> =
        values(&client, "select p::text from public.profiles p order by 1").await?;
    let done = apply(&watched, false).await?;
    let after = catalog(&client).await?;
    let made = after_names(&done);
    let is_ours = |line: &String| {
        !line.starts_with("trigger ")
            && (line.contains("rollcall") || made.iter().any(|name| line.contains(*name)))
    };
    let others: Vec<String> = after
        .into_iter()
        .filter(|line| before.contains(line) || !is_ours(line))
        .collect();
    assert_eq!(difference(&before, &others), [""; 0]);
    assert_eq!(
        values::<String>(&client, "select p::text from public.profiles p order by 1").await?,
        rows
    );

    // the same signups give the same rows
    sign_up(&twin).await?;
    let of_new = "select concat_ws(' ', p.email, p.full_name) from public.profiles p order by 1";
    client.batch_execute("delete from auth.users").await?;
    sign_up(&watched).await?;
    assert_eq!(
        values::<String>(&client, of_new).await?,
        values::<String>(&twin.connect().await?, of_new).await?
    );
    Ok(())
}

#[tokio::test]
async fn no_trigger_and_no_table_is_made_outside_the_schema() -> Result<()> {
    for more in ["", TAKEN_NAMES] {
        let project = Project::without_rollcall().await?;
        let client = project.connect().await?;
        client.batch_execute(more).await?;
        let count = "select (select count(*) from pg_trigger where not tgisinternal)
                       + (select count(*) from pg_class where relkind in ('r', 'p') and relnamespace <> to_regnamespace('rollcall'))
                       - (select count(*) from pg_class where false)";
        let before: i64 = value(
            &client,
            "select (select count(*) from pg_trigger where not tgisinternal) + (select count(*) from pg_class where relkind in ('r', 'p'))",
        )
        .await?;
        apply(&project, false).await?;
        assert_eq!(value::<i64>(&client, count).await?, before);
    }
    Ok(())
}

/// What of Rollcall's depends on a relation that is not its own.
const OUTSIDE_DEPENDENCIES: &str = "
    with ours as (
      select 'pg_proc'::regclass as class, p.oid from pg_proc p
      where p.pronamespace = 'rollcall'::regnamespace or obj_description(p.oid, 'pg_proc') like 'Rollcall: %'
      union all
      select 'pg_class'::regclass, c.oid from pg_class c
      where c.relnamespace = 'rollcall'::regnamespace or obj_description(c.oid, 'pg_class') like 'Rollcall: %'
      union all
      select 'pg_rewrite'::regclass, r.oid from pg_rewrite r join pg_class c on c.oid = r.ev_class
      where c.relnamespace = 'rollcall'::regnamespace or obj_description(c.oid, 'pg_class') like 'Rollcall: %'
      union all
      select 'pg_constraint'::regclass, k.oid from pg_constraint k where k.connamespace = 'rollcall'::regnamespace
      union all
      select 'pg_type'::regclass, t.oid from pg_type t where t.typnamespace = 'rollcall'::regnamespace
    )
    select pg_describe_object(d.classid, d.objid, 0) || ' on ' || pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
    from pg_depend d
    join ours on ours.class = d.classid and ours.oid = d.objid
    where (d.refclassid = 'pg_class'::regclass and exists (
        select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.oid = d.refobjid and n.nspname not in ('rollcall', 'pg_catalog') and coalesce(obj_description(c.oid, 'pg_class'), '') not like 'Rollcall: %'))
      or (d.refclassid = 'pg_type'::regclass and exists (
        select from pg_type t join pg_class c on c.oid in (t.typrelid, (select e.typrelid from pg_type e where e.oid = t.typelem)) join pg_namespace n on n.oid = c.relnamespace
        where t.oid = d.refobjid and n.nspname not in ('rollcall', 'pg_catalog') and coalesce(obj_description(c.oid, 'pg_class'), '') not like 'Rollcall: %'))";

#[tokio::test]
async fn nothing_depends_on_the_tables_of_auth_or_of_the_application() -> Result<()> {
    let project = application("").await?;
    apply(&project, false).await?;
    sign_up(&project).await?;
    let client = project.connect().await?;
    assert_eq!(
        values::<String>(&client, OUTSIDE_DEPENDENCIES).await?,
        [""; 0]
    );

    let superuser = project.connect_as_superuser().await?;
    for change in [
        "alter table auth.users drop column confirmed_at",
        "alter table auth.users alter column email type text",
        "alter table auth.users alter column phone type varchar(30)",
        "alter table auth.audit_log_entries alter column payload type jsonb using payload::jsonb",
        "drop table auth.audit_log_entries",
        "alter table public.profiles alter column email type varchar(400)",
        "alter table public.profiles drop column email",
        "drop table public.profiles",
    ] {
        assert_eq!(refusal(&superuser, change).await, None, "{change}");
    }
    Ok(())
}

#[tokio::test]
async fn a_definition_that_a_person_has_set_survives_every_installation() -> Result<()> {
    let project = application("").await?;
    apply(&project, false).await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "select rollcall.define('public.profiles', 'select u.id as _user_id, u.created_at as _signed_up_at, u.id from auth.users u where false')",
        )
        .await?;
    run_files(&client).await?;
    client
        .batch_execute("delete from rollcall.migration")
        .await?;
    let done = apply(&project, false).await?;
    assert_eq!(
        done.definition,
        DefinitionChange::Set {
            table: "public.profiles".to_owned()
        }
    );
    ensure!(
        value::<String>(&client, "select query from rollcall.settings")
            .await?
            .contains("where false")
    );
    Ok(())
}

#[tokio::test]
async fn where_no_table_stands_out_the_candidates_are_listed_and_none_is_chosen() -> Result<()> {
    let project = Project::without_rollcall().await?;
    project
        .connect()
        .await?
        .batch_execute(
            "create table public.alpha (id uuid primary key references auth.users, name text);
             create table public.beta (id uuid primary key references auth.users, name text)",
        )
        .await?;
    let done = apply(&project, false).await?;
    let DefinitionChange::None { candidates } = done.definition else {
        anyhow::bail!("{:?}", done.definition);
    };
    let mut tables: Vec<&str> = candidates.iter().map(|c| c.table.as_str()).collect();
    tables.sort_unstable();
    assert_eq!(tables, ["public.alpha", "public.beta"]);
    let again = apply(&project, false).await?;
    ensure!(again.is_up_to_date);

    // one that stands out later is taken then
    project
        .connect()
        .await?
        .batch_execute("drop table public.alpha")
        .await?;
    let later = apply(&project, false).await?;
    ensure!(!later.is_up_to_date);
    assert_eq!(
        later.definition,
        DefinitionChange::Drafted {
            table: "public.beta".to_owned(),
            is_new: true
        }
    );
    Ok(())
}

// Names that are taken -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn names_that_are_taken_over_are_given_back_as_they_were() -> Result<()> {
    let project = application(TAKEN_NAMES).await?;
    let client = project.connect().await?;
    let before = catalog(&client).await?;
    let done = apply(&project, true).await?;
    let state_of = |name: &str| {
        let change = done.names.iter().find(|change| change.name == name);
        change.map(|change| change.state)
    };
    assert_eq!(state_of("monitor_signup_health"), Some(NameState::Replaced));
    assert_eq!(state_of("signup_audit_summary"), Some(NameState::Replaced));
    assert_eq!(
        state_of("user_events"),
        Some(NameState::Taken),
        "a table is never taken over"
    );
    client
        .batch_execute("select recent_signups_count from public.monitor_signup_health()")
        .await?;
    // installing again keeps what was kept
    client
        .batch_execute("delete from rollcall.migration")
        .await?;
    apply(&project, false).await?;

    let steps = roll_back(&project).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    for name in [
        "gave back the function public.monitor_signup_health()",
        "gave back the view public.signup_audit_summary",
    ] {
        ensure!(steps.iter().any(|step| step == name), "{steps:?}");
    }
    assert_eq!(
        value::<i32>(&client, "select public.monitor_signup_health()").await?,
        42
    );
    Ok(())
}

#[tokio::test]
async fn a_name_that_the_application_has_made_again_meanwhile_stays_its_own() -> Result<()> {
    let project = application(TAKEN_NAMES).await?;
    let client = project.connect().await?;
    apply(&project, true).await?;
    client
        .batch_execute(
            "drop function public.monitor_signup_health();
             create function public.monitor_signup_health() returns integer language sql as $$ select 43 $$",
        )
        .await?;
    let steps = roll_back(&project).await?;
    ensure!(
        steps
            .iter()
            .any(|step| step.contains("the application has made it again")),
        "{steps:?}"
    );
    assert_eq!(
        value::<i32>(&client, "select public.monitor_signup_health()").await?,
        43
    );
    Ok(())
}

// Taking it back -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_rollback_leaves_what_was_there_before_and_says_so() -> Result<()> {
    for more in ["", TAKEN_NAMES] {
        let project = application(more).await?;
        let client = project.connect().await?;
        sign_up(&project).await?;
        let (objects, rows) = (catalog(&client).await?, contents(&client).await?);
        apply(&project, false).await?;
        let planned =
            migrations::plan_roll_back(&mut project.rollcall().await?, Extent::Everything)
                .await?
                .steps;
        ensure!(value::<bool>(&client, "select to_regnamespace('rollcall') is not null").await?);
        let steps = roll_back(&project).await?;
        assert_eq!(planned, steps);
        assert_eq!(difference(&objects, &catalog(&client).await?), [""; 0]);
        assert_eq!(difference(&rows, &contents(&client).await?), [""; 0]);
        for beginning in [
            "removed public.",
            "removed the schema rollcall with its 9 tables",
            "left the table public.profiles",
            "left the roles rollcall_monitor, rollcall_repairer",
        ] {
            ensure!(
                steps.iter().any(|step| step.starts_with(beginning)),
                "{beginning}: {steps:?}"
            );
        }
        assert_eq!(
            roll_back(&project).await?,
            ["nothing to remove: Rollcall is not installed in this database"]
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_rollback_takes_the_trigger_and_the_guard_along_and_signups_go_on() -> Result<()> {
    let project = application("").await?;
    let client = project.connect().await?;
    let before = catalog(&client).await?;
    apply(&project, false).await?;
    let mut session = project.session()?;
    Change::Install.apply(&mut session).await?;
    Change::Guard("public.handle_new_user()".to_owned())
        .apply(&mut session)
        .await?;
    sign_up(&project).await?;
    client.batch_execute("delete from auth.users").await?;

    let steps = roll_back(&project).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    for step in [
        "gave public.handle_new_user() back its body without the guard",
        "removed the trigger zz_rollcall_on_signup on auth.users",
    ] {
        ensure!(steps.iter().any(|said| said == step), "{steps:?}");
    }
    sign_up(&project).await?;
    assert_eq!(
        project
            .count("select count(*) from public.profiles")
            .await?,
        i64::try_from(SignupKind::ALL.len())?
    );
    Ok(())
}

#[tokio::test]
async fn a_profile_table_of_rollcalls_own_stays_and_people_are_told_that_nothing_fills_it()
-> Result<()> {
    let project = Project::migrated().await?;
    sign_up(&project).await?;
    let done = migrations::roll_back(&mut project.rollcall().await?, Extent::Everything).await?;
    ensure!(
        done.steps
            .iter()
            .any(|step| step == "removed the trigger on_auth_user_created on auth.users"),
        "{done:?}"
    );
    ensure!(
        done.warnings.iter().any(|warning| warning
            .message
            .contains("makes a profile in public.profiles")),
        "{done:?}"
    );
    let client = project.connect().await?;
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.profiles").await?,
        i64::try_from(SignupKind::ALL.len())?
    );
    assert_eq!(
        value::<i64>(
            &client,
            "select count(*) from pg_proc p where p.prosrc like '%rollcall%' or obj_description(p.oid, 'pg_proc') like 'Rollcall: %'"
        )
        .await?,
        0
    );
    project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(99))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_rollback_is_refused_where_the_application_uses_what_would_go() -> Result<()> {
    for (uses, names) in [
        (
            "create view public.my_report as select * from rollcall.user_counts()",
            "view public.my_report",
        ),
        (
            "create view public.my_report as select * from public.signup_audit_summary",
            "view public.my_report",
        ),
        (
            "create table public.my_log (e rollcall.event)",
            "public.my_log",
        ),
        (
            "create function public.on_members() returns trigger language plpgsql as $$
             begin perform public.ensure_profile_exists(new.id); return new; end $$;
             create trigger t after insert on auth.users for each row execute function public.on_members()",
            "public.on_members()",
        ),
        (
            "create trigger mine after update on public.profiles for each row execute function rollcall.on_signup()",
            "trigger mine on table public.profiles",
        ),
    ] {
        let project = application("").await?;
        let client = project.connect().await?;
        apply(&project, false).await?;
        client.batch_execute(uses).await?;
        let before = catalog(&client).await?;
        let error =
            refused(migrations::roll_back(&mut project.rollcall().await?, Extent::Everything).await)
                .await?;
        ensure!(error.to_string().contains(names), "{error}");
        ensure!(
            error.next_step().contains("nothing was removed"),
            "{}",
            error.next_step()
        );
        assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    }
    Ok(())
}

#[tokio::test]
async fn a_function_that_names_ours_and_is_no_triggers_is_warned_of() -> Result<()> {
    let project = application("").await?;
    apply(&project, false).await?;
    project
        .connect()
        .await?
        .batch_execute(
            "create function public.admin_report() returns bigint language plpgsql as $$
             begin return (select missing from rollcall.user_counts()); end $$;
             create function public.unrelated() returns text language sql as $$ select 'a' -- as rollcall.define() does
             $$",
        )
        .await?;
    let done = migrations::roll_back(&mut project.rollcall().await?, Extent::Everything).await?;
    let warnings: Vec<&str> = done.warnings.iter().map(|w| w.message.as_str()).collect();
    assert_eq!(
        warnings,
        ["functions of the application's name what is removed: public.admin_report()"]
    );
    Ok(())
}

#[tokio::test]
async fn a_damaged_installation_can_be_taken_back() -> Result<()> {
    let project = application("").await?;
    let client = project.connect().await?;
    let before = catalog(&client).await?;
    apply(&project, false).await?;
    Change::Install.apply(&mut project.session()?).await?;
    client
        .batch_execute(
            "drop table rollcall.settings cascade;
             drop function rollcall.schema_version(), rollcall.user_counts();
             drop function public.monitor_signup_health()",
        )
        .await?;
    roll_back(&project).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn the_diagnostics_alone_can_be_taken_back_and_come_again() -> Result<()> {
    let project = application("").await?;
    let client = project.connect().await?;
    apply(&project, false).await?;
    Change::Install.apply(&mut project.session()?).await?;
    let before = catalog(&client).await?;
    let mut database = project.rollcall().await?;
    let done = migrations::roll_back(&mut database, Extent::Diagnostics).await?;
    ensure!(done.steps.len() == 3, "{done:?}");
    let again = migrations::roll_back(&mut database, Extent::Diagnostics).await?;
    assert_eq!(
        again.steps,
        ["nothing to remove: the diagnostics are not installed"]
    );
    ensure!(
        value::<bool>(
            &client,
            "select to_regprocedure('public.diagnose_auth_profile_consistency()') is null
               and to_regprocedure('rollcall.user_counts()') is null"
        )
        .await?
    );

    // signups, the trigger and the repair work on
    sign_up(&project).await?;
    client.batch_execute("delete from public.profiles").await?;
    let answer: serde_json::Value = value(
        &client,
        "select public.backfill_all_missing_profiles(100, false)",
    )
    .await?;
    assert_eq!(answer["successful"], SignupKind::ALL.len(), "{answer}");

    // reports go by a look meanwhile
    let looked = run(&project, &["verify"]).await?;
    assert_eq!(looked.status, Some(0), "{looked}");
    apply(&project, false).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    Ok(())
}

// The one file ---------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_exported_file_installs_what_the_program_installs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_str().context("UTF-8")?;
    std::fs::write(folder.path().join("20991231000000_future.sql"), "select 1;")?;
    let wrote = rollcall(&[], &["export", path]).await?;
    assert_eq!(wrote.status, Some(0), "{wrote}");
    ensure!(
        wrote.stdout.contains("20991231000001_rollcall.sql"),
        "{wrote}"
    );
    let again = rollcall(&[], &["export", path]).await?;
    ensure!(again.stdout.contains("Up to date"), "{again}");
    let exported = std::fs::read_to_string(folder.path().join("20991231000001_rollcall.sql"))?;
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 2);

    let (by_program, by_file) = (application("").await?, application("").await?);
    apply(&by_program, false).await?;
    let client = by_file.connect().await?;
    for _ in 0..2 {
        run_as_one_transaction(&client, &exported).await?;
    }
    let expected = catalog(&by_program.connect().await?).await?;
    assert_eq!(difference(&expected, &catalog(&client).await?), [""; 0]);
    let done = plan(&by_file, false).await?;
    ensure!(done.is_up_to_date, "{done:?}");
    Ok(())
}

#[tokio::test]
async fn an_export_to_nowhere_says_where_it_belongs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nowhere = folder.path().join("supabase/migrations");
    let refused = rollcall(&[], &["export", nowhere.to_str().context("UTF-8")?]).await?;
    assert_eq!(refused.status, Some(2), "{refused}");
    ensure!(refused.stderr.contains("name the folder"), "{refused}");
    Ok(())
}

// The command line -----------------------------------------------------------------------------------------------------------

async fn run(project: &Project, arguments: &[&str]) -> Result<Finished> {
    rollcall(&[("DATABASE_URL", &project.url())], arguments).await
}

/// The same with a file as standard input.
fn run_with_input(project: &Project, arguments: &[&str], input: &Path) -> Result<Output> {
    Ok(Command::new(program("rollcall")?)
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", project.url())
        .stdin(Stdio::from(std::fs::File::open(input)?))
        .output()?)
}

#[tokio::test]
async fn migrate_prints_its_plan_and_wants_a_yes_where_nobody_can_be_asked() -> Result<()> {
    let project = application(TAKEN_NAMES).await?;
    let client = project.connect().await?;
    let before = catalog(&client).await?;
    for arguments in [vec!["migrate"], vec!["migrate", "--plan"]] {
        let planned = run(&project, &arguments).await?;
        let expected = if arguments.len() == 1 { 2 } else { 0 };
        assert_eq!(planned.status, Some(expected), "{planned}");
        for words in [
            "new         schema rollcall",
            "monitor_signup_health",
            "--replace-api",
            "on_auth_user_created on auth.users: public.handle_new_user()",
            "drafted for public.profiles",
            "no trigger is made",
        ] {
            ensure!(planned.stdout.contains(words), "{words}: {planned}");
        }
        assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    }
    let done = run(&project, &["migrate", "--yes"]).await?;
    assert_eq!(done.status, Some(0), "{done}");
    ensure!(
        done.stdout.contains("Plan: ") && done.stdout.contains("Done: "),
        "{done}"
    );
    let again = run(&project, &["migrate"]).await?;
    assert_eq!(again.status, Some(0), "{again}");
    ensure!(again.stdout.contains("Up to date at"), "{again}");
    let json = run(&project, &["migrate", "--format", "json"])
        .await?
        .json()?;
    assert_eq!(json["plan"]["is_up_to_date"], true, "{json}");
    assert_eq!(json["verdict"], "consistent", "{json}");
    assert_eq!(json["findings"], serde_json::json!([]), "{json}");

    let refused = run(&project, &["rollback"]).await?;
    assert_eq!(refused.status, Some(2), "{refused}");
    ensure!(
        refused.stdout.contains("removed     the schema rollcall"),
        "{refused}"
    );
    let removed = run(&project, &["rollback", "--yes"]).await?;
    assert_eq!(removed.status, Some(0), "{removed}");
    ensure!(removed.stdout.contains("Done:"), "{removed}");
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_failure_has_the_same_shape_as_every_answer() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let failed = run(&project, &["trigger", "install", "--format", "json"]).await?;
    assert_eq!(failed.status, Some(2), "{failed}");
    let json = failed.json()?;
    assert_eq!(json["verdict"], "unknown", "{failed}");
    assert_eq!(json["findings"][0]["id"], "not_migrated", "{failed}");
    assert_eq!(json["database"]["name"], project.database.name());
    ensure!(json["taken_at"].is_string(), "{failed}");
    Ok(())
}

#[tokio::test]
async fn a_definition_is_drafted_set_and_compared() -> Result<()> {
    let project = application(
        "create table public.members (user_id uuid primary key references auth.users on delete cascade, full_name text)",
    )
    .await?;
    apply(&project, false).await?;
    sign_up(&project).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("members.sql");

    let drafted = run(&project, &["definition", "draft", "members"]).await?;
    assert_eq!(drafted.status, Some(0), "{drafted}");
    ensure!(
        drafted.stdout.starts_with("-- table: public.members\n"),
        "{drafted}"
    );
    std::fs::write(&file, &drafted.stdout)?;
    let set = run_with_input(&project, &["definition", "set", "-", "--yes"], &file)?;
    ensure!(set.status.success(), "{set:?}");
    let path = file.to_str().context("UTF-8")?;
    let other = run(
        &project,
        &[
            "definition",
            "set",
            path,
            "--table",
            "public.profiles",
            "--yes",
        ],
    )
    .await?;
    assert_eq!(other.status, Some(2), "{other}");
    let shown = run(&project, &["definition", "show"]).await?;
    ensure!(
        shown.stdout.contains("set by a person")
            && shown.stdout.contains("-- table: public.members"),
        "{shown}"
    );

    let client = project.connect().await?;
    client
        .batch_execute(
            "insert into public.members (user_id, full_name) select u.id, 'Somebody else' from auth.users u where u.email like 'person1@%'",
        )
        .await?;
    let compared = run(&project, &["definition", "check", "--format", "json"])
        .await?
        .json()?;
    let email = &compared["kinds"][0];
    assert_eq!(email["kind"], "email", "{compared}");
    assert_eq!(email["with_profile"], 1, "{compared}");
    let full_name = email["columns"].as_array().and_then(|columns| {
        columns
            .iter()
            .find(|column| column["column"] == "full_name")
    });
    assert_eq!(full_name.context("the column")?["other"], 1, "{compared}");

    std::fs::write(
        &file,
        "-- table: public.members\nselect u.id as _user_id from auth.users u",
    )?;
    let wrong = run(&project, &["definition", "set", path, "--yes"]).await?;
    assert_eq!(wrong.status, Some(2), "{wrong}");
    ensure!(
        wrong
            .stderr
            .contains("lacks _user_id (uuid) or _signed_up_at"),
        "{wrong}"
    );
    let unknown = run(&project, &["definition", "draft", "nowhere"]).await?;
    ensure!(
        unknown.stderr.contains("there is no table nowhere"),
        "{unknown}"
    );
    Ok(())
}

#[tokio::test]
async fn a_trigger_is_planned_made_and_removed_on_request_only() -> Result<()> {
    let project = application("").await?;
    apply(&project, false).await?;
    let client = project.connect().await?;
    let before = catalog(&client).await?;
    for action in [
        vec!["trigger", "install"],
        vec!["trigger", "remove"],
        vec!["trigger", "guard", "handle_new_user"],
        vec!["trigger", "unguard", "public.handle_new_user()"],
        vec!["trigger", "status"],
    ] {
        let planned = run(&project, &action).await?;
        assert_eq!(planned.status, Some(0), "{planned}");
        assert_eq!(
            difference(&before, &catalog(&client).await?),
            [""; 0],
            "{planned}"
        );
    }
    for (action, words) in [
        (vec!["trigger", "install", "--apply"], "created the trigger"),
        (
            vec!["trigger", "guard", "handle_new_user", "--apply"],
            "guarded",
        ),
        (vec!["trigger", "status"], "(guarded)"),
        (
            vec!["trigger", "unguard", "handle_new_user", "--apply"],
            "as it was before",
        ),
        (vec!["trigger", "remove", "--apply"], "removed the trigger"),
    ] {
        let done = run(&project, &action).await?;
        assert_eq!(done.status, Some(0), "{done}");
        ensure!(done.stdout.contains(words), "{done}");
    }
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    let unknown = run(&project, &["trigger", "guard", "nobody", "--apply"]).await?;
    ensure!(
        unknown.stderr.contains("there is no function nobody"),
        "{unknown}"
    );
    Ok(())
}
