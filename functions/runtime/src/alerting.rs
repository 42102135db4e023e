//! Telling people what a check found: each thing once, and nothing lost.
//!
//! What was told is kept in the database. Where that cannot be reached, the instance's own memory has to do: the
//! instance tells each thing once, another one tells it again, and neither is ever silent.

use std::collections::HashSet;
use std::env;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rollcall::alert::store::{self, Outcome};
use rollcall::alert::{Incident, Kind, Notice, Observation, Previous, Settings, Severity, decide};
use rollcall::checks::history::{CheckName, CheckRun};
use rollcall::error::Result;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::alert_topic::AlertTopic;
use crate::aws_clients::AwsClients;
use crate::function::Function;

/// How long the database may take to keep an incident; the alert itself has to fit into the rest.
const STORE_LIMIT: Duration = Duration::from_secs(3);

/// Kept free for the database to hear what became of a message.
const SETTLE_RESERVE: Duration = Duration::from_millis(700);

/// What became of the alert of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertOutcome {
    /// All is well; nobody needs to know.
    NotNeeded,
    /// People were told before, and nothing is new.
    AlreadySent,
    /// Another invocation is telling them now.
    BeingSent,
    /// The topic took it.
    Sent,
    /// The topic did not take it; the log says why, and the next check tries again.
    Failed,
    /// No topic is configured.
    NoTopic,
}

/// One message, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// `opened`, `changed`, `reminder` or `resolved`.
    pub kind: Kind,
    /// The incident it is about.
    pub incident: Uuid,
    /// `critical` or `alert`; it chooses the topic.
    pub severity: Severity,
    /// What became of it.
    pub outcome: AlertOutcome,
    /// Why, as AWS or we call it, where it was not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What was told because of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// In one word.
    pub outcome: AlertOutcome,
    /// Every message that was tried.
    pub attempts: Vec<Attempt>,
    /// What the check said is kept in the database.
    pub is_recorded: bool,
}

/// The topics of a check, when it tells people, and what this instance remembers.
#[derive(Debug)]
pub struct Alerting {
    settings: Settings,
    alert: Option<Result<AlertTopic, String>>,
    critical: Option<Result<AlertTopic, String>>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// An incident that the database could not keep.
    open: Option<Incident>,
    /// Its messages that no topic has taken.
    unsent: Vec<Notice>,
    /// Messages that a topic took and the database does not know of.
    unacknowledged: HashSet<i64>,
}

impl Alerting {
    /// Reads the environment: `ALERT_TOPIC_ARN` and `CRITICAL_TOPIC_ARN`, of which one does for both, and
    /// `ALERT_MIN_MISSING`, `ALERT_MIN_PERCENT`, `ALERT_REMINDER_MINUTES`.
    pub fn from_env(clients: Result<&AwsClients, &String>) -> Self {
        let topic = |preferred, other| {
            [preferred, other]
                .into_iter()
                .find_map(variable)
                .map(|arn| {
                    let clients = clients.map_err(Clone::clone)?;
                    AlertTopic::new(&arn, clients).map_err(|error| error.to_string())
                })
        };
        let default = Settings::default();
        Self {
            settings: Settings {
                min_missing: setting("ALERT_MIN_MISSING", 1..=1_000_000_000)
                    .unwrap_or(default.min_missing),
                min_percent: setting("ALERT_MIN_PERCENT", 0.0..=100.0)
                    .unwrap_or(default.min_percent),
                remind_after: setting("ALERT_REMINDER_MINUTES", 1..=525_600)
                    .map_or(default.remind_after, SignedDuration::from_mins),
                ..default
            },
            alert: topic("ALERT_TOPIC_ARN", "CRITICAL_TOPIC_ARN"),
            critical: topic("CRITICAL_TOPIC_ARN", "ALERT_TOPIC_ARN"),
            memory: Mutex::default(),
        }
    }

    /// Tells people what is new in `observation`, and what they could not be told before. Ends by `until`. On the way, keeps
    /// `check_run`. `is_reachable`: whether the database may be asked to keep anything.
    pub async fn tell(
        &self,
        function: &Function,
        observation: Observation,
        check_run: Option<&CheckRun>,
        is_reachable: bool,
        until: Instant,
    ) -> Told {
        let lease_owner = Uuid::new_v4();
        let kept = if is_reachable {
            let limit = Instant::now() + STORE_LIMIT.min(time_until(until) / 3);
            let kept = function
                .with_session(limit, async |session| {
                    store::record(
                        session,
                        &observation,
                        check_run,
                        &self.settings,
                        lease_owner,
                        Some(limit),
                    )
                    .await
                })
                .await;
            if let Err(error) = &kept {
                tracing::warn!(
                    error.id = error.id(),
                    %error,
                    "incidents cannot be kept in the database; this instance remembers what it told, another tells it again"
                );
            }
            kept.ok()
        } else {
            None
        };

        let mut memory = self.memory.lock().await;
        let observed = match &kept {
            Some(_) => memory.open.as_ref().map(|_| observation.looking_again()),
            None => Some(observation.clone()),
        };
        if let Some(observed) = observed {
            memory.decide(&observed, &self.settings);
        }
        let mut attempts = Vec::new();
        let publish_until = until - SETTLE_RESERVE.min(time_until(until) / 4);
        while let Some(notice) = memory.unsent.first() {
            let attempt = self.publish(notice, publish_until).await;
            let is_sent = attempt.outcome == AlertOutcome::Sent;
            attempts.push(attempt);
            if !is_sent {
                break;
            }
            memory.unsent.remove(0);
        }
        let mut open = memory.open.is_some();
        let mut is_being_published = false;
        let mut check_run = check_run;
        if let Some(outcome) = kept {
            open |= outcome.open.is_some();
            is_being_published = outcome.is_being_published;
            if outcome.is_recorded {
                check_run = None;
            }
            let told = self
                .publish_kept(
                    function,
                    observation.check,
                    outcome,
                    &mut check_run,
                    lease_owner,
                    &mut memory.unacknowledged,
                    (publish_until, until),
                )
                .await;
            attempts.extend(told);
        }
        let outcome = [
            AlertOutcome::Failed,
            AlertOutcome::NoTopic,
            AlertOutcome::Sent,
        ]
        .into_iter()
        .find(|outcome| attempts.iter().any(|attempt| attempt.outcome == *outcome))
        .unwrap_or(match (is_being_published, open) {
            (true, _) => AlertOutcome::BeingSent,
            (false, true) => AlertOutcome::AlreadySent,
            (false, false) => AlertOutcome::NotNeeded,
        });
        Told {
            outcome,
            attempts,
            is_recorded: check_run.is_none(),
        }
    }

