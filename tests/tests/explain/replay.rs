//! Why a user has no profile, in the application's own words: their signup is replayed, and nothing of that stays.

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::backfills::{NO_BAD_ADDRESS, add_missing, user};
use rollcall_tests::command_line::{Finished, rollcall};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{catalog, contents, difference, values};
use serde_json::{Value, json};
use uuid::Uuid;

use super::explain;

const INSERT: &str = "insert into public.profiles (id, email) values (new.id, new.email);";

/// The application's signup function with another body.
fn signup(body: &str) -> String {
    function("handle_new_user", body)
}

fn function(name: &str, body: &str) -> String {
    format!(
        "create or replace function public.{name}() returns trigger
         language plpgsql security definer set search_path = '' as $$
         {body}
         $$;"
    )
}

/// Lets the signup through, whatever fails.
fn swallowing() -> String {
    signup(&format!(
        "begin {INSERT} return new; exception when others then return new; end"
    ))
}

/// A trigger on the profile table.
fn on_profiles(body: &str) -> String {
    function("after_profile", &format!("begin {body} return null; end"))
        + "create trigger after_profile after insert on public.profiles
             for each row execute function public.after_profile();"
}

async fn sign_up(project: &Project) -> Result<Uuid> {
    project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await
}

/// What came of the replay: its finding, and what programs read.
async fn replayed(project: &Project, user: Uuid) -> Result<(Value, Value)> {
    let finished = explain(project, &[&user.to_string(), "--format", "json"]).await?;
    assert_eq!(finished.status, Some(1), "{finished}");
    let report = finished.json()?;
    for field in ["verdict", "findings", "database", "taken_at"] {
        ensure!(!report[field].is_null(), "{field}: {finished}");
    }
    ensure!(!finished.stdout.contains("@example"), "{finished}");
    let finding = report["findings"]
        .as_array()
        .and_then(|findings| {
            findings.iter().find(|finding| {
                finding["id"]
                    .as_str()
                    .is_some_and(|id| id.starts_with("signup_"))
            })
        })
        .with_context(|| format!("a finding of the replay in {finished}"))?;
    Ok((finding.clone(), report["replay"].clone()))
}

fn summary(finding: &Value) -> &str {
    finding["summary"].as_str().unwrap_or_default()
}

/// All that a replay could leave.
async fn state(project: &Project) -> Result<Vec<String>> {
    let client = project.connect_as_superuser().await?;
    let mut lines = catalog(&client).await?;
    lines.extend(contents(&client).await?);
    lines.extend(
        values::<String>(
            &client,
            "select format('sequence %I.%I %s', schemaname, sequencename, last_value) from pg_sequences order by 1",
        )
        .await?,
    );
    Ok(lines)
}

#[tokio::test]
async fn a_trigger_on_the_profile_table_that_fails_behind_a_handler_is_named() -> Result<()> {
    let guard = "if auth.uid() is distinct from new.id then raise exception 'not yours: %', new.email; end if;";
    for (prepared, body, sqlstate, reason) in [
        (
            "create materialized view public.figures as select count(*) from public.profiles;
             alter materialized view public.figures owner to supabase_admin",
            "refresh materialized view public.figures;",
            "42501",
            "a right is missing",
        ),
        (
            "create function public.secret() returns integer language sql as 'select 1';
             alter function public.secret() owner to supabase_admin; revoke execute on function public.secret() from public, postgres",
            "perform public.secret();",
            "42501",
            "a right is missing",
        ),
        (
            "",
            "perform net.http_post('https://example.com');",
            "3F000",
            "a schema that it names does not exist",
        ),
        ("", guard, "P0001", "it raises an exception of its own"),
        (
            "create table public.journal (id uuid)",
            "insert into journal (id) values (new.id);",
            "42P01",
            "a table that it names does not exist, or is not on its search_path",
        ),
    ] {
        let project = Project::watched().await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute(prepared)
            .await?;
        project
            .connect()
            .await?
            .batch_execute(&(swallowing() + &on_profiles(body)))
            .await?;
        let missed = sign_up(&project).await?;
        let before = state(&project).await?;
        let (finding, replay) = replayed(&project, missed).await?;
        assert_eq!(finding["id"], "signup_hides_error", "{body}: {finding}");
        assert_eq!(
            summary(&finding),
            format!(
                "the application's code hides the error that leaves this user without a profile: \
                 {reason} (SQLSTATE {sqlstate}) in public.after_profile()"
            )
        );
        assert_eq!(
            finding["evidence"],
            json!([
                "called by public.handle_new_user()",
                "caught in public.handle_new_user()"
            ])
        );
        assert_eq!(
            (&replay["outcome"], &replay["errors"][0]["sqlstate"]),
            (&json!("swallowed"), &json!(sqlstate))
        );
        assert_eq!(difference(&before, &state(&project).await?), [""; 0]);
    }
    Ok(())
}

