//! The topics that alerts are published to, one for each urgency.

use std::env;

use rollcall::alert::{Notification, Origin, Publisher, Unpublished, Urgency};
use tokio::time::{Instant, timeout_at};

use crate::alert_topic::AlertTopic;
use crate::aws_clients::AwsClients;

/// The topics of a check, and where its messages say that they come from.
#[derive(Debug)]
pub struct Topics {
    origin: Origin,
    alert: Option<Result<AlertTopic, String>>,
    critical: Option<Result<AlertTopic, String>>,
}

impl Topics {
    /// Reads `ALERT_TOPIC_ARN` and `CRITICAL_TOPIC_ARN`, of which one does for both.
    pub fn from_env(clients: Result<&AwsClients, &String>, origin: Origin) -> Self {
        let topic = |preferred, other| {
            [preferred, other]
                .into_iter()
                .find_map(|name| env::var(name).ok().filter(|arn| !arn.trim().is_empty()))
                .map(|arn| {
                    let clients = clients.map_err(Clone::clone)?;
                    AlertTopic::new(&arn, clients).map_err(|error| error.to_string())
                })
        };
        Self {
            origin,
            alert: topic("ALERT_TOPIC_ARN", "CRITICAL_TOPIC_ARN"),
            critical: topic("CRITICAL_TOPIC_ARN", "ALERT_TOPIC_ARN"),
        }
    }
}

impl Publisher for Topics {
    /// The field `alert_outcome` of the lines here is what the alarm on alerts that were not sent looks for.
    async fn publish(
        &self,
        notification: &Notification,
        until: Instant,
    ) -> Result<(), Unpublished> {
        let topic = match notification.urgency {
            Urgency::Alert => &self.alert,
            Urgency::Critical => &self.critical,
        };
        let kind = notification.kind.as_str();
        let incident = notification.incident;
        match topic {
            None => {
                tracing::error!(
                    alert_outcome = "no_topic",
                    kind,
                    %incident,
                    "there is something to alert about and no topic is configured"
                );
                Err(Unpublished::NoTopic)
            }
            Some(Err(reason)) => {
                tracing::error!(
                    alert_outcome = "failed",
                    reason,
                    kind,
                    %incident,
                    "the alert topic cannot be used"
                );
                Err(Unpublished::Failed("topic_unusable".to_owned()))
            }
            Some(Ok(topic)) => {
                // boxed: the SDK nests deeper than a compiler's default
                match timeout_at(until, Box::pin(topic.publish(notification, &self.origin))).await {
                    Ok(Ok(message_id)) => {
                        tracing::info!(%message_id, kind, %incident, "alert sent");
                        Ok(())
                    }
                    Ok(Err(error)) => {
                        tracing::error!(alert_outcome = "failed", %error, retryable = error.is_retryable(), kind, %incident, "alert not sent");
                        let code = error.failure().code().unwrap_or("no_answer");
                        Err(Unpublished::Failed(code.to_owned()))
                    }
                    Err(_) => {
                        tracing::error!(
                            alert_outcome = "failed",
                            kind,
                            %incident,
                            "the alert was not sent in the time that was left"
                        );
                        Err(Unpublished::Failed("no_time".to_owned()))
                    }
                }
            }
        }
    }
}
