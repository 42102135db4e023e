//! Lambda function `health-check`, hourly: is everyone's profile there, and do signups get theirs?
//!
//! Takes any event, since a schedule has nothing to say; answers with the report, and publishes to
//! `ALERT_TOPIC_ARN` (else `CRITICAL_TOPIC_ARN`) when an incident opens, changes, lasts, or is over.
//! Where nothing has shown lately that a signup gets its profile, it also tries one of every kind of user and takes it back,
//! unless that would do what no rollback takes back, or `PROBE=off`.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use rollcall::checks::health::HealthReport;
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
        .check(&event.context, |report: &HealthReport, result, metrics| {
            metrics.count("Missing", result.missing);
            metrics.count("RecentSignups", report.recent_signups_count);
            metrics.count("RecentMissing", report.signups_missing_profiles);
            metrics.percentage("HealthPercentage", report.health_percentage);
        })
        .await
}
