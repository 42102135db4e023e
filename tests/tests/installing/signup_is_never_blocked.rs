//! Whatever is wrong with the profile, with Rollcall's own trigger in place the signup goes through, and the user is found
//! afterwards.
//!
//! What is in its way here, a lock or a sleep, lasts longer than [`HANGS`]: a signup that waited for its end would fail.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{value, values};
use tokio::time::timeout;
use uuid::Uuid;

/// Far more than the few seconds that a signup may take, so that a slow machine is not taken for a hang.
const HANGS: Duration = Duration::from_secs(60);

/// What a lock may cost a signup: twice half a second, on a machine that is busy with other tests.
const A_FEW_SECONDS: Duration = Duration::from_secs(8);

async fn sign_up(project: &Project) -> Result<Uuid> {
    let mut auth = project.auth().await?;
    let person = Person::numbered(1);
    let signup = auth.sign_up(SignupKind::EmailAutoconfirm, &person);
    let id = timeout(HANGS, signup)
        .await
        .context("the signup hangs")?
        .context("the signup is blocked")?;
    Ok(id)
}

async fn has_profile(project: &Project, id: Uuid) -> Result<bool> {
    let client = project.connect().await?;
    value(
        &client,
        &format!("select exists (select from public.profiles where id = '{id}')"),
    )
    .await
}

/// The events of a user's signup or repair that failed: SQLSTATE, constraint, column.
async fn errors(project: &Project, id: Uuid) -> Result<Vec<String>> {
    let client = project.connect().await?;
    values(
        &client,
        &format!(
            "select concat_ws(' ', payload ->> 'sqlstate', payload ->> 'constraint', payload ->> 'column')
             from rollcall.event where user_id = '{id}' and kind like '%error'"
        ),
    )
    .await
}

async fn missing(project: &Project) -> Result<Vec<Uuid>> {
    values(
        &project.connect().await?,
        "select unnest(c.newest_missing) from rollcall.user_counts() c",
    )
    .await
}

/// Breaks a project, signs up, and expects no profile but these events. Once it is fixed the user is found, and repaired.
async fn survives(broken: &str, events: &[&str], fixed: &str) -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client.batch_execute(broken).await.context("breaking")?;
    let id = sign_up(&project).await?;
    assert_eq!(errors(&project, id).await?, events);

    client.batch_execute(fixed).await.context("fixing")?;
    assert_eq!(missing(&project).await?, [id]);
    ensure!(!has_profile(&project, id).await?);
    let answer: serde_json::Value = value(
        &client,
        &format!("select public.backfill_user_profile('{id}')"),
    )
    .await?;
    assert_eq!(answer["success"], true, "{answer}");
    Ok(())
}

fn trigger(when: &str, body: &str) -> String {
    format!(
        "create function public.broken() returns trigger language plpgsql as $$ begin {body} end $$;
         create trigger broken {when} on public.profiles for each row execute function public.broken();"
    )
}

const NO_TRIGGER: &str = "drop function public.broken cascade";

#[tokio::test]
async fn by_a_trigger_that_raises() -> Result<()> {
    survives(
        &trigger("before insert", "raise exception 'no';"),
        &["P0001"],
        NO_TRIGGER,
    )
    .await?;
    survives(
        &trigger("after insert", "raise exception 'no';"),
        &["P0001"],
        NO_TRIGGER,
    )
    .await
}

#[tokio::test]
async fn by_an_error_of_any_class() -> Result<()> {
    // among them those that "when others" leaves out, and those that mean "try again"
    for code in [
        "57014", "P0004", "40001", "40P01", "53200", "53100", "55P03", "57P01", "08006", "XX000",
        "XX001", "25006", "00001", "RC001", "RC002",
    ] {
        let body = format!("raise exception 'no' using errcode = '{code}';");
        survives(&trigger("before insert", &body), &[code], NO_TRIGGER)
            .await
            .with_context(|| code.to_owned())?;
    }
    Ok(())
}

#[tokio::test]
async fn by_a_failed_assertion() -> Result<()> {
    survives(
        &trigger("before insert", "assert false; return new;"),
        &["P0004"],
        NO_TRIGGER,
    )
    .await
}

