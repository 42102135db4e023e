//! The same answers through PgBouncer in transaction mode as without it: nothing of Rollcall's may
//! depend on which server connection the next transaction gets.

use anyhow::{Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::{
    command_line::{Finished, rollcall},
    lambda::Lambda,
    pooler::{POOL_SIZE, Pooler},
    project::{self, Project},
    sql,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

async fn pooler() -> Result<Option<Pooler>> {
    Pooler::start(project::server()?).await
}

async fn run(url: &str, arguments: &str) -> Result<Finished> {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    rollcall(&[("DATABASE_URL", url)], &arguments).await
}

/// A report without the moment it was taken at.
fn timeless(mut report: Value) -> Value {
    match &mut report {
        Value::Object(fields) => {
            for moment in [
                "check_time",
                "taken_at",
                "window",
                "minutes_since_signup",
                "estimated_seconds",
                "created_at",
                "updated_at",
                "path_since",
                "proved_at",
                "probed_at",
            ] {
                fields.remove(moment);
            }
            for value in fields.values_mut() {
                *value = timeless(value.take());
            }
        }
        Value::Array(values) => {
            for value in values {
                *value = timeless(value.take());
            }
        }
        _ => {}
    }
    report
}

#[tokio::test]
async fn every_check_answers_the_same_as_without_it() -> Result<()> {
    let Some(pooler) = pooler().await? else {
        return Ok(());
    };
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    let mut newest = None;
    for (number, kind) in (0..).zip(SignupKind::ALL) {
        if number == 6 {
            project.break_signups().await?;
        }
        newest = Some(auth.sign_up(kind, &Person::numbered(number)).await?);
    }
    let id = newest.unwrap_or_default();
    for command in [
        "diagnose",
        "mismatches",
        "recent",
        "health",
        "verify",
        &format!("events {id}"),
        &format!("explain {id}"),
        "doctor",
        "backfill",
        &format!("backfill --user {id}"),
    ] {
        let command = format!("{command} --format json");
        let direct = run(&project.url(), &command).await?;
        for _ in 0..3 {
            let pooled = run(&pooler.url(&project.database), &command).await?;
            assert_eq!(pooled.status, direct.status, "{pooled}");
            assert_eq!(timeless(pooled.json()?), timeless(direct.json()?));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_user_whom_it_does_not_know_is_a_wrong_user_and_no_lost_connection() -> Result<()> {
    let Some(pooler) = pooler().await? else {
        return Ok(());
    };
    let project = Project::migrated().await?;
    let url = pooler
        .url(&project.database)
        .replace("//postgres@", "//stranger@");
    let finished = run(&url, "health --format json").await?;
    assert_eq!(finished.status, Some(2), "{finished}");
    let report = finished.json()?;
    assert_eq!(report["findings"][0]["id"], "authentication_failed");
    Ok(())
}

#[tokio::test]
async fn a_migration_makes_the_same_objects() -> Result<()> {
    let Some(pooler) = pooler().await? else {
        return Ok(());
    };
    let (direct, pooled) = (
        Project::watched().await?,
        Project::with_application().await?,
    );
    let url = pooler.url(&pooled.database);
    let finished = run(&url, "migrate --yes").await?;
    assert_eq!(finished.status, Some(0), "{finished}");
    let catalogs = (
        sql::catalog(&direct.connect().await?).await?,
        sql::catalog(&pooled.connect().await?).await?,
    );
    assert_eq!(
        sql::difference(&catalogs.0, &catalogs.1),
        Vec::<String>::new()
    );

    for (command, status) in [
        ("migrate --yes", 0),
        ("health", 0),
        ("rollback --diagnostics --yes", 0),
        ("migrate --yes", 0),
        ("rollback --yes", 0),
        // without Rollcall, too
        ("health", 0),
    ] {
        let finished = run(&url, command).await?;
        assert_eq!(finished.status, Some(status), "{finished}");
    }
    Ok(())
}

#[tokio::test]
async fn eight_repairs_at_once_create_each_profile_once() -> Result<()> {
    const USERS: u32 = 2000;
    let Some(pooler) = pooler().await? else {
        return Ok(());
    };
    let project = Project::migrated().await?;
    project.add_users_without_profile(USERS).await?;
    let url = pooler.url(&project.database);
    let mut repairs = JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        repairs.spawn(async move {
            run(
                &url,
                "backfill --apply --yes --batch-size 100 --format json",
            )
            .await
        });
    }
    let mut created = 0;
    while let Some(repair) = repairs.join_next().await {
        let finished = repair??;
        assert_eq!(finished.status, Some(0), "{finished}");
        let backfill = &finished.json()?["backfill"];
        assert_eq!(backfill["failed"], 0, "{finished}");
        created += backfill["created"].as_i64().unwrap_or_default();
    }
    assert_eq!(created, i64::from(USERS));
    let count = async |sql: &str| project.count(sql).await;
    assert_eq!(
        count("select count(*) from public.profiles").await?,
        i64::from(USERS)
    );
    assert_eq!(
        count("select count(*) from rollcall.event where kind = 'profile_backfilled'").await?,
        i64::from(USERS)
    );
    assert_eq!(
        count("select count(distinct user_id) from rollcall.event").await?,
        i64::from(USERS)
    );
    Ok(())
}

/// Each invocation is a handful of queries in one transaction, so this is well over 200 of them.
#[tokio::test]
async fn functions_take_turns_on_its_connections_without_an_error() -> Result<()> {
    const INVOCATIONS: usize = 60;
    let Some(pooler) = pooler().await? else {
        return Ok(());
    };
    let project = Project::migrated().await?;
    project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    let url = pooler.url(&project.database);
    let env = [("DATABASE_URL", url.as_str())];
    let (health, recent, backfill) = (
        Lambda::start("health-check", &env).await?,
        Lambda::start("recent-issues", &env).await?,
        Lambda::start("backfill", &env).await?,
    );
    let many = async |lambda: &Lambda| -> Result<()> {
        for number in 0..INVOCATIONS {
            let answer = lambda.invoke(json!({})).await?;
            ensure!(answer["verdict"] == "consistent", "{number}: {answer}");
        }
        let log = lambda.process.stdout()?;
        ensure!(!log.contains("connection lost"), "{log}");
        Ok(())
    };
    tokio::try_join!(many(&health), many(&recent), many(&backfill))?;

    let held = "select count(*) from pg_stat_activity where application_name = 'rollcall'
                  and datname = current_database()";
    let held = project.count(held).await?;
    ensure!((1..=i64::from(POOL_SIZE)).contains(&held), "{held}");

    // What one client sets must not be there for the next one.
    let client = rollcall_sandbox::connect(&url.replace("?pgbouncer=true", "")).await?;
    for _ in 0..20 {
        for (setting, default) in [
            ("statement_timeout", "0"),
            ("lock_timeout", "0"),
            ("search_path", "\"$user\", public"),
            ("transaction_read_only", "off"),
        ] {
            let found: String = sql::value(&client, &format!("show {setting}")).await?;
            assert_eq!(found, default, "{setting}");
        }
    }
    Ok(())
}