#[tokio::test]
async fn a_function_that_fails_for_this_user_is_named_with_what_refused_them() -> Result<()> {
    let project = Project::watched().await?;
    project
        .connect()
        .await?
        .batch_execute(NO_BAD_ADDRESS)
        .await?;
    add_missing(&project, 1, 2, &[1]).await?;
    let (finding, replay) = replayed(&project, user(1)).await?;
    assert_eq!(finding["id"], "signup_refuses_user");
    assert_eq!(
        summary(&finding),
        "the application's own code refuses this user: a value does not satisfy a check constraint \
         (SQLSTATE 23514, constraint no_bad) in public.handle_new_user()"
    );
    assert_eq!(
        (&replay["outcome"], &replay["errors"][0]["constraint"]),
        (&json!("refused"), &json!("no_bad"))
    );
    // another user, of whom nothing is wrong
    let (finding, _) = replayed(&project, user(2)).await?;
    assert_eq!(finding["id"], "signup_would_succeed");
    Ok(())
}

#[tokio::test]
async fn a_function_that_hides_its_error_says_it_to_the_replay() -> Result<()> {
    let project = Project::watched().await?;
    project
        .connect()
        .await?
        .batch_execute(
            &("alter table public.profiles add tenant text not null, add number serial;"
                .to_owned()
                + &swallowing()),
        )
        .await?;
    let missed = sign_up(&project).await?;
    let before = state(&project).await?;
    let (finding, _) = replayed(&project, missed).await?;
    assert_eq!(
        summary(&finding),
        "the application's code hides the error that leaves this user without a profile: \
         a column that must have a value got none (SQLSTATE 23502, column tenant) in public.handle_new_user()"
    );
    assert_eq!(difference(&before, &state(&project).await?), [""; 0]);
    // what is said leads on
    let next = finding["next_step"].as_str().unwrap_or_default();
    ensure!(
        next.contains("rollcall doctor") && next.contains("rollcall backfill --replay"),
        "{next}"
    );
    Ok(())
}

#[tokio::test]
async fn a_helper_that_words_its_error_anew_is_looked_through() -> Result<()> {
    let project = Project::watched().await?;
    project
        .connect()
        .await?
        .batch_execute(
            &("alter table public.profiles add constraint long check (length(email) > 100);
               create function public.make_profile(p_id uuid, p_email text) returns void
               language plpgsql security definer set search_path = '' as $$
               begin
                 insert into public.profiles (id, email) values (p_id, p_email);
               exception
                 when unique_violation then null;
                 when others then raise exception 'no profile for %', p_email using errcode = 'XY123';
               end $$;"
                .to_owned()
                + &signup(
                    "begin
                       begin
                         perform net.http_post('https://example.com');  -- it may fail
                       exception when others then null;
                       end;
                       perform public.make_profile(new.id, new.email);
                       return new;
                     exception when others then
                       return new;
                     end",
                )),
        )
        .await?;
    let missed = sign_up(&project).await?;
    let (finding, _) = replayed(&project, missed).await?;
    assert_eq!(
        summary(&finding),
        "the application's code hides the error that leaves this user without a profile: \
         a value does not satisfy a check constraint (SQLSTATE 23514, constraint long) in public.make_profile()"
    );
    let evidence = finding["evidence"].to_string();
    for seen in [
        "called by public.handle_new_user()",
        "caught in public.make_profile()",
        "hidden, too: a schema that it names does not exist (SQLSTATE 3F000)",
        "SQLSTATE XY123",
    ] {
        ensure!(evidence.contains(seen), "{seen}: {evidence}");
    }
    Ok(())
}

