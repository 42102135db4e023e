//! Incidents and messages in the database.
//!
//! A decision and its messages commit together, under the lock of the check. A message is then leased to the invocation
//! that publishes it: nobody else does meanwhile, and where that invocation ends without a word, the lease does too.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::incident::{Decision, Incident, Observation, Previous, Settings, decide};
use super::notice::Notice;
use crate::checks::history::CheckName;
use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};
use crate::patience;
use crate::session::Session;

/// For each transaction here; they touch a handful of rows.
const LIMIT: Duration = Duration::from_secs(5);

/// Longer than one publication may take with all its retries (8 s); as short as that allows, since nobody else can send
/// a message whose invocation died.
const LEASE_SECONDS: f64 = 20.0;

/// A message that is ours to publish, until the lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its number.
    pub message_id: i64,
    /// What it says.
    pub notice: Notice,
}

/// What a report led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The incident that is open now, if one is.
    pub open: Option<Incident>,
    /// The first message to publish, of this report or of an earlier one that no topic took.
    pub lease: Option<Lease>,
    /// Another invocation publishes a message now.
    pub is_being_published: bool,
}

/// Decides what `observation` means, keeps that, and leases the first message to `lease_owner`, an id that no other
/// invocation has. Safe to run twice with the same one. What may pass by itself, such as another invocation that decides
/// right now, is waited for until `until`.
///
/// # Errors
/// What the session and the database refuse.
pub async fn record(
    session: &mut Session,
    observation: &Observation,
    settings: &Settings,
    lease_owner: Uuid,
    until: Option<Instant>,
) -> Result<Outcome> {
    patience::run_on(session, until, async |database| {
        database
            .write(LIMIT, async |queries| {
                record_in(queries, observation, settings, lease_owner).await
            })
            .await
    })
    .await
}

async fn record_in(
    queries: &Queries<'_>,
    observation: &Observation,
    settings: &Settings,
    lease_owner: Uuid,
) -> Result<Outcome> {
    let check = observation.check.as_str();
    let (previous, now) = begin(queries, check).await?;
    let decision = decide(&previous, observation, now, settings);
    let is_changed = decision.incident != previous.open || !decision.notices.is_empty();
    if !decision.is_outdated {
        keep(
            queries,
            check,
            observation.at,
            is_changed.then_some(&decision),
        )
        .await?;
    }
    let lease = lease_in(queries, observation.check, lease_owner).await?;
    Ok(Outcome {
        is_being_published: lease.is_none()
            && (previous.has_unsent || !decision.notices.is_empty()),
        lease,
        open: decision
            .incident
            .filter(|incident| incident.resolved_at.is_none()),
    })
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
    checked_at: Option<Timestamp>,
    decision: Option<&Decision>,
) -> Result<()> {
    let json = |value: serde_json::Result<Value>| value.map_err(|_| Error::UnexpectedAnswer);
    let incident = decision
        .and_then(|decision| decision.incident.as_ref())
        .map(|incident| json(serde_json::to_value(incident)))
        .transpose()?;
    let notices = json(serde_json::to_value(
        decision.map_or(&[][..], |decision| &decision.notices),
    ))?;
    queries
        .row(
            "select rollcall.incident_record($1, $2, $3, $4)",
            &[
                (&check, Type::TEXT),
                (&checked_at, Type::TIMESTAMPTZ),
                (&incident, Type::JSONB),
                (&notices, Type::JSONB),
            ],
        )
        .await
        .map(drop)
}

async fn lease_in(
    queries: &Queries<'_>,
    check: CheckName,
    lease_owner: Uuid,
) -> Result<Option<Lease>> {
    loop {
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
            return Ok(None);
        };
        let message_id = column(row, "message_id")?;
        match serde_json::from_value::<Notice>(column(row, "notice")?) {
            Ok(notice) => {
                return Ok(Some(Lease {
                    message_id,
                    notice: notice.within_bounds(),
                }));
            }
            // what nobody can read holds up nothing
            Err(_) => {
                tracing::warn!(message_id, "a message cannot be read, and is left out");
                acknowledge_in(queries, message_id, lease_owner, true).await?;
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

/// Ends the lease of a message: a topic took it, or the next invocation is to try. If it was taken, leases the next one.
///
/// # Errors
/// What the database refuses.
pub async fn acknowledge(
    database: &mut Database,
    check: CheckName,
    message_id: i64,
    lease_owner: Uuid,
    is_sent: bool,
) -> Result<Option<Lease>> {
    database
        .write(LIMIT, async |queries| {
            acknowledge_in(queries, message_id, lease_owner, is_sent).await?;
            if is_sent {
                lease_in(queries, check, lease_owner).await
            } else {
                Ok(None)
            }
        })
        .await
}
