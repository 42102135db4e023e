//! Lambda function `backfill`: repairs users without a profile, for as long as there is time.
//!
//! Answers `POST /backfill` of an HTTP API and direct invocations. The request is a JSON object, all
//! of whose fields may be left out (see `rollcall::backfill::BackfillRequest`); a dry run is the
//! default. What is wrong with a request is answered with 400 and a fixed sentence, and nothing is
//! changed.

mod event;
mod refusal;
mod repair;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use rollcall_lambda::function::Function;
use rollcall_lambda::logging;
use rollcall_lambda::metrics::Metrics;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::Call;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::init();
    let function = Function::from_env();
    lambda_runtime::run(service_fn(|event| handle(&function, event))).await
}

async fn handle(function: &Function, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Error> {
    let mut metrics = Metrics::start();
    let call = Call::read(event.payload.get());
    let reply = match &call.request {
        Ok(request) => {
            repair::run(function, request, &call, call.end_of_work(&event.context)).await?
        }
        Err(refusal) => refusal.clone(),
    };
    tracing::info!(
        status = reply.status,
        verdict = reply.body["verdict"].as_str(),
        report = %reply.body,
        "answered"
    );
    if let Some(verdict) = reply.body["verdict"].as_str() {
        metrics.verdict(verdict.parse()?);
        // a dry run repairs nobody, and what it foresees is no failure
        if reply.body["dry_run"] == false {
            let count = |field: &str| reply.body[field].as_i64();
            let one = |action: &str| (reply.body["action"] == action).then_some(1);
            metrics.count("Repaired", count("created").or_else(|| one("created")));
            metrics.count("Failed", count("failed").or_else(|| one("failed")));
            metrics.count("Missing", count("remaining"));
        }
        metrics.print();
    }
    call.answer(reply)
}
