//! How often a program waits for its database: on AWS each time is some milliseconds, and a function does little else.

use std::time::Duration;

use anyhow::{Result, ensure};
use rollcall_sandbox::RoundTrips;
use rollcall_tests::at_once::at_once;
use rollcall_tests::command_line::rollcall;
use rollcall_tests::lambda::Lambda;
use rollcall_tests::project::{self, Project};
use serde_json::Value;

/// For a check whose connection was open.
const WARM: usize = 4;

/// For a check that connects, and for a command; the connection's own greeting is one of them.
const COLD: usize = 8;
const COMMAND: usize = 6;

/// Each way; there and back is longer than a program needs to send what it sends without waiting, on a busy machine too.
const LATE: Duration = Duration::from_millis(30);

async fn network() -> Result<RoundTrips> {
    RoundTrips::start(project::server()?.port(), LATE).await
}

/// Invokes the function, and holds the number of times that it waited against the most that is allowed.
async fn check(
    function: &Lambda,
    network: &RoundTrips,
    most: usize,
    verdict: &str,
    alert: Option<&str>,
) -> Result<()> {
    network.take();
    let answer = function.invoke(Value::Null).await?;
    let trips = network.take();
    ensure!(
        answer["verdict"] == verdict && alert.is_none_or(|alert| answer["alert"] == alert),
        "{answer}"
    );
    ensure!((1..=most).contains(&trips), "{trips} round trips: {answer}");
    Ok(())
}

async fn every_outcome(binary: &'static str, probe: &'static str) -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let network = network().await?;
    let url = network.url(&project.database);
    let function = Lambda::start(binary, &[("DATABASE_URL", &url), ("PROBE", probe)]).await?;
    let steps = [
        ("", COLD, "consistent", Some("not_needed")),
        ("", WARM, "consistent", Some("not_needed")),
        ("insert into auth.users (id, email, created_at) values (gen_random_uuid(), 'a@example.com', now());
          delete from public.profiles", WARM, "inconsistent", Some("sent")),
        ("", WARM, "inconsistent", Some("already_sent")),
        ("insert into public.profiles (id, email) select u.id, u.email from auth.users u", WARM, "consistent", None),
        ("update rollcall.settings set target_table = null, query = null", WARM, "unknown", None),
    ];
    for (number, (sql, most, verdict, alert)) in steps.into_iter().enumerate() {
        client.batch_execute(sql).await?;
        check(&function, &network, most, verdict, alert)
            .await
            .map_err(|error| error.context(format!("{binary}, PROBE={probe}, step {number}")))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_scheduled_check_waits_four_times_at_most_whatever_it_says() -> Result<()> {
    let all = ["health-check", "recent-issues"]
        .into_iter()
        .flat_map(|binary| ["off", "auto"].map(|probe| every_outcome(binary, probe)));
    at_once(all).await.map(drop)
}

#[tokio::test]
async fn a_command_waits_six_times_at_most() -> Result<()> {
    let project = Project::migrated().await?;
    let network = network().await?;
    let url = network.url(&project.database);
    for command in [
        "diagnose", "doctor", "health", "recent", "probe", "verify", "ci",
    ] {
        network.take();
        let finished = rollcall(&[("DATABASE_URL", &url)], &[command]).await?;
        let trips = network.take();
        ensure!(finished.status == Some(0), "{finished}");
        ensure!(
            (1..=COMMAND).contains(&trips),
            "{trips} round trips: {finished}"
        );
    }
    Ok(())
}
