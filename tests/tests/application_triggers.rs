//! Triggers that the application has on `auth.users`, before and after Rollcall: whatever they do, signups go on,
//! and a rollback leaves them as they were.

use anyhow::{Context, Result, ensure};
use rollcall::checks::health::HealthReport;
use rollcall::migrations::{self, Extent};
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{catalog, difference, value, values};
use tokio_postgres::Client;
use uuid::Uuid;

const PROFILES: &str = "
    create table public.profiles (
      id uuid primary key references auth.users (id) on delete cascade,
      email text
    );";

/// Inserts the profile, and knows nobody else who does.
const HANDLE_NEW_USER: &str = "
    create or replace function public.handle_new_user() returns trigger
    language plpgsql security definer set search_path = '' as $$
    begin insert into public.profiles (id, email) values (new.id, new.email); return new; end $$;";

const ON_AUTH_USER_CREATED: &str = "
    create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();";

/// A trigger that comes after `on_auth_user_created`.
fn later(body: &str) -> String {
    format!(
        "create function public.later() returns trigger language plpgsql security definer set search_path = '' as $$
         begin {body} return new; end $$;
         create trigger on_signup after insert on auth.users for each row execute function public.later();"
    )
}

async fn project_with(sql: &[&str]) -> Result<(Project, Client)> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    for statements in sql {
        client.batch_execute(statements).await?;
    }
    Ok((project, client))
}

async fn migrate_again(project: &Project) -> Result<()> {
    migrations::apply(&mut project.rollcall().await?, true).await?;
    Ok(())
}

