//! Lambda function `recent-issues`, every five minutes: do signups fail right now?
//!
//! Takes any event, since a schedule has nothing to tell; answers with the report, and tells
//! `CRITICAL_TOPIC_ARN` (else `ALERT_TOPIC_ARN`) when an incident opens, changes, lasts, or is over.
//! Where the signup path was changed, it tries a signup as the hourly check does (`PROBE`).

use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use rollcall::alert::Observation;
use rollcall::checks::next_signup;
use rollcall::checks::recent::RecentReport;
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
    let outcome: Result<RecentReport, _> = function
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
    let check_run = outcome.as_ref().ok().map(RecentReport::to_check_run);
    let report = outcome.unwrap_or_else(|error| RecentReport::unknown(&error, Timestamp::now()));
    let observation = Observation::of_recent(&report);
    metrics.verdict(report.verdict);
    metrics.count("RecentSignups", report.signups_count);
    metrics.count("RecentMissing", observation.missing);
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
