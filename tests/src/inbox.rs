//! A subscriber of SNS topics over HTTP.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail, ensure};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Request, StatusCode},
    routing::post,
};
use serde_json::Value;
use tokio::{
    sync::{Mutex, mpsc},
    time::timeout,
};

use crate::{http, local_server::LocalServer};

/// What a subscriber is sent for one published message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notification {
    /// The subject, where the publisher gave one.
    pub subject: Option<String>,
    /// The text; the one for `http` where the publisher gave a text per protocol.
    pub message: String,
    /// The topic it was published to.
    pub topic_arn: String,
}

type Delivery = Result<Notification>;

/// Takes deliveries until it is dropped.
#[derive(Debug)]
pub struct Inbox {
    server: LocalServer,
    deliveries: Mutex<mpsc::UnboundedReceiver<Delivery>>,
}

impl Inbox {
    /// Listens on a free port of 127.0.0.1; subscribe [`url`](Self::url) to a topic.
    pub async fn start() -> Result<Self> {
        let (sender, deliveries) = mpsc::unbounded_channel();
        let router = Router::new()
            .route("/", post(deliver))
            .with_state(Arc::new(sender));
        Ok(Self {
            server: LocalServer::start(router).await?,
            deliveries: Mutex::new(deliveries),
        })
    }

    /// The endpoint to subscribe.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The oldest delivery not yet taken; an error if there is none within `limit`.
    pub async fn next(&self, limit: Duration) -> Result<Notification> {
        let mut deliveries = self.deliveries.lock().await;
        timeout(limit, deliveries.recv())
            .await
            .with_context(|| format!("SNS delivered nothing within {limit:?}"))?
            .context("the inbox is closed")?
    }

    /// Waits for `duration`; an error that shows the delivery if there is one.
    pub async fn none_within(&self, duration: Duration) -> Result<()> {
        let mut deliveries = self.deliveries.lock().await;
        match timeout(duration, deliveries.recv()).await {
            Err(_elapsed) => Ok(()),
            Ok(delivery) => bail!("expected no delivery, got {delivery:?}"),
        }
    }
}

async fn deliver(
    State(deliveries): State<Arc<mpsc::UnboundedSender<Delivery>>>,
    body: Bytes,
) -> StatusCode {
    let delivery = match read(&body) {
        Ok(Post::Notification(notification)) => Ok(notification),
        Ok(Post::SubscribeUrl(url)) => match confirm(&url).await {
            Ok(()) => return StatusCode::OK,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let status = match delivery {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::BAD_REQUEST,
    };
    // It fails only when the inbox is gone, and then nobody waits for the delivery.
    let _ = deliveries.send(delivery);
    status
}

/// What SNS posts to a subscriber.
enum Post {
    Notification(Notification),
    SubscribeUrl(String),
}

fn read(body: &[u8]) -> Result<Post> {
    let post: Value = serde_json::from_slice(body).context("a delivery is not JSON")?;
    let field = |name: &str| {
        let value = post[name].as_str().map(str::to_owned);
        value.with_context(|| format!("a delivery has no {name}: {post}"))
    };
    match field("Type")?.as_str() {
        "Notification" => Ok(Post::Notification(Notification {
            subject: post["Subject"].as_str().map(str::to_owned),
            message: field("Message")?,
            topic_arn: field("TopicArn")?,
        })),
        "SubscriptionConfirmation" => Ok(Post::SubscribeUrl(field("SubscribeURL")?)),
        other => Err(anyhow!("a delivery of unknown type {other}")),
    }
}

/// SNS sends notifications only after the subscriber has fetched the URL it was given.
async fn confirm(url: &str) -> Result<()> {
    let (status, answer) = http::send(Request::get(url).body(Body::empty())?).await?;
    ensure!(
        status.is_success(),
        "the subscription is not confirmed: {answer}"
    );
    Ok(())
}
