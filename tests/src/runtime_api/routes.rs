//! What a function asks of the Runtime API and reports to it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};

use super::{Event, Outcome, lock};

/// Lambda's limit for an answer.
const MAX_RESPONSE_BYTES: usize = 6 * 1024 * 1024;

const FUNCTION_ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:rollcall-test";
const TRACE_ID: &str = "Root=1-5e1b4151-43a0913a12345678901abcde;Parent=53995c3f42cd8ad8;Sampled=0";

/// What the invocations and the routes share.
#[derive(Debug)]
pub(super) struct Shared {
    queue: AsyncMutex<mpsc::UnboundedReceiver<Invocation>>,
    pub(super) answers: Mutex<HashMap<String, oneshot::Sender<Result<Outcome>>>>,
    pub(super) init_error: watch::Sender<Option<Failure>>,
}

/// An event on its way to the function.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) request_id: String,
    pub(super) event: Event,
    /// Counted from the moment the function fetches the event, as Lambda does.
    pub(super) deadline: Duration,
    pub(super) fetched: oneshot::Sender<()>,
}

/// The body of both error routes.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error_type: String,
    pub(super) message: String,
}

impl Shared {
    pub(super) fn new(queue: mpsc::UnboundedReceiver<Invocation>) -> Self {
        Self {
            queue: AsyncMutex::new(queue),
            answers: Mutex::default(),
            init_error: watch::Sender::new(None),
        }
    }

    /// Passes the outcome to the invocation that waits for it and answers `status`; 400 if none
    /// waits, as Lambda answers.
    fn finish(
        &self,
        id: &str,
        outcome: Result<Outcome>,
        status: StatusCode,
    ) -> (StatusCode, Json<Value>) {
        let waiting = lock(&self.answers).remove(id);
        match waiting.map(|sender| sender.send(outcome)) {
            Some(Ok(())) => (status, Json(json!({"status": "OK"}))),
            _ => (
                StatusCode::BAD_REQUEST,
                Json(
                    json!({"errorType": "InvalidRequestID", "errorMessage": "Invalid request ID"}),
                ),
            ),
        }
    }
}

impl Failure {
    fn read(body: &[u8]) -> Result<Self> {
        let report: Value = json(body)?;
        let field = |name: &str| {
            let value = report[name].as_str().map(str::to_owned);
            value.with_context(|| format!("a report without {name}: {report}"))
        };
        Ok(Self {
            error_type: field("errorType")?,
            message: field("errorMessage")?,
        })
    }
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let runtime = Router::new()
        .route("/invocation/next", get(next))
        .route("/invocation/{id}/response", post(response))
        .route("/invocation/{id}/error", post(error))
        .route("/init/error", post(init_error))
        .layer(DefaultBodyLimit::disable())
        .with_state(shared);
    Router::new().nest("/2018-06-01/runtime", runtime)
}

async fn next(State(shared): State<Arc<Shared>>) -> Result<impl IntoResponse, StatusCode> {
    let mut queue = shared.queue.lock().await;
    // An event whose invoker has given up is passed over, so that the next instance starts clean.
    let (request_id, event, deadline) = loop {
        let next = queue.recv().await.ok_or(StatusCode::GONE)?;
        if next.fetched.send(()).is_ok() {
            break (next.request_id, next.event, next.deadline);
        }
    };
    let deadline = (SystemTime::now() + deadline)
        .duration_since(UNIX_EPOCH)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?
        .as_millis();
    let headers = [
        ("content-type", "application/json"),
        ("lambda-runtime-aws-request-id", &request_id),
        ("lambda-runtime-deadline-ms", &deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", FUNCTION_ARN),
        ("lambda-runtime-trace-id", TRACE_ID),
    ];
    Ok((headers, event.0).into_response())
}

async fn response(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: Bytes,
) -> impl IntoResponse {
    if body.len() > MAX_RESPONSE_BYTES {
        let outcome = Outcome::Error {
            error_type: "Function.ResponseSizeTooLarge".to_owned(),
            message: format!("an answer of {} bytes", body.len()),
        };
        return shared.finish(&id, Ok(outcome), StatusCode::PAYLOAD_TOO_LARGE);
    }
    let outcome = json(&body).map(Outcome::Response);
    shared.finish(&id, outcome, StatusCode::ACCEPTED)
}

async fn error(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: Bytes,
) -> impl IntoResponse {
    let outcome = Failure::read(&body).map(|failure| Outcome::Error {
        error_type: failure.error_type,
        message: failure.message,
    });
    shared.finish(&id, outcome, StatusCode::ACCEPTED)
}

async fn init_error(State(shared): State<Arc<Shared>>, body: Bytes) -> impl IntoResponse {
    let failure = Failure::read(&body).unwrap_or_else(|error| Failure {
        error_type: "malformed".to_owned(),
        message: format!("{error:#}"),
    });
    shared.init_error.send_replace(Some(failure));
    StatusCode::ACCEPTED
}

fn json(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body)
        .with_context(|| format!("not JSON: {}", String::from_utf8_lossy(body)))
}
