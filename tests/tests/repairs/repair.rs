//! What a repair creates, what it leaves alone, and what it remembers.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rollcall::backfill::{self, Failure, RunResult, StopReason, UserResult};
use rollcall::error::Error;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::backfills::{add_missing, options, project_with_missing, unwatched, user};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{contents, difference, value, values};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

async fn repair(project: &Project, batch_size: u32, max_users: Option<u64>) -> Result<RunResult> {
    let mut session = project.session()?;
    Ok(backfill::apply(
        &mut session,
        &options(batch_size, max_users, None),
        None,
        unwatched,
    )
    .await?)
}

async fn missing(client: &Client) -> Result<BTreeSet<Uuid>> {
    let users: Vec<Uuid> = values(client, "select e._user_id from rollcall.expected_profile() e where not exists (select from rollcall.actual_profile() a where a._user_id = e._user_id)").await?;
    Ok(users.into_iter().collect())
}

async fn recorded_failures(client: &Client) -> Result<BTreeSet<Uuid>> {
    let users: Vec<Uuid> = values(client, "select user_id from rollcall.failure").await?;
    Ok(users.into_iter().collect())
}

async fn events(client: &Client, kind: &str) -> Result<i64> {
    value(
        client,
        &format!("select count(*) from public.user_events where kind = '{kind}'"),
    )
    .await
}

async fn assert_no_event_twice(client: &Client) -> Result<()> {
    let twice: Vec<String> = values(
        client,
        "select user_id || ' ' || kind || ' ' || count(*) from public.user_events group by user_id, kind having count(*) > 1",
    )
    .await?;
    assert_eq!(twice, [""; 0]);
    Ok(())
}

async fn compatible(client: &Client, batch_size: u32, dry_run: bool) -> Result<Value> {
    value(
        client,
        &format!("select public.backfill_all_missing_profiles({batch_size}, {dry_run})"),
    )
    .await
}

// What is there stays ---------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_existing_profile_is_not_written_at_all() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    let mut ids = Vec::new();
    for (number, kind) in (1..).zip(SignupKind::ALL) {
        ids.push(auth.sign_up(kind, &Person::numbered(number)).await?);
    }
    client
        .batch_execute("update public.profiles set email = null, account_type = 'admin', updated_at = '2020-01-01' where email like 'person1%'")
        .await?;
    let rows =
        "select concat_ws(' ', p.ctid, p.xmin, p.xmax, p::text) from public.profiles p order by id";
    let before: Vec<String> = values(&client, rows).await?;

    add_missing(&project, 1, 50, &[]).await?;
    repair(&project, 7, None).await?;
    for id in ids {
        let answer: Value = value(
            &client,
            &format!("select public.backfill_user_profile('{id}', 'new@example.com', 'partner')"),
        )
        .await?;
        assert_eq!(
            (&answer["success"], &answer["action"]),
            (&true.into(), &"already_exists".into()),
            "{answer}"
        );
        client.batch_execute(&format!("select public.ensure_profile_exists('{id}', 'new@example.com', 'N', '1', 'partner')")).await?;
        let outcome = backfill::apply_to_user(
            &mut project.session()?,
            id,
            &options(1, None, Some("partner")),
            false,
            None,
        )
        .await?;
        assert_eq!(outcome, UserResult::AlreadyExists);
    }
    compatible(&client, 100, false).await?;
    let after: Vec<String> = values(&client, rows).await?;
    let kept: Vec<String> = after
        .into_iter()
        .filter(|row| before.contains(row))
        .collect();
    assert_eq!(kept, before);
    Ok(())
}

#[tokio::test]
async fn twice_is_once() -> Result<()> {
    let project = project_with_missing(60, &[3, 4, 59]).await?;
    let client = project.connect().await?;
    let first = repair(&project, 16, None).await?;
    assert_eq!(
        (
            first.total_missing,
            first.attempted,
            first.created,
            first.failed,
            first.remaining
        ),
        (60, 60, 57, 3, Some(3))
    );
    let tables = |lines: Vec<String>| -> Vec<String> {
        lines
            .into_iter()
            .filter(|line| !line.starts_with("rollcall.r") && !line.starts_with("rollcall.failure"))
            .collect()
    };
    let before = tables(contents(&client).await?);
    for _ in 0..3 {
        let again = repair(&project, 16, None).await?;
        assert_eq!(
            (
                again.total_missing,
                again.created,
                again.failed,
                again.remaining
            ),
            (3, 0, 3, Some(3))
        );
        compatible(&client, 100, false).await?;
    }
    assert_eq!(
        difference(&before, &tables(contents(&client).await?)),
        [""; 0],
        "no event, no profile more"
    );
    Ok(())
}

#[tokio::test]
async fn a_dry_run_leaves_nothing() -> Result<()> {
    let project = project_with_missing(120, &[1, 60, 120]).await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create table public.greetings (id uuid);
             create function public.greet() returns trigger language plpgsql security definer as $$
             begin insert into public.greetings values (new.id); return new; end $$;
             create trigger greet after insert on public.profiles for each row execute function public.greet()",
        )
        .await?;
    let before = contents(&client).await?;
    let preview =
        backfill::dry_run(&mut project.session()?, &options(1000, None, None), None).await?;
    assert_eq!(
        (
            preview.total_missing,
            preview.tried,
            preview.would_create,
            preview.would_fail
        ),
        (120, 120, 117, 3)
    );
    let bad: Vec<Uuid> = preview
        .failures
        .iter()
        .map(|failure| failure.user_id)
        .collect();
    assert_eq!(bad, [user(1), user(60), user(120)]);
    ensure!(
        preview
            .failures
            .iter()
            .all(|failure| failure.sqlstate == "23514"
                && failure.constraint.as_deref() == Some("no_bad"))
    );

    let part = backfill::dry_run(
        &mut project.session()?,
        &options(10, Some(10), Some("partner")),
        None,
    )
    .await?;
    assert_eq!(
        (
            part.total_missing,
            part.tried,
            part.would_create,
            part.would_fail
        ),
        (120, 10, 9, 1)
    );

    let answer = compatible(&client, 100, true).await?;
    assert_eq!(answer["message"], "Would backfill 98 profiles");
    assert_eq!(
        (&answer["dry_run"], &answer["total_missing"]),
        (&true.into(), &120.into())
    );
    assert_eq!(
        (&answer["would_succeed"], &answer["would_fail"]),
        (&98.into(), &2.into()),
        "of a batch of 100"
    );
    assert_eq!(
        backfill::apply_to_user(
            &mut project.session()?,
            user(2),
            &options(1, None, None),
            true,
            None
        )
        .await?,
        UserResult::Created
    );
    ensure!(matches!(
        backfill::apply_to_user(
            &mut project.session()?,
            user(1),
            &options(1, None, None),
            true,
            None
        )
        .await?,
        UserResult::Failed(_)
    ));
    assert_eq!(difference(&before, &contents(&client).await?), [""; 0]);

    // and it told the truth
    let outcome = repair(&project, 50, None).await?;
    assert_eq!((outcome.created, outcome.failed), (117, 3));
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.greetings").await?,
        117
    );
    Ok(())
}

