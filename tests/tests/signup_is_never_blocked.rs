//! Whatever is wrong with the profile, the signup goes through, and the user is found afterwards.
//!
//! What is in its way here, a lock or a sleep, lasts longer than [`HANGS`]: a signup that waited for its end would fail.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rollcall::migrations;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{value, values};
use tokio::time::timeout;
use uuid::Uuid;

/// Far more than the few seconds that a signup may take, so that a slow machine is not taken for a hang.
const HANGS: Duration = Duration::from_secs(60);

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

async fn errors(project: &Project, id: Uuid) -> Result<Vec<String>> {
    let client = project.connect().await?;
    values(
        &client,
        &format!(
            "select concat_ws(' ', payload ->> 'sqlstate', payload ->> 'constraint', payload ->> 'column')
             from public.user_events where user_id = '{id}' and kind = 'profile_bootstrap_error'"
        ),
    )
    .await
}

/// Breaks a project, signs up, and expects no profile but the one event. After the mending the user is found, and
/// repaired.
async fn survives(broken: &str, event: &str, mended: &str) -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client.batch_execute(broken).await.context("breaking")?;
    let id = sign_up(&project).await?;
    assert_eq!(errors(&project, id).await?, [event]);

    client.batch_execute(mended).await.context("mending")?;
    migrations::apply(&mut project.rollcall().await?, true).await?;
    let missing: Vec<Uuid> = values(&client, "select rollcall.missing_users(null, 10)").await?;
    assert_eq!(missing, [id]);
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
        "P0001",
        NO_TRIGGER,
    )
    .await?;
    survives(
        &trigger("after insert", "raise exception 'no';"),
        "P0001",
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
        survives(&trigger("before insert", &body), code, NO_TRIGGER)
            .await
            .with_context(|| code.to_owned())?;
    }
    Ok(())
}

#[tokio::test]
async fn by_a_failed_assertion() -> Result<()> {
    survives(
        &trigger("before insert", "assert false; return new;"),
        "P0004",
        NO_TRIGGER,
    )
    .await
}

#[tokio::test]
async fn by_endless_recursion() -> Result<()> {
    let body = "insert into public.profiles (id) values (gen_random_uuid()); return new;";
    survives(&trigger("before insert", body), "54001", NO_TRIGGER).await
}

#[tokio::test]
async fn by_a_trigger_that_discards_the_row() -> Result<()> {
    survives(
        &trigger("before insert", "return null;"),
        "RC002",
        NO_TRIGGER,
    )
    .await
}

#[tokio::test]
async fn by_a_rule_that_discards_the_row() -> Result<()> {
    survives(
        "create rule broken as on insert to public.profiles do instead nothing",
        "0A000",
        "drop rule broken on public.profiles",
    )
    .await
}

#[tokio::test]
async fn by_a_constraint() -> Result<()> {
    let add = |constraint: &str| {
        format!("alter table public.profiles add constraint broken {constraint}")
    };
    let mended = "alter table public.profiles drop constraint broken";
    survives(
        &add("check (account_type <> 'sme')"),
        "23514 broken",
        mended,
    )
    .await?;
    survives(
        &format!(
            "create table public.plans (name text primary key); {}",
            add("foreign key (account_type) references public.plans (name)")
        ),
        "23503 broken",
        mended,
    )
    .await?;
    survives(
        "alter table public.profiles add column broken text not null",
        "23502 broken",
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
        "23505 broken",
        "drop index public.broken",
    )
    .await
}

#[tokio::test]
async fn by_a_constraint_that_is_checked_at_commit() -> Result<()> {
    let mended = "alter table public.profiles drop constraint broken";
    survives(
        "create table public.plans (name text primary key);
         alter table public.profiles add constraint broken
           foreign key (account_type) references public.plans (name) deferrable initially deferred",
        "23503 broken",
        mended,
    )
    .await?;
    // constraint names are unique in a table only
    survives(
        "create table public.plans (name text primary key constraint broken check (name <> ''));
         alter table public.profiles add constraint broken
           foreign key (account_type) references public.plans (name) deferrable initially deferred",
        "23503 broken",
        mended,
    )
    .await
}