#[tokio::test]
async fn by_endless_recursion() -> Result<()> {
    let body = "insert into public.profiles (id) values (gen_random_uuid()); return new;";
    survives(&trigger("before insert", body), &["54001"], NO_TRIGGER).await
}

#[tokio::test]
async fn by_a_trigger_that_discards_the_row() -> Result<()> {
    survives(
        &trigger("before insert", "return null;"),
        &["RC002"],
        NO_TRIGGER,
    )
    .await
}

#[tokio::test]
async fn by_a_rule_that_discards_the_row() -> Result<()> {
    survives(
        "create rule broken as on insert to public.profiles do instead nothing",
        &["0A000"],
        "drop rule broken on public.profiles",
    )
    .await
}

#[tokio::test]
async fn by_a_constraint() -> Result<()> {
    let add = |constraint: &str| {
        format!("alter table public.profiles add constraint broken {constraint}")
    };
    let fixed = "alter table public.profiles drop constraint broken";
    survives(
        &add("check (account_type <> 'sme')"),
        &["23514 broken"],
        fixed,
    )
    .await?;
    survives(
        &format!(
            "create table public.plans (name text primary key); {}",
            add("foreign key (account_type) references public.plans (name)")
        ),
        &["23503 broken"],
        fixed,
    )
    .await?;
    survives(
        "alter table public.profiles add column broken text not null",
        &["23502 broken"],
        "alter table public.profiles drop column broken",
    )
    .await
}

#[tokio::test]
async fn by_a_value_that_another_profile_has() -> Result<()> {
    survives(
        "insert into auth.users (id, email) values (gen_random_uuid(), 'other@example.com');
         update public.profiles set email = 'person1@example.com';
         create unique index broken on public.profiles (email)",
        &["23505 broken"],
        "drop index public.broken",
    )
    .await
}

/// Nothing could catch it there, so the trigger makes nothing and leaves the user to a repair.
#[tokio::test]
async fn by_a_constraint_that_is_checked_at_commit() -> Result<()> {
    survives(
        "create table public.plans (name text primary key);
         alter table public.profiles add constraint broken
           foreign key (account_type) references public.plans (name) deferrable initially deferred",
        &[],
        "insert into public.plans values ('sme')",
    )
    .await
}

#[tokio::test]
async fn by_a_trigger_that_fires_at_commit() -> Result<()> {
    survives(
        "create function public.broken() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create constraint trigger broken after insert on public.profiles deferrable initially deferred
           for each row execute function public.broken()",
        &[],
        NO_TRIGGER,
    )
    .await
}

/// PostgreSQL up to 17 runs such a function as the role of the session, at commit: that of Supabase Auth.
#[tokio::test]
async fn by_a_trigger_at_commit_that_writes_what_only_a_user_may_write() -> Result<()> {
    survives(
        "create table public.notes (profile_id uuid);
         revoke all on public.notes from supabase_auth_admin, public; grant insert on public.notes to authenticated, postgres;
         create function public.note() returns trigger language plpgsql set search_path = '' as $$
         begin insert into public.notes values (new.id); return null; end $$;
         create constraint trigger note after insert on public.profiles deferrable initially deferred
           for each row execute function public.note()",
        &[],
        "select",
    )
    .await
}

#[tokio::test]
async fn by_what_a_trigger_leaves_to_be_checked_at_commit_in_another_table() -> Result<()> {
    survives(
        &format!(
            "create table public.plans (name text primary key);
             create table public.bookings (plan text references public.plans (name) deferrable initially deferred);
             {} alter function public.broken security definer",
            trigger("after insert", "insert into public.bookings values ('none'); return new;")
        ),
        &[],
        NO_TRIGGER,
    )
    .await
}

