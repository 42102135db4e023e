//! The same steps in a model and in a real PostgreSQL: after each, both hold the same. So the few lines in which the models
//! say what SQL does say what it does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rollcall::alert::store::{self, Lease};
use rollcall::checks::history::CheckName;
use rollcall::session::Session;
use rollcall_tests::backfills::{add_missing, project_with_missing, user};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{value, values};
use stateright::Model;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::incidents::{self, Incidents, Invocation, Publication, Seen};
use crate::runs::{self, Outcome, Runs};

/// Far more than any statement here takes.
const LIMIT: Duration = Duration::from_secs(60);

// Incidents -------------------------------------------------------------------------------------------------------------

/// An invocation on a real database.
struct Real {
    session: Session,
    lease_owner: Uuid,
    looked_at: Timestamp,
    leased: Option<Lease>,
}

/// Makes it a minute later for all that was decided and looked at.
async fn let_a_minute_pass(client: &Client, invocations: &mut [Real]) -> Result<()> {
    client
        .batch_execute(
            "update rollcall.incident set opened_at = opened_at - interval '1 minute', told_at = told_at - interval '1 minute',
               seen_at = seen_at - interval '1 minute', good_since = good_since - interval '1 minute',
               resolved_at = resolved_at - interval '1 minute';
             update rollcall.message set leased_until = leased_until - interval '1 minute';
             update rollcall.settings set decided_at = coalesce(
               (select jsonb_object_agg(d.key, d.value::timestamptz - interval '1 minute') from jsonb_each_text(decided_at) d), '{}')",
        )
        .await?;
    for invocation in invocations {
        invocation.looked_at -= jiff::SignedDuration::from_mins(1);
    }
    Ok(())
}

/// Does the same as the model.
async fn act(
    project: &Project,
    client: &Client,
    model: &Incidents,
    before: &incidents::State,
    invocations: &mut Vec<Real>,
    action: incidents::Action,
) -> Result<()> {
    use incidents::Action;
    let until = Instant::now() + LIMIT;
    match action {
        Action::Look(_) => invocations.push(Real {
            session: project.session()?,
            lease_owner: Uuid::new_v4(),
            looked_at: value(client, "select clock_timestamp()").await?,
            leased: None,
        }),
        Action::Record { who, is_answered } => {
            let Invocation::Looked { seen, .. } = before.invocations[who] else {
                anyhow::bail!("it has not looked");
            };
            let real = &mut invocations[who];
            let result = seen.result(model.check, real.looked_at);
            let recorded = store::record(
                &mut real.session,
                &result,
                None,
                &model.settings,
                real.lease_owner,
                until,
            )
            .await?;
            if is_answered {
                real.leased = recorded.lease;
            }
        }
        // the topic is no part of the database
        Action::Publish { .. } | Action::Crash(_) => {}
        Action::Acknowledge { who, is_answered } => {
            let Invocation::Published { is_sent, .. } = before.invocations[who] else {
                anyhow::bail!("it has not published");
            };
            let real = &mut invocations[who];
            let next = store::acknowledge(
                &mut real.session,
                model.check,
                real.leased.as_ref().context("a lease")?.message_id,
                real.lease_owner,
                is_sent,
                None,
                until,
            )
            .await?;
            if is_answered {
                real.leased = next;
            }
        }
        Action::Minute => let_a_minute_pass(client, invocations).await?,
        Action::Repair => {
            client
                .batch_execute("select public.backfill_all_missing_profiles(100, false)")
                .await?;
        }
    }
    Ok(())
}

/// Whether the database holds what the model does, and each invocation has the same in hand.
async fn compare(client: &Client, state: &incidents::State, invocations: &[Real]) -> Result<()> {
    let rows: Vec<String> = values(
        client,
        "select concat_ws(' ', m.notice ->> 'kind', case when m.sent_at is not null then 'sent'
           when m.leased_until > clock_timestamp() then m.lease_owner::text else 'free' end)
         from rollcall.message m order by m.id",
    )
    .await?;
    let expected: Vec<String> = state
        .messages
        .iter()
        .map(|message| {
            let whose = match message.lease {
                _ if message.is_sent => "sent".to_owned(),
                Some((who, since)) if since == state.minute => {
                    invocations[who].lease_owner.to_string()
                }
                _ => "free".to_owned(),
            };
            format!("{} {whose}", message.kind.as_str())
        })
        .collect();
    ensure!(
        rows == expected,
        "messages: {rows:?}, in the model {expected:?}"
    );

    let open: Vec<String> = values(
        client,
        "select concat_ws(' ', array_to_string(i.finding_ids, ','), i.missing, i.good_since is not null)
         from rollcall.incident i where i.resolved_at is null",
    )
    .await?;
    let expected: Vec<String> = state
        .open
        .iter()
        .map(|open| {
            let is_good = if open.good_since.is_some() { "t" } else { "f" };
            format!("{} {} {is_good}", open.finding_ids.join(","), open.missing)
        })
        .collect();
    ensure!(
        open == expected,
        "open: {open:?}, in the model {expected:?}"
    );

    for (invocation, real) in state.invocations.iter().zip(invocations) {
        if let Invocation::Leased { message } = invocation {
            let leased = real.leased.as_ref().context("it leased nothing")?;
            ensure!(leased.notification.kind == state.messages[*message].kind);
        }
    }
    Ok(())
}