#[tokio::test]
async fn a_user_who_is_left_out_on_purpose_is_no_error() -> Result<()> {
    let project = Project::watched().await?;
    project
        .connect()
        .await?
        .batch_execute(&signup(&format!(
            "begin if new.email like 'bad%' then return new; end if; {INSERT} return new; end"
        )))
        .await?;
    add_missing(&project, 1, 1, &[1]).await?;
    let (finding, replay) = replayed(&project, user(1)).await?;
    assert_eq!(finding["id"], "signup_leaves_user_out");
    assert_eq!(
        summary(&finding),
        "the application's code leaves this user out: it ran without an error and made no profile"
    );
    assert_eq!(
        finding["evidence"],
        json!(["trigger on_auth_user_created runs public.handle_new_user()"])
    );
    ensure!(
        finding["next_step"]
            .to_string()
            .contains("rollcall definition show")
    );
    assert_eq!(replay["outcome"], "left_out");
    Ok(())
}

#[tokio::test]
async fn where_the_cause_is_gone_the_repair_is_named() -> Result<()> {
    let project = Project::watched().await?;
    project.break_signups().await?;
    let missed = sign_up(&project).await?;
    let (finding, replay) = replayed(&project, missed).await?;
    assert_eq!(finding["id"], "signup_not_replayed");
    ensure!(
        summary(&finding).contains("no trigger of the application's"),
        "{finding}"
    );
    assert_eq!(replay["outcome"], "not_tried");

    project.fix_signups().await?;
    let before = state(&project).await?;
    let (finding, _) = replayed(&project, missed).await?;
    assert_eq!(finding["id"], "signup_would_succeed");
    assert_eq!(
        summary(&finding),
        "the signup would give this user a profile now: the cause is gone"
    );
    assert_eq!(difference(&before, &state(&project).await?), [""; 0]);
    ensure!(
        finding["next_step"]
            .to_string()
            .contains("rollcall backfill --apply --replay")
    );
    let repaired = rollcall(
        &[("DATABASE_URL", &project.url())],
        &["backfill", "--apply", "--replay", "--yes"],
    )
    .await?;
    assert_eq!(repaired.status, Some(0), "{repaired}");
    Ok(())
}