// Rows that cannot be repaired -----------------------------------------------------------------------------------------

#[tokio::test]
async fn a_bad_row_at_any_place_costs_its_neighbours_nothing() -> Result<()> {
    let everyone: Vec<u32> = (1..=16).collect();
    let every_second: Vec<u32> = (1..=16).step_by(2).collect();
    let alone = (1..=16).map(|number| vec![number]);
    let several = [
        vec![],
        everyone.clone(),
        every_second,
        vec![1, 16],
        vec![8, 9],
        vec![1, 2, 3],
        vec![14, 15, 16],
        vec![5, 6, 11],
    ];
    for bad in alone.chain(several) {
        let project = project_with_missing(16, &bad).await?;
        let client = project.connect().await?;
        let outcome = repair(&project, 16, None).await?;
        let expected: Vec<Uuid> = bad.iter().map(|number| user(*number)).collect();
        let failed: Vec<Uuid> = outcome
            .failures
            .iter()
            .map(|failure| failure.user_id)
            .collect();
        assert_eq!(failed, expected);
        assert_eq!(
            missing(&client).await?,
            expected.iter().copied().collect(),
            "{bad:?}"
        );
        assert_eq!(
            recorded_failures(&client).await?,
            expected.into_iter().collect(),
            "{bad:?}"
        );
        assert_eq!(
            events(&client, "profile_backfilled").await?,
            16 - i64::try_from(bad.len())?
        );
        assert_eq!(
            events(&client, "profile_backfill_error").await?,
            i64::try_from(bad.len())?
        );
        assert_no_event_twice(&client).await?;
    }
    Ok(())
}

