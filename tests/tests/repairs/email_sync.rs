//! Addresses that changed in `auth.users` and not in the profile: how many, since when, and copying them on request.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rollcall::backfill::{self, SkipReason, runs};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::verification::Verification;
use rollcall::connection_string::ConnectionSettings;
use rollcall::email_sync::{self, EmailLook, EmailSync};
use rollcall::error::Error;
use rollcall::session::Session;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::backfills::{options, unwatched};
use rollcall_tests::command_line::{rollcall, start};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{value, values};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;
use uuid::Uuid;

/// A project with people who changed their address since their profile was made: numbers 1 to `number`.
async fn project_with_drift(number: u32) -> Result<(Project, Client, Vec<Uuid>)> {
    let project = Project::watched().await?;
    let mut auth = project.auth().await?;
    let mut users = Vec::new();
    for n in 1..=number {
        let user = auth
            .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(n))
            .await?;
        auth.change_email(user, &format!("new{n}@example.com"))
            .await?;
        users.push(user);
    }
    let client = project.connect().await?;
    Ok((project, client, users))
}

async fn look(project: &Project, all: bool) -> Result<EmailLook> {
    Ok(email_sync::look(&mut project.session()?, all).await?)
}

async fn apply(project: &Project, look: &EmailLook) -> Result<EmailSync> {
    Ok(email_sync::apply(&mut project.session()?, look, 500, go_on).await?)
}

fn go_on(_run: Uuid) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// What stands in the profiles, in the order of the addresses.
async fn emails(client: &Client) -> Result<Vec<String>> {
    values(
        client,
        "select coalesce(email, 'none') from public.profiles order by 1",
    )
    .await
}

async fn set_email(client: &Client, user: Uuid, email: &str) -> Result<()> {
    client
        .batch_execute(&format!(
            "update public.profiles set email = {email} where id = '{user}'"
        ))
        .await?;
    Ok(())
}

// How many, since when ---------------------------------------------------------------------------------------------------

#[tokio::test]
async fn reports_say_how_many_addresses_differ_and_at_least_since_when() -> Result<()> {
    let (project, client, users) = project_with_drift(2).await?;
    client
        .batch_execute(&format!(
            "update auth.users set updated_at = '2026-01-02 03:04:05Z' where id = '{}';
             update auth.users set updated_at = '2026-05-06 07:08:09Z' where id = '{}'",
            users[0], users[1]
        ))
        .await?;
    let mut database = project.rollcall().await?;
    let diagnosis = Diagnosis::take(&mut database).await?;
    assert_eq!(diagnosis.email_mismatches, Some(2));
    let age = diagnosis.email_drift.context("since when")?;
    assert_eq!(
        age.oldest_at_least_since.to_string(),
        "2026-01-02T03:04:05Z"
    );
    assert_eq!(
        age.newest_at_least_since.to_string(),
        "2026-05-06T07:08:09Z"
    );

    let verification = Verification::take(&mut database).await?;
    assert_eq!(verification.email_drift, Some(age));
    let line = verification
        .checks
        .iter()
        .find(|check| check.check_name == "Email consistency")
        .context("a line")?;
    assert_eq!(
        line.details,
        "2 mismatched emails, at least since 2026-01-02 03:04:05"
    );

    // Supabase Auth does not always know
    client
        .batch_execute("update auth.users set updated_at = null")
        .await?;
    let diagnosis = Diagnosis::take(&mut database).await?;
    assert_eq!(
        (diagnosis.email_mismatches, diagnosis.email_drift),
        (Some(2), None)
    );
    Ok(())
}

