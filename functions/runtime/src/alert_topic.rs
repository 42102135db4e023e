//! Publishing an alert to an SNS topic.

use std::fmt;

use aws_sdk_sns::types::MessageAttributeValue;
use rollcall::alert::message::{self, sns};
use rollcall::alert::{Notification, Origin};

use crate::arn::{Arn, ArnError, Service};
use crate::aws_clients::AwsClients;
use crate::aws_failure::AwsFailure;

/// An SNS topic and a client for the topic's own region.
#[derive(Clone, Debug)]
pub struct AlertTopic {
    arn: Arn,
    client: aws_sdk_sns::Client,
}

impl AlertTopic {
    /// Checks the ARN's form; asks AWS nothing.
    ///
    /// # Errors
    /// [`ArnError`] when `topic_arn` is not the ARN of a standard topic.
    pub fn new(topic_arn: &str, clients: &AwsClients) -> Result<Self, ArnError> {
        let arn = Arn::parse(topic_arn, Service::Sns)?;
        let client = clients.sns(&arn);
        Ok(Self { arn, client })
    }

    /// Publishes one message: a text for each protocol, its subject, and what it is as the attributes
    /// `rollcall_kind`, `rollcall_severity` and `rollcall_check`, by which a subscription may choose.
    ///
    /// Takes at most [`TimeLimits::operation`](crate::aws_clients::TimeLimits::operation). Delivery
    /// is at least once: where an answer was lost, the retry publishes the message again.
    ///
    /// # Errors
    /// [`PublishError`], which never contains the message.
    pub async fn publish(
        &self,
        notification: &Notification,
        origin: &Origin,
    ) -> Result<MessageId, PublishError> {
        let mut publication = self
            .client
            .publish()
            .topic_arn(self.arn.as_str())
            .subject(message::subject(notification, origin))
            .message_structure("json")
            .message(sns::message(notification, origin));
        for (name, value) in [
            ("rollcall_kind", notification.kind.as_str()),
            ("rollcall_severity", notification.urgency.as_str()),
            ("rollcall_check", notification.check.as_str()),
        ] {
            let attribute = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build();
            // only without a type does it not build
            if let Ok(attribute) = attribute {
                publication = publication.message_attributes(name, attribute);
            }
        }
        let answer = publication.send().await.map_err(|error| PublishError {
            topic: self.arn.clone(),
            failure: AwsFailure::new(&error),
        })?;
        Ok(MessageId(answer.message_id.unwrap_or_default()))
    }
}

/// SNS's id of a published message, a UUID; empty if SNS gave none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageId(String);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An alert that was not published, as far as is known: after a time-out it may have been.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the alert was not published to {topic}: {failure}{}", self.advice())]
pub struct PublishError {
    topic: Arn,
    failure: AwsFailure,
}

impl PublishError {
    /// Whether publishing the same alert later may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.failure.is_retryable()
    }

    /// What AWS answered, if it did.
    #[must_use]
    pub fn failure(&self) -> &AwsFailure {
        &self.failure
    }

    fn advice(&self) -> &'static str {
        match self.failure.code() {
            Some("NotFound") => ". The topic does not exist: check the ARN's region and account",
            Some("AuthorizationError" | "AccessDenied") => {
                ". Allow sns:Publish on this topic in the function's role and, if the topic has \
                 one, in its policy"
            }
            Some(code) if code.starts_with("KMS") => {
                ". The topic is encrypted: allow kms:GenerateDataKey and kms:Decrypt on its key"
            }
            Some("InvalidClientTokenId" | "SignatureDoesNotMatch" | "ExpiredToken") => {
                ". The AWS credentials are wrong or have expired"
            }
            _ => "",
        }
    }
}
