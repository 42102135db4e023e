//! The statements of the signup trigger are planned once in a connection. Here they are planned, in a connection that stays
//! open, and then something changes that the plan alone would not know.

use anyhow::{Context, Result, ensure};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{value, values};
use tokio_postgres::Client;
use uuid::Uuid;

/// After five executions PostgreSQL keeps a plan.
const UNTIL_THE_PLAN_IS_KEPT: usize = 8;

async fn sign_up(session: &Client) -> Result<Uuid> {
    let id = Uuid::new_v4();
    session
        .execute(
            "insert into auth.users (id, email) values ($1, $1::uuid || '@example.com')",
            &[&id],
        )
        .await
        .context("the signup is blocked")?;
    Ok(id)
}

async fn keep_the_plan(session: &Client) -> Result<()> {
    for _ in 0..UNTIL_THE_PLAN_IS_KEPT {
        sign_up(session).await?;
    }
    Ok(())
}

/// A project, a session in which signups are planned already, and one for changes.
async fn planned() -> Result<(Project, Client, Client)> {
    let project = Project::migrated().await?;
    let session = project.connect_as_superuser().await?;
    keep_the_plan(&session).await?;
    let admin = project.connect_as_superuser().await?;
    Ok((project, session, admin))
}

async fn kinds(admin: &Client, id: Uuid) -> Result<Vec<String>> {
    values(
        admin,
        &format!(
            "select concat_ws(' ', kind, payload ->> 'sqlstate') from public.user_events where user_id = '{id}' order by id"
        ),
    )
    .await
}

async fn has_profile(admin: &Client, id: Uuid) -> Result<bool> {
    value(
        admin,
        &format!("select exists (select from public.profiles where id = '{id}')"),
    )
    .await
}

const SUCCESS: [&str; 2] = ["auth_user_created", "profile_bootstrap_ok"];

const WITH_A_COLUMN_MORE: &str = "create or replace view rollcall.expected_profile as
   select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email, 'sme'::text as account_type,
     'new'::text as motto
   from auth.users u";

async fn motto(admin: &Client, id: Uuid) -> Result<Option<String>> {
    value(
        admin,
        &format!("select (select motto from public.profiles where id = '{id}')"),
    )
    .await
}

async fn signs_up_with_the_motto(session: &Client, admin: &Client) -> Result<Uuid> {
    let id = sign_up(session).await?;
    assert_eq!(motto(admin, id).await?.as_deref(), Some("new"));
    Ok(id)
}

