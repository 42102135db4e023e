//! Lambda function `health-check`, hourly: is everyone's profile there, and do signups get theirs?
//!
//! Takes any event, since a schedule has nothing to tell; answers with the report, and tells
//! `ALERT_TOPIC_ARN` (else `CRITICAL_TOPIC_ARN`) when an incident opens, changes, lasts, or is over.
//! Where nothing has shown lately that a signup gets its profile, it also tries one of every kind of user and takes it back,
//! unless that would do what no rollback takes back, or `PROBE=off`.

use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use rollcall::alert::Observation;
use rollcall::checks::health::HealthReport;
use rollcall::checks::next_signup;
use rollcall_lambda::function::{Function, asker, end_of_work};
use rollcall_lambda::logging;
use rollcall_lambda::metrics::Metrics;
use serde::de::IgnoredAny;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::init();
    let function = Function::from_env();
    lambda_runtime::run(service_fn(|event| check(&function, event))).await
}

async fn check(function: &Function, event: LambdaEvent<IgnoredAny>) -> Result<Value, Error> {
    let mut metrics = Metrics::start();
    let outcome: Result<HealthReport, _> = function
        .with_session(end_of_work(&event.context), async |session| {
            session
                .run(async |database| next_signup::take(database, asker()).await)
                .await
        })
        .await;
    let is_reachable = outcome
        .as_ref()
        .err()
        .is_none_or(|error| error.leaves_database_usable());
    let check_run = outcome.as_ref().ok().map(HealthReport::to_check_run);
    let report = outcome.unwrap_or_else(|error| HealthReport::unknown(&error, Timestamp::now()));
    let observation = Observation::of_health(&report);
    metrics.verdict(report.verdict);
    metrics.count("Missing", report.users.as_ref().map(|users| users.missing));
    metrics.count("RecentSignups", report.recent_signups_count);
    metrics.count("RecentMissing", report.signups_missing_profiles);
    metrics.percentage("HealthPercentage", report.health_percentage);
    let answer = function
        .answer(
            &report,
            observation,
            check_run,
            is_reachable,
            &event.context,
        )
        .await?;
    metrics.print();
    Ok(answer)
}
