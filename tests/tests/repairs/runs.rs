//! Runs: what is recorded, who continues one, and what a person may do to it.

use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rollcall::backfill::runs::{self, Action};
use rollcall::backfill::{
    self, RunOptions, RunResult, RunState, RunTarget, SkipReason, Source, StopReason,
};
use rollcall::error::Error;
use rollcall_tests::backfills::{
    LEASE, add_missing, options, project_with_missing, unwatched, user,
};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{value, values};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

async fn apply(project: &Project, order: &RunOptions) -> Result<RunResult> {
    Ok(backfill::apply(&mut project.session()?, order, None, unwatched).await?)
}

/// The same on a thread of its own.
fn in_background(project: &Project, order: RunOptions) -> JoinHandle<Result<RunResult>> {
    let project = project.clone();
    spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(apply(&project, &order))
    })
}

/// One profile and one event for everyone, and what the run counted is what it did.
async fn assert_done_once(client: &Client, created: i64) -> Result<()> {
    let twice: Vec<String> = values(
        client,
        "select user_id || ' ' || count(*) from public.user_events group by user_id, kind having count(*) > 1",
    )
    .await?;
    assert_eq!(twice, [""; 0]);
    let counts: Vec<i64> = values(
        client,
        "select count(*) from public.user_events where kind = 'profile_backfilled'
         union all select count(*) from public.profiles
         union all select sum(created)::bigint from rollcall.run
         union all select sum(cardinality(user_ids)) from rollcall.receipt",
    )
    .await?;
    assert_eq!(counts, [created; 4]);
    Ok(())
}

// What is recorded ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_run_records_who_why_how_far_and_each_failure_once() -> Result<()> {
    let project = project_with_missing(10, &[3, 7]).await?;
    let client = project.connect().await?;
    let noted = RunOptions {
        note: Some("ticket 12".to_owned()),
        ..options(4, None, None)
    };
    let outcome = apply(&project, &noted).await?;
    let run = runs::show(&mut project.session()?, outcome.run_id).await?;
    assert_eq!(
        (
            run.state,
            run.stop_reason.as_deref(),
            run.source.as_str(),
            run.started_by.as_str(),
            run.note.as_deref()
        ),
        (
            RunState::Done,
            Some("complete"),
            "cli",
            "postgres",
            Some("ticket 12")
        )
    );
    assert_eq!(
        (run.total_missing, run.attempted, run.created, run.failed),
        (10, 10, 8, 2)
    );
    assert_eq!(
        values::<Uuid>(&client, "select user_id from rollcall.failure order by 1").await?,
        [user(3), user(7)]
    );

    // tried again, and recorded for this run, too
    let again = apply(&project, &options(4, None, None)).await?;
    ensure!(again.run_id != outcome.run_id);
    assert_eq!((again.attempted, again.failed), (2, 2));
    assert_eq!(again.failures, outcome.failures);

    // one of the users changed
    project
        .connect_as_superuser()
        .await?
        .batch_execute(&format!(
            "update auth.users set email = 'good@example.com' where id = '{}'",
            user(3)
        ))
        .await?;
    let mended = apply(&project, &options(4, None, None)).await?;
    assert_eq!((mended.attempted, mended.created, mended.failed), (2, 1, 1));

    // the constraint is gone
    client
        .batch_execute("alter table public.profiles drop constraint no_bad")
        .await?;
    let mended = apply(&project, &options(4, None, None)).await?;
    assert_eq!(
        (mended.created, mended.failed, mended.remaining),
        (1, 0, Some(0))
    );
    assert_eq!(runs::list(&mut project.session()?, 20).await?.len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_changed_definition_is_reason_to_try_again() -> Result<()> {
    let project = project_with_missing(2, &[1]).await?;
    apply(&project, &options(10, None, None)).await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "select rollcall.define(s.target_table, replace(s.query, 'u.email::text', 'replace(u.email::text, ''bad'', ''good'')'))
             from rollcall.settings s",
        )
        .await?;
    let definition: String = value(&client, "select query from rollcall.settings").await?;
    let outcome = apply(&project, &options(10, None, None)).await?;
    assert_eq!(
        (outcome.created, outcome.remaining),
        (1, Some(0)),
        "{definition}"
    );
    Ok(())
}