// What is offered --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn only_what_is_known_to_have_been_the_users_address_is_offered() -> Result<()> {
    let (project, client, users) = project_with_drift(4).await?;
    // chosen by the person; emptied; of somebody who has no address any more
    set_email(&client, users[1], "'contact@example.org'").await?;
    set_email(&client, users[2], "null").await?;
    client
        .batch_execute(&format!(
            "update auth.users set email = null where id = '{}'",
            users[3]
        ))
        .await?;
    let seen = look(&project, false).await?;
    assert_eq!(
        (
            seen.different,
            seen.offered,
            seen.unknown,
            seen.without_address
        ),
        (4, 1, 2, 1)
    );
    let done = apply(&project, &seen).await?;
    assert_eq!((done.changed, done.skipped, done.failed), (1, 0, 0));
    assert_eq!(
        emails(&client).await?,
        [
            "contact@example.org",
            "new1@example.com",
            "none",
            "person4@example.com"
        ]
    );

    let seen = look(&project, true).await?;
    assert_eq!((seen.different, seen.offered), (3, 2));
    apply(&project, &seen).await?;
    assert_eq!(
        emails(&client).await?,
        [
            "new1@example.com",
            "new2@example.com",
            "new3@example.com",
            "person4@example.com"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn an_identity_shows_that_an_address_was_the_users() -> Result<()> {
    let project = Project::watched().await?;
    let client = project.connect().await?;
    let user = project
        .auth()
        .await?
        .sign_up(SignupKind::Oauth, &Person::numbered(1))
        .await?;
    client
        .batch_execute(
            "update auth.users set email = 'new1@example.com'; delete from auth.audit_log_entries",
        )
        .await?;
    assert_eq!(look(&project, false).await?.offered, 1);
    client
        .batch_execute(&format!(
            "delete from auth.identities where user_id = '{user}'"
        ))
        .await?;
    let seen = look(&project, false).await?;
    assert_eq!((seen.offered, seen.unknown), (0, 1));
    Ok(())
}

#[tokio::test]
async fn an_address_that_the_definition_makes_up_is_no_copy() -> Result<()> {
    let (project, client, _) = project_with_drift(1).await?;
    client
        .batch_execute(
            "select rollcall.define('public.profiles',
               'select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.id || ''@users.example.com'' as email from auth.users u')",
        )
        .await?;
    let seen = look(&project, true).await?;
    assert_eq!((seen.different, seen.made_up, seen.offered), (1, 1, 0));

    client
        .batch_execute(
            "select rollcall.define('public.profiles',
               'select u.id as _user_id, u.created_at as _signed_up_at, u.id from auth.users u')",
        )
        .await?;
    assert_eq!(look(&project, true).await?.different, 0);
    Ok(())
}