async fn play_incidents(check: CheckName, actions: &[incidents::Action]) -> Result<()> {
    let project = Project::migrated().await?;
    add_missing(&project, 1, 1, &[]).await?;
    let client = project.connect_as_superuser().await?;
    let model = Incidents {
        max_invocations: usize::MAX,
        max_lost: usize::MAX,
        minutes: u8::MAX,
        ..Incidents::new(check)
    };
    let mut state = incidents::State::default();
    let mut invocations = Vec::new();
    for (step, action) in actions.iter().enumerate() {
        let what = || format!("{check:?}, step {step}: {action:?}");
        let mut possible = Vec::new();
        model.actions(&state, &mut possible);
        ensure!(possible.contains(action), "not possible: {}", what());
        act(&project, &client, &model, &state, &mut invocations, *action)
            .await
            .with_context(what)?;
        model.play(&mut state, *action);
        compare(&client, &state, &invocations)
            .await
            .with_context(what)?;
    }
    Ok(())
}

/// One event delivered twice; a death between the topic and the database; answers that are lost; reports that are overtaken.
#[tokio::test]
async fn incidents_on_a_real_database_go_as_in_the_model() -> Result<()> {
    use incidents::Action::{Acknowledge, Crash, Look, Minute, Publish, Record, Repair};
    let record = |who| Record {
        who,
        is_answered: true,
    };
    let record_unheard = |who| Record {
        who,
        is_answered: false,
    };
    let publish = |who, outcome| Publish { who, outcome };
    let acknowledge = |who| Acknowledge {
        who,
        is_answered: true,
    };
    let acknowledge_unheard = |who| Acknowledge {
        who,
        is_answered: false,
    };
    let delivered_twice = [
        Look(Seen::Missing),
        Look(Seen::Missing),
        record(1),
        record(0),
        publish(1, Publication::Refused),
        acknowledge(1),
        Look(Seen::Missing),
        record(2),
        publish(2, Publication::Taken),
        acknowledge(2),
        Minute,
        Look(Seen::Unreachable),
        record(3),
        publish(3, Publication::Taken),
        acknowledge(3),
        Minute,
        Minute,
        Look(Seen::Missing),
        record(4),
    ];
    let dead_after_publishing = [
        Look(Seen::Missing),
        record(0),
        publish(0, Publication::TakenUnheard),
        Crash(0),
        Minute,
        Repair,
        Look(Seen::Healthy),
        record(1),
        // slow, and overtaken by another
        Minute,
        Look(Seen::Healthy),
        record(2),
        publish(2, Publication::Taken),
        acknowledge(2),
        publish(1, Publication::Taken),
        acknowledge(1),
        publish(2, Publication::Taken),
        acknowledge(2),
    ];
    let unheard = [
        Look(Seen::Unreachable),
        record_unheard(0),
        Look(Seen::Missing),
        record(1),
        record(0),
        publish(0, Publication::Taken),
        acknowledge_unheard(0),
        acknowledge(0),
        publish(0, Publication::Taken),
        acknowledge(0),
    ];
    let overtaken = [
        Look(Seen::Healthy),
        Minute,
        Look(Seen::Missing),
        Minute,
        Look(Seen::Unreachable),
        record(2),
        record(0),
        record(1),
        Look(Seen::Missing),
        record(3),
        publish(2, Publication::Taken),
        acknowledge(2),
        publish(2, Publication::Taken),
        acknowledge(2),
    ];
    for actions in [
        &delivered_twice[..],
        &dead_after_publishing,
        &unheard,
        &overtaken,
    ] {
        for check in [CheckName::Health, CheckName::Recent] {
            if check == CheckName::Recent || !actions.contains(&Repair) {
                play_incidents(check, actions).await?;
            }
        }
    }
    Ok(())
}

