//! What a function's `main` keeps between invocations, and the steps that every check shares: look
//! within the time there is, log the result, alert, answer.

use std::env;
use std::time::{Duration, SystemTime};

use lambda_runtime::Context;
use rollcall::alert::Alert;
use rollcall::checks::history::CheckRun;
use rollcall::error::{Error, Result};
use rollcall::session::Session;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::alert_topic::AlertTopic;
use crate::aws_clients::AwsClients;
use crate::aws_environment::AwsEnvironment;
use crate::kept_session::KeptSession;

/// Kept free at the end of an invocation for the alert and the answer: the SDK's own limit for one
/// publication, and a little. Where the whole is short, a third of it.
const RESERVE: Duration = Duration::from_secs(9);

/// Kept free for the answer itself, whatever the topic does.
const ANSWER_RESERVE: Duration = Duration::from_millis(500);

/// The state of a function: one database session, and the topic it alerts.
#[derive(Debug)]
pub struct Function {
    session: Mutex<KeptSession>,
    topic: Option<Result<AlertTopic, String>>,
}

/// What became of the alert of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertOutcome {
    /// All is well; nobody needs to know.
    NotNeeded,
    /// The topic took it.
    Sent,
    /// The topic did not take it; the log says why, and the next check alerts again.
    Failed,
    /// No topic is configured.
    NoTopic,
}

impl Function {
    /// Reads the environment. What is wrong there shows in each invocation's result, not as a
    /// failure to start.
    ///
    /// `topic_variables` are the variables that may hold the topic's ARN, the preferred first.
    pub fn from_env(topic_variables: &[&str]) -> Self {
        let clients = AwsEnvironment::from_env()
            .map_err(|error| error.to_string())
            .and_then(|environment| {
                AwsClients::new(environment).map_err(|error| error.to_string())
            });
        if let Err(reason) = &clients {
            tracing::warn!(reason, "AWS cannot be reached from this function");
        }
        let topic = topic_variables
            .iter()
            .find_map(|name| env::var(name).ok().filter(|arn| !arn.trim().is_empty()))
            .map(|arn| {
                let clients = clients.as_ref().map_err(Clone::clone)?;
                AlertTopic::new(&arn, clients).map_err(|error| error.to_string())
            });
        Self {
            session: Mutex::new(KeptSession::from_env(clients.as_ref().ok())),
            topic,
        }
    }

    /// Runs `work`, which must be safe to run twice, on the kept session until `until`.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the time is up, and what the session and `work` return.
    pub async fn with_session<T>(
        &self,
        until: Instant,
        work: impl AsyncFn(&mut Session) -> Result<T>,
    ) -> Result<T> {
        let mut session = self.session.lock().await;
        match timeout_at(until, session.run(work)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                session.abandon().await;
                Err(Error::Timeout)
            }
        }
    }

    /// Logs the report of a check, alerts if there is something to tell, and answers with the report
    /// and what became of the alert. The log comes first, so that a failed alert hides nothing.
    ///
    /// # Errors
    /// If the report cannot be written as JSON.
    pub async fn answer(
        &self,
        report: &impl Serialize,
        alert: Option<Alert>,
        context: &Context,
    ) -> Result<Value, lambda_runtime::Error> {
        let mut answer = serde_json::to_value(report)?;
        tracing::info!(verdict = answer["verdict"].as_str(), report = %answer, "checked");
        let until = Instant::now() + time_left(context).saturating_sub(ANSWER_RESERVE);
        let outcome = timeout_at(until, self.alert(alert))
            .await
            .unwrap_or_else(|_| {
                tracing::error!(
                    alert_outcome = "failed",
                    "the alert was not sent in the time that was left"
                );
                AlertOutcome::Failed
            });
        if let Value::Object(fields) = &mut answer {
            fields.insert("alert".to_owned(), serde_json::to_value(outcome)?);
        }
        Ok(answer)
    }

    /// Keeps what a check said, after its alert: a check that ended before has not moved the watermark, so the next one
    /// looks back as far. A check that could not look leaves a gap.
    pub async fn record(&self, check_run: Option<CheckRun>, context: &Context) {
        let Some(check_run) = check_run else { return };
        let until = Instant::now() + time_left(context).saturating_sub(ANSWER_RESERVE);
        if let Err(error) = self
            .with_session(until, async |session| {
                session
                    .run(async |database| check_run.record(database).await)
                    .await
            })
            .await
        {
            tracing::warn!(
                error.id = error.id(),
                "what was checked could not be recorded; the next check looks back as far"
            );
        }
    }

    /// The field `alert_outcome` of the lines here is what the alarm on alerts that were not sent looks for.
    async fn alert(&self, alert: Option<Alert>) -> AlertOutcome {
        match (alert, &self.topic) {
            (None, _) => AlertOutcome::NotNeeded,
            (Some(_), None) => {
                tracing::error!(
                    alert_outcome = "no_topic",
                    "there is something to alert about and no topic is configured"
                );
                AlertOutcome::NoTopic
            }
            (Some(_), Some(Err(reason))) => {
                tracing::error!(
                    alert_outcome = "failed",
                    reason,
                    "the alert topic cannot be used"
                );
                AlertOutcome::Failed
            }
            (Some(alert), Some(Ok(topic))) => {
                match topic.publish(&alert.subject, &alert.body).await {
                    Ok(message_id) => {
                        tracing::info!(%message_id, "alert sent");
                        AlertOutcome::Sent
                    }
                    Err(error) => {
                        tracing::error!(alert_outcome = "failed", %error, retryable = error.is_retryable(), "alert not sent");
                        AlertOutcome::Failed
                    }
                }
            }
        }
    }
}

/// The moment by which the work of a check must end so that there is time left to alert and answer.
pub fn end_of_work(context: &Context) -> Instant {
    let remaining = time_left(context);
    Instant::now() + remaining.saturating_sub(RESERVE.min(remaining / 3))
}

/// How long the invocation may still take; Lambda gives its deadline as a moment of the wall clock.
pub fn time_left(context: &Context) -> Duration {
    context
        .deadline()
        .duration_since(SystemTime::now())
        .unwrap_or_default()
}