#[tokio::test]
async fn any_batch_size_ends_in_the_same_state() -> Result<()> {
    let bad = [1, 2, 20, 33, 40];
    for batch_size in [1, 2, 3, 7, 39, 40, 41, 10_000] {
        let project = project_with_missing(40, &bad).await?;
        let mut seen = Vec::new();
        let mut session = project.session()?;
        let outcome = backfill::apply(
            &mut session,
            &options(batch_size, None, None),
            None,
            |progress| {
                seen.push(progress.clone());
                ControlFlow::Continue(())
            },
        )
        .await?;
        assert_eq!(
            (
                outcome.stop_reason,
                outcome.attempted,
                outcome.created,
                outcome.failed,
                outcome.remaining
            ),
            (StopReason::Complete, 40, 35, 5, Some(5))
        );
        assert_eq!(
            outcome.failures[0],
            Failure {
                user_id: user(1),
                sqlstate: "23514".to_owned(),
                constraint: Some("no_bad".to_owned()),
                column: None,
                functions: vec![],
                reason: "a value does not satisfy a check constraint (constraint no_bad)"
                    .to_owned(),
            }
        );
        ensure!(
            seen.first()
                .is_some_and(|progress| progress.attempted == 0 && progress.total_missing == 40)
        );
        ensure!(seen.last().is_some_and(|progress| progress.attempted == 40));
        let client = project.connect().await?;
        assert_eq!(
            missing(&client).await?,
            recorded_failures(&client).await?,
            "batches of {batch_size}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_row_that_a_trigger_discards_is_a_failure() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    add_missing(&project, 1, 10, &[4]).await?;
    client
        .batch_execute(
            "create function public.discard() returns trigger language plpgsql as $$
             begin if new.email like 'bad%' then return null; end if; return new; end $$;
             create trigger discard before insert on public.profiles for each row execute function public.discard()",
        )
        .await?;
    let outcome = repair(&project, 5, None).await?;
    assert_eq!((outcome.created, outcome.failed), (9, 1));
    assert_eq!(outcome.failures[0].sqlstate, "RC002");
    assert_eq!(missing(&client).await?, recorded_failures(&client).await?);
    Ok(())
}

#[tokio::test]
async fn a_row_that_fails_only_at_commit_is_a_failure_of_its_own() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    add_missing(&project, 1, 10, &[4]).await?;
    client
        .batch_execute(
            "create table public.addresses (email text primary key);
             insert into public.addresses select email from auth.users where email not like 'bad%';
             alter table public.profiles add constraint known foreign key (email) references public.addresses deferrable initially deferred",
        )
        .await?;
    let outcome = repair(&project, 10, None).await?;
    assert_eq!((outcome.created, outcome.failed), (9, 1));
    assert_eq!(outcome.failures[0].constraint.as_deref(), Some("known"));
    Ok(())
}

#[tokio::test]
async fn a_failure_is_logged_once_and_again_when_its_reason_changes() -> Result<()> {
    let project = project_with_missing(3, &[2]).await?;
    let client = project.connect().await?;
    for _ in 0..4 {
        repair(&project, 10, None).await?;
        compatible(&client, 10, false).await?;
        value::<Value>(
            &client,
            &format!("select public.backfill_user_profile('{}')", user(2)),
        )
        .await?;
    }
    assert_eq!(events(&client, "profile_backfill_error").await?, 1);
    assert_eq!(
        value::<i64>(&client, "select attempts::bigint from rollcall.failure").await?,
        12,
        "each repair tries again"
    );

    client
        .batch_execute("alter table public.profiles drop constraint no_bad, add constraint other check (email not like 'bad%')")
        .await?;
    repair(&project, 10, None).await?;
    repair(&project, 10, None).await?;
    assert_eq!(events(&client, "profile_backfill_error").await?, 2);

    client
        .batch_execute("alter table public.profiles drop constraint other")
        .await?;
    repair(&project, 10, None).await?;
    assert_eq!(recorded_failures(&client).await?, BTreeSet::new());
    let story: Vec<String> = values(
        &client,
        &format!("select kind || coalesce(' ' || (payload ->> 'constraint'), '') from public.get_user_signup_events('{}')", user(2)),
    )
    .await?;
    assert_eq!(
        story,
        [
            "profile_backfill_error no_bad",
            "profile_backfill_error other",
            "profile_backfilled"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn the_compatible_function_comes_to_everyone_however_many_fail() -> Result<()> {
    // 150 who cannot be repaired come before the one who can
    let bad: Vec<u32> = (1..=150).collect();
    let project = project_with_missing(151, &bad).await?;
    let client = project.connect().await?;
    let mut successful = 0;
    for _ in 0..5 {
        let answer = compatible(&client, 100, false).await?;
        successful += answer["successful"].as_i64().context("a number")?;
        ensure!(answer.to_string().len() < 256 * 1024);
    }
    assert_eq!(successful, 1);
    assert_eq!(recorded_failures(&client).await?.len(), 150);
    assert_eq!(events(&client, "profile_backfill_error").await?, 150);
    Ok(())
}

#[tokio::test]
async fn repairs_that_may_only_attempt_some_come_to_everyone_however_many_fail() -> Result<()> {
    let bad: Vec<u32> = (1..=150).collect();
    let project = project_with_missing(151, &bad).await?;
    let client = project.connect().await?;
    let mut created = 0;
    for _ in 0..5 {
        created += repair(&project, 40, Some(100)).await?.created;
    }
    assert_eq!(created, 1);
    assert_eq!(missing(&client).await?, recorded_failures(&client).await?);
    assert_eq!(events(&client, "profile_backfill_error").await?, 150);
    Ok(())
}

// Bounds ----------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_repair_attempts_no_more_users_than_asked() -> Result<()> {
    let project = project_with_missing(30, &[2]).await?;
    let outcome = repair(&project, 4, Some(10)).await?;
    assert_eq!(
        (
            outcome.stop_reason,
            outcome.attempted,
            outcome.created,
            outcome.failed,
            outcome.remaining
        ),
        (StopReason::MaxUsers, 10, 9, 1, Some(21))
    );
    let outcome = repair(&project, 100, Some(1_000)).await?;
    assert_eq!(
        (outcome.stop_reason, outcome.created, outcome.remaining),
        (StopReason::Complete, 20, Some(1))
    );
    Ok(())
}

#[tokio::test]
async fn a_repair_out_of_time_says_what_remains() -> Result<()> {
    let project = project_with_missing(30, &[]).await?;
    let mut session = project.session()?;
    let until = Some(Instant::now());
    let outcome = backfill::apply(&mut session, &options(10, None, None), until, unwatched).await?;
    assert_eq!(
        (outcome.stop_reason, outcome.attempted, outcome.remaining),
        (StopReason::OutOfTime, 0, Some(30))
    );

    let until = Some(Instant::now() + Duration::from_secs(60));
    let outcome = backfill::apply(&mut session, &options(10, None, None), until, unwatched).await?;
    assert_eq!(
        (outcome.stop_reason, outcome.created),
        (StopReason::Complete, 30)
    );
    Ok(())
}

#[tokio::test]
async fn whoever_signs_up_during_a_repair_is_left_to_the_next() -> Result<()> {
    let project = project_with_missing(3, &[]).await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(
            "set session_replication_role = replica;
             insert into auth.users (id, email, created_at) values (gen_random_uuid(), 'later@example.com', now() + interval '1 minute');
             insert into auth.users (id, email, created_at) values (gen_random_uuid(), 'never@example.com', null)",
        )
        .await?;
    let outcome = repair(&project, 10, None).await?;
    assert_eq!(
        (outcome.total_missing, outcome.created, outcome.remaining),
        (4, 4, Some(1)),
        "unknown times are old"
    );
    Ok(())
}

#[tokio::test]
async fn a_batch_size_out_of_range_is_refused_by_the_compatible_function() -> Result<()> {
    let project = project_with_missing(3, &[]).await?;
    let client = project.connect().await?;
    for size in ["0", "-1", "10001"] {
        let error = client
            .batch_execute(&format!(
                "select public.backfill_all_missing_profiles({size}, false)"
            ))
            .await
            .err()
            .context("an error")?;
        assert_eq!(error.code().map(|code| code.code()), Some("22023"));
    }
    assert_eq!(missing(&client).await?.len(), 3);
    let answer: Value = value(
        &client,
        "select public.backfill_all_missing_profiles(null, null)",
    )
    .await?;
    assert_eq!(answer["dry_run"], true, "null is the default");
    Ok(())
}

// One user --------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn one_user_is_repaired_with_the_account_type_that_an_administrator_gives() -> Result<()> {
    let project = project_with_missing(3, &[3]).await?;
    let client = project.connect().await?;
    let mut session = project.session()?;
    assert_eq!(
        backfill::apply_to_user(
            &mut session,
            user(1),
            &options(1, None, Some("partner")),
            false,
            None
        )
        .await?,
        UserResult::Created
    );
    let answer: Value = value(
        &client,
        &format!(
            "select public.backfill_user_profile('{}', 'other@example.com', 'investor')",
            user(2)
        ),
    )
    .await?;
    assert_eq!(
        answer,
        json!({"success": true, "user_id": user(2), "email": "other@example.com", "account_type": "investor", "action": "backfilled"})
    );
    assert_eq!(
        values::<String>(
            &client,
            "select account_type from public.profiles order by id"
        )
        .await?,
        ["partner", "investor"]
    );
    let failed =
        backfill::apply_to_user(&mut session, user(3), &options(1, None, None), false, None)
            .await?;
    ensure!(
        matches!(failed, UserResult::Failed(ref failure) if failure.constraint.as_deref() == Some("no_bad")),
        "{failed:?}"
    );
    assert_eq!(
        backfill::apply_to_user(&mut session, user(99), &options(1, None, None), false, None)
            .await?,
        UserResult::NotExpected
    );
    assert_eq!(
        backfill::apply_to_user(&mut session, user(99), &options(1, None, None), true, None)
            .await?,
        UserResult::NotExpected
    );
    Ok(())
}

#[tokio::test]
async fn a_failure_of_one_user_is_an_answer_that_holds_no_value_of_the_row() -> Result<()> {
    let project = project_with_missing(2, &[1]).await?;
    let client = project.connect().await?;
    for (call, sqlstate) in [
        (format!("'{}'", user(1)), "23514"),
        (format!("'{}'", user(99)), "P0002"),
        ("null".to_owned(), "22004"),
    ] {
        let answer: Value = value(
            &client,
            &format!("select public.backfill_user_profile({call})"),
        )
        .await?;
        assert_eq!(
            (&answer["success"], &answer["sqlstate"]),
            (&false.into(), &sqlstate.into()),
            "{answer}"
        );
        ensure!(
            answer["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty() && !error.contains("bad1")),
            "{answer}"
        );
        ensure!(
            answer
                .as_object()
                .is_some_and(|fields| fields.contains_key("user_id")),
            "{answer}"
        );
    }
    client
        .batch_execute(
            "create function public.tell() returns trigger language plpgsql as $$ begin raise exception 'no room for %', new.email; end $$;
             create trigger tell before insert on public.profiles for each row execute function public.tell()",
        )
        .await?;
    let answer: Value = value(
        &client,
        &format!("select public.backfill_user_profile('{}')", user(2)),
    )
    .await?;
    ensure!(!answer.to_string().contains("user2@"), "{answer}");
    let answer = compatible(&client, 10, false).await?;
    ensure!(!answer.to_string().contains("example.com"), "{answer}");
    let kept: i64 = value(
        &client,
        "select count(*) from public.user_events where payload::text like '%example.com%'",
    )
    .await?;
    assert_eq!(kept, 0);
    Ok(())
}

#[tokio::test]
async fn a_value_for_a_column_that_the_definition_lacks_is_refused() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    add_missing(&project, 1, 2, &[]).await?;
    client
        .batch_execute(
            "select rollcall.define('public.profiles',
               'select u.id as _user_id, u.created_at as _signed_up_at, u.id from auth.users u')",
        )
        .await?;
    let mut session = project.session()?;
    let refused = backfill::apply(
        &mut session,
        &options(10, None, Some("partner")),
        None,
        unwatched,
    )
    .await;
    ensure!(
        matches!(&refused, Err(Error::Statement { sqlstate, .. }) if sqlstate == "RC003"),
        "{refused:?}"
    );
    let answer: Value = value(
        &client,
        &format!(
            "select public.backfill_user_profile('{}', null, 'partner')",
            user(1)
        ),
    )
    .await?;
    assert_eq!(
        (&answer["success"], &answer["sqlstate"]),
        (&false.into(), &"RC003".into()),
        "{answer}"
    );
    assert_eq!(missing(&client).await?.len(), 2);
    assert_eq!(
        recorded_failures(&client).await?,
        BTreeSet::new(),
        "nobody's row is at fault"
    );
    Ok(())
}

// What users write about themselves -------------------------------------------------------------------------------------

/// A table that takes a lot from the metadata.
const CURIOUS_PROFILES: &str = "
    create table public.profiles (
      id uuid primary key references auth.users (id) on delete cascade,
      email text not null,
      username varchar(80) not null unique,
      full_name varchar(60) not null,
      first_name text,
      last_name text not null default '',
      avatar_url text,
      role text not null default 'member',
      is_admin boolean not null default false,
      account_type text not null default 'sme',
      profile_type text not null default 'customer',
      created_at timestamptz not null default now()
    )";

fn hostile_documents() -> Vec<Value> {
    let long = "x".repeat(1_000_000);
    let deep = (0..300).fold(json!("bottom"), |inner, _| json!({ "full_name": inner }));
    let mut documents: Vec<Value> = vec![
        json!(null),
        json!(true),
        json!(7),
        json!("full_name"),
        json!([]),
        json!(["full_name", "username"]),
        json!([{"full_name": "A", "account_type": "ADMIN"}]),
        json!({}),
        deep,
    ];
    let texts = [
        long.as_str(),
        "",
        " ",
        "\t\n",
        "'",
        "\"",
        "''; drop table public.profiles; --",
        "$$",
        "$1",
        "$body$",
        "%s %I %L",
        "\\",
        "\\'",
        "\\x00",
        "e'\\n'",
        "{}",
        "{\"a\":1}",
        "NULL",
        "null",
        "👩‍👩‍👧‍👦",
        "\u{202e}evil",
        "\u{feff}",
        "é",
        "e\u{301}",
        "İ",
        "ß",
        "\u{10ffff}",
        "ADMIN",
        "admin",
        "government",
        "true",
        "-1",
        "1e400",
        "(select 1)",
        "new.id",
        "<script>",
    ];
    for text in texts {
        documents.push(json!({
            "full_name": text, "name": text, "username": text, "first_name": text, "last_name": text, "avatar_url": text,
            "account_type": text, "profile_type": text, "role": text, "is_admin": text, "email": text, "id": text, "created_at": text,
        }));
    }
    for odd in [
        json!(null),
        json!(1.5e300),
        json!(-0.0),
        json!(true),
        json!([]),
        json!([1, "a"]),
        json!({"a": {"b": []}}),
        json!(9_007_199_254_740_993_i64),
    ] {
        documents.push(json!({ "full_name": odd, "username": odd, "account_type": odd, "profile_type": odd, "avatar_url": odd }));
    }
    documents
}

async fn set_documents(project: &Project, documents: &[Value]) -> Result<()> {
    let admin = project.connect_as_superuser().await?;
    for (number, document) in (1..).zip(documents) {
        admin
            .execute_typed(
                "update auth.users set raw_user_meta_data = $2::text::jsonb where id = $1",
                &[
                    (&user(number), Type::UUID),
                    (&document.to_string(), Type::TEXT),
                ],
            )
            .await?;
    }
    Ok(())
}

/// One row with what must hold of everyone who signed up with a hostile document.
const NOTHING_TAKEN: &str = "
    select coalesce(bool_and(
      p.role = 'member' and not p.is_admin and p.profile_type in ('customer') and p.account_type in ('sme')
      and p.email like 'user%@example.com' and length(p.full_name) <= 60 and length(p.username) <= 80), false)
    from public.profiles p";

#[tokio::test]
async fn no_metadata_stops_a_repair_or_takes_a_privilege() -> Result<()> {
    let documents = hostile_documents();
    ensure!(documents.len() >= 50, "{}", documents.len());
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(CURIOUS_PROFILES).await?;
    // two of the documents wish for the same name, which one of them can have; see the next test
    client
        .batch_execute("alter table public.profiles drop constraint profiles_username_key")
        .await?;
    project.migrate().await?;
    let number = u32::try_from(documents.len())?;
    add_missing(&project, 1, number, &[]).await?;
    set_documents(&project, &documents).await?;

    let preview =
        backfill::dry_run(&mut project.session()?, &options(1000, None, None), None).await?;
    assert_eq!(preview.failures, []);
    let outcome = repair(&project, 10, None).await?;
    assert_eq!(outcome.failures, []);
    assert_eq!(outcome.created, i64::from(number));
    ensure!(value::<bool>(&client, NOTHING_TAKEN).await?);
    let drift: i64 = value(&client, "select mismatches from rollcall.email_drift()").await?;
    assert_eq!(drift, 0);
    Ok(())
}

#[tokio::test]
async fn no_metadata_stops_a_signup_or_takes_a_privilege() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(CURIOUS_PROFILES).await?;
    client
        .batch_execute("alter table public.profiles drop constraint profiles_username_key")
        .await?;
    project.migrate().await?;
    client
        .batch_execute("select rollcall.install_signup_trigger()")
        .await?;
    let admin = project.connect_as_superuser().await?;
    for (number, document) in (1..).zip(hostile_documents()) {
        admin
            .execute_typed(
                "insert into auth.users (id, email, raw_user_meta_data, created_at) values ($1, $2, $3::text::jsonb, now())",
                &[(&user(number), Type::UUID), (&format!("user{number}@example.com"), Type::TEXT), (&document.to_string(), Type::TEXT)],
            )
            .await?;
    }
    let failed: Vec<String> = values(
        &client,
        "select sqlstate || ' ' || coalesce(column_name, '') from rollcall.recent_errors(100)",
    )
    .await?;
    assert_eq!(failed, [""; 0]);
    assert_eq!(missing(&client).await?, BTreeSet::new());
    ensure!(value::<bool>(&client, NOTHING_TAKEN).await?);
    Ok(())
}

