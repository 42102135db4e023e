//! A webhook that takes messages, and fails when told to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    routing::any,
};
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

use crate::local_server::LocalServer;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; empty for a ping.
    pub body: String,
}

impl Delivery {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("no JSON: {}", self.body))
    }

    /// A header, empty where it was not sent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// What is answered: a status, or nothing at all.
pub type Answer = Option<StatusCode>;

/// The webhook.
#[derive(Debug)]
pub struct Webhook {
    server: LocalServer,
    state: Arc<Mutex<Hook>>,
}

#[derive(Debug)]
struct Hook {
    answer: Answer,
    deliveries: Vec<Delivery>,
}

impl Webhook {
    /// Listens on a free port of 127.0.0.1 until it is dropped, and takes everything.
    pub async fn start() -> Result<Self> {
        let state = Arc::new(Mutex::new(Hook {
            answer: Some(StatusCode::OK),
            deliveries: Vec::new(),
        }));
        let router = Router::new()
            .fallback(any(take))
            .with_state(Arc::clone(&state));
        Ok(Self {
            server: LocalServer::start(router).await?,
            state,
        })
    }

    /// An address with a path that nobody may see.
    pub fn url(&self) -> String {
        format!("{}/hook/s3cret", self.server.url())
    }

    /// Another address of it, for pings.
    pub fn ping_url(&self) -> String {
        format!("{}/ping/s3cret", self.server.url())
    }

    /// What is answered from now on.
    pub fn answer(&self, answer: Answer) {
        lock(&self.state).answer = answer;
    }

    /// The requests to [`url`](Self::url) so far.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.at("/hook/s3cret")
    }

    /// The requests to [`ping_url`](Self::ping_url) so far.
    pub fn pings(&self) -> usize {
        self.at("/ping/s3cret").len()
    }

    fn at(&self, path: &str) -> Vec<Delivery> {
        let mut deliveries = lock(&self.state).deliveries.clone();
        deliveries.retain(|delivery| delivery.path == path);
        deliveries
    }

    /// Waits until there were so many messages.
    pub async fn wait_for(&self, number: usize) -> Result<Vec<Delivery>> {
        let until = Instant::now() + Duration::from_secs(90);
        loop {
            let deliveries = self.deliveries();
            if deliveries.len() >= number {
                return Ok(deliveries);
            }
            anyhow::ensure!(Instant::now() < until, "only {deliveries:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn take(
    State(state): State<Arc<Mutex<Hook>>>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    let answer = {
        let mut hook = lock(&state);
        hook.deliveries.push(Delivery {
            path: uri.path().to_owned(),
            headers,
            body,
        });
        hook.answer
    };
    match answer {
        Some(status) => status,
        None => std::future::pending().await,
    }
}

fn lock(state: &Mutex<Hook>) -> MutexGuard<'_, Hook> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
