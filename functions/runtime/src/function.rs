//! What a function's `main` keeps between invocations, and a check as Lambda runs it: within the time there is, with log
//! lines, metrics and an answer.

use std::env;
use std::time::{Duration, SystemTime};

use lambda_runtime::Context;
use rollcall::alert::{CheckResult, Origin, Settings};
use rollcall::error::Error;
use rollcall::scheduled_check::{self, ScheduledReport};
use rollcall::session::{Session, SessionAccess};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::aws_clients::AwsClients;
use crate::aws_environment::AwsEnvironment;
use crate::console;
use crate::kept_session::KeptSession;
use crate::metrics::Metrics;
use crate::topics::Topics;

/// Kept free at the end of an invocation for the alert and the answer: the SDK's own limit for one publication, what the
/// database may take to keep the incident, and a little. Where the whole is short, a third of it.
const RESERVE: Duration = Duration::from_secs(12);

/// Kept free for the answer itself, whatever the topic does.
const ANSWER_RESERVE: Duration = Duration::from_millis(500);

/// The state of a function: one database session, and for a check whom it notifies of what.
#[derive(Debug)]
pub struct Function {
    session: Mutex<KeptSession>,
    topics: Topics,
    settings: Settings,
    /// Whether a check may try a signup: `PROBE`, `auto` or `off`.
    probes: bool,
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
        let variable = |name: &str| env::var(name).ok();
        let mut origin = Origin::from_variables(variable);
        if let Some(url) = console::log_group_url(variable) {
            origin = origin.with_link("Logs", &url);
        }
        Self {
            session: Mutex::new(KeptSession::from_env(clients.as_ref().ok())),
            topics: Topics::from_env(clients.as_ref(), origin),
            settings: Settings::from_variables(variable),
            probes: scheduled_check::may_probe(variable),
        }
    }

    /// One check: looks, logs the report, publishes what is new, keeps what the check said, and answers with the report and
    /// what became of the alert. The log comes first, so that a failed alert hides nothing. `count` adds the report's own
    /// numbers to the metrics, which are printed at the end: a check that does not get there leaves none.
    ///
    /// # Errors
    /// If the report cannot be written as JSON.
    pub async fn check<R: ScheduledReport>(
        &self,
        context: &Context,
        count: impl FnOnce(&R, &CheckResult, &mut Metrics),
    ) -> Result<Value, lambda_runtime::Error> {
        let mut metrics = Metrics::start();
        let look = scheduled_check::look::<R>(self, self.probes, end_of_work(context)).await;
        let mut answer = serde_json::to_value(&look.report)?;
        tracing::info!(verdict = answer["verdict"].as_str(), report = %answer, "checked");
        let until = Instant::now() + time_left(context).saturating_sub(ANSWER_RESERVE);
        let notified = look.notify(self, &self.topics, &self.settings, until).await;
        if let Value::Object(fields) = &mut answer {
            fields.insert("alert".to_owned(), serde_json::to_value(notified.outcome)?);
            fields.insert(
                "alerts".to_owned(),
                serde_json::to_value(notified.attempts)?,
            );
        }
        metrics.verdict(look.result.verdict);
        metrics.is_incident_open(notified.is_incident_open);
        count(&look.report, &look.result, &mut metrics);
        metrics.print();
        Ok(answer)
    }
}

impl SessionAccess for Function {
    async fn with_session<T>(
        &self,
        until: Instant,
        work: impl AsyncFn(&mut Session) -> rollcall::error::Result<T>,
    ) -> rollcall::error::Result<T> {
        let mut session = self.session.lock().await;
        // boxed: a check nests deeper than a compiler's default
        match timeout_at(until, Box::pin(session.run(work))).await {
            Ok(outcome) => outcome,
            Err(_) => {
                session.give_up().await;
                Err(Error::Timeout)
            }
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
