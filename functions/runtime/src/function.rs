//! What a function's `main` keeps between invocations, and the steps that every check shares: look
//! within the time there is, log the result, alert, answer.

use std::time::{Duration, SystemTime};

use lambda_runtime::Context;
use rollcall::alert::Observation;
use rollcall::checks::history::CheckRun;
use rollcall::checks::next_signup::Asker;
use rollcall::error::{Error, Result};
use rollcall::session::Session;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::alerting::Alerting;
use crate::aws_clients::AwsClients;
use crate::aws_environment::AwsEnvironment;
use crate::kept_session::KeptSession;

/// Kept free at the end of an invocation for the alert and the answer: the SDK's own limit for one publication, what the
/// database may take to keep the incident, and a little. Where the whole is short, a third of it.
const RESERVE: Duration = Duration::from_secs(12);

/// Kept free for the answer itself, whatever the topic does.
const ANSWER_RESERVE: Duration = Duration::from_millis(500);

/// The state of a function: one database session, and for a check whom it alerts.
#[derive(Debug)]
pub struct Function {
    session: Mutex<KeptSession>,
    alerting: Alerting,
}

impl Function {
    /// Reads the environment. What is wrong there shows in each invocation's result, not as a
    /// failure to start.
    pub fn from_env() -> Self {
        let clients = AwsEnvironment::from_env()
            .map(AwsClients::new)
            .map_err(|error| error.to_string());
        if let Err(reason) = &clients {
            tracing::warn!(reason, "AWS cannot be reached from this function");
        }
        Self {
            session: Mutex::new(KeptSession::from_env(clients.as_ref().ok())),
            alerting: Alerting::from_env(clients.as_ref()),
        }
    }

    /// Runs `work`, which must be safe to run twice, on the kept session until `until`.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the time is up, and what the session and `work` return.
    pub async fn with_session<T>(
        &self,
        until: Instant,
        work: impl AsyncFn(&mut Session) -> Result<T>,
    ) -> Result<T> {
        let mut session = self.session.lock().await;
        match timeout_at(until, session.run(work)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                session.abandon().await;
                Err(Error::Timeout)
            }
        }
    }

    /// Logs the report of a check, tells people what is new, keeps what the check said, and answers with the report and what
    /// they were told. The log comes first, so that a failed alert hides nothing. The record comes after the first message: a
    /// check that ended before has not moved the watermark, so the next one looks back as far. A check that could not look
    /// leaves a gap. `is_reachable`: whether the database can still be asked.
    ///
    /// # Errors
    /// If the report cannot be written as JSON.
    pub async fn answer(
        &self,
        report: &impl Serialize,
        observation: Observation,
        check_run: Option<CheckRun>,
        is_reachable: bool,
        context: &Context,
    ) -> Result<Value, lambda_runtime::Error> {
        let mut answer = serde_json::to_value(report)?;
        tracing::info!(verdict = answer["verdict"].as_str(), report = %answer, "checked");
        let until = Instant::now() + time_left(context).saturating_sub(ANSWER_RESERVE);
        let told = self
            .alerting
            .tell(self, observation, check_run.as_ref(), is_reachable, until)
            .await;
        if let Some(check_run) = check_run.filter(|_| !told.is_recorded) {
            self.record(&check_run, until).await;
        }
        if let Value::Object(fields) = &mut answer {
            fields.insert("alert".to_owned(), serde_json::to_value(told.outcome)?);
            fields.insert("alerts".to_owned(), serde_json::to_value(told.attempts)?);
        }
        Ok(answer)
    }

    async fn record(&self, check_run: &CheckRun, until: Instant) {
        if let Err(error) = self
            .with_session(until, async |session| {
                session
                    .run(async |database| check_run.record(database).await)
                    .await
            })
            .await
        {
            tracing::warn!(
                error.id = error.id(),
                "what was checked could not be recorded; the next check looks back as far"
            );
        }
    }
}

/// The moment by which the work of a check must end so that there is time left to alert and answer.
pub fn end_of_work(context: &Context) -> Instant {
    let remaining = time_left(context);
    Instant::now() + remaining.saturating_sub(RESERVE.min(remaining / 3))
}

/// How long the invocation may still take; Lambda gives its deadline as a moment of the wall clock.
pub fn time_left(context: &Context) -> Duration {
    context
        .deadline()
        .duration_since(SystemTime::now())
        .unwrap_or_default()
}

/// A scheduled check, as `PROBE` has it: `auto`, the default, or `off`.
pub fn asker() -> Asker {
    Asker::Schedule {
        probes: !std::env::var("PROBE").is_ok_and(|value| value.trim().eq_ignore_ascii_case("off")),
    }
}