#[tokio::test]
async fn by_a_trigger_that_fires_at_commit() -> Result<()> {
    survives(
        "create function public.broken() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create constraint trigger broken after insert on public.profiles deferrable initially deferred
           for each row execute function public.broken()",
        "P0001",
        NO_TRIGGER,
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
        "23503 bookings_plan_fkey",
        NO_TRIGGER,
    )
    .await
}

#[tokio::test]
async fn by_a_constraint_that_holds_only_at_commit_and_does() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(
            "create table public.settings (id uuid primary key);
             alter table public.profiles add constraint settings foreign key (id) references public.settings (id) deferrable initially deferred;
             create table public.log (id uuid constraint settings check (true));
             create function public.settle() returns trigger language plpgsql security definer as $$
             begin insert into public.settings values (new.id); return new; end $$;
             create trigger settle after insert on public.profiles for each row execute function public.settle();
             create function public.once() returns trigger language plpgsql security definer as $$
             begin insert into public.log values (new.id); return null; end $$;
             create constraint trigger once after insert on public.profiles deferrable initially deferred
               for each row execute function public.once()",
        )
        .await?;
    let id = sign_up(&project).await?;
    ensure!(has_profile(&project, id).await?);
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
async fn by_a_trigger_at_commit_that_names_no_schema() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(
            "create table public.statistics (profiles integer); insert into public.statistics values (0);
             create function public.tally() returns trigger language plpgsql security definer as $$
             begin update statistics set profiles = profiles + 1; return null; end $$;
             create constraint trigger tally after insert on public.profiles deferrable initially deferred
               for each row execute function public.tally()",
        )
        .await?;
    // at the commit of Supabase Auth, whose search path is auth, it would fail
    let id = sign_up(&project).await?;
    ensure!(!has_profile(&project, id).await?);
    assert_eq!(errors(&project, id).await?, ["42P01"]);
    // at that of whoever has public on his path it does not
    let signup =
        "insert into auth.users (id, email) values (gen_random_uuid(), 'another@example.com')";
    client.batch_execute(signup).await?;
    let answer: serde_json::Value = value(
        &project.connect().await?,
        "select public.backfill_all_missing_profiles(10, false)",
    )
    .await?;
    assert_eq!(
        (&answer["total_missing"], &answer["successful"]),
        (&1.into(), &1.into()),
        "{answer}"
    );
    assert_eq!(
        value::<i64>(&client, "select profiles::bigint from public.statistics").await?,
        2,
        "once for each profile"
    );
    Ok(())
}

#[tokio::test]
async fn by_a_table_that_changed() -> Result<()> {
    survives(
        "alter table public.profiles rename column email to mail",
        "42P16",
        "alter table public.profiles rename column mail to email",
    )
    .await?;
    survives(
        "alter table public.profiles rename to people",
        "42P16",
        "alter table public.people rename to profiles",
    )
    .await?;
    survives(
        "create type public.kind as enum ('ADMIN');
         alter table public.profiles alter account_type drop default, alter account_type type public.kind using 'ADMIN'::public.kind",
        "22P02",
        "alter table public.profiles alter account_type type text",
    )
    .await?;
    survives(
        "alter table public.profiles drop constraint profiles_pkey",
        "42P16",
        "alter table public.profiles add primary key (id)",
    )
    .await?;
    survives(
        "drop table public.profiles cascade",
        "42P16",
        "create table public.profiles (id uuid primary key references auth.users (id) on delete cascade, email text, account_type text);
         grant all on public.profiles to postgres; alter table public.profiles owner to postgres",
    )
    .await
}

#[tokio::test]
async fn by_a_table_that_may_not_be_written() -> Result<()> {
    survives(
        "alter table public.profiles owner to supabase_admin; revoke all on public.profiles from postgres, service_role",
        "42501",
        "alter table public.profiles owner to postgres",
    )
    .await
}

#[tokio::test]
async fn by_a_dropped_definition() -> Result<()> {
    survives("drop view rollcall.expected_profile", "42P16", "select").await?;
    survives(
        "create view public.mine as select id as _user_id, created_at as _signed_up_at, 1 / 0 as id from auth.users;
         drop view rollcall.expected_profile;
         create view rollcall.expected_profile as select _user_id, _signed_up_at, id::text::uuid as id from public.mine",
        "22012",
        "drop view rollcall.expected_profile",
    )
    .await
}

