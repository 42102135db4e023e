//! Rollcall's own signup trigger and the guard, both asked for on purpose: what they add, where they are refused, and that
//! nothing of the application's changes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rollcall::error::Error;
use rollcall::migrations::{self, Extent};
use rollcall::session::Session;
use rollcall::signup_trigger::{self, Change};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{catalog, difference, refusal, value, values};
use tokio::time::timeout;
use tokio_postgres::Client;
use uuid::Uuid;

const PROFILES: &str = "
    create table public.profiles (id uuid primary key references auth.users on delete cascade, email text);";

/// Makes the profile, and knows nobody else who does.
const HANDLE_NEW_USER: &str = "
    create or replace function public.handle_new_user() returns trigger
    language plpgsql security definer set search_path = '' as $$
    begin insert into public.profiles (id, email) values (new.id, new.email); return new; end $$;";

const ON_AUTH_USER_CREATED: &str = "
    create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();";

const INSTALL: &str = "select rollcall.install_signup_trigger()";
const REMOVE: &str = "select rollcall.remove_signup_trigger()";

async fn project_with(sql: &[&str]) -> Result<(Project, Client)> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    for statements in sql {
        client.batch_execute(statements).await?;
    }
    project.migrate().await?;
    Ok((project, client))
}

async fn sign_up(project: &Project, number: u32) -> Result<Uuid> {
    project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(number))
        .await
        .context("the signup is blocked")
}

async fn count(client: &Client, of: &str) -> Result<i64> {
    value(client, &format!("select count(*) from {of}")).await
}

async fn has_profile(client: &Client, id: Uuid) -> Result<bool> {
    Ok(count(client, &format!("public.profiles where id = '{id}'")).await? == 1)
}

async fn events(client: &Client, id: Uuid) -> Result<Vec<String>> {
    values(
        client,
        &format!("select kind from rollcall.event where user_id = '{id}' order by id"),
    )
    .await
}

/// The signup triggers: `name ours` or `name theirs`.
async fn triggers(project: &Project) -> Result<Vec<String>> {
    let triggers = signup_trigger::status(&mut project.rollcall().await?).await?;
    let named = triggers.into_iter().map(|trigger| {
        let whose = if trigger.is_ours { "ours" } else { "theirs" };
        format!("{} {whose}", trigger.trigger)
    });
    Ok(named.collect())
}

#[tokio::test]
async fn where_both_names_are_free_it_has_the_usual_ones() -> Result<()> {
    let (project, client) = project_with(&[PROFILES]).await?;
    let before = catalog(&client).await?;
    for number in 1..=2 {
        client.batch_execute(INSTALL).await?;
        assert_eq!(triggers(&project).await?, ["on_auth_user_created ours"]);
        let id = sign_up(&project, number).await?;
        ensure!(has_profile(&client, id).await?);
        assert_eq!(
            events(&client, id).await?,
            ["auth_user_created", "profile_bootstrap_ok"]
        );
    }
    client.batch_execute(REMOVE).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    let id = sign_up(&project, 3).await?;
    ensure!(!has_profile(&client, id).await?);
    let again: String = value(&client, REMOVE).await?;
    assert_eq!(again, "there was no trigger of Rollcall's");
    Ok(())
}

#[tokio::test]
async fn beside_the_applications_own_it_comes_last_and_leaves_it_be() -> Result<()> {
    let (project, client) = project_with(&[
        PROFILES,
        HANDLE_NEW_USER,
        ON_AUTH_USER_CREATED,
        // needs the profile that the first one made
        "create table public.settings (profile_id uuid primary key references public.profiles on delete cascade);
         create function public.later() returns trigger language plpgsql security definer set search_path = '' as $$
         begin insert into public.settings values (new.id); return new; end $$;
         create trigger on_signup after insert on auth.users for each row execute function public.later();",
    ])
    .await?;
    let before = catalog(&client).await?;
    client.batch_execute(INSTALL).await?;
    client.batch_execute(INSTALL).await?;
    assert_eq!(
        triggers(&project).await?,
        [
            "on_auth_user_created theirs",
            "on_signup theirs",
            "zz_rollcall_on_signup ours"
        ]
    );
    let after = catalog(&client).await?;
    ensure!(
        before.iter().all(|line| after.contains(line)),
        "{:?}",
        difference(&before, &after)
    );

    let id = sign_up(&project, 1).await?;
    ensure!(has_profile(&client, id).await?);
    assert_eq!(count(&client, "public.settings").await?, 1);
    assert_eq!(
        events(&client, id).await?,
        [""; 0],
        "the application did it"
    );

    // the application's own is out of order; the one that needs a profile is not there either
    project
        .connect_as_superuser()
        .await?
        .batch_execute(
            "alter table auth.users disable trigger on_auth_user_created; drop trigger on_signup on auth.users",
        )
        .await?;
    let id = sign_up(&project, 2).await?;
    ensure!(has_profile(&client, id).await?);
    assert_eq!(
        events(&client, id).await?,
        ["auth_user_created", "profile_bootstrap_ok"]
    );

    client.batch_execute(REMOVE).await?;
    assert_eq!(triggers(&project).await?, ["on_auth_user_created theirs"]);
    Ok(())
}