    /// Publishes the messages that are leased to this invocation, one after the other. What the check said is kept, and
    /// taken, with the first.
    #[expect(clippy::too_many_arguments, reason = "called once")]
    async fn publish_kept(
        &self,
        function: &Function,
        check: CheckName,
        outcome: Outcome,
        check_run: &mut Option<&CheckRun>,
        lease_owner: Uuid,
        unacknowledged: &mut HashSet<i64>,
        (publish_until, until): (Instant, Instant),
    ) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        let mut next = outcome.lease;
        while let Some(lease) = next.take() {
            let is_sent = unacknowledged.contains(&lease.message_id) || {
                let attempt = self.publish(&lease.notice, publish_until).await;
                let is_sent = attempt.outcome == AlertOutcome::Sent;
                attempts.push(attempt);
                is_sent
            };
            if is_sent {
                unacknowledged.insert(lease.message_id);
            }
            let to_record = *check_run;
            let acknowledged = function
                .with_session(until, async |session| {
                    session
                        .run(async |database| {
                            store::acknowledge(
                                database,
                                check,
                                lease.message_id,
                                lease_owner,
                                is_sent,
                                to_record,
                            )
                            .await
                        })
                        .await
                })
                .await;
            match acknowledged {
                Ok(following) => {
                    *check_run = None;
                    unacknowledged.remove(&lease.message_id);
                    next = following;
                }
                Err(error) => tracing::warn!(
                    error.id = error.id(),
                    message_id = lease.message_id,
                    is_sent,
                    "what became of an alert could not be recorded; another instance may send it again"
                ),
            }
        }
        attempts
    }

    /// The field `alert_outcome` of the lines here is what the alarm on alerts that were not sent looks for.
    async fn publish(&self, notice: &Notice, until: Instant) -> Attempt {
        let topic = match notice.severity {
            Severity::Alert => &self.alert,
            Severity::Critical => &self.critical,
        };
        let kind = notice.kind.as_str();
        let incident = notice.incident;
        let (outcome, error) = match topic {
            None => {
                tracing::error!(
                    alert_outcome = "no_topic",
                    kind,
                    %incident,
                    "there is something to alert about and no topic is configured"
                );
                (AlertOutcome::NoTopic, None)
            }
            Some(Err(reason)) => {
                tracing::error!(
                    alert_outcome = "failed",
                    reason,
                    kind,
                    %incident,
                    "the alert topic cannot be used"
                );
                (AlertOutcome::Failed, Some("topic_unusable".to_owned()))
            }
            Some(Ok(topic)) => match timeout_at(until, topic.publish(notice)).await {
                Ok(Ok(message_id)) => {
                    tracing::info!(%message_id, kind, %incident, "alert sent");
                    (AlertOutcome::Sent, None)
                }
                Ok(Err(error)) => {
                    tracing::error!(alert_outcome = "failed", %error, retryable = error.is_retryable(), kind, %incident, "alert not sent");
                    let code = error.failure().code().unwrap_or("no_answer");
                    (AlertOutcome::Failed, Some(code.to_owned()))
                }
                Err(_) => {
                    tracing::error!(
                        alert_outcome = "failed",
                        kind,
                        %incident,
                        "the alert was not sent in the time that was left"
                    );
                    (AlertOutcome::Failed, Some("no_time".to_owned()))
                }
            },
        };
        Attempt {
            kind: notice.kind,
            incident,
            severity: notice.severity,
            outcome,
            error,
        }
    }
}

impl Memory {
    fn decide(&mut self, observation: &Observation, settings: &Settings) {
        let previous = Previous {
            open: self.open.take(),
            has_unsent: !self.unsent.is_empty(),
            fresh_id: Uuid::new_v4(),
            ..Previous::default()
        };
        let decision = decide(&previous, observation, Timestamp::now(), settings);
        self.open = decision
            .incident
            .filter(|incident| incident.resolved_at.is_none());
        self.unsent.extend(decision.notices);
    }
}

fn time_until(moment: Instant) -> Duration {
    moment.saturating_duration_since(Instant::now())
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// A number within its bounds. A setting that is none is passed over with a warning: a check that does not start tells
/// nobody anything.
fn setting<T>(name: &'static str, bounds: std::ops::RangeInclusive<T>) -> Option<T>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Debug,
{
    let text = variable(name)?;
    let value = text
        .trim()
        .parse()
        .ok()
        .filter(|value| bounds.contains(value));
    if value.is_none() {
        tracing::warn!(
            name,
            ?bounds,
            "the setting is not a number within its bounds; the default counts"
        );
    }
    value
}
