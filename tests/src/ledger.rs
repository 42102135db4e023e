//! A project whose scheduled checks read the ledger of signups instead of the tables. "Many" users is a setting.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Result, ensure};
use rollcall::checks::Basis;
use rollcall::checks::health::HealthReport;
use rollcall_sandbox::{Person, SignupKind};
use tokio::time::{Instant, sleep};

use crate::project::Project;

/// A project whose ledger is read from the start: some people signed up, and a full proof was kept.
pub async fn project_with_trusted_ledger() -> Result<Project> {
    prepare(Project::migrated().await?).await
}

/// The same of a project of one's own.
pub async fn prepare(project: Project) -> Result<Project> {
    project
        .connect()
        .await?
        .batch_execute("update rollcall.settings set full_proof_below_users = 0")
        .await?;
    sign_up(&project, 1..=5).await?;
    // their session has ended, which is when counters are written
    counter_reaches(&project, "users_inserted", 5).await?;
    let first = health(&project).await?;
    ensure!(basis(&first) == (Some(Basis::Full), Some("no_proof")));
    ensure!(basis(&health(&project).await?) == (Some(Basis::Ledger), None));
    Ok(project)
}

/// People who sign up with an e-mail, by their numbers.
pub async fn sign_up(project: &Project, numbers: RangeInclusive<u32>) -> Result<()> {
    let mut auth = project.auth().await?;
    for number in numbers {
        auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(number))
            .await?;
    }
    Ok(())
}

/// The scheduled check.
pub async fn health(project: &Project) -> Result<HealthReport> {
    Ok(HealthReport::take_scheduled(&mut project.rollcall().await?).await?)
}

/// What it was read from, and why not from the ledger.
pub fn basis(report: &HealthReport) -> (Option<Basis>, Option<&str>) {
    (report.basis, report.ledger_doubt.as_deref())
}

/// Waits for one of PostgreSQL's counters, which are written when a session ends.
pub async fn counter_reaches(project: &Project, counter: &str, at_least: i64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    // a new session each time, since one keeps what it has read
    while project
        .count(&format!(
            "select (rollcall.ledger_counters() ->> '{counter}')::bigint"
        ))
        .await?
        < at_least
    {
        ensure!(
            Instant::now() < deadline,
            "{counter} does not reach {at_least}"
        );
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
