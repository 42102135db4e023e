//! Incidents and messages in the database.
//!
//! A decision and its messages commit together, under the lock of the check. A message is then leased to the check
//! that publishes it: nobody else does meanwhile, and where that check ends without a word, the lease does too.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::join;
use tokio::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::check_result::CheckResult;
use super::incident::{Decision, Incident, Previous, decide};
use super::notification::Notification;
use super::settings::Settings;
use crate::checks::doctor::Examination;
use crate::checks::history::{CheckName, CheckRun};
use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::session::Session;

/// For each transaction here; they touch a handful of rows.
const LIMIT: Duration = Duration::from_secs(5);

/// Longer than one publication may take with all its retries (8 s); as short as that allows, since nobody else can send
/// a message whose check died.
const LEASE_SECONDS: f64 = 20.0;

/// A message that is ours to publish, until the lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its number.
    pub message_id: i64,
    /// What it says.
    pub notification: Notification,
}

/// What a report led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The incident that is open now, if one is.
    pub open: Option<Incident>,
    /// The first message to publish, of this report or of an earlier one that no topic took.
    pub lease: Option<Lease>,
    /// Another check publishes a message now.
    pub is_being_published: bool,
    /// What the check said is kept, too. Where there is a message to publish, that comes after it.
    pub is_recorded: bool,
}

/// Decides what `result` means, keeps that, and leases the first message to `lease_owner`, an id that no other check has.
/// Where nothing is to be published, keeps `check_run`, too. Safe to run twice with the same one. What may pass by itself,
/// such as another check that decides right now, is waited for until `until`.
///
/// # Errors
/// What the session and the database refuse.
pub async fn record(
    session: &mut Session,
    result: &CheckResult,
    check_run: Option<&CheckRun>,
    settings: &Settings,
    lease_owner: Uuid,
    until: Instant,
) -> Result<Recorded> {
    let mut record = async |check_run| {
        session
            .retry_until(until, async |database| {
                let (recorded, leased) = database
                    .write(LIMIT, async |queries| {
                        record_in(queries, result, check_run, settings, lease_owner).await
                    })
                    .await?;
                let lease = readable(database, result.check, lease_owner, leased).await?;
                Ok(Recorded {
                    is_being_published: lease.is_none() && recorded.is_being_published,
                    lease,
                    ..recorded
                })
            })
            .await
    };
    match record(check_run).await {
        // whatever keeps the record of the check from being written, people are notified
        Err(Error::Statement { .. }) if check_run.is_some() => record(None).await,
        recorded => recorded,
    }
}

async fn record_in(
    queries: &Queries<'_>,
    result: &CheckResult,
    check_run: Option<&CheckRun>,
    settings: &Settings,
    lease_owner: Uuid,
) -> Result<(Recorded, Leased)> {
    let check = result.check.as_str();
    let (begun, causes) = join!(begin(queries, check), causes(queries, result));
    let ((previous, now), causes) = (begun?, causes?);
    let mut result = result.clone();
    result.summary.add_causes(&causes);
    let decision = decide(&previous, &result, now, settings);
    let is_changed = decision.incident != previous.open || !decision.notifications.is_empty();
    let has_messages = previous.has_unsent || !decision.notifications.is_empty();
    // what the check said comes after its first message
    let check_run = check_run.filter(|_| !has_messages);
    let leased = queries
        .end_with(async {
            let (kept, recorded, leased) = join!(
                async {
                    if decision.is_outdated {
                        return Ok(());
                    }
                    let changed = is_changed.then_some(&decision);
                    keep(queries, check, result.moment(now), changed).await
                },
                record_check(queries, check_run),
                lease_in(queries, result.check, lease_owner)
            );
            kept.and(recorded).and(leased)
        })
        .await?;
    let recorded = Recorded {
        is_being_published: has_messages,
        is_recorded: check_run.is_some(),
        lease: None,
        open: decision
            .incident
            .filter(|incident| incident.resolved_at.is_none()),
    };
    Ok((recorded, leased))
}

/// Why signups fail, where the check has not asked: the doctor is, in the same round trip as the incident.
async fn causes(queries: &Queries<'_>, result: &CheckResult) -> Result<Vec<Finding>> {
    if result.lacks_cause() {
        Examination::causes(queries).await
    } else {
        Ok(Vec::new())
    }
}

async fn record_check(queries: &Queries<'_>, check_run: Option<&CheckRun>) -> Result<()> {
    match check_run {
        Some(check_run) => check_run.record_in(queries).await,
        None => Ok(()),
    }
}