#[tokio::test]
async fn users_of_single_sign_on_may_share_an_address() -> Result<()> {
    let project = Project::watched().await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    for n in 1..=2 {
        auth.sign_up(SignupKind::Saml, &Person::numbered(n)).await?;
    }
    client
        .batch_execute("update auth.users set email = 'shared@example.com'")
        .await?;
    let done = apply(&project, &look(&project, true).await?).await?;
    assert_eq!(done.changed, 2);
    assert_eq!(
        emails(&client).await?,
        ["shared@example.com", "shared@example.com"]
    );
    Ok(())
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_works_where_rollcall_is_not_installed() -> Result<()> {
    let (project, client, _) = project_with_drift(2).await?;
    let before = emails(&client).await?;
    assert_eq!(look(&project, false).await?.offered, 2);
    assert_eq!(emails(&client).await?, before);
    assert_eq!(project.count("select count(*) from rollcall.run").await?, 0);

    let project = Project::with_application().await?;
    let mut auth = project.auth().await?;
    let user = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    auth.change_email(user, "new1@example.com").await?;
    let mut session = Session::of_any_stance(project.settings()?, |_| {});
    let seen = email_sync::look(&mut session, false).await?;
    assert_eq!((seen.different, seen.offered), (1, 1));
    let trial = email_sync::try_out(&mut session, &seen).await?;
    assert_eq!((trial.tried, trial.not_tried), (0, 1));
    assert_eq!(
        trial.not_tried_because,
        ["Rollcall is not installed here, and looking tries nothing"]
    );
    Ok(())
}

#[tokio::test]
async fn a_dry_run_tries_the_change_and_says_which_would_fail() -> Result<()> {
    let (project, client, users) = project_with_drift(9).await?;
    client
        .batch_execute(&format!(
            "create table public.changes (number bigserial primary key, id uuid);
             create function public.note_change() returns trigger language plpgsql as $$
             begin
               if new.id = '{}' then
                 new.email := old.email;
               end if;
               insert into changes (id) values (new.id);
               return new;
             end $$;
             create trigger note_change before update on public.profiles for each row execute function public.note_change();
             create unique index profiles_email on public.profiles (email);
             insert into auth.users (id, email) values (gen_random_uuid(), 'somebody@example.com');
             update public.profiles set email = 'new5@example.com' where email = 'somebody@example.com'",
            users[1]
        ))
        .await?;
    let before = emails(&client).await?;
    let mut session = project.session()?;
    let seen = look(&project, false).await?;
    let trial = email_sync::try_out(&mut session, &seen).await?;
    assert_eq!(
        (
            trial.tried,
            trial.would_change,
            trial.would_fail,
            trial.not_tried
        ),
        (9, 7, 2, 0)
    );
    let mut failures: Vec<_> = trial
        .failures
        .iter()
        .map(|failure| (failure.sqlstate.as_str(), failure.user_id))
        .collect();
    failures.sort_unstable();
    assert_eq!(failures, [("23505", users[4]), ("RC002", users[1])]);

    assert_eq!(emails(&client).await?, before);
    let left =
        "select (select count(*) from rollcall.run) + (select count(*) from rollcall.receipt)
                  + (select count(*) - 1 from public.changes)";
    assert_eq!(project.count(left).await?, 0);
    let number = "select last_value from public.changes_number_seq";
    assert_eq!(value::<i64>(&client, number).await?, 1);

    // what somebody else has locked is not waited for
    let holder = project.connect().await?;
    holder
        .batch_execute(&format!(
            "begin; select from public.profiles where id = '{}' for update",
            users[0]
        ))
        .await?;
    let trial = email_sync::try_out(&mut session, &seen).await?;
    assert_eq!((trial.would_change, trial.busy), (6, 1));
    holder.batch_execute("rollback").await?;

    let url = project.url();
    let said = rollcall(&[("DATABASE_URL", &url)], &["sync-emails"]).await?;
    for part in [
        "Tried 9: 7 would change, 2 would not.",
        "1 profile: another profile has the address (SQLSTATE 23505)",
        "1 profile: a trigger kept the old address (SQLSTATE RC002)",
        &users[4].to_string(),
    ] {
        ensure!(said.stdout.contains(part), "{part}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_tried_that_no_rollback_takes_back() -> Result<()> {
    let (project, client, _) = project_with_drift(1).await?;
    client
        .batch_execute(
            "create schema extensions;
             create function extensions.http_post(url text) returns integer language plpgsql as $$ begin raise 'called'; end $$;
             create function public.tell_crm() returns trigger language plpgsql as $$
             begin perform extensions.http_post('https://crm.example.com'); return new; end $$;
             create trigger tell_crm after update on public.profiles for each row execute function public.tell_crm()",
        )
        .await?;
    let seen = look(&project, false).await?;
    let trial = email_sync::try_out(&mut project.session()?, &seen).await?;
    assert_eq!(trial.not_tried_because, ["http_post"]);
    assert_eq!((trial.tried, trial.not_tried), (0, 1));
    let url = project.url();
    let said = rollcall(&[("DATABASE_URL", &url)], &["sync-emails"]).await?;
    ensure!(said.stdout.contains("None was tried: http_post."), "{said}");
    Ok(())
}

#[tokio::test]
async fn any_key_and_any_type_of_the_column_will_do() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            r#"create schema app; create domain app.address as varchar(20);
             create table app."Profile" ("userId" text primary key, email app.address)"#,
        )
        .await?;
    project.migrate().await?;
    client
        .batch_execute(
            r#"select rollcall.define('app."Profile"',
               'select u.id as _user_id, u.created_at as _signed_up_at, u.id::text as "userId", u.email::text as email from auth.users u');
             insert into auth.users (id, email) values (gen_random_uuid(), 'Ada@example.com'), (gen_random_uuid(), 'longer.than.twenty@example.com');
             insert into app."Profile" select upper(u.id::text), 'old@example.com' from auth.users u"#,
        )
        .await?;
    let done = apply(&project, &look(&project, true).await?).await?;
    assert_eq!((done.changed, done.failed), (1, 1));
    assert_eq!(done.failures[0].sqlstate, "22001");
    let sql = r#"select email from app."Profile" order by 1"#;
    assert_eq!(
        values::<String>(&client, sql).await?,
        ["Ada@example.com", "old@example.com"]
    );
    let undone = email_sync::undo(&mut project.session()?, done.run_id, true).await?;
    assert_eq!(undone.removed, 1);
    Ok(())
}

