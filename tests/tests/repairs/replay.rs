//! Repairs by the application's own signup triggers.

use anyhow::{Context, Result, ensure};
use rollcall::backfill::{
    self, RunOptions, RunResult, SkipReason, StopReason, TableWrites, WriteOperation,
};
use rollcall::error::Error;
use rollcall_tests::backfills::{add_missing, options, unwatched, user};
use rollcall_tests::command_line::rollcall;
use rollcall_tests::project::Project;
use rollcall_tests::sql::{contents, difference, refusal, value, values};

/// Beside the profile: a wallet for everybody but anonymous users, by a trigger with a condition and an odd name; and a
/// gate that keeps some addresses out.
const SIDE_TABLES: &str = r#"
    create table public.wallets (id serial primary key, user_id uuid references auth.users on delete cascade, coins integer);
    create function public."open ON auth.users wallet"() returns trigger language plpgsql security definer as $$
    begin
      if new.email like 'bad%' then raise exception 'no wallet for %', new.email; end if;
      insert into public.wallets (user_id, coins) values (new.id, 5);
      return null;
    end $$;
    create trigger "wallet ON auth.users" after insert or update of email on auth.users
      for each row when (new.is_anonymous is not true) execute function public."open ON auth.users wallet"();
    create function public.count_signups() returns trigger language plpgsql security definer as $$ begin return null; end $$;
    create trigger statistics after insert on auth.users for each statement execute function public.count_signups();
"#;

fn replay() -> RunOptions {
    RunOptions {
        replay: true,
        ..options(100, None, None)
    }
}

async fn apply(project: &Project, options: &RunOptions) -> Result<RunResult> {
    Ok(backfill::apply(&mut project.session()?, options, None, unwatched).await?)
}

fn inserted(table: &str, rows: i64) -> TableWrites {
    TableWrites {
        table: table.to_owned(),
        operation: WriteOperation::Inserted,
        rows,
    }
}

#[tokio::test]
async fn it_makes_what_the_signup_would_have_made_and_says_so_before() -> Result<()> {
    let project = Project::watched().await?;
    let client = project.connect().await?;
    client.batch_execute(SIDE_TABLES).await?;
    add_missing(&project, 1, 40, &[7, 8]).await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(&format!(
            "update auth.users set raw_user_meta_data = '{{\"full_name\": \"Ada\"}}';
             update auth.users set is_anonymous = true, email = null where id = '{}'",
            user(1)
        ))
        .await?;

    let before = contents(&client).await?;
    let preview = backfill::dry_run(&mut project.session()?, &replay(), None).await?;
    assert_eq!(
        (preview.would_create, preview.would_fail, preview.not_tried),
        (38, 2, 0)
    );
    assert_eq!(
        preview.writes,
        [
            inserted("public.profiles", 38),
            inserted("public.wallets", 37)
        ]
    );
    let triggers: Vec<_> = preview
        .triggers
        .iter()
        .map(|trigger| (trigger.trigger.as_str(), trigger.skipped.is_some()))
        .collect();
    assert_eq!(
        triggers,
        [
            ("on_auth_user_created", false),
            ("statistics", true),
            ("wallet ON auth.users", false)
        ]
    );
    assert_eq!(difference(&before, &contents(&client).await?), [""; 0]);
    assert!(
        !value::<bool>(&client, "select is_called from public.wallets_id_seq").await?,
        "no number is drawn"
    );

    let outcome = apply(&project, &replay()).await?;
    assert_eq!(
        (
            outcome.stop_reason,
            outcome.created,
            outcome.failed,
            outcome.remaining
        ),
        (StopReason::Complete, 38, 2, Some(2))
    );
    ensure!(outcome.run.is_replay);
    let failure = &outcome.failures[0];
    assert_eq!(
        (failure.user_id, failure.sqlstate.as_str()),
        (user(7), "P0001")
    );
    assert_eq!(
        failure.functions,
        ["public.\"open ON auth.users wallet\""],
        "where it failed"
    );
    ensure!(!failure.reason.contains("bad7"), "{}", failure.reason);
    let counts: Vec<i64> = values(
        &client,
        "select count(*) from public.profiles where full_name = 'Ada'
         union all select count(*) from public.wallets where coins = 5
         union all select count(*) from rollcall.event where payload ->> 'source' = 'replay' and kind = 'profile_backfilled'",
    )
    .await?;
    assert_eq!(counts, [38, 37, 38]);

    let again = apply(&project, &replay()).await?;
    assert_eq!((again.created, again.failed), (0, 2));

    // the profiles go; what was made beside them stays
    let done = backfill::undo(&mut project.session()?, outcome.run_id, true).await?;
    assert_eq!((done.removed, done.skipped), (38, 0));
    assert_eq!(
        project.count("select count(*) from public.wallets").await?,
        37
    );
    Ok(())
}