async fn begin(queries: &Queries<'_>, check: &str) -> Result<(Previous, Timestamp)> {
    let row = queries
        .row(
            "select b.decided_at, b.fresh_id, b.incident, b.checked_at, b.recently_opened, b.still_missing, b.has_unsent
             from rollcall.incident_begin($1) b",
            &[(&check, Type::TEXT)],
        )
        .await?;
    let open: Option<Value> = column(&row, "incident")?;
    let previous = Previous {
        open: open
            .map(serde_json::from_value)
            .transpose()
            .map_err(|_| Error::UnexpectedAnswer)?,
        checked_at: column(&row, "checked_at")?,
        recently_opened: column(&row, "recently_opened")?,
        still_missing: column(&row, "still_missing")?,
        has_unsent: column(&row, "has_unsent")?,
        fresh_id: column(&row, "fresh_id")?,
    };
    Ok((previous, column(&row, "decided_at")?))
}

async fn keep(
    queries: &Queries<'_>,
    check: &str,
    checked_at: Timestamp,
    decision: Option<&Decision>,
) -> Result<()> {
    let json = |value: serde_json::Result<Value>| value.map_err(|_| Error::UnexpectedAnswer);
    let incident = decision
        .and_then(|decision| decision.incident.as_ref())
        .map(|incident| json(serde_json::to_value(incident)))
        .transpose()?;
    let notifications = json(serde_json::to_value(
        decision.map_or(&[][..], |decision| &decision.notifications),
    ))?;
    queries
        .row(
            "select rollcall.incident_record($1, $2, $3, $4)",
            &[
                (&check, Type::TEXT),
                (&checked_at, Type::TIMESTAMPTZ),
                (&incident, Type::JSONB),
                (&notifications, Type::JSONB),
            ],
        )
        .await
        .map(drop)
}

/// What a lease was had of.
enum Leased {
    Nothing,
    Message(Box<Lease>),
    /// Nobody can read it, so it holds up nothing.
    Unreadable(i64),
}

async fn lease_in(queries: &Queries<'_>, check: CheckName, lease_owner: Uuid) -> Result<Leased> {
    let rows = queries
        .rows(
            "select c.message_id, c.notice from rollcall.lease_message($1, $2, make_interval(secs => $3)) c",
            &[
                (&check.as_str(), Type::TEXT),
                (&lease_owner, Type::UUID),
                (&LEASE_SECONDS, Type::FLOAT8),
            ],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(Leased::Nothing);
    };
    let message_id = column(row, "message_id")?;
    Ok(
        match serde_json::from_value::<Notification>(column(row, "notice")?) {
            Ok(notification) => Leased::Message(Box::new(Lease {
                message_id,
                notification: notification.within_bounds(),
            })),
            Err(_) => Leased::Unreadable(message_id),
        },
    )
}

/// The first message that can be read, beginning with the one that was leased.
async fn readable(
    database: &mut Database,
    check: CheckName,
    lease_owner: Uuid,
    mut leased: Leased,
) -> Result<Option<Lease>> {
    loop {
        match leased {
            Leased::Nothing => return Ok(None),
            Leased::Message(lease) => return Ok(Some(*lease)),
            Leased::Unreadable(message_id) => {
                tracing::warn!(message_id, "a message cannot be read, and is left out");
                leased =
                    acknowledge_one(database, check, message_id, lease_owner, true, None).await?;
            }
        }
    }
}

async fn acknowledge_in(
    queries: &Queries<'_>,
    message_id: i64,
    lease_owner: Uuid,
    is_sent: bool,
) -> Result<()> {
    queries
        .row(
            "select rollcall.acknowledge_message($1, $2, $3)",
            &[
                (&message_id, Type::INT8),
                (&lease_owner, Type::UUID),
                (&is_sent, Type::BOOL),
            ],
        )
        .await
        .map(drop)
}

/// Ends the lease of a message: it was taken, or the next check is to try. If it was taken, leases the next one. Keeps
/// what the check said, too, which comes after its first message. What may pass by itself is waited for until `until`.
///
/// # Errors
/// What the session and the database refuse.
pub async fn acknowledge(
    session: &mut Session,
    check: CheckName,
    message_id: i64,
    lease_owner: Uuid,
    is_sent: bool,
    check_run: Option<&CheckRun>,
    until: Instant,
) -> Result<Option<Lease>> {
    session
        .retry_until(until, async |database| {
            let leased =
                acknowledge_one(database, check, message_id, lease_owner, is_sent, check_run)
                    .await?;
            readable(database, check, lease_owner, leased).await
        })
        .await
}

async fn acknowledge_one(
    database: &mut Database,
    check: CheckName,
    message_id: i64,
    lease_owner: Uuid,
    is_sent: bool,
    check_run: Option<&CheckRun>,
) -> Result<Leased> {
    database
        .write(LIMIT, async |queries| {
            queries
                .end_with(async {
                    let (acknowledged, recorded, leased) = join!(
                        acknowledge_in(queries, message_id, lease_owner, is_sent),
                        record_check(queries, check_run),
                        async {
                            if is_sent {
                                lease_in(queries, check, lease_owner).await
                            } else {
                                Ok(Leased::Nothing)
                            }
                        }
                    );
                    acknowledged.and(recorded).and(leased)
                })
                .await
        })
        .await
}