#[tokio::test]
async fn a_look_says_the_same_and_leaves_nothing() -> Result<()> {
    let project = Project::with_application().await?;
    project
        .connect()
        .await?
        .batch_execute(&swallowing())
        .await?;
    sign_up(&project).await?;
    project
        .connect()
        .await?
        .batch_execute(&on_profiles("insert into journal (id) values (new.id);"))
        .await?;
    let missed = project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(2))
        .await?;
    let before = state(&project).await?;
    let (finding, _) = replayed(&project, missed).await?;
    assert_eq!(finding["id"], "signup_hides_error");
    ensure!(
        summary(&finding).ends_with("(SQLSTATE 42P01) in public.after_profile()"),
        "{finding}"
    );
    assert_eq!(difference(&before, &state(&project).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn what_no_rollback_takes_back_is_not_tried() -> Result<()> {
    let project = Project::watched().await?;
    project
        .connect()
        .await?
        .batch_execute(
            &("create table public.calls (at timestamptz);
               create function public.http_get(text) returns void language plpgsql as $$
               begin insert into public.calls values (now()); end $$;"
                .to_owned()
                + &signup("begin perform public.http_get('https://example.com'); return new; end")),
        )
        .await?;
    add_missing(&project, 1, 1, &[]).await?;
    let (finding, replay) = replayed(&project, user(1)).await?;
    assert_eq!(
        (&finding["id"], &finding["severity"]),
        (&json!("signup_not_replayed"), &json!("info"))
    );
    ensure!(
        summary(&finding).contains("a signup does what no rollback takes back (http_get)"),
        "{finding}"
    );
    assert_eq!(replay["outcome"], "not_tried");
    Ok(())
}

#[tokio::test]
async fn a_role_without_the_right_is_told_whom_it_takes() -> Result<()> {
    let project = Project::watched().await?;
    add_missing(&project, 1, 1, &[]).await?;
    let reader = format!("reader_of_{}", project.database.name());
    project
        .connect_as_superuser()
        .await?
        .batch_execute(&format!(
            "create role {reader} login in role rollcall_monitor"
        ))
        .await?;
    let finished = rollcall(
        &[("DATABASE_URL", &project.database.url_as(&reader))],
        &["explain", &user(1).to_string()],
    )
    .await?;
    assert_eq!(finished.status, Some(1), "{finished}");
    ensure!(
        unwrapped(&finished).contains("takes a connection as postgres"),
        "{finished}"
    );
    Ok(())
}

#[tokio::test]
async fn a_locked_table_is_no_answer_and_waited_for_only_a_moment() -> Result<()> {
    let project = Project::watched().await?;
    add_missing(&project, 1, 1, &[]).await?;
    let mut holder = project.connect().await?;
    let transaction = holder.transaction().await?;
    transaction
        .batch_execute("lock table public.profiles in exclusive mode")
        .await?;
    let (finding, _) = replayed(&project, user(1)).await?;
    assert_eq!(finding["id"], "signup_not_replayed");
    ensure!(
        summary(&finding).contains("another transaction is in the way"),
        "{finding}"
    );
    Ok(())
}

#[tokio::test]
async fn a_profile_that_comes_by_another_way_is_not_said_to_be_left_out() -> Result<()> {
    let project = Project::watched().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(
            "drop trigger on_auth_user_created on auth.users;
             create function public.greet() returns trigger language plpgsql as 'begin return new; end';
             create trigger greet after insert on auth.users for each row execute function public.greet();
             create trigger confirmed after update of email_confirmed_at on auth.users
               for each row execute function public.handle_new_user()",
        )
        .await?;
    add_missing(&project, 1, 1, &[]).await?;
    let (finding, _) = replayed(&project, user(1)).await?;
    assert_eq!(finding["id"], "signup_not_replayed");
    ensure!(
        summary(&finding).ends_with("a replay leaves out trigger confirmed on auth.users, which runs public.handle_new_user()"),
        "{finding}"
    );
    Ok(())
}

#[tokio::test]
async fn what_a_function_of_another_owner_hides_is_not_called_nothing() -> Result<()> {
    let project = Project::watched().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(
            &(swallowing()
                + "alter table public.profiles add tenant text not null;
                   alter function public.handle_new_user() owner to supabase_admin"),
        )
        .await?;
    let missed = sign_up(&project).await?;
    let (finding, replay) = replayed(&project, missed).await?;
    assert_eq!(finding["id"], "signup_leaves_user_out");
    ensure!(
        summary(&finding).contains("without an error that could be seen"),
        "{finding}"
    );
    assert_eq!(replay["unread"], json!(["public.handle_new_user()"]));
    Ok(())
}

fn unwrapped(finished: &Finished) -> String {
    finished
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn it_reads_well() -> Result<()> {
    let project = Project::watched().await?;
    project
        .connect()
        .await?
        .batch_execute(
            &(swallowing() + &on_profiles("perform net.http_post('https://example.com');")),
        )
        .await?;
    let missed = sign_up(&project).await?;
    let shown = explain(&project, &[&missed.to_string()]).await?;
    let findings = shown
        .stdout
        .split_once("Verdict")
        .and_then(|(_, text)| text.split_once("\n\n┌"))
        .map(|(findings, _)| findings)
        .with_context(|| shown.to_string())?;
    assert_eq!(
        findings,
        ": inconsistent

critical missing_profiles: 1 user without a profile
    Why is said below; a repair may fail on the same. See what it would do: rollcall backfill.

warning signup_hides_error: the application's code hides the error that leaves this user without a
profile: a schema that it names does not exist (SQLSTATE 3F000) in public.after_profile()
    This user's signup was replayed through your own triggers, and rolled back.
      seen: called by public.handle_new_user()
      seen: caught in public.handle_new_user()
    Fix that; what the catalog shows of it: rollcall doctor. Then see what a repair would do:
    rollcall backfill --replay."
    );
    Ok(())
}

#[tokio::test]
async fn a_lock_that_the_code_hides_says_nothing_of_the_user() -> Result<()> {
    let project = Project::watched().await?;
    project
        .connect()
        .await?
        .batch_execute(
            &("create table public.journal (id uuid);".to_owned()
                + &swallowing()
                + &on_profiles("insert into public.journal (id) values (new.id);")),
        )
        .await?;
    add_missing(&project, 1, 1, &[]).await?;
    let mut holder = project.connect().await?;
    let transaction = holder.transaction().await?;
    transaction
        .batch_execute("lock table public.journal in exclusive mode")
        .await?;
    let (finding, _) = replayed(&project, user(1)).await?;
    assert_eq!(finding["id"], "signup_not_replayed");
    ensure!(
        summary(&finding).contains("another transaction is in the way"),
        "{finding}"
    );
    transaction.rollback().await?;
    let (finding, _) = replayed(&project, user(1)).await?;
    assert_eq!(finding["id"], "signup_would_succeed");
    Ok(())
}

#[tokio::test]
async fn a_handler_that_is_right_to_catch_goes_on_as_it_would() -> Result<()> {
    let project = Project::watched().await?;
    project
        .connect()
        .await?
        .batch_execute(
            &("alter table public.profiles add handle text unique, add constraint short check (length(handle) < 3);
               insert into auth.users (id, email) values (gen_random_uuid(), 'first@example.com');
               update public.profiles set handle = 'a';"
                .to_owned()
                + &signup(
                    "declare n integer := 0;
                     begin
                       loop
                         begin
                           insert into public.profiles (id, email, handle)
                           values (new.id, new.email, repeat('a', 1 + n * 9));
                           exit;
                         exception when unique_violation then n := n + 1;
                         end;
                       end loop;
                       return new;
                     exception when others then return new;
                     end",
                )),
        )
        .await?;
    let missed = sign_up(&project).await?;
    let (finding, replay) = replayed(&project, missed).await?;
    // it went on after the first of them
    let codes: Vec<&str> = replay["errors"]
        .as_array()
        .context("errors")?
        .iter()
        .filter_map(|error| error["sqlstate"].as_str())
        .collect();
    assert_eq!(codes, ["23514", "23505"], "{finding}");
    Ok(())
}

#[tokio::test]
async fn nothing_that_an_error_quotes_is_repeated() -> Result<()> {
    let quoting = "raise exception 'rollcall: %', new.email using errcode = 'XY001', detail = new.email, hint = new.email,
        constraint = new.email, column = new.email, table = new.email, schema = new.email, datatype = new.email;";
    for (body, id) in [
        (
            format!("begin {quoting} return new; end"),
            "signup_refuses_user",
        ),
        (
            format!(
                "begin {quoting} return new;
                 exception when others then raise warning 'rollcall: %', sqlerrm; return new; end"
            ),
            "signup_hides_error",
        ),
    ] {
        let project = Project::watched().await?;
        project
            .connect()
            .await?
            .batch_execute(&signup(&body))
            .await?;
        add_missing(&project, 1, 1, &[]).await?;
        for format in ["json", "table"] {
            let finished = explain(&project, &[&user(1).to_string(), "--format", format]).await?;
            ensure!(finished.stdout.contains(id), "{finished}");
            ensure!(finished.stdout.contains("XY001"), "{finished}");
            ensure!(!finished.to_string().contains("user1@"), "{finished}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_runs_with_the_rights_of_supabase_auth_is_not_promised() -> Result<()> {
    let project = Project::watched().await?;
    project
        .connect()
        .await?
        .batch_execute("alter function public.handle_new_user() security invoker")
        .await?;
    add_missing(&project, 1, 1, &[]).await?;
    let (finding, replay) = replayed(&project, user(1)).await?;
    assert_eq!(
        (&finding["id"], &replay["role"]),
        (&json!("signup_would_succeed"), &json!("postgres"))
    );
    ensure!(
        finding["meaning"]
            .to_string()
            .contains("The replay ran as postgres"),
        "{finding}"
    );
    Ok(())
}
