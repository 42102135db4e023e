//! The state machine of `infra/`: its definition executed by moto's interpreter, whose Lambda tasks are answered by the
//! functions' own binaries on a real database.

use std::collections::BTreeMap;
use std::env;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use rollcall_tests::lambda::Lambda;
use rollcall_tests::programs::program;
use rollcall_tests::project::Project;
use rollcall_tests::sql::values;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Mutex as AsyncMutex;
use uuid::Uuid;

/// As many slices at a time as the state machine may have.
const INSTANCES: usize = 4;

/// The functions' own limit (infra/template.yaml).
const DEADLINE: Duration = Duration::from_secs(28);

/// How many miss their profile: a small number in CI, the large one on demand.
fn missing() -> u32 {
    if env::var_os("ROLLCALL_LONG").is_some() {
        200_000
    } else {
        20_000
    }
}

struct Functions {
    backfill: Vec<AsyncMutex<Lambda>>,
    health_check: AsyncMutex<Lambda>,
    /// How often a range was asked for; the first one to come fails twice.
    calls: Mutex<BTreeMap<String, u32>>,
    unlucky: Mutex<Option<String>>,
}

impl Functions {
    /// Whether this call is to fail as a crash does.
    fn fails(&self, event: &Value) -> bool {
        let Some(range) = event["from_user_id"].as_str() else {
            return false;
        };
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let number = calls.entry(range.to_owned()).or_default();
        *number += 1;
        let mut unlucky = self.unlucky.lock().unwrap_or_else(PoisonError::into_inner);
        unlucky.get_or_insert_with(|| range.to_owned()) == range && *number <= 2
    }

    async fn answer(&self, function: &str, event: Value) -> Result<Value> {
        if function == "health-check" {
            return self
                .health_check
                .lock()
                .await
                .invoke_within(event, DEADLINE)
                .await;
        }
        // the first that is free
        let instance = loop {
            if let Some(free) = self
                .backfill
                .iter()
                .find_map(|lambda| lambda.try_lock().ok())
            {
                break free;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        instance.invoke_within(event, DEADLINE).await
    }
}

async fn invoke(
    State(functions): State<Arc<Functions>>,
    Path(function): Path<String>,
    body: Bytes,
) -> (StatusCode, String) {
    let outcome = async {
        let event: Value = serde_json::from_slice(&body)?;
        ensure!(!functions.fails(&event), "killed");
        functions.answer(&function, event).await
    };
    match outcome.await {
        Ok(answer) => (StatusCode::OK, answer.to_string()),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({ "errorType": "Unhandled", "errorMessage": format!("{error:#}") }).to_string(),
        ),
    }
}

#[tokio::test]
async fn the_state_machine_repairs_everyone_over_sixteen_ranges_though_one_fails_twice()
-> Result<()> {
    let Some(packages) = env::var_os("ROLLCALL_TEST_PYTHON") else {
        return rollcall_tests::missing::skip("skipped: the state machine (moto is not installed)");
    };
    let missing = missing();
    let project = Project::migrated().await?;
    project.add_users_without_profile(missing).await?;

    let url = project.url();
    let env_of = [("DATABASE_URL", url.as_str())];
    let mut backfill = Vec::new();
    for _ in 0..INSTANCES {
        backfill.push(AsyncMutex::new(Lambda::start("backfill", &env_of).await?));
    }
    let functions = Arc::new(Functions {
        backfill,
        health_check: AsyncMutex::new(Lambda::start("health-check", &env_of).await?),
        calls: Mutex::default(),
        unlucky: Mutex::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let router = Router::new()
        .route("/{function}", post(invoke))
        .with_state(Arc::clone(&functions));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    let output = tokio::task::spawn_blocking(move || {
        Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/machine/execute.py"))
            .arg(address)
            .env("PYTHONPATH", packages)
            .envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")])
            .output()
    })
    .await??;
    server.abort();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{said}");
    let result: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(result["status"], "SUCCEEDED", "{result} {said}");

    let calls = functions
        .calls
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    assert_eq!(calls.len(), 16, "{calls:?}");
    let unlucky = functions
        .unlucky
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
        .context("one failed")?;
    ensure!(calls[&unlucky] >= 3, "{calls:?}");
    assert_eq!(
        result["messages"].as_array().map(Vec::len),
        Some(1),
        "{result}"
    );
    ensure!(
        result["messages"][0]
            .to_string()
            .contains("Verdict now: consistent"),
        "{result}"
    );
    assert_repaired_once(&project, missing).await?;
    assert_eq!(
        project
            .count(
                "select count(*) from rollcall.run where state = 'done' and face = 'state_machine'"
            )
            .await?,
        16
    );
    Ok(())
}

async fn assert_repaired_once(project: &Project, missing: u32) -> Result<()> {
    let client = project.connect().await?;
    let counts: Vec<i64> = values(
        &client,
        "select count(*) from public.profiles
         union all select count(*) from public.user_events where kind = 'profile_backfilled'
         union all select count(distinct user_id) from public.user_events where kind = 'profile_backfilled'
         union all select sum(created)::bigint from rollcall.run",
    )
    .await?;
    assert_eq!(counts, [i64::from(missing); 4]);
    Ok(())
}

#[tokio::test]
async fn sixteen_slices_are_sixteen_processes_at_once() -> Result<()> {
    let missing = missing();
    let project = Project::migrated().await?;
    project.add_users_without_profile(missing).await?;
    let plan = rollcall::backfill::plan(&mut project.session()?, 16, None).await?;
    assert_eq!(plan.len(), 16);
    let rollcall = program("rollcall")?;
    let mut slices = Vec::new();
    for range in plan {
        let id = |id: Uuid| id.to_string();
        let child = Command::new(&rollcall)
            .args([
                "backfill",
                "--apply",
                "--yes",
                "--format",
                "json",
                "--from",
                &id(range.from_user_id),
            ])
            .args(["--to", &id(range.to_user_id)])
            .env_clear()
            .env("DATABASE_URL", project.url())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()?;
        slices.push(child);
    }
    for slice in &mut slices {
        let status = slice.wait()?.code().ok_or_else(|| anyhow!("killed"))?;
        // who ends first sees that the others have not
        ensure!(status < 2, "{status}");
    }
    assert_repaired_once(&project, missing).await?;
    assert_eq!(
        project
            .count("select deadlocks from pg_stat_database where datname = current_database()")
            .await?,
        0
    );
    Ok(())
}