// Runs ------------------------------------------------------------------------------------------------------------------

/// A worker on a real database: a connection, its run and the owner of its lease.
struct Worker {
    client: Client,
    run_id: Uuid,
    lease_owner: Uuid,
}

/// Does the same as the model, and returns what a batch was.
async fn work(
    project: &Project,
    client: &Client,
    workers: &mut Vec<Option<Worker>>,
    runs: &[Uuid],
    action: runs::Action,
) -> Result<Option<Outcome>> {
    use runs::Action;
    let worker = |who: usize| workers[who].as_ref().context("it is dead");
    let change = async |run: usize, to: &str| {
        let sql = format!("select rollcall.change_run('{}', '{to}')", runs[run]);
        anyhow::Ok(client.batch_execute(&sql).await?)
    };
    let hold = async |who: usize, milliseconds: &str| {
        let Worker {
            run_id,
            lease_owner,
            ..
        } = worker(who)?;
        let sql = format!(
            "select rollcall.hold_run('{run_id}', '{lease_owner}', {milliseconds}, null, null)"
        );
        anyhow::Ok(client.batch_execute(&sql).await?)
    };
    match action {
        Action::Start => {
            let session = project.connect().await?;
            let row = session
                .query_typed_one(
                    "select run_id, lease_owner from rollcall.start_run('cli', '{}')",
                    &[],
                )
                .await?;
            workers.push(Some(Worker {
                run_id: row.try_get(0)?,
                lease_owner: row.try_get(1)?,
                client: session,
            }));
        }
        Action::Advance { who, limit } => {
            let Worker {
                client,
                run_id,
                lease_owner,
            } = worker(who)?;
            client.batch_execute("begin").await?;
            let row = client
                .query_typed_one(
                    "select outcome from rollcall.advance_run($1, $2, $3)",
                    &[
                        (run_id, Type::UUID),
                        (lease_owner, Type::UUID),
                        (&i32::try_from(limit)?, Type::INT4),
                    ],
                )
                .await?;
            let outcome = match row.try_get(0)? {
                "batch" => Outcome::Batch,
                "leased" => Outcome::Leased,
                "stopped" => Outcome::Stopped,
                "finished" => Outcome::Finished,
                other => anyhow::bail!("{other}"),
            };
            if matches!(outcome, Outcome::Leased | Outcome::Stopped) {
                client.batch_execute("commit").await?;
            }
            return Ok(Some(outcome));
        }
        Action::Commit(who) => worker(who)?.client.batch_execute("commit").await?,
        Action::RollBack(who) => worker(who)?.client.batch_execute("rollback").await?,
        Action::Crash(who) => {
            worker(who)?.client.batch_execute("rollback").await?;
            workers[who] = None;
        }
        // beyond a lease of 10 seconds, which a pause makes longer
        Action::Hold(who) => hold(who, "10000").await?,
        Action::GiveBack(who) => hold(who, "null").await?,
        Action::Wait => {
            client
                .batch_execute(
                    "update rollcall.run set leased_until = leased_until - interval '12 seconds'",
                )
                .await?;
        }
        Action::Pause(run) => change(run, "pause").await?,
        Action::Resume(run) => change(run, "resume").await?,
        Action::Cancel(run) => change(run, "cancel").await?,
        Action::SignUp => {
            add_missing(project, 4, 4, &[]).await?;
            let sql = format!(
                "update auth.users set created_at = now() where id = '{}'",
                user(4)
            );
            client.batch_execute(&sql).await?;
        }
        Action::MakeProfile(number) => {
            let id = user(number.into());
            let sql = format!(
                "insert into public.profiles (id, email) values ('{id}', 'own@example.com')"
            );
            client.batch_execute(&sql).await?;
        }
    }
    Ok(None)
}

