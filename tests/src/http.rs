//! One HTTP request to a local server.
//!
//! hyper-util's client is in the tree already, for the functions' AWS connector; with axum's body
//! types it is all that a test needs, so no further client is pulled in.

use std::time::Duration;

use anyhow::{Context, Result};
use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;

/// Long enough for the first request to a server that imports half of itself on demand, as moto does.
const LIMIT: Duration = Duration::from_secs(30);

/// More than any answer a test reads; Lambda's own limit is 6 MiB.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Sends `request` and returns the answer's status and text, whatever the status is.
pub async fn send(request: Request<Body>) -> Result<(StatusCode, String)> {
    let what = format!("{} {}", request.method(), request.uri());
    let exchange = async {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (head, body) = client.request(request).await?.into_parts();
        let bytes = to_bytes(Body::new(body), MAX_ANSWER_BYTES).await?;
        anyhow::Ok((head.status, String::from_utf8(bytes.into())?))
    };
    timeout(LIMIT, exchange)
        .await
        .with_context(|| format!("{what}: no answer within {LIMIT:?}"))?
        .with_context(|| format!("{what} failed"))
}
