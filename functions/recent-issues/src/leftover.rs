//! A backfill that was left alone: by a slice that had no more time, or by a process that was killed.

use std::time::Duration;

use lambda_runtime::Context;
use rollcall::backfill::{self, Face, Order, Run, Which, runs};
use rollcall_lambda::function::{Function, time_left};
use serde_json::Value;
use tokio::time::Instant;

/// Kept free for the answer.
const RESERVE: Duration = Duration::from_secs(3);

/// With less time than this, it is left to the next check.
const SHORTEST_SLICE: Duration = Duration::from_secs(3);

/// Goes on with one unfinished run for as long as there is time, and tells what was done. Whatever goes wrong is logged
/// and left to the next check: the check of this invocation is done, and its answer stands.
pub(crate) async fn go_on(function: &Function, context: &Context) -> Option<Value> {
    let left = time_left(context);
    if left < RESERVE + SHORTEST_SLICE {
        return None;
    }
    let until = Instant::now() + left - RESERVE;
    let outcome = function
        .with_session(until, async |session| {
            let Some(run_id) = runs::unfinished(session, Some(until)).await? else {
                return Ok(None);
            };
            let order = Order {
                which: Which::Run(run_id),
                ..Order::new(Face::Lambda)
            };
            backfill::apply(session, &order, Some(until), |_| ())
                .await
                .map(Some)
        })
        .await;
    match outcome {
        Ok(None) => None,
        Ok(Some(outcome)) => {
            let run = Run {
                note: None,
                account_type: None,
                ..outcome.run
            };
            let report = serde_json::to_value(run).ok()?;
            tracing::info!(%report, "went on with a backfill");
            Some(report)
        }
        // the role may be one that reads reports and repairs nothing
        Err(error) => {
            tracing::warn!(%error, error.id = error.id(), "an unfinished backfill could not be gone on with");
            None
        }
    }
}
