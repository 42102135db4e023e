//! The state machine of `infra/`: its definition executed by moto's interpreter, whose Lambda tasks are answered by the
//! functions' own binaries on a real database.

use std::env;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use rollcall_tests::backfills::{NO_BAD_ADDRESS, add_missing};
use rollcall_tests::lambda::Lambda;
use rollcall_tests::project::Project;
use rollcall_tests::sql::values;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// So little that the first slice comes to no end.
const SHORT: Duration = Duration::from_secs(2);

/// The functions' own limit (infra/template.yaml).
const LIMIT: Duration = Duration::from_secs(28);

/// How many miss their profile: a small number in CI, the large one on demand.
fn missing() -> u32 {
    if env::var_os("ROLLCALL_LONG").is_some() {
        200_000
    } else {
        20_000
    }
}

struct Functions {
    backfill: Mutex<Lambda>,
    health_check: Mutex<Lambda>,
    slices: AtomicU32,
    /// So many slices fail first, as a crash does.
    crashes: u32,
    /// What is answered instead of a slice.
    refusal: Option<Value>,
}

impl Functions {
    async fn on(project: &Project) -> Result<Self> {
        let url = project.url();
        let env_of = [("DATABASE_URL", url.as_str())];
        Ok(Self {
            backfill: Mutex::new(Lambda::start("backfill", &env_of).await?),
            health_check: Mutex::new(Lambda::start("health-check", &env_of).await?),
            slices: AtomicU32::new(0),
            crashes: 0,
            refusal: None,
        })
    }

    async fn answer(&self, function: &str, event: Value) -> Result<Value> {
        if function == "health-check" {
            let check = self.health_check.lock().await;
            return check.invoke_within(event, LIMIT).await;
        }
        let number = self.slices.fetch_add(1, Ordering::Relaxed);
        ensure!(number >= self.crashes, "killed");
        if let Some(refusal) = &self.refusal {
            return Ok(refusal.clone());
        }
        let limit = if number == self.crashes { SHORT } else { LIMIT };
        self.backfill.lock().await.invoke_within(event, limit).await
    }
}

async fn invoke(
    State(functions): State<Arc<Functions>>,
    Path(function): Path<String>,
    body: Bytes,
) -> (StatusCode, String) {
    let outcome = async {
        let event: Value = serde_json::from_slice(&body)?;
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

/// Executes the machine; none where moto is not installed.
async fn execute(functions: Arc<Functions>) -> Result<Option<Value>> {
    let Some(packages) = env::var_os("ROLLCALL_TEST_PYTHON") else {
        rollcall_tests::missing::skip("skipped: the state machine (moto is not installed)")?;
        return Ok(None);
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let router = Router::new()
        .route("/{function}", post(invoke))
        .with_state(functions);
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
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(Some(serde_json::from_slice(&output.stdout)?))
}

/// The only message, as text.
fn message(result: &Value) -> Result<String> {
    let messages = result["messages"].as_array().context("messages")?;
    ensure!(messages.len() == 1, "{result}");
    Ok(messages[0].to_string())
}

#[tokio::test]
async fn it_repairs_everyone_slice_after_slice_though_two_fail_and_publishes_that_it_finished()
-> Result<()> {
    let missing = missing();
    let project = Project::migrated().await?;
    project.add_users_without_profile(missing).await?;
    let functions = Arc::new(Functions {
        crashes: 2,
        ..Functions::on(&project).await?
    });
    let Some(result) = execute(Arc::clone(&functions)).await? else {
        return Ok(());
    };

    assert_eq!(result["status"], "SUCCEEDED", "{result}");
    let message = message(&result)?;
    ensure!(
        message.contains("[example production] Rollcall: backfill finished"),
        "{message}"
    );
    ensure!(message.contains("Verdict now: consistent"), "{message}");
    ensure!(functions.slices.load(Ordering::Relaxed) >= 3);

    let counts: Vec<i64> = values(
        &project.connect().await?,
        "select count(*) from public.profiles
         union all select count(*) from rollcall.event where kind = 'profile_backfilled'
         union all select count(distinct user_id) from rollcall.event where kind = 'profile_backfilled'
         union all select sum(created)::bigint from rollcall.run where state = 'done' and source = 'state_machine'",
    )
    .await?;
    assert_eq!(counts, [i64::from(missing); 4]);
    assert_eq!(project.count("select count(*) from rollcall.run").await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_end_with_users_left_is_published_as_that_and_not_as_finished() -> Result<()> {
    let project = Project::migrated().await?;
    project
        .connect()
        .await?
        .batch_execute(NO_BAD_ADDRESS)
        .await?;
    add_missing(&project, 1, 20, &[7]).await?;
    let Some(result) = execute(Arc::new(Functions::on(&project).await?)).await? else {
        return Ok(());
    };

    assert_eq!(
        (&result["status"], &result["error"]),
        (&json!("FAILED"), &json!("NotConsistent")),
        "{result}"
    );
    let message = message(&result)?;
    ensure!(
        message.contains("[example production] Rollcall: backfill incomplete"),
        "{message}"
    );
    ensure!(
        message.contains("profiles created: 19, failed: 1"),
        "{message}"
    );
    ensure!(!message.contains("finished"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_published_as_a_failure() -> Result<()> {
    let project = Project::migrated().await?;
    let functions = Functions {
        refusal: Some(json!({ "error": "fixed", "statusCode": 409 })),
        ..Functions::on(&project).await?
    };
    let Some(result) = execute(Arc::new(functions)).await? else {
        return Ok(());
    };

    assert_eq!(
        (&result["status"], &result["error"]),
        (&json!("FAILED"), &json!("BackfillFailed")),
        "{result}"
    );
    let message = message(&result)?;
    ensure!(message.contains("backfill failed"), "{message}");
    Ok(())
}
