//! AWS Lambda's Runtime API, as one function instance sees it.
//!
//! The routes and headers are those of the AWS documentation ("Using the Lambda runtime API").

mod routes;

use std::{
    future,
    net::SocketAddr,
    process::ExitStatus,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use self::routes::{Failure, Invocation, Shared};
use crate::{local_server::LocalServer, owned_process::OwnedProcess};

/// How long an instance may take until it asks for its first event. Lambda gives ten seconds;
/// a debug build on a busy machine gets more.
const START_LIMIT: Duration = Duration::from_secs(30);

/// By how much an answer may be late: on a busy machine the function, and this, run when they come to it.
const BUSY: Duration = Duration::from_secs(2);

/// How often an invocation looks whether the process is still there.
const EXIT_POLL: Duration = Duration::from_millis(20);

/// What came of an invocation.
#[derive(Debug)]
pub enum Outcome {
    /// The function's answer.
    Response(Value),
    /// The handler failed (Lambda: `FunctionError`); an asynchronous caller would try again.
    Error {
        /// `errorType` of the report.
        error_type: String,
        /// `errorMessage` of the report.
        message: String,
    },
    /// The instance reported that it cannot start.
    InitError {
        /// `errorType` of the report.
        error_type: String,
        /// `errorMessage` of the report.
        message: String,
    },
    /// The process ended without an answer: a panic that aborts, `exit`, a signal.
    Exited(ExitStatus),
}

impl Outcome {
    /// The answer, or an error that shows what came instead.
    pub fn response(self) -> Result<Value> {
        match self {
            Self::Response(value) => Ok(value),
            other => bail!("expected an answer of the function, got {other:?}"),
        }
    }
}

/// An event as it goes over the wire: JSON, or raw bytes for what is not.
#[derive(Clone, Debug)]
pub struct Event(Vec<u8>);

impl From<Value> for Event {
    fn from(event: Value) -> Self {
        Self(event.to_string().into_bytes())
    }
}

impl From<&[u8]> for Event {
    fn from(event: &[u8]) -> Self {
        Self(event.to_vec())
    }
}

impl From<Vec<u8>> for Event {
    fn from(event: Vec<u8>) -> Self {
        Self(event)
    }
}

/// A Runtime API for one function instance at a time.
#[derive(Debug)]
pub struct RuntimeApi {
    server: LocalServer,
    shared: Arc<Shared>,
    invocations: mpsc::UnboundedSender<Invocation>,
    invoked: AtomicU64,
    process: Mutex<Weak<OwnedProcess>>,
}

impl RuntimeApi {
    /// Listens on a free port of 127.0.0.1 until it is dropped.
    pub async fn start() -> Result<Self> {
        let (invocations, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(queue));
        let router = routes::router(Arc::clone(&shared));
        Ok(Self {
            server: LocalServer::start(router).await?,
            shared,
            invocations,
            invoked: AtomicU64::new(0),
            process: Mutex::default(),
        })
    }

    /// What Lambda puts into `AWS_LAMBDA_RUNTIME_API`: host and port, without a scheme.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Lets the invocations notice when this process ends, in place of an earlier one.
    pub(crate) fn watch(&self, process: &Arc<OwnedProcess>) {
        *lock(&self.process) = Arc::downgrade(process);
        self.shared.init_error.send_replace(None);
    }

    /// Hands `event` to the function and waits for what comes of it.
    ///
    /// `deadline` is the function's time limit. Where Lambda would have stopped the instance at that
    /// moment, [`BUSY`] apart, this is an error with the last lines of the function's output; so it is when the
    /// function asks for no event, or answers with something other than JSON.
    pub async fn invoke(&self, event: impl Into<Event>, deadline: Duration) -> Result<Outcome> {
        let number = self.invoked.fetch_add(1, Ordering::Relaxed) + 1;
        let request_id = format!("00000000-0000-4000-8000-{number:012}");
        let (answer_sender, answer) = oneshot::channel();
        let (fetched_sender, fetched) = oneshot::channel();
        lock(&self.shared.answers).insert(request_id.clone(), answer_sender);
        self.invocations.send(Invocation {
            request_id: request_id.clone(),
            event: event.into(),
            deadline,
            fetched: fetched_sender,
        })?;

        let outcome = tokio::select! {
            // In this order: an instance that reports and then exits has reported.
            biased;
            outcome = answered(fetched, answer, deadline) => outcome,
            outcome = self.init_failed() => Ok(outcome),
            outcome = self.exited() => outcome,
        };
        lock(&self.shared.answers).remove(&request_id);
        outcome.map_err(|error| match lock(&self.process).upgrade() {
            Some(process) => anyhow!("invocation {request_id}: {error:#}\n{}", process.tail()),
            None => error.context(format!("invocation {request_id}")),
        })
    }

    /// Waits for a report to the init error route.
    async fn init_failed(&self) -> Outcome {
        let mut reports = self.shared.init_error.subscribe();
        let failure = reports.wait_for(Option::is_some).await;
        match failure.ok().and_then(|failure| failure.clone()) {
            Some(Failure {
                error_type,
                message,
            }) => Outcome::InitError {
                error_type,
                message,
            },
            None => future::pending().await,
        }
    }

    /// Waits for the end of the watched process; for ever where there is none.
    async fn exited(&self) -> Result<Outcome> {
        loop {
            let process = lock(&self.process).upgrade();
            if let Some(status) = process.map_or(Ok(None), |process| process.exit_status())? {
                return Ok(Outcome::Exited(status));
            }
            sleep(EXIT_POLL).await;
        }
    }
}

/// Waits until the function fetches the event, and then for its answer.
async fn answered(
    fetched: oneshot::Receiver<()>,
    answer: oneshot::Receiver<Result<Outcome>>,
    deadline: Duration,
) -> Result<Outcome> {
    timeout(START_LIMIT, fetched)
        .await
        .with_context(|| format!("the function asked for no event within {START_LIMIT:?}"))??;
    timeout(deadline + BUSY, answer).await.with_context(|| {
        format!("the function did not answer within its deadline of {deadline:?}")
    })??
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