#[tokio::test]
async fn a_row_that_waits_to_be_claimed_is_claimed_by_a_replay_and_never_doubled() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create table public.profiles (
               id bigint generated always as identity primary key, user_id uuid unique references auth.users, email text);
             create function public.claim() returns trigger language plpgsql security definer set search_path = '' as $$
             begin
               update public.profiles set user_id = new.id where email = new.email and user_id is null;
               if not found then insert into public.profiles (user_id, email) values (new.id, new.email); end if;
               return new;
             end $$;
             create trigger claim after insert on auth.users for each row execute function public.claim();
             insert into public.profiles (email) values ('user1@example.com'), ('nobody@example.com')",
        )
        .await?;
    project.migrate().await?;
    client
        .batch_execute(
            "select rollcall.define('public.profiles',
               'select u.id as _user_id, u.created_at as _signed_up_at, u.id as user_id, u.email::text as email from auth.users u')",
        )
        .await?;
    add_missing(&project, 1, 2, &[]).await?;

    let outcome = apply(&project, &options(100, None, None)).await?;
    assert_eq!((outcome.created, outcome.failed), (1, 1));
    assert_eq!(
        (
            outcome.failures[0].user_id,
            outcome.failures[0].sqlstate.as_str(),
            outcome.failures[0].reason.as_str()
        ),
        (
            user(1),
            "RC010",
            "an unclaimed row has this e-mail address: claim it"
        )
    );
    assert_eq!(
        project
            .count("select count(*) from public.profiles")
            .await?,
        3
    );

    let outcome = apply(&project, &replay()).await?;
    assert_eq!((outcome.created, outcome.failed), (1, 0));
    assert_eq!(
        project
            .count("select count(*) from public.profiles")
            .await?,
        3
    );
    let undone = backfill::undo(&mut project.session()?, outcome.run_id, true).await?;
    assert_eq!(
        (undone.removed, undone.skipped_profiles[0].reason),
        (0, SkipReason::NoReceipt),
        "it was there before"
    );
    Ok(())
}

#[tokio::test]
async fn without_a_trigger_of_the_applications_there_is_nothing_to_replay() -> Result<()> {
    // Rollcall's own is none
    for project in [Project::migrated().await?, {
        let project = Project::watched().await?;
        project.break_signups().await?;
        project
    }] {
        add_missing(&project, 1, 2, &[]).await?;
        let refused = backfill::apply(&mut project.session()?, &replay(), None, unwatched).await;
        ensure!(
            matches!(&refused, Err(Error::Statement { sqlstate, .. }) if sqlstate == "55000"),
            "{refused:?}"
        );
        let preview = backfill::dry_run(&mut project.session()?, &replay(), None).await?;
        assert_eq!(preview.would_create, 0);
    }
    Ok(())
}

