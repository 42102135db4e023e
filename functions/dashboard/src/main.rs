//! Lambda function `dashboard`: the state of the project at a glance.
//!
//! Answers `GET /dashboard` of an HTTP API with a page, or with JSON where that is asked for (`Accept: application/json`
//! or `?format=json`); a custom widget of a CloudWatch dashboard with a fragment of HTML; and a direct invocation with
//! JSON. Looks only, and shows ids and counts only.
//!
//! `DASHBOARD_FRAME_ANCESTORS` names the origins of admin panels that may show the page in a frame.

mod event;

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use rollcall::alert::Origin;
use rollcall::dashboard::{FrameAncestors, Overview, Place};
use rollcall::session::SessionAccess;
use rollcall_lambda::function::{Function, time_left};
use rollcall_lambda::logging;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::event::Call;

/// An HTTP API waits 30 s for its integration, whatever the function's own limit is
/// (API Gateway quotas, maximum integration timeout).
const LIMIT: Duration = Duration::from_secs(28);

/// Kept free at the end for writing the answer.
const RESERVE: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::init();
    let function = Function::from_env();
    let frames = frame_ancestors();
    lambda_runtime::run(service_fn(|event| handle(&function, &frames, event))).await
}

async fn handle(
    function: &Function,
    frames: &FrameAncestors,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Value, Error> {
    let call = Call::read(event.payload.get());
    let overview = if call.wants_overview() {
        Some(overview(function, &event.context).await)
    } else {
        None
    };
    tracing::info!(
        call = call.name(),
        verdict = overview
            .as_ref()
            .map(|overview| overview.health.verdict.as_str()),
        "answered"
    );
    call.answer(overview.as_ref(), frames)
}

async fn overview(function: &Function, context: &Context) -> Overview {
    let until = Instant::now() + time_left(context).min(LIMIT).saturating_sub(RESERVE);
    let origin = Origin::from_variables(|name| env::var(name).ok());
    let place = OnceLock::new();
    function
        .with_session(until, async |session| {
            place.get_or_init(|| Place::of(&origin, session.settings()));
            session
                .run(async |database| Overview::take(database).await)
                .await
        })
        .await
        .unwrap_or_else(|error| {
            tracing::error!(%error, error.id = error.id(), next_step = error.next_step(), "could not look");
            Overview::unknown(&error, Timestamp::now())
        })
        .at(place.into_inner().unwrap_or_else(|| Place {
            project: origin.name(),
            database: None,
        }))
}

fn frame_ancestors() -> FrameAncestors {
    let text = env::var("DASHBOARD_FRAME_ANCESTORS").unwrap_or_default();
    FrameAncestors::parse(&text).unwrap_or_else(|reason| {
        tracing::warn!(
            reason,
            "DASHBOARD_FRAME_ANCESTORS cannot be used; nobody may frame the page"
        );
        FrameAncestors::default()
    })
}
