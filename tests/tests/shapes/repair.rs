//! Users who came past every trigger: they are seen, nobody else is, and a repair makes what the application would have made.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Auth, Person, SignupKind};
use rollcall_tests::sql::{difference, values};
use uuid::Uuid;

use crate::{
    people::{ambitious_person, log_in_to_the_browser, person},
    report::Report,
    shape::logs_in,
    stage::{Side, Stage, State, id},
};

/// Who comes while the triggers are off.
const KINDS: [SignupKind; 6] = [
    SignupKind::EmailAutoconfirm,
    SignupKind::EmailAutoconfirm,
    SignupKind::Oauth,
    SignupKind::PhoneAutoconfirm,
    SignupKind::EmailAutoconfirm,
    SignupKind::EmailConfirmation,
];

pub(crate) async fn repair(stage: &mut Stage<'_>) -> Result<()> {
    if stage.target.is_none() || stage.shape.broken {
        return Ok(());
    }
    // what pg_net's sequence gave to signups that were tried
    stage.align_sequences().await?;
    let missing = come_past_the_triggers(stage).await?;
    let sequences = stage.subject.set_sequences().await?;
    expect_missing(stage, &missing).await?;
    let before = stage.subject.state().await?;
    stage.report(&["backfill"]).await?;
    stage.expect_unchanged("a dry run", &before).await?;
    if !stage.shape.needs_replay {
        by_definition(stage, &missing, &sequences).await?;
    }
    if stage.shape.undo_leaves.is_some() {
        return Ok(());
    }
    by_replay(stage, &missing, &sequences).await
}

/// The same people sign up on the twin as ever, and on the subject past every trigger; who should have a profile now.
async fn come_past_the_triggers(stage: &mut Stage<'_>) -> Result<BTreeSet<Uuid>> {
    let superuser = stage.subject.connect_as("supabase_admin").await?;
    let setting = |verb: &str| {
        format!(
            "alter role supabase_auth_admin in database {} {verb}",
            stage.subject.database.name()
        )
    };
    superuser
        .batch_execute(&setting("set session_replication_role = replica"))
        .await?;
    let mut past_triggers = Auth::new(&stage.subject.database).await?;
    superuser
        .batch_execute(&setting("reset session_replication_role"))
        .await?;
    past_triggers.clock = stage.subject.auth.clock;
    past_triggers.release = stage.subject.auth.release;

    let shape = stage.shape;
    let people: Vec<(SignupKind, Person)> = (201..)
        .zip(KINDS)
        .filter(|(_, kind)| shape.lets_in(*kind))
        .map(|(number, kind)| {
            (
                kind,
                if number == 202 {
                    ambitious_person(shape, number)
                } else {
                    person(shape, number)
                },
            )
        })
        .collect();
    let mut missing = BTreeSet::new();
    for (kind, person) in &people {
        let user = stage
            .twin
            .auth
            .sign_up(*kind, person)
            .await
            .context("on the twin")?;
        past_triggers
            .sign_up(*kind, person)
            .await
            .context("past every trigger")?;
        if logs_in(*kind) {
            log_in_to_the_browser(shape, &stage.twin, &user.to_string()).await?;
        }
        let has = values::<Uuid>(
            &stage.twin.client,
            &profile_owners(stage, &format!("= '{user}'")),
        )
        .await?;
        missing.extend(has);
    }
    // what the app makes itself may come a moment later; here it has come
    stage
        .subject
        .client
        .batch_execute("update rollcall.settings set grace_period = default")
        .await?;
    Ok(missing)
}

/// A query for the users with a profile whose id, as text, is so.
fn profile_owners(stage: &Stage<'_>, condition: &str) -> String {
    let Some(target) = &stage.target else {
        return "select null::uuid where false".to_owned();
    };
    format!(
        "select t.{0}::text::uuid from {1} t where t.{0}::text {condition}",
        target.key, target.table
    )
}