#[tokio::test]
async fn by_a_constraint_that_holds_only_at_commit_and_a_repair_satisfies_it() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(
            "create table public.settings (id uuid primary key);
             alter table public.profiles add constraint settings foreign key (id) references public.settings (id) deferrable initially deferred;
             create table public.log (id uuid constraint settings check (true));
             create function public.complete() returns trigger language plpgsql security definer as $$
             begin insert into public.settings values (new.id); return new; end $$;
             create trigger complete after insert on public.profiles for each row execute function public.complete();
             create function public.once() returns trigger language plpgsql security definer as $$
             begin insert into public.log values (new.id); return null; end $$;
             create constraint trigger once after insert on public.profiles deferrable initially deferred
               for each row execute function public.once()",
        )
        .await?;
    let id = sign_up(&project).await?;
    assert_eq!(missing(&project).await?, [id]);
    let answer: serde_json::Value = value(
        &client,
        &format!("select public.backfill_user_profile('{id}')"),
    )
    .await?;
    assert_eq!(answer["success"], true, "{answer}");
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.log").await?,
        1,
        "its effects come once"
    );
    Ok(())
}

#[tokio::test]
async fn by_what_the_application_has_yet_to_do_in_the_same_transaction() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    let id = Uuid::new_v4();
    client
        .batch_execute(&format!(
            "create table public.wallets (id uuid primary key);
             create table public.owners (user_id uuid primary key, wallet_id uuid references public.wallets deferrable initially deferred);
             begin;
             insert into public.owners values ('{id}', '{id}');
             insert into auth.users (id, email) values ('{id}', 'late@example.com');
             insert into public.wallets values ('{id}');
             commit"
        ))
        .await?;
    ensure!(has_profile(&project, id).await?);
    assert_eq!(errors(&project, id).await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn by_a_trigger_that_names_no_schema_and_the_profile_is_made() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(
            "create table public.statistics (profiles integer); insert into public.statistics values (0);
             create function public.tally() returns trigger language plpgsql security definer as $$
             begin update statistics set profiles = profiles + 1; return null; end $$;
             create trigger tally after insert on public.profiles for each row execute function public.tally()",
        )
        .await?;
    let id = sign_up(&project).await?;
    ensure!(has_profile(&project, id).await?);
    assert_eq!(
        value::<i64>(&client, "select profiles::bigint from public.statistics").await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn by_a_table_that_changed() -> Result<()> {
    survives(
        "alter table public.profiles rename column email to mail",
        &["42703"],
        "alter table public.profiles rename column mail to email",
    )
    .await?;
    survives(
        "alter table public.profiles rename to people",
        &["42P01"],
        "alter table public.people rename to profiles",
    )
    .await?;
    survives(
        "create type public.kind as enum ('ADMIN');
         alter table public.profiles alter account_type drop default, alter account_type type public.kind using 'ADMIN'::public.kind",
        &["42804"],
        "alter table public.profiles alter account_type type text",
    )
    .await?;
    survives(
        "alter table public.profiles drop constraint profiles_pkey",
        &["42P10"],
        "alter table public.profiles add primary key (id)",
    )
    .await?;
    survives(
        "drop table public.profiles cascade",
        &["42P01"],
        "create table public.profiles (id uuid primary key references auth.users (id) on delete cascade, email text, account_type text);
         grant all on public.profiles to postgres; alter table public.profiles owner to postgres",
    )
    .await
}

#[tokio::test]
async fn by_a_table_that_may_not_be_written() -> Result<()> {
    survives(
        "alter table public.profiles owner to supabase_admin; revoke all on public.profiles from postgres, service_role",
        &["42501"],
        "alter table public.profiles owner to postgres",
    )
    .await
}

#[tokio::test]
async fn by_a_definition_that_is_gone_or_fails() -> Result<()> {
    survives(
        "create table public.kept as select * from rollcall.settings; delete from rollcall.settings",
        &[],
        "insert into rollcall.settings select * from public.kept",
    )
    .await?;
    survives(
        "select rollcall.define('public.profiles',
           'select u.id as _user_id, u.created_at as _signed_up_at, u.id, (1 / (length(u.email) - length(u.email)))::text as account_type
            from auth.users u')",
        &["22012"],
        "update rollcall.settings set query = 'select u.id as _user_id, u.created_at as _signed_up_at, u.id from auth.users u', columns = '{id}'",
    )
    .await
}

/// Whoever wants to be rid of Rollcall in a hurry drops its schema.
#[tokio::test]
async fn by_a_dropped_schema_or_function() -> Result<()> {
    for (broken, profile_is_made) in [
        ("drop schema rollcall cascade", false),
        ("alter schema rollcall rename to gone", false),
        ("drop function rollcall.checked_at_commit", false),
        // what only a signup that fails has need of
        ("drop function rollcall.known_functions", true),
        ("drop function rollcall.missing_among", true),
    ] {
        let project = Project::migrated().await?;
        let client = project.connect_as_superuser().await?;
        client.batch_execute(broken).await.context(broken)?;
        let id = sign_up(&project).await.context(broken)?;
        client
            .batch_execute(
                "drop schema if exists rollcall cascade; drop schema if exists gone cascade",
            )
            .await?;
        project.migrate().await?;
        let expected: &[Uuid] = if profile_is_made { &[] } else { &[id] };
        assert_eq!(missing(&project).await?, expected, "{broken}");
    }
    Ok(())
}

#[tokio::test]
async fn by_a_dropped_schema_beside_the_applications_own_trigger() -> Result<()> {
    for broken in [
        "drop schema rollcall cascade",
        "alter schema rollcall rename to gone",
    ] {
        let project = Project::watched().await?;
        let client = project.connect_as_superuser().await?;
        client
            .batch_execute("select rollcall.install_signup_trigger()")
            .await?;
        client.batch_execute(broken).await.context(broken)?;
        let id = sign_up(&project).await.context(broken)?;
        ensure!(has_profile(&project, id).await?, "{broken}");
    }
    Ok(())
}

/// Profile and event are one: a user without either is found.
#[tokio::test]
async fn by_events_that_cannot_be_written() -> Result<()> {
    for broken in [
        "drop table rollcall.event cascade",
        "alter table rollcall.event add column broken text not null",
        "alter table rollcall.event add constraint broken check (kind = '')",
        "alter table rollcall.event owner to supabase_admin; revoke all on rollcall.event from postgres",
        "create function public.broken() returns trigger language plpgsql as $$ begin assert false; end $$;
         create trigger broken before insert on rollcall.event for each row execute function public.broken()",
        "create function public.broken() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create constraint trigger broken after insert on rollcall.event deferrable initially deferred
           for each row execute function public.broken()",
        "create table public.kinds (kind text primary key);
         alter table rollcall.event add foreign key (kind) references public.kinds deferrable initially deferred",
        "drop table rollcall.event cascade; alter table public.profiles add check (id is null)",
    ] {
        let project = Project::migrated().await?;
        let client = project.connect_as_superuser().await?;
        client.batch_execute(broken).await.context(broken)?;
        let id = sign_up(&project).await.context(broken)?;
        assert_eq!(missing(&project).await?, [id], "{broken}");
    }
    Ok(())
}

#[tokio::test]
async fn by_locked_tables() -> Result<()> {
    for (locked, events) in [
        ("public.profiles", &["55P03"][..]),
        ("rollcall.settings", &["55P03"]),
        ("rollcall.event", &[]),
        ("public.profiles, rollcall.settings, rollcall.event", &[]),
    ] {
        let project = Project::migrated().await?;
        let holder = project.connect().await?;
        holder
            .batch_execute(&format!(
                "begin; lock table {locked} in access exclusive mode"
            ))
            .await?;
        let began = Instant::now();
        let id = sign_up(&project).await.context(locked)?;
        let waited = began.elapsed();
        holder.batch_execute("rollback").await?;
        ensure!(waited < A_FEW_SECONDS, "{locked}: {waited:?}");
        assert_eq!(errors(&project, id).await?, events, "{locked}");
        assert_eq!(missing(&project).await?, [id], "{locked}");
    }
    Ok(())
}

#[tokio::test]
async fn by_somebody_who_is_about_to_take_the_same_value() -> Result<()> {
    let project = Project::migrated().await?;
    let holder = project.connect_as_superuser().await?;
    holder
        .batch_execute(
            "create unique index on public.profiles (email);
             insert into auth.users (id, email) values (gen_random_uuid(), 'other@example.com');
             begin; update public.profiles set email = 'person1@example.com'",
        )
        .await?;
    let id = sign_up(&project).await?;
    holder.batch_execute("rollback").await?;
    assert_eq!(errors(&project, id).await?, ["55P03"]);
    Ok(())
}

/// The statement timeout of Supabase Auth's own session.
#[tokio::test]
async fn by_a_statement_timeout() -> Result<()> {
    for (table, slow) in [
        ("public.profiles", "perform pg_sleep(600); return new;"),
        // the timeout strikes once; whatever else is slow has to wait its turn
        (
            "rollcall.event",
            "if new.kind = 'profile_bootstrap_ok' then perform pg_sleep(600); end if; return new;",
        ),
    ] {
        let project = Project::migrated().await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute(&format!(
                "alter role supabase_auth_admin in database {} set statement_timeout = '700ms';
                 create function public.slow() returns trigger language plpgsql as $$ begin {slow} end $$;
                 create trigger slow before insert on {table} for each row execute function public.slow()",
                project.database.name()
            ))
            .await?;
        let id = sign_up(&project).await?;
        assert_eq!(errors(&project, id).await?, ["57014"], "{table}");
        ensure!(!has_profile(&project, id).await?, "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn by_a_cancelled_query() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(&trigger(
            "before insert",
            "perform pg_sleep(600); return new;",
        ))
        .await?;
    let cancel = async {
        for _ in 0..6_000 {
            let cancelled: i64 = value(
                &client,
                "select count(*) filter (where pg_cancel_backend(pid)) from pg_stat_activity
                 where datname = current_database() and usename = 'supabase_auth_admin' and wait_event = 'PgSleep'",
            )
            .await?;
            if cancelled > 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("nobody slept")
    };
    let (id, cancelled) = tokio::join!(sign_up(&project), cancel);
    cancelled?;
    assert_eq!(errors(&project, id?).await?, ["57014"]);
    Ok(())
}

#[tokio::test]
async fn by_anything_for_any_kind_of_signup() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute("alter table public.profiles add constraint broken check (id is null)")
        .await?;
    let mut auth = project.auth().await?;
    for (number, kind) in (1..).zip(SignupKind::ALL) {
        auth.sign_up(kind, &Person::numbered(number))
            .await
            .with_context(|| format!("{kind:?}"))?;
    }
    let count = i64::try_from(SignupKind::ALL.len())?;
    assert_eq!(
        value::<i64>(&client, "select missing from rollcall.user_counts()").await?,
        count
    );
    assert_eq!(
        value::<i64>(
            &client,
            "select count(*) from rollcall.event where kind = 'profile_bootstrap_error'"
        )
        .await?,
        count
    );
    Ok(())
}

#[tokio::test]
async fn by_the_function_that_people_call_themselves() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    project.break_signups().await?;
    client
        .batch_execute("alter table public.profiles add constraint broken check (id is null)")
        .await?;
    let id = sign_up(&project).await?;
    for _ in 0..3 {
        client
            .batch_execute(&format!(
                "select public.ensure_profile_exists('{id}', 'a@example.com', 'A', '', 'nonsense')"
            ))
            .await?;
    }
    assert_eq!(
        errors(&project, id).await?,
        ["23514 broken"],
        "one event, however often it fails"
    );
    client.batch_execute("drop schema rollcall cascade").await?;
    client
        .batch_execute(&format!(
            "select public.ensure_profile_exists('{id}'), public.ensure_profile_exists(null)"
        ))
        .await?;
    Ok(())
}

#[tokio::test]
async fn in_stance_watch_by_nothing_of_rollcalls() -> Result<()> {
    let project = Project::watched().await?;
    let holder = project.connect().await?;
    assert_eq!(
        value::<i64>(
            &holder,
            "select count(*) from pg_trigger where rollcall.is_ours(tgfoid)"
        )
        .await?,
        0
    );
    let tables: String = value(
        &holder,
        "select string_agg(c.oid::regclass::text, ', ') from pg_class c where c.relnamespace = 'rollcall'::regnamespace and c.relkind = 'r'",
    )
    .await?;
    holder
        .batch_execute(&format!(
            "begin; lock table {tables} in access exclusive mode"
        ))
        .await?;
    let id = sign_up(&project).await?;
    ensure!(has_profile(&project, id).await?);
    Ok(())
}