/// A plan, an installation and a second plan of a project in which the trigger could do harm.
async fn is_refused(application: &[&str], words: &str) -> Result<()> {
    let (project, client) = project_with(application).await?;
    let before = catalog(&client).await?;
    for sql in ["select rollcall.signup_trigger_plan()", INSTALL] {
        let error = client
            .batch_execute(sql)
            .await
            .err()
            .with_context(|| format!("{sql} is not refused: {application:?}"))?;
        let error = error.as_db_error().context("of the database")?;
        ensure!(
            error.message().starts_with("rollcall: ") && error.message().contains(words),
            "{error}"
        );
        ensure!(
            error.hint().is_some_and(|hint| !hint.is_empty()),
            "{error:?}"
        );
    }
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    sign_up(&project, 1).await?;
    Ok(())
}

#[tokio::test]
async fn it_is_refused_where_something_is_checked_at_commit() -> Result<()> {
    for application in [
        "create table public.plans (name text primary key);
         alter table public.profiles add plan text references public.plans deferrable initially deferred",
        // a function that runs as its caller, and writes what only a signed-in user may write
        "create table public.notes (profile_id uuid);
         create function public.note() returns trigger language plpgsql set search_path = '' as $$
         begin insert into public.notes values (new.id); return null; end $$;
         create constraint trigger note after insert on public.profiles deferrable initially deferred
           for each row execute function public.note()",
        "create table public.plans (name text primary key);
         create table public.bookings (plan text references public.plans deferrable initially deferred);
         create function public.book() returns trigger language plpgsql security definer set search_path = '' as $$
         begin insert into public.bookings values ('none'); return new; end $$;
         create trigger book after insert on public.profiles for each row execute function public.book()",
        "create table public.plans (name text primary key);
         create table public.bookings (plan text references public.plans deferrable initially immediate);
         create function public.book() returns text language plpgsql security definer set search_path = '' as $$
         begin set constraints all deferred; insert into public.bookings values ('none'); return 'booked'; end $$;
         alter table public.profiles add booking text default public.book()",
    ] {
        is_refused(&[PROFILES, application], "is checked at commit").await?;
    }
    is_refused(
        &["create table public.profiles (id uuid primary key, email text) partition by hash (id);
           create table public.profiles_0 partition of public.profiles for values with (modulus 1, remainder 0);
           create function public.refuse() returns trigger language plpgsql as $$ begin raise 'too late'; end $$;
           create constraint trigger refuse after insert on public.profiles_0 deferrable initially deferred
             for each row execute function public.refuse()"],
        "is checked at commit",
    )
    .await?;
    Ok(())
}

/// A plain insert that fires later would fail on the profile that is there already, and the confirmation with it.
#[tokio::test]
async fn it_is_refused_where_the_application_makes_profiles_later() -> Result<()> {
    let made = "
        create function public.new_member(member uuid, address text) returns void language sql security definer set search_path = '' as $$
          insert into public.profiles (id, email) values (member, address) $$;
        create function public.made() returns trigger language plpgsql security definer set search_path = '' as $$
        begin perform public.new_member(new.id, new.email); return new; end $$;
        create function public.made_of_identity() returns trigger language plpgsql security definer set search_path = '' as $$
        begin insert into public.profiles (id) values (new.user_id); return new; end $$;
        create function public.made_of_all() returns trigger language plpgsql security definer set search_path = '' as $$
        begin insert into public.profiles (id, email) select id, email from n; return null; end $$;
        create function public.made_somehow() returns trigger language plpgsql security definer set search_path = '' as $$
        begin execute format('insert into public.%I (id) values (%L)', tg_argv[0], new.id); return new; end $$;";
    for trigger in [
        "create trigger confirmed after update on auth.users for each row
           when (old.email_confirmed_at is null and new.email_confirmed_at is not null) execute function public.made()",
        "create trigger changed after insert or update of email_confirmed_at on auth.users for each row
           when (new.email_confirmed_at is not null) execute function public.made()",
        "create trigger identified after insert on auth.identities for each row execute function public.made_of_identity()",
        "create trigger stated after insert on auth.users referencing new table as n
           for each statement execute function public.made_of_all()",
        "create trigger somehow after update on auth.users for each row
           when (old.email_confirmed_at is null and new.email_confirmed_at is not null) execute function public.made_somehow('profiles')",
        "create constraint trigger committed after insert on auth.users deferrable initially deferred
           for each row execute function public.made()",
    ] {
        is_refused(
            &[PROFILES, made, trigger],
            "may make profiles after the signup's insert",
        )
        .await
        .context(trigger)?;
    }
    Ok(())
}

/// Its plain insert after the login would fail on the profile that is there already.
#[tokio::test]
async fn it_is_refused_where_clients_make_the_profiles() -> Result<()> {
    let user = Uuid::new_v4();
    is_refused(
        &[
            PROFILES,
            "alter table public.profiles enable row level security;
             create policy own on public.profiles for insert to authenticated with check (auth.uid() = id)",
            &format!(
                "insert into auth.users (id, email) values ('{user}', 'a@example.com');
                 insert into public.profiles values ('{user}', 'a@example.com')"
            ),
        ],
        "makes profiles in public.profiles by itself",
    )
    .await
}

#[tokio::test]
async fn what_only_follows_or_bears_a_second_row_is_no_obstacle() -> Result<()> {
    for application in [
        "create function public.follow() returns trigger language plpgsql security definer set search_path = '' as $$
         begin update public.profiles set email = new.email where id = new.id; return new; end $$;
         create trigger follow after update of email on auth.users for each row execute function public.follow()",
        "create function public.again() returns trigger language plpgsql security definer set search_path = '' as $$
         begin insert into public.profiles (id, email) values (new.id, new.email) on conflict (id) do nothing; return new; end $$;
         create trigger again after update on auth.users for each row execute function public.again()",
        "create function public.member() returns trigger language plpgsql security definer set search_path = '' as $$
         begin
           if tg_op = 'INSERT' then insert into public.profiles (id, email) values (new.id, new.email);
           elsif tg_op = 'UPDATE' then update public.profiles set email = new.email where id = new.id;
           else delete from public.profiles where id = old.id; end if;
           return new;
         end $$;
         create trigger member after insert or update of email or delete on auth.users for each row execute function public.member()",
    ] {
        let (project, client) = project_with(&[PROFILES, application]).await?;
        client.batch_execute(INSTALL).await.context(application)?;
        let id = sign_up(&project, 1).await?;
        let mut auth = project.auth().await?;
        auth.change_email(id, "changed@example.com").await?;
        ensure!(has_profile(&client, id).await?, "{application}");
        auth.hard_delete(id).await?;
    }
    Ok(())
}

#[tokio::test]
async fn it_is_refused_where_it_could_not_come_last_or_could_not_make_a_profile() -> Result<()> {
    is_refused(
        &[
            PROFILES,
            HANDLE_NEW_USER,
            "create trigger zzz after insert on auth.users for each row execute function public.handle_new_user()",
        ],
        "zzz fires after Rollcall's would",
    )
    .await?;
    is_refused(
        &[
            PROFILES,
            "alter table public.profiles add tenant_id uuid not null",
        ],
        "gives no value to tenant_id",
    )
    .await?;
    is_refused(&[], "there is no definition").await
}

#[tokio::test]
async fn a_locked_table_of_users_keeps_no_signup_waiting_behind_an_installation() -> Result<()> {
    let (project, client) = project_with(&[PROFILES]).await?;
    let holder = project.connect_as_superuser().await?;
    holder
        .batch_execute(
            "begin; insert into auth.users (id, email) values (gen_random_uuid(), 'open@example.com')",
        )
        .await?;
    let waits = timeout(Duration::from_secs(30), refusal(&client, INSTALL)).await?;
    assert_eq!(waits.as_deref(), Some("55P03"));
    holder.batch_execute("rollback").await?;
    client.batch_execute(INSTALL).await?;
    Ok(())
}

/// Deployments run `create or replace` at any time, and find the names that they have always used.
#[tokio::test]
async fn code_that_the_application_deploys_over_it_is_what_runs_and_stays() -> Result<()> {
    for deployed in [
        HANDLE_NEW_USER.to_owned(),
        format!(
            "{HANDLE_NEW_USER} drop trigger if exists on_auth_user_created on auth.users; {ON_AUTH_USER_CREATED}"
        ),
    ] {
        let deployed = deployed.replace("new.email)", "'theirs')");
        let (project, client) = project_with(&[PROFILES]).await?;
        client.batch_execute(INSTALL).await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute(&deployed)
            .await?;
        let theirs = async |number: u32| -> Result<()> {
            let id = sign_up(&project, number).await?;
            let email: String = value(
                &client,
                &format!("select email from public.profiles where id = '{id}'"),
            )
            .await?;
            assert_eq!(email, "theirs");
            Ok(())
        };
        theirs(1).await?;
        assert_eq!(triggers(&project).await?, ["on_auth_user_created theirs"]);
        project.upgrade().await?;
        theirs(2).await?;
        client.batch_execute(INSTALL).await?;
        assert_eq!(
            triggers(&project).await?,
            ["on_auth_user_created theirs", "zz_rollcall_on_signup ours"]
        );
        theirs(3).await?;
        client.batch_execute(REMOVE).await?;
        theirs(4).await?;
        migrations::roll_back(&mut project.rollcall().await?, Extent::Everything).await?;
        theirs(5).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_upgrade_brings_its_function_up_to_date() -> Result<()> {
    let (project, client) = project_with(&[PROFILES]).await?;
    client.batch_execute(INSTALL).await?;
    client
        .batch_execute(
            "create or replace function public.handle_new_user() returns trigger language plpgsql as $$
             declare s record; begin select x.* into s from rollcall.settings x; perform rollcall.of_an_older_version(new.id); return new; exception when others then return new; end $$",
        )
        .await?;
    let id = sign_up(&project, 1).await?;
    ensure!(!has_profile(&client, id).await?);
    project.upgrade().await?;
    let id = sign_up(&project, 2).await?;
    ensure!(has_profile(&client, id).await?);
    Ok(())
}

#[tokio::test]
async fn it_is_not_taken_away_from_others_who_run_its_function() -> Result<()> {
    let (project, client) = project_with(&[PROFILES]).await?;
    client.batch_execute(INSTALL).await?;
    client
        .batch_execute(
            "create trigger another after insert on auth.users for each row execute function public.handle_new_user()",
        )
        .await?;
    let before = catalog(&client).await?;
    let error = client.batch_execute(REMOVE).await.err().context("done")?;
    let error = error.as_db_error().context("of the database")?;
    ensure!(error.message().contains("another on auth.users"), "{error}");
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    sign_up(&project, 1).await.map(drop)
}

#[tokio::test]
async fn after_a_rollback_signups_work_and_the_applications_other_triggers_go_on() -> Result<()> {
    let (project, client) = project_with(&[
        PROFILES,
        "create table public.greetings (user_id uuid);
         create function public.greet() returns trigger language plpgsql security definer set search_path = '' as $$
         begin insert into public.greetings values (new.id); return new; end $$;
         create trigger greet after insert on auth.users for each row execute function public.greet();",
    ])
    .await?;
    client.batch_execute(INSTALL).await?;
    sign_up(&project, 1).await?;
    migrations::roll_back(&mut project.rollcall().await?, Extent::Everything).await?;
    let id = sign_up(&project, 2).await?;
    ensure!(!has_profile(&client, id).await?);
    assert_eq!(count(&client, "public.greetings").await?, 2);
    Ok(())
}

// The guard ---------------------------------------------------------------------------------------------------------

/// Nobody without an address can sign up, by mistake.
const FRAGILE: &str = "
    create table public.profiles (id uuid primary key references auth.users on delete cascade, email text not null);
    create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
    declare
      address text := new.email; -- never null?
    begin
      insert into public.profiles (id, email) values (new.id, address);
      return new;
    end; -- that is all
    $$;";

const FUNCTION: &str = "public.handle_new_user()";

async fn guard(project: &Project) -> Result<String, Error> {
    let guard = Change::Guard(FUNCTION.to_owned());
    guard
        .apply(&mut Session::new(project.settings().expect("settings")))
        .await
}

async fn unguard(project: &Project) -> Result<String, Error> {
    let unguard = Change::Unguard(FUNCTION.to_owned());
    unguard
        .apply(&mut Session::new(project.settings().expect("settings")))
        .await
}

async fn note(project: &Project) -> Result<String> {
    let triggers = signup_trigger::status(&mut project.rollcall().await?).await?;
    Ok(triggers.first().context("no trigger")?.note.clone())
}

async fn anonymous(project: &Project) -> Result<Uuid> {
    project
        .auth()
        .await?
        .sign_up(SignupKind::Anonymous, &Person::default())
        .await
}

#[tokio::test]
async fn a_guarded_function_that_fails_blocks_no_signup() -> Result<()> {
    let (project, client) = project_with(&[FRAGILE, ON_AUTH_USER_CREATED]).await?;
    let before = catalog(&client).await?;
    ensure!(anonymous(&project).await.is_err());

    let plan = Change::Guard(FUNCTION.to_owned())
        .plan(&mut project.session()?)
        .await?;
    ensure!(plan.contains("values (new.id, address)"), "{plan}");
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);

    guard(&project).await?;
    let id = anonymous(&project).await?;
    ensure!(!has_profile(&client, id).await?);
    let event: String = value(
        &client,
        "select kind || ' ' || (payload ->> 'source') || ' ' || (payload ->> 'sqlstate') from rollcall.event",
    )
    .await?;
    assert_eq!(event, "profile_bootstrap_error guard 23502");
    let id = sign_up(&project, 1).await?;
    ensure!(has_profile(&client, id).await?);
    let again = guard(&project).await?;
    assert_eq!(again, "public.handle_new_user() is guarded already");

    // without the schema it still lets everybody through
    client
        .batch_execute("alter schema rollcall rename to gone")
        .await?;
    anonymous(&project).await?;
    client
        .batch_execute("alter schema gone rename to rollcall")
        .await?;

    unguard(&project).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    ensure!(anonymous(&project).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_guard_that_a_deployment_overwrote_is_noticed_and_not_put_back() -> Result<()> {
    let (project, client) = project_with(&[FRAGILE, ON_AUTH_USER_CREATED]).await?;
    guard(&project).await?;
    assert_eq!(note(&project).await?, "after insert (guarded)");
    client.batch_execute(HANDLE_NEW_USER).await?;
    assert_eq!(
        note(&project).await?,
        "after insert (the guard was overwritten)"
    );
    let said = unguard(&project).await?;
    ensure!(said.contains("overwritten"), "{said}");
    let body: String = value(
        &client,
        "select prosrc from pg_proc where proname = 'handle_new_user'",
    )
    .await?;
    ensure!(HANDLE_NEW_USER.contains(&body), "{body}");
    sign_up(&project, 1).await.map(drop)
}

/// P16: what keeps somebody out on purpose goes on doing so.
#[tokio::test]
async fn a_function_that_refuses_signups_on_purpose_gets_no_guard() -> Result<()> {
    let body = |refuses: &str| {
        format!(
            "create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
             begin {refuses} insert into public.profiles (id, email) values (new.id, new.email); return new; end $$;"
        )
    };
    let unless_corporate = "if new.email not like '%@corp.test' then";
    for (application, words) in [
        (
            body(&format!("{unless_corporate} raise exception 'no'; end if;")),
            "refused on purpose",
        ),
        (
            body(&format!("{unless_corporate} RAISE 'no %', new.id; end if;")),
            "refused on purpose",
        ),
        (
            body(&format!(
                "{unless_corporate} raise check_violation using message = 'no'; end if;"
            )),
            "refused on purpose",
        ),
        (
            body(&format!("{unless_corporate} raise /* why */ sqlstate 'P0001'; end if;")),
            "refused on purpose",
        ),
        (
            body("assert new.email like '%@corp.test';"),
            "refused on purpose",
        ),
        (
            "create function public.gate(address text) returns void language plpgsql as $$
             begin if address not like '%@corp.test' then raise exception 'no'; end if; end $$;"
                .to_owned()
                + &body("perform public.gate(new.email);"),
            "public.gate(text)",
        ),
        (
            "create function public.gate() returns trigger language plpgsql as $$
             begin if new.email not like '%@corp.test' then raise exception 'no'; end if; return new; end $$;
             create trigger gate before insert on public.profiles for each row execute function public.gate();"
                .to_owned()
                + &body(""),
            "public.gate()",
        ),
        (
            body("") + "create trigger before_it before insert on public.profiles for each row execute function public.handle_new_user();",
            "before a row is written",
        ),
    ] {
        let (project, client) =
            project_with(&[PROFILES, &application, ON_AUTH_USER_CREATED]).await?;
        let before = catalog(&client).await?;
        let error = guard(&project)
            .await
            .err()
            .with_context(|| application.clone())?;
        ensure!(error.to_string().contains(words), "{application}: {error}");
        ensure!(!error.next_step().is_empty());
        assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_trigger_function_of_a_signup_gets_no_guard() -> Result<()> {
    let (project, client) = project_with(&[
        PROFILES,
        HANDLE_NEW_USER,
        "create function public.other() returns trigger language plpgsql as $$ begin return new; end $$",
    ])
    .await?;
    let before = catalog(&client).await?;
    for function in ["public.other()", "public.handle_new_user()", "auth.uid()"] {
        let change = Change::Guard(function.to_owned());
        let error = change.apply(&mut project.session()?).await.err();
        ensure!(
            error.is_some_and(|error| error.to_string().contains("is no PL/pgSQL function")),
            "{function}"
        );
    }
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    Ok(())
}

/// Words that only warn, and a handler of its own, are no refusal.
#[tokio::test]
async fn a_function_that_only_warns_can_be_guarded() -> Result<()> {
    let (project, client) = project_with(&[
        PROFILES,
        "create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
         begin
           -- raise exception 'was here once'
           raise log 'signup %', new.id; raise warning 'again';
           begin insert into public.profiles (id, email) values (new.id, new.email);
           exception when unique_violation then null; end;
           return null;
         end $$;",
        ON_AUTH_USER_CREATED,
    ])
    .await?;
    let before = catalog(&client).await?;
    guard(&project).await?;
    sign_up(&project, 1).await?;
    unguard(&project).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    Ok(())
}

/// A deployment over Rollcall's function keeps its comment, and may name Rollcall: it is the application's all the same.
#[tokio::test]
async fn an_upgrade_or_a_removal_takes_no_function_of_the_applications_for_its_own() -> Result<()> {
    let (project, client) = project_with(&[PROFILES]).await?;
    client.batch_execute(INSTALL).await?;
    client
        .batch_execute(
            "create or replace function public.handle_new_user() returns trigger
             language plpgsql security definer set search_path = '' as $$
             begin -- replaces rollcall.on_signup()
               insert into public.profiles (id, email) values (new.id, 'by the application'); return new; end $$",
        )
        .await?;
    guard(&project).await?;
    let before = catalog(&client).await?;
    project.upgrade().await?;
    client.batch_execute(REMOVE).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    sign_up(&project, 1).await?;
    assert_eq!(
        count(
            &client,
            "public.profiles where email = 'by the application'"
        )
        .await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn a_function_whose_failures_could_not_be_kept_gets_no_guard() -> Result<()> {
    let (project, _) = project_with(&[
        PROFILES,
        &HANDLE_NEW_USER.replace("security definer ", ""),
        ON_AUTH_USER_CREATED,
    ])
    .await?;
    let refused = guard(&project).await;
    ensure!(
        matches!(&refused, Err(error) if error.to_string().contains("may not keep the failure")),
        "{refused:?}"
    );
    Ok(())
}
