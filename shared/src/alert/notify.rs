//! One check's result, published: each thing once, and nothing lost.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::check_result::CheckResult;
use super::notification::{Kind, Notification, Urgency};
use super::settings::Settings;
use super::store::{self, Recorded};
use crate::checks::history::{CheckName, CheckRun};
use crate::session::SessionAccess;

/// Kept free for publishing while the database is waited for: what one publication may take with its retries, and what
/// keeping that takes.
const PUBLISH_RESERVE: Duration = Duration::from_secs(9);

/// Kept free for the database to hear what became of a message.
const ACKNOWLEDGE_RESERVE: Duration = Duration::from_millis(700);

/// Takes messages to people.
pub trait Publisher {
    /// Publishes one message, and ends by `until`. It logs what went wrong, without the message.
    fn publish(
        &self,
        notification: &Notification,
        until: Instant,
    ) -> impl Future<Output = Result<(), Unpublished>>;
}

/// A message that was not published, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpublished {
    /// There is nobody to publish it to.
    NoTopic,
    /// It was refused, or there was no answer: a short name of why. The next check tries again.
    Failed(String),
}

/// What became of the alert of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlertOutcome {
    /// All is well; nobody needs to know.
    NotNeeded,
    /// People were notified before, and nothing is new.
    AlreadySent,
    /// Another check is notifying them now.
    BeingSent,
    /// It was taken.
    Sent,
    /// It was not taken; the log says why, and the next check tries again.
    Failed,
    /// Nobody is named to take it.
    NoTopic,
    /// The database cannot keep what people were notified of, so nothing was published: an alarm with a state of its own
    /// does that.
    LeftToAlarm,
}

/// One message, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attempt {
    /// `opened`, `changed`, `reminder` or `resolved`.
    pub kind: Kind,
    /// The incident it is about.
    pub incident: Uuid,
    /// `critical` or `alert`; it chooses the topic.
    #[serde(rename = "severity")]
    pub urgency: Urgency,
    /// What became of it.
    pub outcome: AlertOutcome,
    /// Why, in a short name, where it was not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Attempt {
    /// Publishes `notification`.
    pub async fn of(
        notification: &Notification,
        publisher: &impl Publisher,
        until: Instant,
    ) -> Self {
        let (outcome, error) = match publisher.publish(notification, until).await {
            Ok(()) => (AlertOutcome::Sent, None),
            Err(Unpublished::NoTopic) => (AlertOutcome::NoTopic, None),
            Err(Unpublished::Failed(error)) => (AlertOutcome::Failed, Some(error)),
        };
        Self {
            kind: notification.kind,
            incident: notification.incident,
            urgency: notification.urgency,
            outcome,
            error,
        }
    }
}

/// What was published because of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notified {
    /// In one word.
    pub outcome: AlertOutcome,
    /// Every message that was tried.
    pub attempts: Vec<Attempt>,
    /// Whether an incident is open after this check. None: the database could not keep the decision, so nobody knows.
    pub is_incident_open: Option<bool>,
}

/// Publishes what is new in `result`, and what could not be published before. Ends by `until`. On the way, keeps
/// `check_run`: after the first message, so that a check that ended before has not moved the watermark, and the next one
/// looks back as far.
///
/// `is_reachable`: whether the database can still be asked. Where it cannot, nothing is published.
pub async fn notify(
    access: &impl SessionAccess,
    publisher: &impl Publisher,
    settings: &Settings,
    result: &CheckResult,
    check_run: Option<&CheckRun>,
    is_reachable: bool,
    until: Instant,
) -> Notified {
    let lease_owner = Uuid::new_v4();
    let recorded = if is_reachable {
        let left = time_until(until);
        let limit = Instant::now() + left.saturating_sub(PUBLISH_RESERVE).max(left / 3);
        let recorded = access
            .with_session(limit, async |session| {
                store::record(session, result, check_run, settings, lease_owner, limit).await
            })
            .await;
        recorded
            .inspect_err(|error| {
                tracing::error!(
                    error.id = error.id(),
                    %error,
                    "incidents cannot be kept in the database, so nothing is published"
                );
            })
            .ok()
    } else {
        None
    };
    let Some(recorded) = recorded else {
        return Notified {
            outcome: AlertOutcome::LeftToAlarm,
            attempts: Vec::new(),
            is_incident_open: None,
        };
    };
    let is_open = recorded.open.is_some();
    let is_being_published = recorded.is_being_published;
    let attempts = publish_recorded(
        access,
        publisher,
        result.check,
        recorded,
        check_run,
        lease_owner,
        until,
    )
    .await;
    let outcome = [
        AlertOutcome::Failed,
        AlertOutcome::NoTopic,
        AlertOutcome::Sent,
    ]
    .into_iter()
    .find(|outcome| attempts.iter().any(|attempt| attempt.outcome == *outcome))
    .unwrap_or(match (is_being_published, is_open) {
        (true, _) => AlertOutcome::BeingSent,
        (false, true) => AlertOutcome::AlreadySent,
        (false, false) => AlertOutcome::NotNeeded,
    });
    Notified {
        outcome,
        attempts,
        is_incident_open: Some(is_open),
    }
}

/// Publishes the messages that are leased to this check, one after the other. What the check said is kept with the first.
async fn publish_recorded(
    access: &impl SessionAccess,
    publisher: &impl Publisher,
    check: CheckName,
    recorded: Recorded,
    check_run: Option<&CheckRun>,
    lease_owner: Uuid,
    until: Instant,
) -> Vec<Attempt> {
    let publish_until = until - ACKNOWLEDGE_RESERVE.min(time_until(until) / 4);
    let mut check_run = check_run.filter(|_| !recorded.is_recorded);
    let mut attempts = Vec::new();
    let mut next = recorded.lease;
    while let Some(lease) = next.take() {
        let attempt = Attempt::of(&lease.notification, publisher, publish_until).await;
        let is_sent = attempt.outcome == AlertOutcome::Sent;
        attempts.push(attempt);
        let acknowledged = access
            .with_session(until, async |session| {
                store::acknowledge(
                    session,
                    check,
                    lease.message_id,
                    lease_owner,
                    is_sent,
                    check_run,
                    until,
                )
                .await
            })
            .await;
        match acknowledged {
            Ok(following) => {
                check_run = None;
                next = following;
            }
            Err(error) => tracing::warn!(
                error.id = error.id(),
                message_id = lease.message_id,
                is_sent,
                "what became of an alert could not be recorded; another check may send it again"
            ),
        }
    }
    // another check publishes the message, or what became of ours could not be kept together with this
    if let Some(check_run) = check_run {
        let recorded = access
            .with_session(until, async |session| {
                session
                    .run(async |database| check_run.record(database).await)
                    .await
            })
            .await;
        if let Err(error) = recorded {
            tracing::warn!(
                error.id = error.id(),
                "what was checked could not be recorded; the next check looks back as far"
            );
        }
    }
    attempts
}

fn time_until(moment: Instant) -> Duration {
    moment.saturating_duration_since(Instant::now())
}