#[tokio::test]
async fn a_name_that_another_has_costs_nobody_the_profile() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(CURIOUS_PROFILES).await?;
    project.migrate().await?;
    add_missing(&project, 1, 4, &[]).await?;
    let (ada, other) = (json!({"username": "ada"}), json!({"username": "eve"}));
    set_documents(&project, &[ada.clone(), other, ada, json!({})]).await?;
    let outcome = repair(&project, 10, None).await?;
    assert_eq!((outcome.created, outcome.failed), (4, 0));
    Ok(())
}

#[tokio::test]
async fn an_address_that_another_has_fails_alone_and_is_not_taken_from_them() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute("create table public.profiles (id uuid primary key references auth.users (id), email text not null unique)")
        .await?;
    project.migrate().await?;
    add_missing(&project, 1, 4, &[]).await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("update auth.users set is_sso_user = true, email = 'same@example.com' where email in ('user1@example.com', 'user3@example.com')")
        .await?;
    let outcome = repair(&project, 10, None).await?;
    assert_eq!(outcome.created, 3);
    let failed: Vec<_> = outcome
        .failures
        .iter()
        .map(|failure| (failure.user_id, failure.sqlstate.as_str()))
        .collect();
    assert_eq!(failed, [(user(3), "23505")]);
    let owner: Uuid = value(
        &client,
        "select id from public.profiles where email = 'same@example.com'",
    )
    .await?;
    assert_eq!(owner, user(1));
    Ok(())
}

