//! The beginning of a call: the run that it starts or continues.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{RunOptions, RunTarget};
use crate::database::column;
use crate::error::Result;
use crate::session::Session;

/// Limit of a start; that of a new run counts all users without a profile.
const LIMIT: Duration = Duration::from_secs(60);

/// A run with a lease owner for this call.
pub(super) struct Started {
    pub(super) run_id: Uuid,
    pub(super) is_new: bool,
    pub(super) lease_owner: Uuid,
    pub(super) total_missing: i64,
}

/// Starts a run, or finds the one to continue.
pub(super) async fn start(
    session: &mut Session,
    options: &RunOptions,
    until: Option<Instant>,
) -> Result<Started> {
    let source = options.source.name();
    let as_json = options.to_json();
    let run_id = match options.target {
        RunTarget::Run(run_id) => Some(run_id),
        RunTarget::UnfinishedOrNew | RunTarget::Keyed { .. } => None,
    };
    session
        .retry(until, async |database| {
            database
                .write(LIMIT, async |queries| {
                    let row = queries
                        .row(
                            include_str!("start_run.sql"),
                            &[
                                (&source, Type::TEXT),
                                (&as_json, Type::JSONB),
                                (&run_id, Type::UUID),
                            ],
                        )
                        .await?;
                    Ok(Started {
                        run_id: column(&row, "run_id")?,
                        is_new: column(&row, "is_new")?,
                        lease_owner: column(&row, "lease_owner")?,
                        total_missing: column(&row, "total_missing")?,
                    })
                })
                .await
        })
        .await
}