// What is in the way -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_address_that_another_profile_has_fails_alone() -> Result<()> {
    let (project, client, users) = project_with_drift(3).await?;
    client
        .batch_execute(
            "create unique index profiles_email on public.profiles (email);
             insert into auth.users (id, email) values (gen_random_uuid(), 'somebody@example.com');
             update public.profiles set email = 'new2@example.com' where email = 'somebody@example.com'",
        )
        .await?;
    let done = apply(&project, &look(&project, false).await?).await?;
    assert_eq!((done.changed, done.failed, done.busy), (2, 1, 0));
    assert_eq!(done.failures[0].user_id, users[1]);
    assert_eq!(done.failures[0].sqlstate, "23505");
    assert_eq!(
        emails(&client).await?,
        [
            "new1@example.com",
            "new2@example.com",
            "new3@example.com",
            "person2@example.com"
        ]
    );
    let run = runs::show(&mut project.session()?, done.run_id).await?;
    assert_eq!((run.created, run.failed), (2, 1));
    // what was done row by row is undone as well
    let undone = email_sync::undo(&mut project.session()?, done.run_id, true).await?;
    assert_eq!((undone.removed, undone.skipped), (2, 0));
    Ok(())
}

#[tokio::test]
async fn whatever_changes_between_the_look_and_the_write_stays() -> Result<()> {
    let (project, client, users) = project_with_drift(5).await?;
    let seen = look(&project, false).await?;
    set_email(&client, users[0], "'mine@example.org'").await?;
    set_email(&client, users[1], "null").await?;
    client
        .batch_execute(&format!(
            "delete from auth.users where id = '{}'; update auth.users set email = 'later@example.com' where id = '{}'",
            users[2], users[3]
        ))
        .await?;
    let done = apply(&project, &seen).await?;
    assert_eq!((done.changed, done.skipped, done.failed), (1, 4, 0));
    assert_eq!(
        emails(&client).await?,
        [
            "mine@example.org",
            "new5@example.com",
            "none",
            "person4@example.com"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_change_that_commits_while_the_write_waits_for_it_stays() -> Result<()> {
    let (project, client, users) = project_with_drift(1).await?;
    let seen = look(&project, false).await?;
    let holder = project.connect().await?;
    holder.batch_execute("begin").await?;
    set_email(&holder, users[0], "'mine@example.org'").await?;
    let release = async {
        for _ in 0..6_000 {
            let waiting: i64 = value(
                &client,
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
            )
            .await?;
            if waiting > 0 {
                return anyhow::Ok(holder.batch_execute("commit").await?);
            }
            sleep(Duration::from_millis(10)).await;
        }
        bail!("nobody waits for the row")
    };
    let (done, released) = tokio::join!(apply(&project, &seen), release);
    released?;
    let done = done?;
    assert_eq!((done.changed, done.skipped, done.busy), (0, 1, 0));
    assert_eq!(emails(&client).await?, ["mine@example.org"]);
    Ok(())
}

#[tokio::test]
async fn a_locked_row_is_left_for_the_next_sync_and_a_locked_table_ends_it() -> Result<()> {
    let (project, client, users) = project_with_drift(5).await?;
    let seen = look(&project, false).await?;
    let holder = project.connect().await?;
    holder
        .batch_execute(&format!(
            "begin; select from public.profiles where id = '{}' for update",
            users[1]
        ))
        .await?;
    let done = apply(&project, &seen).await?;
    assert_eq!((done.changed, done.busy, done.failed), (4, 1, 0));
    holder.batch_execute("rollback").await?;
    assert_eq!(
        apply(&project, &look(&project, false).await?)
            .await?
            .changed,
        1
    );

    client
        .batch_execute("update public.profiles set email = replace(email, 'new', 'person')")
        .await?;
    let seen = look(&project, false).await?;
    holder
        .batch_execute("begin; lock table public.profiles in share mode")
        .await?;
    let refused = email_sync::apply(&mut project.session()?, &seen, 500, go_on).await;
    ensure!(
        matches!(&refused, Err(Error::Statement { sqlstate, .. }) if sqlstate == "55P03"),
        "{refused:?}"
    );
    let run = &runs::list(&mut project.session()?, 1).await?[0];
    assert_eq!((run.state, run.created), (runs::RunState::Failed, 0));
    Ok(())
}

#[tokio::test]
async fn triggers_of_the_application_fire_and_may_refuse() -> Result<()> {
    let (project, client, users) = project_with_drift(3).await?;
    client
        .batch_execute(&format!(
            "create table public.changes (id uuid, seen text);
             create function public.note_change() returns trigger language plpgsql as $$
             begin
               if new.id = '{}' then
                 new.email := old.email;
               elsif new.id = '{}' then
                 raise exception 'not %', new.email;
               end if;
               -- found by the path that the application's triggers rely on
               insert into changes values (new.id, new.email);
               return new;
             end $$;
             create trigger note_change before update on public.profiles for each row execute function public.note_change()",
            users[1], users[2]
        ))
        .await?;
    let done = apply(&project, &look(&project, false).await?).await?;
    assert_eq!((done.changed, done.failed), (1, 2));
    let mut failures: Vec<&str> = done
        .failures
        .iter()
        .map(|failure| failure.sqlstate.as_str())
        .collect();
    failures.sort_unstable();
    assert_eq!(failures, ["P0001", "RC002"]);
    assert_eq!(
        values::<String>(&client, "select seen from public.changes").await?,
        ["new1@example.com"]
    );
    Ok(())
}

#[tokio::test]
async fn only_the_owner_may_change_profiles_that_exist() -> Result<()> {
    let (project, _client, _) = project_with_drift(1).await?;
    project.let_roles_log_in().await?;
    for role in ["rollcall_monitor", "rollcall_repairer"] {
        let url = project.database.url_as(role);
        let mut session = Session::new(ConnectionSettings::parse(&url.into(), None)?);
        let refused = email_sync::look(&mut session, true).await;
        ensure!(
            matches!(&refused, Err(Error::NotPermitted(message)) if message.contains("only the owner")),
            "{refused:?}"
        );
    }
    Ok(())
}

// Undo -------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_undo_sets_back_what_still_is_as_it_was_written() -> Result<()> {
    let (project, client, users) = project_with_drift(4).await?;
    set_email(&client, users[1], "null").await?;
    let done = apply(&project, &look(&project, true).await?).await?;
    assert_eq!(done.changed, 4);
    // changed again; another column; gone
    set_email(&client, users[2], "'later@example.org'").await?;
    client
        .batch_execute(&format!(
            "update public.profiles set full_name = 'Ada' where id = '{}'; delete from auth.users where id = '{}'",
            users[0], users[3]
        ))
        .await?;
    let mut session = project.session()?;
    let preview = email_sync::undo(&mut session, done.run_id, false).await?;
    assert_eq!((preview.removed, preview.gone, preview.skipped), (2, 1, 1));
    let undone = email_sync::undo(&mut session, done.run_id, true).await?;
    assert_eq!(undone, preview);
    assert_eq!(undone.skipped_profiles[0].user_id, users[2]);
    assert_eq!(undone.skipped_profiles[0].reason, SkipReason::Changed);
    assert_eq!(
        emails(&client).await?,
        ["later@example.org", "none", "person1@example.com"]
    );
    ensure!(
        runs::show(&mut session, done.run_id)
            .await?
            .undone_at
            .is_some()
    );
    // twice is once
    let again = email_sync::undo(&mut session, done.run_id, true).await?;
    assert_eq!((again.removed, again.skipped), (0, 3));
    Ok(())
}

#[tokio::test]
async fn an_undo_leaves_an_address_that_somebody_else_has_by_now() -> Result<()> {
    let (project, client, users) = project_with_drift(2).await?;
    let done = apply(&project, &look(&project, false).await?).await?;
    client
        .batch_execute(
            "create unique index profiles_email on public.profiles (email);
             insert into auth.users (id, email) values (gen_random_uuid(), 'person1@example.com')",
        )
        .await?;
    let undone = email_sync::undo(&mut project.session()?, done.run_id, true).await?;
    assert_eq!((undone.removed, undone.skipped), (1, 1));
    assert_eq!(undone.skipped_profiles[0].user_id, users[0]);
    assert_eq!(undone.skipped_profiles[0].reason, SkipReason::Refused);
    assert_eq!(
        emails(&client).await?,
        [
            "new1@example.com",
            "person1@example.com",
            "person2@example.com"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_repair_neither_continues_nor_undoes_a_run_that_changed_addresses() -> Result<()> {
    let (project, client, _) = project_with_drift(1).await?;
    let done = apply(&project, &look(&project, false).await?).await?;
    let mut session = project.session()?;
    let refused = backfill::undo(&mut session, done.run_id, true).await;
    ensure!(
        matches!(&refused, Err(Error::Statement { sqlstate, .. }) if sqlstate == "RC007"),
        "{refused:?}"
    );
    // one whose program was ended in the middle
    client
        .batch_execute("update rollcall.run set state = 'running', leased_until = null")
        .await?;
    let refused = email_sync::undo(&mut session, done.run_id, true).await;
    ensure!(
        matches!(&refused, Err(Error::Statement { sqlstate, .. }) if sqlstate == "RC008"),
        "{refused:?}"
    );
    project.add_users_without_profile(1).await?;
    let repaired = backfill::apply(&mut session, &options(10, None, None), None, unwatched).await?;
    assert_eq!(repaired.created, 1);
    ensure!(repaired.run_id != done.run_id);
    runs::control(&mut session, done.run_id, runs::Action::Cancel).await?;
    assert_eq!(
        email_sync::undo(&mut session, done.run_id, true)
            .await?
            .removed,
        1
    );
    Ok(())
}

#[tokio::test]
async fn a_sync_that_somebody_cancels_stops_before_its_next_batch() -> Result<()> {
    let (project, client, _) = project_with_drift(3).await?;
    // from outside, as soon as the first profile is changed
    client
        .batch_execute(
            "create function public.cancel_run() returns trigger language plpgsql as $$
             begin
               update rollcall.run set state = 'cancelled' where state = 'running';
               return null;
             end $$;
             create trigger cancel_run after update on public.profiles for each row execute function public.cancel_run()",
        )
        .await?;
    let seen = look(&project, false).await?;
    let done = email_sync::apply(&mut project.session()?, &seen, 1, go_on).await?;
    assert_eq!((done.changed, done.is_complete), (1, false));
    let run = runs::show(&mut project.session()?, done.run_id).await?;
    assert_eq!((run.state, run.created), (runs::RunState::Cancelled, 1));
    Ok(())
}

#[tokio::test]
async fn a_sync_that_is_stopped_ends_its_run_which_can_be_undone() -> Result<()> {
    let (project, client, _) = project_with_drift(3).await?;
    let before = emails(&client).await?;
    let seen = look(&project, false).await?;
    let mut session = project.session()?;
    let mut batches = 0;
    let done = email_sync::apply(&mut session, &seen, 1, |_| {
        batches += 1;
        if batches > 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .await?;
    assert_eq!((done.changed, done.is_complete), (2, false));
    let run = runs::show(&mut session, done.run_id).await?;
    assert_eq!(
        (run.state, run.stop_reason),
        (runs::RunState::Cancelled, None)
    );
    ensure!(run.finished_at.is_some());
    let undone = email_sync::undo(&mut session, done.run_id, true).await?;
    assert_eq!(undone.removed, 2);
    assert_eq!(emails(&client).await?, before);
    Ok(())
}

// The command ------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_command_looks_changes_and_undoes_without_showing_an_address() -> Result<()> {
    let (project, client, users) = project_with_drift(2).await?;
    set_email(&client, users[1], "'contact@example.org'").await?;
    let url = project.url();
    let env = [("DATABASE_URL", url.as_str())];
    let before = emails(&client).await?;

    let dry = rollcall(&env, &["sync-emails"]).await?;
    assert_eq!(dry.status, Some(0), "{dry}");
    for part in [
        "2 profiles with another e-mail than the user's",
        "1 would get the user's address",
        "1 stay: nothing shows",
        "p***@e***.com becomes n***@e***.com",
        "rollcall sync-emails --apply",
    ] {
        ensure!(dry.stdout.contains(part), "{part}: {dry}");
    }
    let shown = rollcall(&env, &["sync-emails", "--show-pii", "--format", "json"]).await?;
    assert_eq!(shown.json()?["examples"][0]["found"], "person1@example.com");
    let unconfirmed = rollcall(&env, &["sync-emails", "--apply"]).await?;
    assert_eq!(unconfirmed.status, Some(2), "{unconfirmed}");
    assert_eq!(emails(&client).await?, before);

    let done = rollcall(
        &env,
        &["sync-emails", "--apply", "--yes", "--format", "json"],
    )
    .await?;
    assert_eq!(done.status, Some(0), "{done}");
    let report = done.json()?;
    assert_eq!(report["email_sync"]["changed"], 1);
    let run = report["email_sync"]["run_id"].as_str().context("a run")?;
    let listed = rollcall(&env, &["runs"]).await?;
    ensure!(
        listed.stdout.contains("done: 1 changed, 0 failed of 1"),
        "{listed}"
    );
    let undone = rollcall(&env, &["undo", run, "--yes"]).await?;
    ensure!(
        undone.stdout.contains("Undone: 1 profile set back"),
        "{undone}"
    );
    assert_eq!(emails(&client).await?, before);
    for output in [&dry, &unconfirmed, &done, &listed, &undone] {
        ensure!(!format!("{output}").contains("@example."), "{output}");
    }
    Ok(())
}

#[tokio::test]
async fn ctrl_c_ends_the_command_and_its_run_after_the_batch_in_hand() -> Result<()> {
    let (project, client, _) = project_with_drift(2).await?;
    // the first change waits until it may go on
    client
        .batch_execute(
            "create table public.go ();
             create function public.wait() returns trigger language plpgsql as $$
             begin
               while not exists (select from public.go) loop perform pg_sleep(0.01); end loop;
               return new;
             end $$;
             create trigger wait before update on public.profiles for each row execute function public.wait()",
        )
        .await?;
    let url = project.url();
    let sync = start(
        &[("DATABASE_URL", &url)],
        &["sync-emails", "--apply", "--yes", "--batch-size", "1"],
    )?;
    timeout(Duration::from_secs(60), async {
        while project.count("select count(*) from rollcall.run").await? == 0 {}
        anyhow::Ok(())
    })
    .await??;
    sync.press_ctrl_c()?;
    sync.wait_for("Stopping after the batch in hand").await?;
    client
        .batch_execute("insert into public.go default values")
        .await?;
    let done = sync.finish().await?;
    assert_eq!(done.status, Some(2), "{done}");
    for part in ["1 changed of 2 profiles", "ended before all were attempted"] {
        ensure!(done.stdout.contains(part), "{part}: {done}");
    }
    let listed = rollcall(&[("DATABASE_URL", &url)], &["runs"]).await?;
    ensure!(listed.stdout.contains("cancelled: 1 changed"), "{listed}");
    Ok(())
}

#[tokio::test]
async fn a_trigger_that_calls_another_server_is_asked_for() -> Result<()> {
    let (project, client, _) = project_with_drift(1).await?;
    client
        .batch_execute(
            "create schema net;
             create function net.http_post(url text) returns void language sql as 'select null::void';
             create function public.tell_crm() returns trigger language plpgsql as $$
             begin perform net.http_post('https://crm.example.com'); return new; end $$;
             create trigger tell_crm after update on public.profiles for each row execute function public.tell_crm()",
        )
        .await?;
    let url = project.url();
    let env = [("DATABASE_URL", url.as_str())];
    let refused = rollcall(&env, &["sync-emails", "--apply", "--yes"]).await?;
    assert_eq!(refused.status, Some(2), "{refused}");
    ensure!(refused.stderr.contains("http_post"), "{refused}");
    assert_eq!(emails(&client).await?, ["person1@example.com"]);
    let allowed = rollcall(
        &env,
        &["sync-emails", "--apply", "--yes", "--allow-outside-calls"],
    )
    .await?;
    assert_eq!(allowed.status, Some(0), "{allowed}");
    assert_eq!(emails(&client).await?, ["new1@example.com"]);
    Ok(())
}