/// Exactly these are reported.
async fn expect_missing(stage: &mut Stage<'_>, missing: &BTreeSet<Uuid>) -> Result<()> {
    let report = stage.report(&["mismatches"]).await?;
    let rows = report.json["mismatches"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let reported: BTreeSet<Uuid> = rows
        .iter()
        .filter(|row| row["status"] == "auth_only")
        .filter_map(|row| row["user_id"].as_str()?.parse().ok())
        .collect();
    stage.expect(reported == *missing, || {
        format!(
            "mismatches: too many {:?}, not seen {:?}\n{}",
            reported.difference(missing).collect::<Vec<_>>(),
            missing.difference(&reported).collect::<Vec<_>>(),
            report
        )
    });
    let verdict = if missing.is_empty() {
        "consistent"
    } else {
        "inconsistent"
    };
    for name in ["diagnose", "recent"] {
        let report = stage.report(&[name]).await?;
        stage.expect(report.verdict() == verdict, || {
            format!("{name} of {} missing users: {}", missing.len(), report)
        });
    }
    Ok(())
}

/// A repair by the definition and its undo.
async fn by_definition(
    stage: &mut Stage<'_>,
    missing: &BTreeSet<Uuid>,
    sequences: &str,
) -> Result<()> {
    let random = stage.random();
    let (before, rows) = (
        stage.subject.state().await?,
        stage.subject.rows(&random).await?,
    );
    let claimed: BTreeSet<Uuid> = missing
        .iter()
        .copied()
        .filter(|user| is_claimed(stage, *user))
        .collect();

    let done = apply(stage, &["backfill", "--apply", "--yes"]).await?;
    let run = done.json["backfill"]["run_id"].as_str().map(str::to_owned);
    let made: BTreeSet<Uuid> = owners_among(stage, &stage.subject, missing).await?;
    let wanted: BTreeSet<Uuid> = missing.difference(&claimed).copied().collect();
    stage.expect(made == wanted, || {
        format!(
            "the repair made profiles of {made:?} instead of {wanted:?}\n{}",
            done
        )
    });
    if !claimed.is_empty() {
        let dry_run = stage.rollcall(&["backfill"]).await?;
        stage.expect(dry_run.stdout.contains("claim it"), || {
            format!("the dry run does not say \"claim it\": {dry_run}")
        });
    }
    let after = stage.subject.rows(&random).await?;
    let gone: Vec<String> = rows
        .iter()
        .filter(|row| !after.contains(row))
        .cloned()
        .collect();
    stage.expect(gone.is_empty(), || {
        format!("the repair changed rows:\n{}", gone.join("\n"))
    });
    let twin = profiles_of(stage, &stage.twin, &made).await?;
    let subject = profiles_of(stage, &stage.subject, &made).await?;
    let lines = difference(&twin, &subject);
    stage.expect(lines.is_empty(), || {
        format!(
            "profiles differ from those that the application made:\n{}",
            lines.join("\n")
        )
    });

    let Some(run) = run else {
        stage.expect(wanted.is_empty(), || format!("no run: {}", done));
        return Ok(());
    };
    let undone = stage.rollcall(&["undo", &run, "--yes"]).await?;
    stage.expect(undone.status == Some(0), || undone.to_string());
    if let Some(words) = &stage.shape.undo_leaves {
        let said = undone.stdout.contains(words);
        stage.expect(said, || {
            format!("the undo does not say {words:?}: {undone}")
        });
        return Ok(());
    }
    let left = stage.subject.state().await?;
    // a request that was sent stays sent
    let kept = |state: &State| -> Vec<String> {
        let is_theirs =
            |line: &&String| !line.starts_with("rollcall.") && !line.starts_with("net.");
        state.contents.iter().filter(is_theirs).cloned().collect()
    };
    stage.expect_same("an undo left other rows", &kept(&before), &kept(&left));
    // what follows is compared with a twin that met one repair only
    stage.subject.client.batch_execute(sequences).await?;
    if stage.shape.sends_requests {
        let sent = "delete from net.http_request_queue q
                    where q.id > (select s.last_value from net.http_request_queue_id_seq s)";
        stage.subject.client.batch_execute(sent).await?;
    }
    Ok(())
}

/// A repair; where it sends requests to other servers, not before that was allowed.
async fn apply(stage: &mut Stage<'_>, command: &[&str]) -> Result<Report> {
    if !stage.shape.sends_requests {
        return stage.report(command).await;
    }
    refused(stage, command).await?;
    stage
        .report(&[command, &["--allow-outside-calls"]].concat())
        .await
}

async fn refused(stage: &mut Stage<'_>, command: &[&str]) -> Result<()> {
    let before = stage.subject.state().await?;
    let refused = stage.rollcall(command).await?;
    stage.expect(refused.status == Some(2), || {
        format!("the repair is not refused: {refused}")
    });
    stage
        .expect_unchanged("a repair that was refused", &before)
        .await
}

/// A repair through the application's own triggers makes everything that they make, or says why it cannot.
async fn by_replay(stage: &mut Stage<'_>, missing: &BTreeSet<Uuid>, sequences: &str) -> Result<()> {
    const REPLAY: [&str; 4] = ["backfill", "--replay", "--apply", "--yes"];
    let before = stage.subject.state().await?;
    stage.report(&["backfill", "--replay"]).await?;
    stage
        .expect_unchanged("a dry run of a replay", &before)
        .await?;
    if stage.shape.no_replay {
        return refused(stage, &REPLAY).await;
    }
    if stage.shape.empty_replay {
        let rows = stage.subject.rows(&stage.random()).await?;
        stage.report(&REPLAY).await?;
        let after = stage.subject.rows(&stage.random()).await?;
        stage.expect_same(
            "a replay that made no profile left other rows",
            &rows,
            &after,
        );
        return Ok(());
    }
    // a dry run cannot take back what pg_net's sequence gave
    stage.subject.client.batch_execute(sequences).await?;
    let done = apply(stage, &REPLAY).await?;
    let made = owners_among(stage, &stage.subject, missing).await?;
    ensure!(
        made == *missing,
        "the replay made profiles of {made:?} instead of {missing:?}: {done}"
    );
    stage.expect_same_rows("after a replay").await?;
    stage.judge("diagnose", false).await
}

/// Whether the row of this user was there before them.
fn is_claimed(stage: &Stage<'_>, user: Uuid) -> bool {
    (201..)
        .take(KINDS.len())
        .any(|number| id(number) == user && stage.shape.claims.contains(&format!("person{number}")))
}

async fn owners_among(
    stage: &Stage<'_>,
    side: &Side,
    users: &BTreeSet<Uuid>,
) -> Result<BTreeSet<Uuid>> {
    let owners = values(&side.client, &profile_owners(stage, &among(users))).await?;
    Ok(owners.into_iter().collect())
}

fn among(users: &BTreeSet<Uuid>) -> String {
    let list: Vec<String> = users.iter().map(|user| format!("'{user}'")).collect();
    format!("in ('', {})", list.join(", ")).replace(", )", ")")
}

/// The profiles of these users, without what the shape says that a definition cannot know, and without numbers that a
/// sequence gave.
async fn profiles_of(
    stage: &Stage<'_>,
    side: &Side,
    users: &BTreeSet<Uuid>,
) -> Result<Vec<String>> {
    let Some(target) = &stage.target else {
        return Ok(Vec::new());
    };
    let serial: Vec<String> = values(
        &side.client,
        &format!(
            "select a.attname::text from pg_catalog.pg_attribute a left join pg_catalog.pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
             where a.attrelid = '{}'::regclass and a.attnum > 0
               and (a.attidentity <> '' or pg_get_expr(d.adbin, d.adrelid) ~ 'nextval')",
            target.table.replace('\'', "''")
        ),
    )
    .await?;
    let apart: Vec<String> = serial
        .iter()
        .chain(&stage.shape.differs)
        .map(|column| format!("'{column}'"))
        .collect();
    let sql = include_str!("profiles.sql")
        .replace("TABLE", &target.table)
        .replace("KEY", &target.key)
        .replace("APART", &apart.join(", "))
        .replace("AMONG", &among(users));
    values(&side.client, &sql).await
}