async fn compare_runs(client: &Client, state: &runs::State) -> Result<()> {
    let rows: Vec<String> = values(
        client,
        "select concat_ws(' ', r.state, r.attempted, r.created, r.failed,
           r.state = 'running' and coalesce(r.leased_until > clock_timestamp(), false))
         from rollcall.run r order by r.created_at",
    )
    .await?;
    let expected: Vec<String> = (0..)
        .zip(&state.runs)
        .map(|(number, run)| {
            format!(
                "{} {} {} {} {}",
                format!("{:?}", run.state).to_lowercase(),
                run.attempted.len(),
                run.created,
                run.failed,
                if state.is_leased(number) { "t" } else { "f" }
            )
        })
        .collect();
    ensure!(
        rows == expected,
        "runs: {rows:?}, in the model {expected:?}"
    );
    let profiles: Vec<Uuid> = values(client, "select id from public.profiles order by id").await?;
    let expected: Vec<Uuid> = state
        .profiles
        .iter()
        .map(|number| user((*number).into()))
        .collect();
    ensure!(
        profiles == expected,
        "{profiles:?}, in the model {expected:?}"
    );
    let failures: Vec<String> = values(
        client,
        "select concat_ws(' ', f.user_id, (select count(*) from rollcall.run r where r.created_at <
           (select x.created_at from rollcall.run x where x.run_id = f.run_id)))
         from rollcall.failure f order by f.user_id",
    )
    .await?;
    let expected: Vec<String> = state
        .failures
        .iter()
        .map(|(number, run)| format!("{} {run}", user((*number).into())))
        .collect();
    ensure!(
        failures == expected,
        "{failures:?}, in the model {expected:?}"
    );
    Ok(())
}

async fn play_runs(actions: &[runs::Action]) -> Result<()> {
    let project = project_with_missing(3, &[2]).await?;
    let client = project.connect_as_superuser().await?;
    let model = Runs {
        missing: (1..=3).collect(),
        max_workers: usize::MAX,
        max_wait: u8::MAX,
        max_interventions: usize::MAX,
        ..Runs::new()
    };
    let mut state = model.first();
    let mut workers = Vec::new();
    for (step, action) in actions.iter().enumerate() {
        let what = || format!("step {step}: {action:?}");
        let mut possible = Vec::new();
        model.actions(&state, &mut possible);
        ensure!(possible.contains(action), "not possible: {}", what());
        let runs: Vec<Uuid> = values(
            &client,
            "select r.run_id from rollcall.run r order by r.created_at",
        )
        .await?;
        let outcome = work(&project, &client, &mut workers, &runs, *action)
            .await
            .with_context(what)?;
        if let runs::Action::Advance { who, limit } = *action {
            let expected = Runs::advance(&mut state, who, limit);
            ensure!(
                outcome == Some(expected),
                "{}: {outcome:?}, in the model {expected:?}",
                what()
            );
        } else {
            model.play(&mut state, *action);
        }
        compare_runs(&client, &state).await.with_context(what)?;
    }
    Ok(())
}

/// A worker that dies with a batch in hand while another waits; one that is slower than its lease; a person who pauses, so that
/// a second run begins, and resumes.
#[tokio::test]
async fn runs_on_a_real_database_go_as_in_the_model() -> Result<()> {
    use runs::Action::{
        Advance, Cancel, Commit, Crash, GiveBack, Hold, MakeProfile, Pause, Resume, RollBack,
        SignUp, Start, Wait,
    };
    let advance = |who, limit| Advance { who, limit };
    let left = [
        Start,
        advance(0, 1),
        Commit(0),
        advance(0, 1),
        Start,
        advance(1, 2),
        Crash(0),
        advance(1, 2),
        SignUp,
        Wait,
        advance(1, 2),
        Commit(1),
        advance(1, 1),
        Commit(1),
        Start,
        advance(2, 2),
        Commit(2),
        advance(2, 2),
        Commit(2),
        advance(2, 2),
        Commit(2),
    ];
    let slow = [
        Start,
        Start,
        advance(0, 1),
        Commit(0),
        Hold(0),
        advance(1, 1),
        Wait,
        advance(1, 1),
        Wait,
        advance(1, 1),
        RollBack(1),
        MakeProfile(3),
        advance(1, 1),
        Commit(1),
        // another has it
        Hold(0),
        advance(0, 1),
        GiveBack(0),
        GiveBack(1),
        advance(0, 2),
        Commit(0),
        advance(1, 1),
    ];
    let paused = [
        Start,
        advance(0, 1),
        Commit(0),
        Pause(0),
        advance(0, 1),
        Start,
        Resume(0),
        advance(1, 2),
        Commit(1),
        advance(0, 2),
        Commit(0),
        advance(0, 2),
        Commit(0),
        Cancel(1),
        advance(1, 1),
    ];
    for actions in [&left[..], &slow, &paused] {
        play_runs(actions).await?;
    }
    Ok(())
}
