//! Publishing to a webhook: Slack's or one that takes the same, or one that takes JSON.

mod signature;

use std::time::Duration;

use clap::ValueEnum;
use hyper::StatusCode;
use jiff::Timestamp;
use rollcall::alert::message::{payload, slack};
use rollcall::alert::{Notification, Origin, Publisher, Unpublished};
use tokio::time::{Instant, sleep, timeout_at};

pub(crate) use self::signature::SigningKey;
use crate::http_client::WebAddress;

/// Between one attempt and the next.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// What a webhook takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageForm {
    /// Slack's markdown, as its incoming webhooks and those of others take it
    Slack,
    /// JSON for programs; signed where WEBHOOK_SECRET is set
    Json,
}

/// Somebody who takes messages over HTTP.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) address: WebAddress,
    pub(crate) form: MessageForm,
    /// Messages in JSON are signed with it.
    pub(crate) key: Option<SigningKey>,
    pub(crate) origin: Origin,
}

impl Publisher for Webhook {
    async fn publish(
        &self,
        notification: &Notification,
        until: Instant,
    ) -> Result<(), Unpublished> {
        let body = match self.form {
            MessageForm::Slack => slack::body(notification, &self.origin),
            MessageForm::Json => payload::body(notification, &self.origin),
        }
        .to_string();
        let mut pauses = PAUSES.into_iter();
        loop {
            let attempt = timeout_at(until, self.attempt(notification, body.clone())).await;
            let (reason, may_pass) = match attempt {
                Ok(Ok(status)) if status.is_success() => return Ok(()),
                Ok(Ok(status)) => (
                    format!("status {}", status.as_u16()),
                    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
                ),
                Ok(Err(error)) => (format!("{error:#}"), true),
                Err(_) => ("no answer in time".to_owned(), false),
            };
            match pauses.next() {
                Some(pause) if may_pass && Instant::now() + pause < until => sleep(pause).await,
                _ => return Err(Unpublished::Failed(reason)),
            }
        }
    }
}

impl Webhook {
    async fn attempt(
        &self,
        notification: &Notification,
        body: String,
    ) -> anyhow::Result<StatusCode> {
        let mut headers = Vec::new();
        if self.form == MessageForm::Json {
            let (id, now) = (notification.id(), Timestamp::now().as_second());
            if let Some(key) = &self.key {
                headers.push(("webhook-signature", key.sign(&id, now, &body)));
            }
            headers.extend([("webhook-id", id), ("webhook-timestamp", now.to_string())]);
        }
        self.address.post(&headers, body).await
    }
}