#[tokio::test]
async fn a_column_that_the_definition_was_given_is_filled_at_the_next_signup() -> Result<()> {
    let (_project, session, admin) = planned().await?;
    admin
        .batch_execute(&format!(
            "alter table public.profiles add column motto text; {WITH_A_COLUMN_MORE}"
        ))
        .await?;
    for _ in 0..UNTIL_THE_PLAN_IS_KEPT {
        let id = signs_up_with_the_motto(&session, &admin).await?;
        assert_eq!(kinds(&admin, id).await?, SUCCESS);
    }
    admin
        .batch_execute("select rollcall.adopt_profile_table()")
        .await?;
    for _ in 0..UNTIL_THE_PLAN_IS_KEPT {
        signs_up_with_the_motto(&session, &admin).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_edit_of_who_must_have_a_profile_counts_at_the_next_signup() -> Result<()> {
    let (_project, session, admin) = planned().await?;
    admin
        .batch_execute(
            "create or replace view rollcall.expected_profile as
             select u.id as _user_id, u.created_at as _signed_up_at, u.id, 'x'::text as email, 'sme'::text as account_type
             from auth.users u where u.email like 'nobody%'",
        )
        .await?;
    let id = sign_up(&session).await?;
    ensure!(!has_profile(&admin, id).await?);
    assert_eq!(kinds(&admin, id).await?, ["auth_user_created"]);
    Ok(())
}

#[tokio::test]
async fn a_signup_that_began_before_an_edit_is_not_planned_for_the_definition_there_was()
-> Result<()> {
    let project = Project::migrated().await?;
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute(
            "alter table public.profiles add column motto text;
             create function public.wait() returns trigger language plpgsql as $$
             begin perform pg_advisory_xact_lock(7); return new; end $$;
             create trigger wait before insert on auth.users for each row execute function public.wait();
             select pg_advisory_lock(7)",
        )
        .await?;
    let session = project.connect_as_superuser().await?;
    let edit = async {
        // until the signup's own statement has its snapshot, and waits
        while !value::<bool>(
            &admin,
            "select exists (select from pg_locks where locktype = 'advisory' and not granted
               and database = (select oid from pg_database where datname = current_database()))",
        )
        .await?
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        admin
            .batch_execute(&format!(
                "{WITH_A_COLUMN_MORE}; select pg_advisory_unlock(7)"
            ))
            .await?;
        anyhow::Ok(())
    };
    let (id, edited) = tokio::join!(sign_up(&session), edit);
    edited?;
    assert_eq!(motto(&admin, id?).await?.as_deref(), Some("new"));
    for _ in 0..UNTIL_THE_PLAN_IS_KEPT {
        signs_up_with_the_motto(&session, &admin).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_with_an_old_snapshot_leaves_no_plan_behind() -> Result<()> {
    let (_project, session, admin) = planned().await?;
    session
        .batch_execute("begin isolation level repeatable read; select count(*) from auth.users")
        .await?;
    admin
        .batch_execute(&format!(
            "alter table public.profiles add column motto text; {WITH_A_COLUMN_MORE}"
        ))
        .await?;
    for _ in 0..UNTIL_THE_PLAN_IS_KEPT {
        let id = sign_up(&session).await?;
        ensure!(
            value::<bool>(
                &session,
                &format!("select exists (select from public.profiles where id = '{id}')")
            )
            .await?
        );
    }
    session.batch_execute("commit").await?;
    signs_up_with_the_motto(&session, &admin).await?;
    Ok(())
}

#[tokio::test]
async fn a_table_that_took_the_place_of_the_profile_table_is_filled() -> Result<()> {
    let (_project, session, admin) = planned().await?;
    admin
        .batch_execute(
            "alter table public.profiles rename to profiles_old;
             create table public.profiles (id uuid primary key, email text, account_type text);
             alter table public.profiles owner to postgres",
        )
        .await?;
    let id = sign_up(&session).await?;
    ensure!(has_profile(&admin, id).await?);
    assert_eq!(
        value::<i64>(
            &admin,
            &format!("select count(*) from public.profiles_old where id = '{id}'")
        )
        .await?,
        0
    );
    Ok(())
}

/// What the commit would refuse, added while the session goes on: the signup goes through, with an error in the events or
/// with a profile and no event.
#[tokio::test]
async fn what_the_commit_would_refuse_later_on_blocks_no_signup() -> Result<()> {
    const BOOKINGS: &str = "create table public.plans (name text primary key);
         create table public.bookings (plan text);
         create function public.book() returns trigger language plpgsql security definer as $$
         begin insert into public.bookings values ('none'); return new; end $$;";
    const CHECKED_AT_COMMIT: &str = "alter table public.bookings add foreign key (plan) references public.plans deferrable initially deferred not valid";
    let cases: [(&str, String, bool); 7] = [
        (
            "on the profile table",
            "create table public.plans (name text primary key);
             alter table public.profiles add foreign key (account_type) references public.plans deferrable initially deferred not valid"
                .to_owned(),
            false,
        ),
        (
            "on the events",
            "create table public.kinds (kind text primary key);
             alter table public.user_events add foreign key (kind) references public.kinds deferrable initially deferred not valid"
                .to_owned(),
            true,
        ),
        (
            "where a trigger writes",
            format!("{BOOKINGS} create trigger book after insert on public.profiles for each row execute function public.book(); {CHECKED_AT_COMMIT}"),
            false,
        ),
        (
            "where a trigger for the statement writes",
            format!("{BOOKINGS} create trigger book before insert on public.profiles for each statement execute function public.book(); {CHECKED_AT_COMMIT}"),
            false,
        ),
        (
            "where a trigger on the events writes",
            format!("{BOOKINGS} create trigger book after insert on public.user_events for each row execute function public.book(); {CHECKED_AT_COMMIT}"),
            true,
        ),
        (
            "where a default writes",
            format!("{BOOKINGS} create function public.note() returns text language plpgsql security definer as $$
                       begin insert into public.bookings values ('none'); return ''; end $$;
                     alter table public.profiles add column note text;
                     alter table public.profiles alter column note set default public.note(); {CHECKED_AT_COMMIT}"),
            false,
        ),
        (
            "where the definition writes",
            format!("{BOOKINGS} create function public.note() returns text language plpgsql security definer as $$
                       begin insert into public.bookings values ('none'); return 'a@example.com'; end $$;
                     create or replace view rollcall.expected_profile as
                     select u.id as _user_id, u.created_at as _signed_up_at, u.id, public.note() as email, 'sme'::text as account_type
                     from auth.users u; {CHECKED_AT_COMMIT}"),
            false,
        ),
    ];
    for (case, change, profile_is_made) in cases {
        let (_project, session, admin) = planned().await?;
        admin.batch_execute(&change).await.context(case)?;
        for _ in 0..2 {
            let id = sign_up(&session).await.context(case)?;
            assert_eq!(has_profile(&admin, id).await?, profile_is_made, "{case}");
            let expected: &[&str] = if profile_is_made {
                &[]
            } else {
                &["auth_user_created", "profile_bootstrap_error 23503"]
            };
            assert_eq!(kinds(&admin, id).await?, expected, "{case}");
        }
    }
    Ok(())
}

/// A constraint of a table to which only the application's own trigger writes is no change of a table that the statement
/// names.
#[tokio::test]
async fn a_constraint_where_a_known_trigger_writes_is_tried_from_the_next_signup_on() -> Result<()>
{
    let (_project, session, admin) = planned().await?;
    admin
        .batch_execute(
            "create table public.plans (name text primary key);
             create table public.bookings (plan text);
             alter table public.bookings owner to postgres;
             create function public.book() returns trigger language plpgsql as $$
             begin insert into bookings values ('none'); return new; end $$;
             create trigger book after insert on public.profiles for each row execute function public.book()",
        )
        .await?;
    for planned_anew in [false, true] {
        if planned_anew {
            admin
                .batch_execute(
                    "alter table public.bookings drop constraint bookings_plan_fkey; select rollcall.adopt_profile_table()",
                )
                .await?;
        }
        for _ in 0..UNTIL_THE_PLAN_IS_KEPT {
            let id = sign_up(&session).await?;
            assert_eq!(kinds(&admin, id).await?, SUCCESS);
        }
        admin
            .batch_execute(
                "alter table public.bookings add constraint bookings_plan_fkey
                   foreign key (plan) references public.plans deferrable initially deferred not valid",
            )
            .await?;
        let id = sign_up(&session).await?;
        ensure!(!has_profile(&admin, id).await?);
        assert_eq!(
            kinds(&admin, id).await?,
            ["auth_user_created", "profile_bootstrap_error 23503"]
        );
    }
    Ok(())
}

/// One name without a schema, and one firing for each signup, whenever the trigger came.
#[tokio::test]
async fn a_trigger_for_the_statement_fires_once_and_finds_its_tables() -> Result<()> {
    for planned_anew in [false, true] {
        let (_project, session, admin) = planned().await?;
        admin
            .batch_execute(
                "create table public.firings (at timestamptz default now());
                 alter table public.firings owner to postgres;
                 create function public.fire() returns trigger language plpgsql as $$
                 begin insert into firings default values; return null; end $$;
                 create trigger fire_before before insert on public.profiles for each statement execute function public.fire();
                 create trigger fire_events before insert on public.user_events for each statement execute function public.fire()",
            )
            .await?;
        if planned_anew {
            admin
                .batch_execute("select rollcall.adopt_profile_table()")
                .await?;
        }
        for _ in 0..UNTIL_THE_PLAN_IS_KEPT {
            let id = sign_up(&session).await?;
            assert_eq!(kinds(&admin, id).await?, SUCCESS);
        }
        let firings: i64 = value(&admin, "select count(*) from public.firings").await?;
        assert_eq!(firings, 2 * i64::try_from(UNTIL_THE_PLAN_IS_KEPT)?);
    }
    Ok(())
}

#[tokio::test]
async fn a_user_who_comes_back_under_his_old_id_has_each_event_once() -> Result<()> {
    let (_project, session, admin) = planned().await?;
    let id = sign_up(&session).await?;
    for _ in 0..2 {
        session
            .batch_execute(&format!(
                "delete from auth.users where id = '{id}';
                 insert into auth.users (id, email) values ('{id}', 'back@example.com')"
            ))
            .await?;
        ensure!(has_profile(&admin, id).await?);
        assert_eq!(kinds(&admin, id).await?, SUCCESS);
    }
    Ok(())
}

#[tokio::test]
async fn code_of_the_application_is_seen_wherever_it_hangs() -> Result<()> {
    let project = Project::migrated().await?;
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute(
            "create function public.own(text) returns boolean language plpgsql immutable as $$ begin return true; end $$;
             create function public.own_trigger() returns trigger language plpgsql as $$ begin return new; end $$;
             create function public.own_equal(text, uuid) returns boolean language plpgsql immutable as $$ begin return true; end $$;
             create type public.mood as enum ('good')",
        )
        .await?;
    let runs_code = async |relation: &str| {
        value::<bool>(
            &admin,
            &format!("select rollcall.insert_runs_code('{relation}')"),
        )
        .await
    };
    let table = "public.profiles";
    let view = "rollcall.expected_profile";
    ensure!(!runs_code(table).await? && !runs_code(view).await?);
    ensure!(!runs_code("public.user_events").await?);
    let edited = |columns: &str, from: &str| {
        format!(
            "create view rollcall.edited as select u.id as _user_id, u.id{columns} from {from} u"
        )
    };
    for (relation, change, back) in [
        (
            table,
            "create trigger own after insert or update on public.profiles for each row execute function public.own_trigger()".to_owned(),
            "drop trigger own on public.profiles",
        ),
        (
            table,
            "create trigger own before insert on public.profiles for each statement execute function public.own_trigger()".to_owned(),
            "drop trigger own on public.profiles",
        ),
        (
            table,
            "create rule own as on insert to public.profiles do also select 1".to_owned(),
            "drop rule own on public.profiles; vacuum public.profiles",
        ),
        (
            table,
            "alter table public.profiles add constraint own unique (email) deferrable".to_owned(),
            "alter table public.profiles drop constraint own",
        ),
        (
            table,
            "alter table public.profiles add constraint own check (public.own(email))".to_owned(),
            "alter table public.profiles drop constraint own",
        ),
        (
            table,
            "create index own on public.profiles (public.own(email))".to_owned(),
            "drop index public.own",
        ),
        (
            table,
            "alter table public.profiles add constraint own exclude ((public.own(email)::text) with =)".to_owned(),
            "alter table public.profiles drop constraint own",
        ),
        (
            table,
            "alter table public.profiles add own boolean default public.own('')".to_owned(),
            "alter table public.profiles drop column own",
        ),
        (
            table,
            "alter table public.profiles add own boolean generated always as (public.own(email)) stored".to_owned(),
            "alter table public.profiles drop column own",
        ),
        (
            table,
            "create domain public.own_text as text check (public.own(value)); alter table public.profiles add own public.own_text[]".to_owned(),
            "alter table public.profiles drop column own; drop domain public.own_text",
        ),
        (
            table,
            "create function public.own_mood(text) returns public.mood language plpgsql immutable as $$ begin return 'good'; end $$;
             create cast (text as public.mood) with function public.own_mood as assignment".to_owned(),
            "drop cast (text as public.mood)",
        ),
        ("rollcall.edited", edited(", public.own(u.email) as own", "auth.users"), "drop view rollcall.edited"),
        (
            "rollcall.edited",
            format!("create operator public.=== (function = public.own_equal, leftarg = text, rightarg = uuid); {}", edited(", u.email::text operator(public.===) u.id as own", "auth.users")),
            "drop view rollcall.edited; drop operator public.=== (text, uuid)",
        ),
        (
            "rollcall.edited",
            format!("create view public.people as select id, public.own(email) as own from auth.users; {}", edited("", "public.people")),
            "drop view rollcall.edited, public.people",
        ),
    ] {
        admin.batch_execute(&change).await.with_context(|| change.clone())?;
        ensure!(runs_code(relation).await?, "{change}");
        // a vacuum is a statement of its own
        for statement in back.split("; ") {
            admin.batch_execute(statement).await.context(back)?;
        }
        ensure!(!runs_code(table).await? && !runs_code(view).await?, "{back}");
    }
    // an enum, a domain and a trigger of other kinds run nothing
    admin
        .batch_execute(
            "alter table public.profiles add mood public.mood default 'good', add number bigint generated always as identity;
             create domain public.short as text check (length(value) < 9);
             alter table public.profiles add short public.short;
             create trigger own before update on public.profiles for each row execute function public.own_trigger()",
        )
        .await?;
    ensure!(!runs_code(table).await?);
    Ok(())
}

#[tokio::test]
async fn events_that_became_a_view_hide_no_constraint_of_their_table() -> Result<()> {
    let (project, session, admin) = planned().await?;
    project
        .connect()
        .await?
        .batch_execute(
            "alter table public.user_events rename to user_events_data;
             create view public.user_events as select * from public.user_events_data;
             create table public.kinds (kind text primary key);
             alter table public.user_events_data
               add foreign key (kind) references public.kinds deferrable initially deferred not valid",
        )
        .await?;
    let fresh = project.connect_as_superuser().await?;
    for session in [&session, &fresh] {
        let user = sign_up(session).await?;
        ensure!(has_profile(&admin, user).await?);
    }
    project
        .connect()
        .await?
        .batch_execute("select rollcall.adopt_profile_table()")
        .await?;
    let user = sign_up(&session).await?;
    ensure!(has_profile(&admin, user).await?);
    Ok(())
}