async fn roll_back(project: &Project) -> Result<()> {
    Ok(migrations::roll_back(&mut project.rollcall().await?, Extent::Everything).await?)
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

async fn state(client: &Client) -> Result<String> {
    value(client, "select rollcall.signup_trigger_state()").await
}

async fn triggers_of_ours(client: &Client) -> Result<Vec<String>> {
    values(
        client,
        "select pg_get_triggerdef(oid) from pg_trigger
         where tgrelid = 'auth.users'::regclass and not tgisinternal and pg_get_triggerdef(oid) like '%rollcall%'",
    )
    .await
}

#[tokio::test]
async fn a_later_trigger_that_needs_the_profile_finds_it() -> Result<()> {
    let (project, client) = project_with(&[
        PROFILES,
        "create table public.settings (profile_id uuid primary key references public.profiles on delete cascade);",
        HANDLE_NEW_USER,
        ON_AUTH_USER_CREATED,
        &later("insert into public.settings values (new.id);"),
    ])
    .await?;
    let before = catalog(&client).await?;
    for number in 1..=2 {
        migrate_again(&project).await?;
        sign_up(&project, number).await?;
    }
    assert_eq!(count(&client, "public.settings").await?, 2);
    assert_eq!(state(&client).await?, "in_place");
    roll_back(&project).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    sign_up(&project, 3).await?;
    assert_eq!(count(&client, "public.settings").await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_later_trigger_that_makes_the_profile_beside_one_under_our_name_is_not_broken()
-> Result<()> {
    let (project, client) = project_with(&[
        PROFILES,
        "create table public.greetings (user_id uuid);
         create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
         begin insert into public.greetings values (new.id); return new; end $$;",
        ON_AUTH_USER_CREATED,
        &later("insert into public.profiles (id, email) values (new.id, 'theirs');"),
    ])
    .await?;
    let before = catalog(&client).await?;
    for number in 1..=2 {
        migrate_again(&project).await?;
        sign_up(&project, number).await?;
    }
    assert_eq!(
        count(&client, "public.profiles where email = 'theirs'").await?,
        2
    );
    roll_back(&project).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    sign_up(&project, 3).await?;
    assert_eq!(count(&client, "public.greetings").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_function_that_the_application_deploys_afterwards_does_not_block_signups() -> Result<()> {
    for redeployed in [
        HANDLE_NEW_USER.to_owned(),
        // as scripts of a project do it
        format!(
            "{HANDLE_NEW_USER} drop trigger if exists on_auth_user_created on auth.users; {ON_AUTH_USER_CREATED}"
        ),
    ] {
        let (project, client) = project_with(&[PROFILES, &later("perform 1;")]).await?;
        project.migrate().await?;
        sign_up(&project, 1).await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute(&redeployed)
            .await?;
        sign_up(&project, 2).await?;
        migrate_again(&project).await?;
        sign_up(&project, 3).await?;
        assert_eq!(count(&client, "public.profiles").await?, 3);

        roll_back(&project).await?;
        assert_eq!(triggers_of_ours(&client).await?, [""; 0]);
        ensure!(
            value::<bool>(
                &client,
                "select prosrc like '%insert into public.profiles%' from pg_proc where oid = 'public.handle_new_user()'::regprocedure"
            )
            .await?
        );
        sign_up(&project, 4).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_trigger_at_commit_makes_is_not_known() -> Result<()> {
    let (project, client) = project_with(&[
        PROFILES,
        HANDLE_NEW_USER,
        "create constraint trigger make_profile after insert on auth.users deferrable initially deferred
           for each row execute function public.handle_new_user()",
    ])
    .await?;
    let before = catalog(&client).await?;
    for number in 1..=2 {
        migrate_again(&project).await?;
        sign_up(&project, number).await?;
    }
    assert_eq!(count(&client, "public.profiles").await?, 2);
    assert_eq!(state(&client).await?, "left_to_application");
    let report = HealthReport::take(&mut project.rollcall().await?).await?;
    assert_eq!(report.verdict, Verdict::Unknown);
    roll_back(&project).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);

    // the next step that the finding names
    migrate_again(&project).await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("drop trigger make_profile on auth.users")
        .await?;
    migrate_again(&project).await?;
    assert_eq!(state(&client).await?, "in_place");
    sign_up(&project, 3).await?;
    assert_eq!(count(&client, "public.profiles").await?, 3);
    Ok(())
}

/// A function that makes the profile, for triggers to call.
const NEW_MEMBER: &str = "
    create function public.new_member(member uuid, address text) returns void language sql security definer set search_path = '' as $$
      insert into public.profiles (id, email) values (member, address) $$;";

#[tokio::test]
async fn a_trigger_that_makes_the_profile_after_the_signups_insert_is_not_broken() -> Result<()> {
    for theirs in [
        "create trigger on_auth_user_confirmed after update on auth.users for each row
           when (old.email_confirmed_at is null and new.email_confirmed_at is not null) execute function public.made()",
        "create trigger on_identity after insert on auth.identities for each row execute function public.made_of_identity()",
        "create trigger a_statement after insert on auth.users referencing new table as n
           for each statement execute function public.made_of_all()",
    ] {
        let (project, client) = project_with(&[
            PROFILES,
            NEW_MEMBER,
            "create function public.made() returns trigger language plpgsql security definer set search_path = '' as $$
             begin perform public.new_member(new.id, new.email); return new; end $$;
             create function public.made_of_identity() returns trigger language plpgsql security definer set search_path = '' as $$
             begin insert into public.profiles (id) values (new.user_id); return new; end $$;
             create function public.made_of_all() returns trigger language plpgsql security definer set search_path = '' as $$
             begin insert into public.profiles (id, email) select id, email from n; return null; end $$;",
        ])
        .await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute(theirs)
            .await?;
        sign_up(&project, 1).await?;
        let before = catalog(&client).await?;
        for number in 2..=3 {
            migrate_again(&project).await?;
            sign_up(&project, number).await.context(theirs)?;
        }
        assert_eq!(count(&client, "public.profiles").await?, 3, "{theirs}");
        assert_eq!(state(&client).await?, "left_to_application", "{theirs}");
        roll_back(&project).await?;
        assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
        sign_up(&project, 4).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_profile_made_by_a_function_that_the_trigger_calls_is_seen() -> Result<()> {
    // a later trigger needs the profile
    let (project, client) = project_with(&[
        PROFILES,
        NEW_MEMBER,
        "create table public.settings (profile_id uuid primary key references public.profiles on delete cascade);
         create function public.onb() returns trigger language plpgsql security definer set search_path = '' as $$
         begin perform public.new_member(new.id, new.email); return new; end $$;
         create trigger on_auth_user_created after insert on auth.users for each row execute function public.onb();",
        &later("insert into public.settings values (new.id);"),
    ])
    .await?;
    sign_up(&project, 1).await?;
    migrate_again(&project).await?;
    sign_up(&project, 2).await?;
    assert_eq!(count(&client, "public.settings").await?, 2);
    assert_eq!(state(&client).await?, "in_place");

    // a later trigger makes it, and a comment only speaks of it
    let (project, client) = project_with(&[
        PROFILES,
        NEW_MEMBER,
        "create function public.welcome() returns trigger language plpgsql set search_path = '' as $$
         begin /* insert into profiles comes later */ return new; -- insert into profiles
         end $$;
         create trigger on_auth_user_created after insert on auth.users for each row execute function public.welcome();",
        &later("perform public.new_member(new.id, new.email);"),
    ])
    .await?;
    sign_up(&project, 1).await?;
    migrate_again(&project).await?;
    sign_up(&project, 2).await?;
    assert_eq!(count(&client, "public.profiles").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_trigger_that_fills_what_the_definition_cannot_stays_until_it_can() -> Result<()> {
    let (project, client) = project_with(&[
        "create table public.profiles (id uuid primary key references auth.users (id) on delete cascade, email text, role text not null);
         create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
         begin insert into public.profiles values (new.id, new.email, 'member'); return new; end $$;",
        ON_AUTH_USER_CREATED,
    ])
    .await?;
    let before = catalog(&client).await?;
    for number in 1..=2 {
        migrate_again(&project).await?;
        sign_up(&project, number).await?;
    }
    assert_eq!(count(&client, "public.profiles").await?, 2);

    client
        .batch_execute(
            "create or replace view rollcall.expected_profile as
             select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email, 'member'::text as role
             from auth.users u where u.deleted_at is null",
        )
        .await?;
    migrate_again(&project).await?;
    sign_up(&project, 3).await?;
    assert_eq!(
        count(&client, "public.profiles where role = 'member'").await?,
        3
    );
    assert_eq!(state(&client).await?, "in_place");
    roll_back(&project).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    sign_up(&project, 4).await.map(|_| ())
}

#[tokio::test]
async fn a_trigger_that_was_switched_off_is_put_in_place_by_migrating_again() -> Result<()> {
    let (project, client) = project_with(&[PROFILES]).await?;
    project.migrate().await?;
    project.break_signups().await?;
    assert_eq!(state(&client).await?, "disabled");
    migrate_again(&project).await?;
    assert_eq!(state(&client).await?, "in_place");
    sign_up(&project, 1).await?;
    assert_eq!(count(&client, "public.profiles").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_function_that_also_follows_updates_and_deletions_goes_on_doing_so() -> Result<()> {
    let (project, client) = project_with(&[
        "create table public.profiles (id uuid primary key, email text);
         create table public.farewells (user_id uuid);
         create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
         begin
           if tg_op = 'DELETE' then
             insert into public.farewells values (old.id);
             delete from public.profiles where id = old.id;
             return old;
           elsif tg_op = 'UPDATE' then
             update public.profiles set email = new.email where id = new.id;
           else
             insert into public.profiles values (new.id, new.email);
           end if;
           return new;
         end $$;
         create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
         create trigger on_auth_user_updated after update of email on auth.users for each row execute function public.handle_new_user();
         create trigger on_auth_user_deleted before delete on auth.users for each row execute function public.handle_new_user()",
    ])
    .await?;
    let before = catalog(&client).await?;
    let follow = async |number: u32, farewells: i64| -> Result<()> {
        let id = sign_up(&project, number).await?;
        let mut auth = project.auth().await?;
        let address = format!("changed{number}@example.com");
        auth.change_email(id, &address).await?;
        let email: String = value(
            &client,
            &format!("select email from public.profiles where id = '{id}'"),
        )
        .await?;
        assert_eq!(email, address);
        auth.hard_delete(id).await?;
        assert_eq!(count(&client, "auth.users").await?, 0);
        assert_eq!(count(&client, "public.profiles").await?, 0);
        assert_eq!(count(&client, "public.farewells").await?, farewells);
        Ok(())
    };
    project.migrate().await?;
    follow(1, 1).await?;
    assert_eq!(state(&client).await?, "in_place");
    migrate_again(&project).await?;
    follow(2, 2).await?;
    roll_back(&project).await?;
    assert_eq!(difference(&before, &catalog(&client).await?), [""; 0]);
    follow(3, 3).await
}

#[tokio::test]
async fn the_latest_version_of_a_displaced_function_is_given_back() -> Result<()> {
    let version = |number: u32| {
        format!(
            "create or replace function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
             begin /* v{number} */ insert into public.profiles (id, email) values (new.id, 'v{number}'); return new; end $$;
             revoke all on function public.handle_new_user() from public, anon, authenticated;"
        )
    };
    let (project, client) = project_with(&[PROFILES, &version(1), ON_AUTH_USER_CREATED]).await?;
    project.migrate().await?;
    client.batch_execute(&version(2)).await?;
    let expected: String = value(
        &client,
        "select pg_get_functiondef(oid) || proacl::text from pg_proc where oid = 'public.handle_new_user()'::regprocedure",
    )
    .await?;
    migrate_again(&project).await?;
    migrate_again(&project).await?;
    assert_eq!(state(&client).await?, "in_place");
    roll_back(&project).await?;
    let given_back: String = value(
        &client,
        "select pg_get_functiondef(oid) || proacl::text from pg_proc where oid = 'public.handle_new_user()'::regprocedure",
    )
    .await?;
    assert_eq!(given_back, expected);
    let id = sign_up(&project, 1).await?;
    assert_eq!(
        count(
            &client,
            &format!("public.profiles where id = '{id}' and email = 'v2'")
        )
        .await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn a_trigger_of_ours_that_is_switched_off_beside_others_is_not_in_place() -> Result<()> {
    for (application, ours) in [
        (later("perform 1;"), "zzz_rollcall_on_auth_user_created"),
        (
            later("perform 1;").replace("trigger on_signup", "trigger a_first"),
            "on_auth_user_created",
        ),
        (String::new(), "on_auth_user_created"),
    ] {
        let (project, client) = project_with(&[PROFILES, &application]).await?;
        project.migrate().await?;
        assert_eq!(state(&client).await?, "in_place", "{application}");
        project
            .connect_as_superuser()
            .await?
            .batch_execute(&format!("alter table auth.users disable trigger {ours}"))
            .await?;
        let id = sign_up(&project, 1).await?;
        assert_eq!(
            state(&client).await?,
            if application.is_empty() {
                "disabled"
            } else {
                "foreign"
            }
        );
        assert_eq!(
            values::<Uuid>(&client, "select rollcall.missing_users(null, 10)").await?,
            [id]
        );
    }
    Ok(())
}