#[tokio::test]
async fn more_bad_rows_than_good_ones_are_set_apart_without_a_try_each_for_their_neighbours()
-> Result<()> {
    let bad: Vec<u32> = (1..=700).filter(|number| number % 3 > 0).collect();
    let project = project_with_missing(700, &bad).await?;
    let outcome = apply(&project, &options(1000, None, None)).await?;
    assert_eq!((outcome.created, outcome.failed), (233, 467));
    Ok(())
}

#[tokio::test]
async fn whatever_the_error_tells_of_the_row_it_stands_alone() -> Result<()> {
    for (breaks, code) in [
        ("create unique index one_address on public.profiles (lower(email));
          insert into auth.users (id, email, created_at) values ('10000000-0000-4000-8000-000000000000', 'taken@example.com', now() - interval '1 day');
          update public.profiles set email = 'BAD5@example.com' where id = '10000000-0000-4000-8000-000000000000'", "23505"),
        ("create unique index one_address on public.profiles (email) where email like 'bad%';
          insert into auth.users (id, email, created_at) values ('10000000-0000-4000-8000-000000000000', 'taken@example.com', now() - interval '1 day');
          update public.profiles set email = 'bad5@example.com' where id = '10000000-0000-4000-8000-000000000000'", "23505"),
        ("create function public.fussy() returns trigger language plpgsql as $$ begin
            if new.email like 'bad%' then raise exception 'no'; end if; return new; end $$;
          create trigger fussy before insert on public.profiles for each row execute function public.fussy()", "P0001"),
        ("create function public.fussy() returns trigger language plpgsql as $$ begin
            if new.email like 'bad%' then raise exception 'no' using detail = (select string_agg(id::text, ' ') from auth.users); end if; return new; end $$;
          create trigger fussy before insert on public.profiles for each row execute function public.fussy()", "P0001"),
    ] {
        let project = Project::migrated().await?;
        project.connect_as_superuser().await?.batch_execute(breaks).await?;
        add_missing(&project, 1, 600, &[5]).await?;
        let outcome = apply(&project, &options(1000, None, None)).await?;
        assert_eq!((outcome.created, outcome.failed), (599, 1), "{breaks}");
        assert_eq!((outcome.failures[0].user_id, outcome.failures[0].sqlstate.as_str()), (user(5), code));
    }
    Ok(())
}

// Going on --------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn whoever_comes_next_goes_on_with_what_was_left_and_comes_to_those_who_signed_up_since()
-> Result<()> {
    let project = project_with_missing(30, &[]).await?;
    let mut session = project.session()?;
    let mut seen = 0;
    {
        let order = options(10, None, None);
        let work = backfill::apply(&mut session, &order, None, |progress| {
            seen = progress.created;
            ControlFlow::Continue(())
        });
        let mut work = pin!(work);
        // dropped after its first batch
        let deadline = Instant::now() + LEASE;
        loop {
            ensure!(Instant::now() < deadline, "it did not begin");
            tokio::select! {
                biased;
                outcome = &mut work => { outcome?; ensure!(false, "it was too quick"); }
                () = sleep(Duration::from_millis(1)) => {}
            }
            if project
                .count("select count(*) from public.profiles")
                .await?
                >= 10
            {
                break;
            }
        }
    }
    drop(session);
    add_missing(&project, 31, 40, &[]).await?;
    let outcome = apply(&project, &options(10, None, None)).await?;
    let client = project.connect().await?;
    assert_eq!(
        (outcome.stop_reason, outcome.remaining),
        (StopReason::Complete, Some(0))
    );
    assert_done_once(&client, 40).await?;
    let states: Vec<String> = values(&client, "select distinct state from rollcall.run").await?;
    assert_eq!(states, ["done"], "{seen}");
    Ok(())
}

#[tokio::test]
async fn eight_repairers_at_once_are_one_without_deadlock_or_double_event() -> Result<()> {
    let (missing, rounds) = if std::env::var_os("ROLLCALL_LONG").is_some() {
        (5_000, 500)
    } else {
        (5_000, 3)
    };
    for _ in 0..rounds {
        let project = project_with_missing(missing, &[17, 4_000]).await?;
        let client = project.connect().await?;
        let repairer = |batch_size| in_background(&project, options(batch_size, None, None));
        let repairers: Vec<_> = [1000, 1000, 500, 100, 77, 50, 1000, 250]
            .into_iter()
            .map(repairer)
            .collect();
        for repairer in repairers {
            let outcome = repairer.await??;
            assert_eq!(
                (outcome.stop_reason, outcome.remaining),
                (StopReason::Complete, Some(2))
            );
        }
        assert_done_once(&client, i64::from(missing) - 2).await?;
        assert_eq!(
            project
                .count("select deadlocks from pg_stat_database where datname = current_database()")
                .await?,
            0
        );
    }
    Ok(())
}

#[tokio::test]
async fn runs_with_different_bounds_overlap_without_harm() -> Result<()> {
    let project = project_with_missing(2_000, &[]).await?;
    let client = project.connect().await?;
    let runs: Vec<_> = (0..4_u64)
        // each a run of its own over the same users
        .map(|number| in_background(&project, options(100, Some(10_000 + number), None)))
        .collect();
    for run in runs {
        run.await??;
    }
    assert_done_once(&client, 2_000).await?;
    assert_eq!(project.count("select count(*) from rollcall.run").await?, 4);
    Ok(())
}

#[tokio::test]
async fn a_client_that_makes_its_own_profile_meanwhile_keeps_it() -> Result<()> {
    let project = project_with_missing(1_000, &[]).await?;
    let client = project.connect().await?;
    let own = async {
        for number in (1..=1_000).rev().step_by(7) {
            client
                .execute_typed(
                    "insert into public.profiles (id, email, account_type) values ($1, 'own', 'donor') on conflict do nothing",
                    &[(&user(number), tokio_postgres::types::Type::UUID)],
                )
                .await?;
        }
        anyhow::Ok(())
    };
    let order = options(20, None, None);
    let (outcome, own) = tokio::join!(apply(&project, &order), own);
    own?;
    assert_eq!(outcome?.remaining, Some(0));
    let owned = project
        .count("select count(*) from public.profiles where email = 'own'")
        .await?;
    let made = project
        .count("select count(*) from public.user_events where kind = 'profile_backfilled'")
        .await?;
    assert_eq!(owned + made, 1_000);
    Ok(())
}

// Pause, resume, cancel, pace ------------------------------------------------------------------------------------------------

/// A run that its worker is slow at, because it is told to.
async fn a_slow_run(project: &Project) -> Result<(JoinHandle<Result<RunResult>>, Uuid)> {
    let slow = RunOptions {
        throttle: 0.05,
        ..options(1, None, None)
    };
    let worker = in_background(project, slow);
    let mut session = project.session()?;
    let deadline = Instant::now() + LEASE;
    loop {
        if let Some(run) = runs::list(&mut session, 1).await?.first()
            && run.created > 0
            && run.state == RunState::Running
        {
            return Ok((worker, run.run_id));
        }
        ensure!(Instant::now() < deadline, "it did not begin");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn pause_resume_and_cancel_are_done_twice_as_well_as_once() -> Result<()> {
    let project = project_with_missing(200, &[]).await?;
    let mut session = project.session()?;
    let (worker, run_id) = a_slow_run(&project).await?;
    for _ in 0..2 {
        let run = runs::control(&mut session, run_id, Action::Pause).await?;
        assert_eq!(run.state, RunState::Paused);
    }
    let outcome = timeout(LEASE * 3, worker).await???;
    assert_eq!(outcome.stop_reason, StopReason::Paused);
    let paused = runs::show(&mut session, run_id).await?;
    ensure!(paused.created < 200, "it was too quick");

    for _ in 0..2 {
        let run = runs::control(&mut session, run_id, Action::Resume).await?;
        assert_eq!(run.state, RunState::Running);
    }
    project
        .connect()
        .await?
        .batch_execute("update rollcall.run set batch_size = 50, throttle = 1")
        .await?;
    let this = RunOptions {
        target: RunTarget::Run(run_id),
        ..options(50, None, None)
    };
    let outcome = apply(&project, &this).await?;
    assert_eq!(
        (outcome.stop_reason, outcome.run.created, outcome.remaining),
        (StopReason::Complete, 200, Some(0))
    );
    for _ in 0..2 {
        let run = runs::control(&mut session, run_id, Action::Cancel).await?;
        assert_eq!(run.state, RunState::Done, "what is done stays done");
    }

    add_missing(&project, 201, 400, &[]).await?;
    let (worker, run_id) = a_slow_run(&project).await?;
    for _ in 0..2 {
        let run = runs::control(&mut session, run_id, Action::Cancel).await?;
        assert_eq!(run.state, RunState::Cancelled);
    }
    assert_eq!(
        timeout(LEASE * 3, worker).await???.stop_reason,
        StopReason::Cancelled
    );
    let outcome = apply(
        &project,
        &RunOptions {
            target: RunTarget::Run(run_id),
            ..options(50, None, None)
        },
    )
    .await?;
    assert_eq!(
        (outcome.stop_reason, outcome.attempted),
        (StopReason::Cancelled, 0)
    );

    let error = runs::control(&mut session, Uuid::nil(), Action::Pause).await;
    ensure!(
        matches!(&error, Err(Error::Statement { sqlstate, .. }) if sqlstate == runs::NO_SUCH_RUN),
        "{error:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_run_that_is_throttled_says_so() -> Result<()> {
    let project = project_with_missing(100, &[]).await?;
    let mut session = project.session()?;
    let (worker, run_id) = a_slow_run(&project).await?;
    let deadline = Instant::now() + LEASE;
    while runs::show(&mut session, run_id).await?.waits_for.as_deref() != Some("throttle") {
        ensure!(Instant::now() < deadline, "it never says so");
        sleep(Duration::from_millis(20)).await;
    }
    runs::control(&mut session, run_id, Action::Cancel).await?;
    assert_eq!(
        timeout(LEASE * 3, worker).await???.stop_reason,
        StopReason::Cancelled
    );
    Ok(())
}

// Undo --------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn undo_deletes_what_is_as_the_run_made_it_and_lists_the_rest() -> Result<()> {
    let project = project_with_missing(12, &[]).await?;
    let client = project.connect().await?;
    let mut session = project.session()?;
    let outcome = apply(&project, &options(5, None, None)).await?;
    client
        .batch_execute(&format!(
            "create table public.posts (author uuid references public.profiles on delete cascade);
             update public.profiles set account_type = 'donor' where id = '{}';
             delete from public.profiles where id in ('{}', '{}');
             insert into public.profiles (id, email, account_type, created_at, updated_at)
               select u.id, u.email, p.account_type, p.created_at, p.updated_at
               from auth.users u, public.profiles p where u.id = '{}' and p.id = '{}';
             insert into public.posts values ('{}');",
            user(2),
            user(4),
            user(6),
            user(6),
            user(7),
            user(8)
        ))
        .await?;
    let preview = backfill::undo(&mut session, outcome.run_id, false).await?;
    let profiles = project
        .count("select count(*) from public.profiles")
        .await?;
    assert_eq!((preview.removed, preview.gone, preview.skipped), (8, 1, 3));
    let done = backfill::undo(&mut session, outcome.run_id, true).await?;
    assert_eq!(done, preview);
    assert_eq!(
        project
            .count("select count(*) from public.profiles")
            .await?,
        profiles - 8
    );
    let kept: Vec<_> = done
        .skipped_profiles
        .iter()
        .map(|kept| (kept.user_id, kept.reason))
        .collect();
    assert_eq!(
        kept,
        [
            (user(2), SkipReason::Changed),
            // made again by another, alike
            (user(6), SkipReason::Changed),
            (user(8), SkipReason::Referenced),
        ]
    );
    assert_eq!(project.count("select count(*) from public.posts").await?, 1);

    let again = backfill::undo(&mut session, outcome.run_id, true).await?;
    assert_eq!((again.removed, again.gone, again.skipped), (0, 9, 3));
    ensure!(
        runs::show(&mut session, outcome.run_id)
            .await?
            .undone_at
            .is_some()
    );

    // who lost their profile is missing again, and the next run comes to them
    let outcome = apply(&project, &options(5, None, None)).await?;
    assert_eq!((outcome.created, outcome.remaining), (9, Some(0)));
    Ok(())
}

#[tokio::test]
async fn undo_leaves_a_run_alone_that_has_not_ended_and_profiles_that_a_trigger_protects()
-> Result<()> {
    let project = project_with_missing(3, &[]).await?;
    let client = project.connect().await?;
    let mut session = project.session()?;
    let outcome = apply(&project, &options(5, None, None)).await?;
    client
        .batch_execute(&format!(
            "create function public.keep() returns trigger language plpgsql as $$ begin
               if old.id = '{}' then raise exception 'kept'; end if; return old; end $$;
             create trigger keep before delete on public.profiles for each row execute function public.keep()",
            user(2)
        ))
        .await?;
    let done = backfill::undo(&mut session, outcome.run_id, true).await?;
    assert_eq!(
        (
            done.removed,
            done.skipped_profiles[0].user_id,
            done.skipped_profiles[0].reason
        ),
        (2, user(2), SkipReason::Refused)
    );

    add_missing(&project, 10, 100, &[]).await?;
    let (worker, run_id) = a_slow_run(&project).await?;
    let refused = backfill::undo(&mut session, run_id, true).await;
    ensure!(
        matches!(&refused, Err(Error::Statement { sqlstate, .. }) if sqlstate == "RC008"),
        "{refused:?}"
    );
    runs::control(&mut session, run_id, Action::Cancel).await?;
    timeout(LEASE * 3, worker).await???;
    let done = backfill::undo(&mut session, run_id, true).await?;
    ensure!(done.removed > 0 && done.skipped == 0, "{done:?}");
    Ok(())
}

#[tokio::test]
async fn an_order_of_the_state_machine_is_a_run_like_any_other() -> Result<()> {
    let project = project_with_missing(3, &[]).await?;
    let outcome = apply(&project, &RunOptions::new(Source::StateMachine)).await?;
    assert_eq!(
        (outcome.run.source.as_str(), outcome.created),
        ("state_machine", 3)
    );
    Ok(())
}

#[tokio::test]
async fn the_role_that_repairs_can_do_all_of_it() -> Result<()> {
    let project = project_with_missing(20, &[3]).await?;
    project.let_roles_log_in().await?;
    let url = project.database.url_as("rollcall_repairer");
    let settings = rollcall::connection_string::ConnectionSettings::parse(&url.into(), None)?;
    let mut session = rollcall::session::Session::new(settings);
    let preview = backfill::dry_run(&mut session, &options(1000, None, None), None).await?;
    assert_eq!(
        (preview.would_create, preview.would_fail, preview.rows.len()),
        (19, 1, 0),
        "no value of a row is for that role"
    );
    let outcome = backfill::apply(&mut session, &options(7, None, None), None, unwatched).await?;
    assert_eq!(
        (
            outcome.created,
            outcome.failed,
            outcome.run.started_by.as_str()
        ),
        (19, 1, "rollcall_repairer")
    );
    runs::control(&mut session, outcome.run_id, Action::Cancel).await?;
    let undone = backfill::undo(&mut session, outcome.run_id, true).await?;
    assert_eq!(undone.removed, 19);
    Ok(())
}

#[tokio::test]
async fn the_role_that_repairs_chooses_no_value_no_replay_and_no_source() -> Result<()> {
    let project = project_with_missing(2, &[]).await?;
    project.let_roles_log_in().await?;
    let url = project.database.url_as("rollcall_repairer");
    let settings =
        rollcall::connection_string::ConnectionSettings::parse(&url.clone().into(), None)?;
    let mut session = rollcall::session::Session::new(settings);
    let with_value = options(10, None, Some("partner"));
    let replay = RunOptions {
        replay: true,
        ..options(10, None, None)
    };
    for asked in [&with_value, &replay] {
        for refused in [
            backfill::apply(&mut session, asked, None, unwatched)
                .await
                .err(),
            backfill::dry_run(&mut session, asked, None).await.err(),
        ] {
            let refused = refused.context("a refusal")?;
            ensure!(runs::is_for_the_owner(&refused), "{refused:?}");
        }
    }
    let refused = backfill::apply_to_user(&mut session, user(1), &with_value, false, None).await;
    ensure!(
        matches!(&refused, Err(error) if runs::is_for_the_owner(error)),
        "{refused:?}"
    );

    let client = rollcall_sandbox::connect(&url).await?;
    let refused = client
        .batch_execute(&format!(
            "select rollcall.repair_users(array['{}'::uuid], 'whatever')",
            user(1)
        ))
        .await;
    assert_eq!(
        refused.err().and_then(|error| error.code().cloned()),
        Some(SqlState::INVALID_PARAMETER_VALUE)
    );
    assert_eq!(
        project
            .count("select count(*) from public.profiles")
            .await?,
        0
    );
    Ok(())
}

#[tokio::test]
async fn a_run_is_found_by_how_its_id_begins() -> Result<()> {
    let project = project_with_missing(2, &[]).await?;
    let mut session = project.session()?;
    let outcome = apply(&project, &options(10, None, None)).await?;
    let id = outcome.run_id.to_string();
    for begins in [&id[..8], &id[..4], &id.to_uppercase()[..6], &id] {
        assert_eq!(
            runs::find(&mut session, begins).await?.run_id,
            outcome.run_id
        );
    }
    let twin = format!("{}-0000-4000-8000-000000000000", &id[..8]);
    project
        .connect()
        .await?
        .batch_execute(&format!(
            "insert into rollcall.run (run_id, source, total_missing, batch_size) values ('{twin}', 'cli', 0, 1)"
        ))
        .await?;
    for begins in [&id[..8], "%", "ffff-none"] {
        let refused = runs::find(&mut session, begins).await;
        ensure!(
            matches!(&refused, Err(Error::Statement { sqlstate, .. }) if sqlstate == runs::NO_SUCH_RUN),
            "{begins}: {refused:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_call_that_is_told_to_stop_gives_the_run_back_and_the_next_continues_it() -> Result<()> {
    let project = project_with_missing(30, &[]).await?;
    let mut session = project.session()?;
    let outcome = backfill::apply(&mut session, &options(10, None, None), None, |progress| {
        if progress.created >= 10 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .await?;
    assert_eq!(
        (outcome.stop_reason, outcome.created, outcome.run.state),
        (StopReason::Stopped, 10, RunState::Running)
    );
    let this = RunOptions {
        target: RunTarget::Run(outcome.run_id),
        ..options(10, None, None)
    };
    let began = Instant::now();
    let continued = apply(&project, &this).await?;
    assert_eq!(
        (continued.run_id, continued.run.created, continued.remaining),
        (outcome.run_id, 30, Some(0))
    );
    ensure!(
        began.elapsed() < Duration::from_secs(8),
        "it waited for a lease"
    );
    Ok(())
}

#[tokio::test]
async fn undo_is_refused_before_anything_is_deleted_where_a_trigger_could_delete_users()
-> Result<()> {
    for deletes in [
        "delete from auth.users where id = old.id;",
        "delete from auth . \"users\" where id = old.id;",
        "execute 'delete from auth' || '.users where id = $1' using old.id;",
        "perform public.remove_user(old.id);",
    ] {
        let project = project_with_missing(3, &[]).await?;
        let mut session = project.session()?;
        let outcome = apply(&project, &options(5, None, None)).await?;
        project
            .connect()
            .await?
            .batch_execute(&format!(
                "create function public.remove_user(gone uuid) returns void language sql as 'delete from auth.users where id = gone';
                 create function public.cascade() returns trigger language plpgsql as $$ begin {deletes} return null; end $$;
                 create trigger cascade after delete on public.profiles for each row execute function public.cascade()"
            ))
            .await?;
        for apply in [false, true] {
            let refused = backfill::undo(&mut session, outcome.run_id, apply).await;
            ensure!(
                matches!(&refused, Err(Error::Statement { sqlstate, .. }) if sqlstate == "55000"),
                "{deletes}: {refused:?}"
            );
        }
        assert_eq!(project.count("select count(*) from auth.users").await?, 3);
    }
    Ok(())
}

#[tokio::test]
async fn undo_keeps_a_profile_whose_user_would_go_with_it_in_a_way_that_no_text_shows() -> Result<()>
{
    let project = project_with_missing(3, &[]).await?;
    let mut session = project.session()?;
    let outcome = apply(&project, &options(5, None, None)).await?;
    project
        .connect()
        .await?
        .batch_execute(
            "create function public.cascade() returns trigger language plpgsql set search_path = auth as $$
             begin delete from users where id = old.id; return null; end $$;
             create trigger cascade after delete on public.profiles for each row execute function public.cascade()",
        )
        .await?;
    let done = backfill::undo(&mut session, outcome.run_id, true).await?;
    assert_eq!((done.removed, done.skipped), (0, 3));
    let reasons: Vec<_> = done
        .skipped_profiles
        .iter()
        .map(|skipped| skipped.reason)
        .collect();
    assert_eq!(reasons, [SkipReason::Refused; 3]);
    assert_eq!(project.count("select count(*) from auth.users").await?, 3);
    Ok(())
}

#[tokio::test]
async fn undo_keeps_profiles_whose_deletion_would_take_other_users_or_rows_with_it() -> Result<()> {
    // a view hides the table of users, and it is somebody else who would go
    let project = project_with_missing(3, &[]).await?;
    let client = project.connect().await?;
    let outcome = apply(&project, &options(100, None, None)).await?;
    add_missing(&project, 10, 11, &[]).await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(&format!(
            "create view public.people as select * from auth.users;
             create function public.forget() returns trigger language plpgsql security definer set search_path = '' as $$
             begin delete from public.people where id = '{}'; return old; end $$;
             create trigger forget after delete on public.profiles for each row execute function public.forget()",
            user(10)
        ))
        .await?;
    let undone = backfill::undo(&mut project.session()?, outcome.run_id, true).await?;
    let users: i64 = value(&client, "select count(*) from auth.users").await?;
    // the first took the other user with it and was put back; after that there is nobody to take
    assert_eq!(users, 5, "{undone:?}");

    // rows that refer to a partition
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create table public.profiles (id uuid primary key, email text) partition by hash (id);
             create table public.profiles_0 partition of public.profiles for values with (modulus 1, remainder 0);
             create table public.orders (who uuid references public.profiles_0 on delete cascade)",
        )
        .await?;
    project.migrate().await?;
    add_missing(&project, 1, 2, &[]).await?;
    let outcome = apply(&project, &options(100, None, None)).await?;
    client
        .batch_execute("insert into public.orders select id from public.profiles")
        .await?;
    let undone = backfill::undo(&mut project.session()?, outcome.run_id, true).await?;
    assert_eq!((outcome.created, undone.removed), (2, 0));
    Ok(())
}
