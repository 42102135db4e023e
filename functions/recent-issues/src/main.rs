//! Lambda function `recent-issues`, every five minutes: do signups fail right now?
//!
//! Takes any event, since a schedule has nothing to tell; answers with the report and alerts
//! `CRITICAL_TOPIC_ARN` (else `ALERT_TOPIC_ARN`) unless the verdict is `consistent`.

use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use rollcall::alert::Alert;
use rollcall::checks::recent::RecentReport;
use rollcall_lambda::function::{Function, end_of_work};
use rollcall_lambda::logging;
use serde::de::IgnoredAny;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::init();
    let function = Function::from_env(&["CRITICAL_TOPIC_ARN", "ALERT_TOPIC_ARN"]);
    lambda_runtime::run(service_fn(|event| check(&function, event))).await
}

async fn check(function: &Function, event: LambdaEvent<IgnoredAny>) -> Result<Value, Error> {
    let outcome = function
        .with_session(end_of_work(&event.context), async |session| {
            session
                .run(async |database| RecentReport::take_scheduled(database).await)
                .await
        })
        .await;
    let check_run = outcome.as_ref().ok().map(RecentReport::to_check_run);
    let report = outcome.unwrap_or_else(|error| RecentReport::unknown(&error, Timestamp::now()));
    let answer = function
        .answer(&report, Alert::for_recent(&report), &event.context)
        .await?;
    function.record(check_run, &event.context).await;
    Ok(answer)
}
