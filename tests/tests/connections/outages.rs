//! The database is shut down at once and comes back: under every function and the command line, idle and at work.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Options, Server};
use rollcall_tests::{
    at_once::at_once, command_line::rollcall, lambda::Lambda, project::Project, sql,
};
use serde_json::{Value, json};
use tokio::time::sleep;

/// What a function is given where the database is away.
const LIMIT: Duration = Duration::from_secs(12);

/// What may be said of a database that is away, or went away.
const AWAY: [&str; 4] = [
    "connection_lost",
    "database_unreachable",
    "database_timeout",
    "session_refused",
];

/// SIGQUIT: PostgreSQL's immediate shutdown, without a checkpoint.
fn shut_down_at_once(server: &Server) -> Result<()> {
    let status = Command::new("kill")
        .args(["-QUIT", &server.pid().to_string()])
        .status()?;
    ensure!(status.success(), "kill: {status}");
    Ok(())
}

fn says_away(answer: &Value) -> Result<()> {
    let reason = answer["findings"][0]["id"]
        .as_str()
        .or(answer["error_id"].as_str());
    ensure!(
        answer["verdict"] == "unknown" && reason.is_some_and(|reason| AWAY.contains(&reason)),
        "{answer}"
    );
    Ok(())
}

/// A project on a server of its own, where 60 users wait for a profile.
async fn project(server: &Server) -> Result<Project> {
    let project = Project::migrated_on(server).await?;
    project.add_users_without_profile(60).await?;
    Ok(project)
}

#[tokio::test]
async fn functions_whose_database_goes_away_say_so_in_time_and_are_right_when_it_is_back()
-> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = project(&server).await?;
    let url = project.url();
    let env = [("DATABASE_URL", url.as_str())];
    let health = Lambda::start("health-check", &env).await?;
    let recent = Lambda::start("recent-issues", &env).await?;
    let backfill = Lambda::start("backfill", &env).await?;
    let are_right = async || {
        tokio::try_join!(
            is_right(&health, "inconsistent"),
            is_right(&recent, "consistent"),
            // a dry run
            is_right(&backfill, "inconsistent"),
        )
    };
    are_right().await?;

    // Away and back while nobody looked: the connection that was kept is dead.
    shut_down_at_once(&server)?;
    server.restart()?;
    are_right().await.context("after a restart")?;

    shut_down_at_once(&server)?;
    tokio::try_join!(
        says_away_twice(&health),
        says_away_twice(&recent),
        says_away_twice(&backfill),
    )?;
    server.restart()?;
    are_right().await.context("back again")?;
    Ok(())
}

async fn is_right(lambda: &Lambda, truth: &str) -> Result<()> {
    let answer = lambda.invoke(json!({})).await?;
    ensure!(answer["verdict"] == truth, "{truth}: {answer}");
    Ok(())
}

async fn says_away_twice(lambda: &Lambda) -> Result<()> {
    for _ in 0..2 {
        says_away(&lambda.invoke_within(json!({}), LIMIT).await?)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_command_whose_database_goes_away_says_so_and_is_right_when_it_is_back() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = project(&server).await?;
    let url = project.url();
    shut_down_at_once(&server)?;
    // Each tries again for a while.
    let commands = [
        "diagnose",
        "health",
        "recent",
        "verify",
        "mismatches",
        "backfill",
        "backfill --apply --yes",
    ];
    at_once(commands.map(|command| {
        let url = url.clone();
        async move {
            let arguments: Vec<&str> = command.split(' ').chain(["--format", "json"]).collect();
            let finished = rollcall(&[("DATABASE_URL", &url)], &arguments).await?;
            ensure!(finished.status == Some(2), "{finished}");
            says_away(&finished.json()?).context(command)
        }
    }))
    .await?;
    server.restart()?;
    let env = [("DATABASE_URL", url.as_str())];
    let finished = rollcall(&env, &["backfill", "--apply", "--yes"]).await?;
    ensure!(finished.status == Some(0), "{finished}");
    Ok(())
}

/// Each new profile takes long enough for the server to go away in the middle.
const SLOW: &str = "
    create function public.be_slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.02); return new; end $$;
    create trigger be_slow before insert on public.profiles for each row execute function public.be_slow()";

/// Waits until a repair has come so far.
async fn wait_for_profiles(project: &Project, number: i64) -> Result<()> {
    let client = project.connect().await?;
    while sql::value::<i64>(&client, "select count(*) from public.profiles").await? < number {
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Keeps P3.
#[tokio::test]
async fn a_repair_whose_database_goes_away_is_finished_by_the_next() -> Result<()> {
    const BATCH: i64 = 5;
    let server = Server::start(&Options::from_env()?)?;
    let project = project(&server).await?;
    let client = project.connect().await?;
    client.batch_execute(SLOW).await?;
    let url = project.url();
    let env = [("DATABASE_URL", url.as_str())];
    let request = json!({"dry_run": false, "batch_size": BATCH});
    let lambda = Lambda::start("backfill", &env).await?;

    let outage = async {
        wait_for_profiles(&project, 2 * BATCH).await?;
        shut_down_at_once(&server)
    };
    let (answer, outage) = tokio::join!(lambda.invoke_within(request.clone(), LIMIT), outage);
    outage?;
    let answer = answer?;
    ensure!(
        answer["retryable"] == true || answer["stop_reason"] == "out_of_time",
        "{answer}"
    );
    server.restart()?;
    let kept = project
        .count("select count(*) from public.profiles")
        .await?;
    ensure!(
        kept >= 2 * BATCH && kept % BATCH == 0 && kept < 60,
        "{kept}"
    );

    // The command line, and the server away in the middle once more: it waits for it.
    let arguments = [
        "backfill",
        "--apply",
        "--yes",
        "--batch-size",
        "5",
        "--format",
        "json",
    ];
    let outage = async {
        wait_for_profiles(&project, kept + BATCH).await?;
        shut_down_at_once(&server)?;
        server.restart()
    };
    let (finished, outage) = tokio::join!(rollcall(&env, &arguments), outage);
    outage?;
    let finished = finished?;
    ensure!(finished.status == Some(0), "{finished}");

    let next = lambda.invoke(request).await?;
    ensure!(
        next["verdict"] == "consistent" && next["remaining"] == 0,
        "{next}"
    );
    let events = "select count(*) from rollcall.event where kind = 'profile_backfilled'";
    ensure!(project.count(events).await? == 60);
    Ok(())
}
