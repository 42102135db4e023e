//! Lambda function `recent-issues`, every five minutes: do signups fail right now?
//!
//! Takes any event, since a schedule has nothing to say; answers with the report, and publishes to
//! `CRITICAL_TOPIC_ARN` (else `ALERT_TOPIC_ARN`) when an incident opens, changes, lasts, or is over.
//! Where the signup path was changed, it tries a signup as the hourly check does (`PROBE`).

use lambda_runtime::{Error, LambdaEvent, service_fn};
use rollcall::checks::recent::RecentReport;
use rollcall_lambda::function::Function;
use rollcall_lambda::logging;
use serde::de::IgnoredAny;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::init();
    let function = Function::from_env();
    lambda_runtime::run(service_fn(|event| check(&function, event))).await
}

async fn check(function: &Function, event: LambdaEvent<IgnoredAny>) -> Result<Value, Error> {
    function
        .check(&event.context, |report: &RecentReport, result, metrics| {
            metrics.count("RecentSignups", report.signups_count);
            metrics.count("RecentMissing", result.missing);
        })
        .await
}