#[tokio::test]
async fn a_signup_may_ask_for_what_is_on_the_list_and_nothing_else() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let wishes = [
        ("investor", "investor"),
        ("Investor", "investor"),
        ("SERVICE_PROVIDER", "service_provider"),
        ("partner", "partner"),
        ("ADMIN", "sme"),
        ("admin", "sme"),
        ("Admin ", "sme"),
        ("government", "sme"),
        ("superadmin", "sme"),
        ("service_role", "sme"),
        ("moderator", "sme"),
        ("staff", "sme"),
        ("owner", "sme"),
        ("sme'", "sme"),
        (" sme", "sme"),
        ("", "sme"),
    ];
    let by_signup: Vec<Value> = wishes
        .iter()
        .map(|(wish, _)| json!({ "account_type": wish, "role": wish }))
        .collect();
    let expected: Vec<&str> = wishes.iter().map(|(_, given)| *given).collect();
    add_missing(&project, 1, u32::try_from(wishes.len())?, &[]).await?;
    set_documents(&project, &by_signup).await?;
    repair(&project, 100, None).await?;
    assert_eq!(
        values::<String>(
            &client,
            "select account_type from public.profiles order by id"
        )
        .await?,
        expected
    );

    for (number, (wish, given)) in (100..).zip(wishes) {
        let mut person = Person::numbered(number).with_metadata("account_type", wish.into());
        // what only an administrator can write is not read either: it comes after the insert
        person
            .app_metadata
            .insert("account_type".to_owned(), "ADMIN".into());
        for kind in [SignupKind::EmailAutoconfirm, SignupKind::AdminCreate] {
            let mut person = person.clone();
            if kind == SignupKind::AdminCreate {
                person.email = Some(format!("admin{number}@example.com"));
            }
            let id = project.auth().await?.sign_up(kind, &person).await?;
            let got: String = value(
                &client,
                &format!("select account_type from public.profiles where id = '{id}'"),
            )
            .await?;
            assert_eq!(got, given, "{wish:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn any_address_that_supabase_auth_stores_is_repaired() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute("set session_replication_role = replica")
        .await?;
    let long = format!("{}@{}.com", "l".repeat(64), "d".repeat(186));
    for (number, email) in (1..).zip([
        long.as_str(),
        "UPPER@EXAMPLE.COM",
        "o'hara@example.com",
        "\"a b\"@example.com",
        "a+b%c@example.com",
        "ü@exämple.com",
        "no-at-sign",
        "",
        "$$@x",
        "sme); drop table x; --@example.com",
    ]) {
        admin
            .execute_typed(
                "insert into auth.users (id, email, is_sso_user, created_at) values ($1, $2, true, now())",
                &[(&user(number), Type::UUID), (&email, Type::TEXT)],
            )
            .await?;
    }
    let outcome = repair(&project, 3, None).await?;
    assert_eq!((outcome.created, outcome.failed), (10, 0));
    assert_eq!(
        value::<i64>(&client, "select mismatches from rollcall.email_drift()").await?,
        0
    );
    Ok(())
}

// Company ---------------------------------------------------------------------------------------------------------------

/// Repairs until nobody is left but those who cannot be repaired.
async fn repairer(project: &Project, batch_size: u32) -> Result<RunResult> {
    repair(project, batch_size, None).await
}

async fn live_signups(project: &Project, number: u32) -> Result<()> {
    let mut auth = project.auth().await?;
    for person in 1..=number {
        auth.sign_up(
            SignupKind::EmailAutoconfirm,
            &Person::numbered(10_000 + person),
        )
        .await?;
    }
    Ok(())
}

async fn live_deletions(project: &Project, users: impl Iterator<Item = u32>) -> Result<()> {
    let mut auth = project.auth().await?;
    for number in users {
        auth.hard_delete(user(number))
            .await
            .with_context(|| format!("deleting user {number}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn repairers_signups_and_deletions_at_once_end_as_one_repairer_alone() -> Result<()> {
    let bad: Vec<u32> = (1..=500).filter(|number| number % 50 == 7).collect();
    let mut states = Vec::new();
    for repairers in [4, 1] {
        let project = project_with_missing(500, &bad).await?;
        let client = project.connect().await?;
        if repairers == 4 {
            let outcomes = tokio::try_join!(
                repairer(&project, 50),
                repairer(&project, 50),
                repairer(&project, 7),
                repairer(&project, 120),
                live_signups(&project, 30),
                live_deletions(&project, (1..=500).filter(|number| number % 25 == 3)),
            )
            .context("nobody meets an error")?;
            let created =
                outcomes.0.created + outcomes.1.created + outcomes.2.created + outcomes.3.created;
            ensure!((470..=490).contains(&created), "{created} by 4, each once");
            assert_eq!(events(&client, "profile_backfilled").await?, created);
        } else {
            live_signups(&project, 30).await?;
            live_deletions(&project, (1..=500).filter(|number| number % 25 == 3)).await?;
            repair(&project, 100, None).await?;
        }
        assert_no_event_twice(&client).await?;
        assert_eq!(missing(&client).await?.len(), bad.len());
        let failures: Vec<Uuid> = values(
            &client,
            "select f.user_id from rollcall.failure f join auth.users u on u.id = f.user_id",
        )
        .await?;
        assert_eq!(
            failures.into_iter().collect::<BTreeSet<_>>(),
            missing(&client).await?
        );
        states.push(
            values::<String>(
                &client,
                "select concat_ws(' ', email, account_type) from public.profiles order by 1",
            )
            .await?,
        );
    }
    assert_eq!(states[0], states[1]);
    Ok(())
}

#[tokio::test]
async fn the_compatible_function_called_at_once_creates_and_logs_everyone_once() -> Result<()> {
    let project = project_with_missing(200, &[5, 6, 150]).await?;
    let clients = [
        project.connect().await?,
        project.connect().await?,
        project.connect().await?,
        project.connect().await?,
    ];
    let call = "select public.backfill_all_missing_profiles(200, false)";
    tokio::try_join!(
        clients[0].batch_execute(call),
        clients[1].batch_execute(call),
        clients[2].batch_execute(call),
        clients[3].batch_execute(call),
    )?;
    assert_no_event_twice(&clients[0]).await?;
    assert_eq!(events(&clients[0], "profile_backfilled").await?, 197);
    assert_eq!(
        missing(&clients[0]).await?,
        recorded_failures(&clients[0]).await?
    );
    Ok(())
}

#[tokio::test]
async fn a_failure_that_several_meet_at_once_is_logged_once() -> Result<()> {
    for _ in 0..5 {
        let everyone: Vec<u32> = (1..=40).collect();
        let project = project_with_missing(40, &everyone).await?;
        let client = project.connect().await?;
        tokio::try_join!(
            repairer(&project, 40),
            repairer(&project, 40),
            repairer(&project, 20),
            repairer(&project, 13),
        )?;
        assert_no_event_twice(&client).await?;
        assert_eq!(events(&client, "profile_backfill_error").await?, 40);
    }
    Ok(())
}

#[tokio::test]
async fn a_lock_on_the_profiles_is_waited_out() -> Result<()> {
    let project = project_with_missing(20, &[]).await?;
    let holder = project.connect().await?;
    holder
        .batch_execute("begin; lock table public.profiles in share row exclusive mode")
        .await?;
    let release = async {
        // longer than a single wait for a lock
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        holder.batch_execute("commit").await?;
        anyhow::Ok(())
    };
    let (outcome, released) = tokio::join!(repair(&project, 5, None), release);
    released?;
    let outcome = outcome?;
    assert_eq!(
        (outcome.created, outcome.failed, outcome.remaining),
        (20, 0, Some(0))
    );
    assert_eq!(
        recorded_failures(&holder).await?,
        BTreeSet::new(),
        "a lock is nobody's failure"
    );
    assert_eq!(events(&holder, "profile_backfill_error").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_lock_that_stays_ends_the_repair_and_blames_nobody() -> Result<()> {
    let project = project_with_missing(5, &[]).await?;
    let client = project.connect().await?;
    let holder = project.connect().await?;
    holder
        .batch_execute("begin; lock table public.profiles in share row exclusive mode")
        .await?;
    let until = Some(Instant::now() + Duration::from_secs(6));
    let outcome = backfill::apply(
        &mut project.session()?,
        &options(5, None, None),
        until,
        unwatched,
    )
    .await;
    match outcome {
        Ok(outcome) => assert_eq!(
            (outcome.stop_reason, outcome.created, outcome.remaining),
            (StopReason::OutOfTime, 0, Some(5))
        ),
        Err(error) => ensure!(error.is_retryable(), "{error:?}"),
    }
    let answer: Value = value(
        &client,
        &format!("select public.backfill_user_profile('{}')", user(1)),
    )
    .await?;
    assert_eq!(
        (&answer["success"], &answer["sqlstate"]),
        (&false.into(), &"55P03".into()),
        "{answer}"
    );
    assert_eq!(recorded_failures(&client).await?, BTreeSet::new());
    assert_eq!(events(&client, "profile_backfill_error").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_connection_that_is_cut_is_opened_again() -> Result<()> {
    let project = project_with_missing(300, &[]).await?;
    let admin = project.connect_as_superuser().await?;
    // Slow enough not to be done before it is cut.
    admin
        .batch_execute(
            "create function public.be_slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.005); return new; end $$;
             create trigger be_slow before insert on public.profiles for each row execute function public.be_slow()",
        )
        .await?;
    let mut session = project.session()?;
    let mut batches = 0;
    let cuts = async {
        let cut =
            "select count(*) filter (where pg_terminate_backend(pid, 5000)) from pg_stat_activity
                   where datname = current_database() and application_name = 'rollcall'";
        let mut number = 0;
        while number < 3 {
            tokio::time::sleep(Duration::from_millis(40)).await;
            number += value::<i64>(&admin, cut).await?;
        }
        anyhow::Ok(())
    };
    let outcome = {
        let order = options(10, None, None);
        let work = backfill::apply(&mut session, &order, None, |_| {
            batches += 1;
            ControlFlow::Continue(())
        });
        let mut work = pin!(work);
        tokio::select! {
            outcome = &mut work => bail!("it ended before it was cut: {outcome:?}"),
            cuts = cuts => cuts?,
        }
        work.await?
    };
    assert_eq!(
        (outcome.stop_reason, outcome.remaining),
        (StopReason::Complete, Some(0))
    );
    ensure!(batches > 1);
    assert_no_event_twice(&admin).await?;
    assert_eq!(events(&admin, "profile_backfilled").await?, 300);
    Ok(())
}

#[tokio::test]
async fn a_user_who_goes_while_they_are_repaired_is_no_failure() -> Result<()> {
    let project = project_with_missing(3, &[]).await?;
    let client = project.connect().await?;
    let deleter = project.connect_as_superuser().await?;
    deleter
        .batch_execute(&format!(
            "begin; delete from auth.users where id = '{}'",
            user(2)
        ))
        .await?;
    let commit = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        deleter.batch_execute("commit").await?;
        anyhow::Ok(())
    };
    let (outcome, committed) = tokio::join!(repair(&project, 3, None), commit);
    committed?;
    let outcome = outcome?;
    assert_eq!(
        (outcome.created, outcome.failed, outcome.remaining),
        (2, 0, Some(0))
    );
    assert_eq!(recorded_failures(&client).await?, BTreeSet::new());
    Ok(())
}

#[tokio::test]
async fn a_user_who_is_locked_keeps_nobody_else_waiting() -> Result<()> {
    let project = project_with_missing(20, &[]).await?;
    let client = project.connect().await?;
    let holder = project.connect_as_superuser().await?;
    let lock = format!(
        "begin; select from auth.users where id = '{}' for update",
        user(7)
    );
    holder.batch_execute(&lock).await?;
    let answer = compatible(&client, 100, false).await?;
    assert_eq!(
        (
            &answer["successful"],
            &answer["failed"],
            &answer["remaining"]
        ),
        (&19.into(), &1.into(), &1.into()),
        "{answer}"
    );
    assert_eq!(missing(&client).await?, BTreeSet::from([user(7)]));
    assert_eq!(
        recorded_failures(&client).await?,
        BTreeSet::new(),
        "a lock is nobody's failure"
    );
    holder.batch_execute("rollback").await?;
    let answer = compatible(&client, 100, false).await?;
    assert_eq!(answer["successful"], 1, "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_user_who_is_locked_is_repaired_once_they_are_free() -> Result<()> {
    let project = project_with_missing(20, &[]).await?;
    let client = project.connect().await?;
    let holder = project.connect_as_superuser().await?;
    let lock = format!(
        "begin; select from auth.users where id = '{}' for update",
        user(7)
    );
    holder.batch_execute(&lock).await?;
    let release = async {
        while missing(&client).await?.len() > 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        holder.batch_execute("rollback").await?;
        anyhow::Ok(())
    };
    let (outcome, released) = tokio::join!(repair(&project, 100, None), release);
    released?;
    let outcome = outcome?;
    assert_eq!(
        (
            outcome.stop_reason,
            outcome.created,
            outcome.failed,
            outcome.remaining
        ),
        (StopReason::Complete, 20, 0, Some(0))
    );
    assert_no_event_twice(&client).await?;
    Ok(())
}

#[tokio::test]
async fn what_remains_is_right_for_each_of_two_at_once() -> Result<()> {
    let project = project_with_missing(200, &[5]).await?;
    let clients = [project.connect().await?, project.connect().await?];
    let (one, other) = tokio::try_join!(
        compatible(&clients[0], 120, false),
        compatible(&clients[1], 120, false),
    )?;
    let mut answers: Vec<[i64; 3]> = Vec::new();
    for answer in [one, other] {
        let number = |name: &str| answer[name].as_i64().context("a number");
        answers.push([
            number("total_missing")?,
            number("successful")?,
            number("remaining")?,
        ]);
    }
    answers.sort();
    assert_eq!(answers, [[81, 80, 1], [200, 119, 81]]);
    Ok(())
}

// What others write into errors ---------------------------------------------------------------------------------------

#[tokio::test]
async fn whatever_a_trigger_of_the_application_raises_no_value_is_repeated() -> Result<()> {
    for (code, outcome) in [
        ("53400", "failed"),
        ("40001", "busy"),
        ("40P01", "busy"),
        ("55P03", "busy"),
        ("23505", "failed"),
        ("P0001", "failed"),
        ("RC002", "failed"),
    ] {
        let project = project_with_missing(3, &[]).await?;
        let client = project.connect().await?;
        client
            .batch_execute(&format!(
                "create function public.tell() returns trigger language plpgsql as $$
                 begin
                   if new.email like 'user2@%' then
                     raise exception 'rollcall: no room for %', new.email using errcode = '{code}', detail = new.email, hint = new.email,
                       constraint = new.email, column = new.email, table = new.email, schema = new.email, datatype = new.email;
                   end if;
                   return new;
                 end $$;
                 create trigger tell before insert on public.profiles for each row execute function public.tell()"
            ))
            .await?;
        let dry = compatible(&client, 10, true).await?;
        let one: Value = value(
            &client,
            &format!("select public.backfill_user_profile('{}')", user(2)),
        )
        .await?;
        assert_eq!(one["sqlstate"], code, "{one}");
        let all = compatible(&client, 10, false).await?;
        assert_eq!(
            (&all["successful"], &all["failed"]),
            (&2.into(), &1.into()),
            "{all}"
        );
        let engine = if outcome == "busy" {
            // tried again and again; what it says in the end is what counts
            let until = Some(Instant::now() + Duration::from_millis(3_500));
            format!(
                "{:?}",
                backfill::apply(
                    &mut project.session()?,
                    &options(10, None, None),
                    until,
                    unwatched
                )
                .await
            )
        } else {
            format!("{:?}", repair(&project, 10, None).await)
        };
        let signup = project
            .auth()
            .await?
            .sign_up(
                SignupKind::EmailAutoconfirm,
                &Person::with_email("user2@example.org"),
            )
            .await?;
        let kept: Vec<String> = values(
            &client,
            "select e::text from public.user_events e union all select f::text from rollcall.failure f",
        )
        .await?;
        ensure!(
            kept.iter().any(|line| line.contains(&signup.to_string())),
            "{kept:?}"
        );
        for text in [dry.to_string(), one.to_string(), all.to_string(), engine]
            .iter()
            .chain(&kept)
        {
            ensure!(!text.contains("user2@"), "{code}: {text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_error_of_the_server_is_told_without_the_words_of_a_trigger() -> Result<()> {
    for code in ["53100", "53200", "57P01", "58030", "08006"] {
        let project = project_with_missing(2, &[]).await?;
        let client = project.connect().await?;
        client
            .batch_execute(&format!(
                "create function public.tell() returns trigger language plpgsql as $$
                 begin raise exception 'rollcall: no room for %', new.email using errcode = '{code}', detail = new.email, constraint = new.email; end $$;
                 create trigger tell before insert on public.profiles for each row execute function public.tell()"
            ))
            .await?;
        let error = client
            .batch_execute("select public.backfill_all_missing_profiles(10, false)")
            .await
            .err()
            .context("an error")?;
        assert_eq!(error.code().map(|code| code.code()), Some(code));
        ensure!(!format!("{error:?}").contains("@example.com"), "{error:?}");
        let one: Value = value(
            &client,
            &format!("select public.backfill_user_profile('{}')", user(2)),
        )
        .await?;
        ensure!(!one.to_string().contains("@example.com"), "{one}");
        let until = Some(Instant::now() + Duration::from_secs(3));
        let engine = backfill::apply(
            &mut project.session()?,
            &options(10, None, None),
            until,
            unwatched,
        )
        .await;
        ensure!(
            !format!("{engine:?}").contains("@example.com"),
            "{engine:?}"
        );
        assert_eq!(missing(&client).await?.len(), 2);
    }
    Ok(())
}

#[tokio::test]
async fn a_trigger_that_changes_the_key_leaves_no_row() -> Result<()> {
    for key in [
        "gen_random_uuid()",
        "'00000000-0000-4000-8000-0000000000ff'",
    ] {
        let project = project_with_missing(3, &[]).await?;
        let client = project.connect().await?;
        client
            .batch_execute(&format!(
                "alter table public.profiles drop constraint profiles_id_fkey;
                 create function public.rewrite() returns trigger language plpgsql as $$ begin new.id := {key}; return new; end $$;
                 create trigger rewrite before insert on public.profiles for each row execute function public.rewrite()"
            ))
            .await?;
        for _ in 0..2 {
            let answer = compatible(&client, 10, false).await?;
            assert_eq!(answer["failed"], 3, "{answer}");
            assert_eq!(answer["results"][0]["sqlstate"], "RC002", "{answer}");
            let outcome = repair(&project, 10, None).await?;
            assert_eq!((outcome.created, outcome.failed), (0, 3));
        }
        live_signups(&project, 1).await?;
        assert_eq!(
            value::<i64>(&client, "select count(*) from public.profiles").await?,
            0
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_value_is_not_given() -> Result<()> {
    let project = project_with_missing(3, &[]).await?;
    let client = project.connect().await?;
    for (number, call) in [
        (1, "backfill_user_profile('USER', '', '')"),
        (2, "backfill_user_profile('USER', '  ', ' ')"),
        (3, "ensure_profile_exists('USER', '', '', '', '')"),
    ] {
        client
            .batch_execute(&format!(
                "select public.{}",
                call.replace("USER", &user(number).to_string())
            ))
            .await?;
        let profile: String = value(
            &client,
            &format!(
                "select concat_ws(' ', email, account_type) from public.profiles where id = '{}'",
                user(number)
            ),
        )
        .await?;
        assert_eq!(profile, format!("user{number}@example.com sme"), "{call}");
    }
    Ok(())
}