#[tokio::test]
async fn by_a_dropped_schema_or_function() -> Result<()> {
    for (broken, profile_is_made) in [
        ("drop schema rollcall cascade", false),
        // what only a signup that fails has need of
        ("drop function rollcall.bootstrap_profile", true),
        (
            "drop function rollcall.create_profiles, rollcall.log_signup",
            true,
        ),
        ("alter schema rollcall rename to gone", false),
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
        migrations::apply(&mut project.rollcall().await?, true).await?;
        let missing: Vec<Uuid> = values(&client, "select rollcall.missing_users(null, 10)").await?;
        let expected: &[Uuid] = if profile_is_made { &[] } else { &[id] };
        assert_eq!(missing, expected, "{broken}");
    }
    Ok(())
}

#[tokio::test]
async fn by_events_that_cannot_be_written_and_the_profile_is_made() -> Result<()> {
    for broken in [
        "drop table public.user_events",
        "alter table public.user_events add column broken text not null",
        "alter table public.user_events add constraint broken check (kind = '')",
        "alter table public.user_events owner to supabase_admin; revoke all on public.user_events from postgres",
        "create function public.broken() returns trigger language plpgsql as $$ begin assert false; end $$;
         create trigger broken before insert on public.user_events for each row execute function public.broken()",
        "create function public.broken() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create constraint trigger broken after insert on public.user_events deferrable initially deferred
           for each row execute function public.broken()",
        "create table public.kinds (kind text primary key);
         alter table public.user_events add foreign key (kind) references public.kinds deferrable initially deferred",
    ] {
        let project = Project::migrated().await?;
        let client = project.connect_as_superuser().await?;
        client.batch_execute(broken).await.context(broken)?;
        let id = sign_up(&project).await.context(broken)?;
        ensure!(has_profile(&project, id).await?, "{broken}");
    }
    Ok(())
}

#[tokio::test]
async fn by_events_and_profiles_that_both_cannot_be_written() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(
            "drop table public.user_events; alter table public.profiles add check (id is null)",
        )
        .await?;
    let id = sign_up(&project).await?;
    assert_eq!(
        values::<Uuid>(&client, "select rollcall.missing_users(null, 10)").await?,
        [id]
    );
    Ok(())
}

#[tokio::test]
async fn by_locked_tables() -> Result<()> {
    for (locked, profile_is_made) in [
        ("public.profiles", false),
        ("public.user_events", true),
        ("public.profiles, public.user_events", false),
    ] {
        let project = Project::migrated().await?;
        let holder = project.connect().await?;
        holder
            .batch_execute(&format!(
                "begin; lock table {locked} in access exclusive mode"
            ))
            .await?;
        let id = sign_up(&project).await.context(locked)?;
        holder.batch_execute("rollback").await?;
        assert_eq!(
            has_profile(&project, id).await?,
            profile_is_made,
            "{locked}"
        );
        if locked == "public.profiles" {
            assert_eq!(errors(&project, id).await?, ["55P03"]);
        }
        let missing: i64 = value(&holder, "select rollcall.count_missing()").await?;
        assert_eq!(missing, i64::from(!profile_is_made), "{locked}");
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
    for (table, profile_is_made) in [("profiles", false), ("user_events", true)] {
        let project = Project::migrated().await?;
        let client = project.connect_as_superuser().await?;
        client
            .batch_execute(&format!(
                "alter role supabase_auth_admin in database {} set statement_timeout = '700ms';
                 create function public.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(600); return new; end $$;
                 create trigger slow before insert on public.{table} for each row execute function public.slow()",
                project.database.name()
            ))
            .await?;
        if table == "user_events" {
            // the timeout strikes once; whatever else is slow has to wait its turn
            client
                .batch_execute("create or replace function public.slow() returns trigger language plpgsql as $$ begin
                   if new.kind = 'profile_bootstrap_ok' then perform pg_sleep(600); end if; return new; end $$")
                .await?;
        }
        let id = sign_up(&project).await?;
        assert_eq!(has_profile(&project, id).await?, profile_is_made, "{table}");
        if table == "profiles" {
            assert_eq!(errors(&project, id).await?, ["57014"]);
        }
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
        value::<i64>(&client, "select missing from rollcall.census()").await?,
        count
    );
    assert_eq!(
        value::<i64>(
            &client,
            "select count(*) from public.user_events where kind = 'profile_bootstrap_error'"
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