#[tokio::test]
async fn calls_that_would_go_out_are_named_and_asked_for() -> Result<()> {
    let project = Project::watched().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create schema net;
             create table net.http_request_queue (id bigserial primary key, url text);
             create function net.http_post(url text) returns void language sql security definer as
               'insert into net.http_request_queue (url) values ($1)';
             create function public.greet() returns trigger language plpgsql security definer as $$
             begin perform net.http_post('https://example.com/welcome'); return null; end $$;
             create trigger greet after insert on auth.users for each row execute function public.greet()",
        )
        .await?;
    add_missing(&project, 1, 3, &[]).await?;
    let preview = backfill::dry_run(&mut project.session()?, &replay(), None).await?;
    assert_eq!(preview.would_create, 3);
    assert_eq!(preview.outside_calls, ["http_post"]);

    let url = project.url();
    let env = [("DATABASE_URL", url.as_str())];
    let shown = rollcall(&env, &["backfill", "--replay"]).await?;
    ensure!(
        shown
            .stdout
            .contains("calls other servers, which no rollback takes back: http_post"),
        "{shown}"
    );
    let refused = rollcall(&env, &["backfill", "--apply", "--replay", "--yes"]).await?;
    assert_eq!(refused.status, Some(2), "{refused}");
    ensure!(
        refused.stdout.contains("--allow-outside-calls"),
        "{refused}"
    );
    assert_eq!(
        project
            .count("select count(*) from public.profiles")
            .await?,
        0
    );

    // a trigger on the profiles themselves is asked about by the compatible function, too
    client
        .batch_execute(
            "begin; create trigger greet after insert on public.profiles for each row execute function public.greet()",
        )
        .await?;
    let refused = refusal(
        &client,
        "select public.backfill_all_missing_profiles(10, false)",
    )
    .await;
    assert_eq!(refused.as_deref(), Some("RC011"));
    client
        .batch_execute(
            "rollback; begin; create trigger greet after insert on public.profiles for each row execute function public.greet();
             set local rollcall.allow_outside_calls = on; select public.backfill_all_missing_profiles(10, false); rollback",
        )
        .await?;

    let arguments = [
        "backfill",
        "--apply",
        "--replay",
        "--yes",
        "--allow-outside-calls",
        "--format",
        "json",
    ];
    let done = rollcall(&env, &arguments).await?;
    assert_eq!(done.status, Some(0), "{done}");
    assert_eq!(
        project
            .count("select count(*) from net.http_request_queue")
            .await?,
        3
    );
    let run_id = done.json()?["backfill"]["run_id"].clone();
    let short = run_id
        .as_str()
        .and_then(|id| id.get(..8))
        .context("an id")?;
    let undone = rollcall(&env, &["undo", short, "--yes"]).await?;
    assert_eq!(undone.status, Some(0), "{undone}");
    ensure!(
        undone
            .stderr
            .contains("what the signup triggers made in other tables stays"),
        "{undone}"
    );
    let runs = rollcall(&env, &["runs"]).await?;
    ensure!(runs.stdout.contains("undone"), "{runs}");
    ensure!(
        runs.stdout.lines().all(|line| line.chars().count() <= 80),
        "{runs}"
    );
    Ok(())
}

/// A signup that takes over a row by another key: the row was somebody's before the run, and stays.
#[tokio::test]
async fn an_undo_deletes_no_row_that_a_signup_took_over() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create table public.profiles (id uuid primary key, email text unique, note text);
             create function public.claim() returns trigger language plpgsql security definer set search_path = '' as $$
             begin
               update public.profiles set id = new.id where email = new.email;
               if not found then insert into public.profiles (id, email) values (new.id, new.email); end if;
               return new;
             end $$;
             create trigger claim after insert on auth.users for each row execute function public.claim()",
        )
        .await?;
    project.migrate().await?;
    add_missing(&project, 1, 4, &[]).await?;
    client
        .batch_execute("insert into public.profiles select gen_random_uuid(), u.email, 'invited' from auth.users u order by u.id limit 3")
        .await?;
    let outcome = apply(&project, &replay()).await?;
    assert_eq!(outcome.created, 4);
    let undone = backfill::undo(&mut project.session()?, outcome.run_id, true).await?;
    assert_eq!(undone.removed, 0);
    let invited: i64 = value(
        &client,
        "select count(*) from public.profiles where note = 'invited'",
    )
    .await?;
    assert_eq!(invited, 3);
    Ok(())
}
