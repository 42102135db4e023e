//! A standby is a real one here: a server that was killed and recovers, and goes on doing so.

use std::fs;

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Options, Person, Server, SignupKind};
use rollcall_tests::{
    command_line::rollcall,
    project::{APPLICATION, Project},
    sql::value,
};
use serde_json::Value;
use tokio_postgres::types::Type;

const REPORTS: [&str; 5] = ["diagnose", "recent", "health", "verify", "doctor"];

/// A project in which people signed up, on a server that is a standby by now; `last` is done before.
async fn standby(is_installed: bool, last: &str) -> Result<(Server, Project)> {
    let server = Server::start(&Options {
        settings: vec![("wal_level".to_owned(), "replica".to_owned())],
        ..Options::from_env()?
    })?;
    let project = Project::without_rollcall_on(&server).await?;
    project.connect().await?.batch_execute(APPLICATION).await?;
    if is_installed {
        project.migrate().await?;
    }
    let mut auth = project.auth().await?;
    for number in 1..4 {
        auth.sign_up(SignupKind::EmailConfirmation, &Person::numbered(number))
            .await?;
    }
    project
        .connect_as_superuser()
        .await?
        .batch_execute(last)
        .await?;
    fs::write(server.folder().join("data/standby.signal"), "")?;
    server.restart()?;
    let is_standby: bool = value(&project.connect().await?, "select pg_is_in_recovery()").await?;
    ensure!(is_standby, "it is no standby");
    Ok((server, project))
}

async fn report(project: &Project, name: &str) -> Result<Value> {
    let url = project.url();
    rollcall(&[("DATABASE_URL", &url)], &[name, "--format", "json"])
        .await?
        .json()
}

fn finding<'a>(report: &'a Value, id: &str) -> Option<&'a Value> {
    let findings = report["findings"].as_array()?;
    findings.iter().find(|finding| finding["id"] == id)
}

#[tokio::test]
async fn a_standby_is_asked_like_its_primary() -> Result<()> {
    let (_server, project) = standby(true, "select").await?;
    for name in REPORTS {
        let report = report(&project, name).await?;
        let findings = report["findings"].as_array().context("findings")?;
        // no primary sends anything, so it grows old, on a machine that is slow before it was asked
        let wrong: Vec<_> = findings
            .iter()
            .filter(|finding| finding["severity"] != "info" && finding["id"] != "replica_behind")
            .collect();
        ensure!(
            wrong.is_empty() && report["verdict"] != "inconsistent",
            "{name}: {report:#}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_a_standby_shows_has_an_age_even_where_nothing_was_replayed() -> Result<()> {
    let (_server, project) = standby(true, "checkpoint").await?;
    let row = project
        .connect()
        .await?
        .query_typed_one(
            include_str!("../../../shared/src/checks/next_signup/read.sql"),
            &[(&false, Type::BOOL)],
        )
        .await?;
    let age: Option<f64> = row.try_get("replica_age")?;
    ensure!(age.is_some_and(|age| age > 0.0), "{age:?}");
    Ok(())
}

#[tokio::test]
async fn a_look_at_a_standby_says_what_it_would_need() -> Result<()> {
    let (_server, project) = standby(false, "select").await?;
    for name in REPORTS {
        let report = report(&project, name).await?;
        assert_eq!(report["verdict"], "unknown", "{name}: {report:#}");
        let found = finding(&report, "look_not_possible").with_context(|| format!("{report:#}"))?;
        ensure!(
            found["summary"]
                .as_str()
                .is_some_and(|text| text.contains("standby")),
            "{found}"
        );
        ensure!(
            found["next_step"]
                .as_str()
                .is_some_and(|text| text.contains("primary")),
            "{found}"
        );
    }
    Ok(())
}
