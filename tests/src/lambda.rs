//! A deployed function: its own process, events handed to it, and a topic that takes its alerts.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{
    fake_sns::FakeSns,
    function_process::FunctionProcess,
    runtime_api::{Event, Outcome, RuntimeApi},
};

/// What the functions get as `ALERT_TOPIC_ARN`.
pub const ALERT_TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:alerts";

/// What the functions get as `CRITICAL_TOPIC_ARN`.
pub const CRITICAL_TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:critical";

/// More time than any invocation needs that does not wait for something broken.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// One instance of a function and its surroundings.
#[derive(Debug)]
pub struct Lambda {
    /// The topics, both at one endpoint.
    pub sns: FakeSns,
    /// The instance.
    pub process: FunctionProcess,
    api: RuntimeApi,
}

impl Lambda {
    /// Starts `binary` with both topics and nothing but `env` beside them; `env` wins, and an empty
    /// value counts as not set.
    pub async fn start(binary: &str, env: &[(&str, &str)]) -> Result<Self> {
        let (api, sns) = (RuntimeApi::start().await?, FakeSns::start().await?);
        let endpoint = sns.url();
        let surroundings = [
            ("AWS_ENDPOINT_URL_SNS", endpoint.as_str()),
            ("ALERT_TOPIC_ARN", ALERT_TOPIC),
            ("CRITICAL_TOPIC_ARN", CRITICAL_TOPIC),
            ("PROBE", "off"),
        ];
        let env: Vec<_> = surroundings.iter().chain(env).copied().collect();
        let process = FunctionProcess::start(binary, &api, &env)?;
        Ok(Self { sns, process, api })
    }

    /// The answer to `event`, which must come within [`DEADLINE`] and from a living process.
    pub async fn invoke(&self, event: impl Into<Event>) -> Result<Value> {
        self.invoke_within(event, DEADLINE).await
    }

    /// The first answer that is `unknown`, after a server was killed: a backend may outlive it for a moment. At the latest
    /// the twentieth, whatever it is.
    pub async fn first_unknown(&self) -> Result<Value> {
        // it tries again until the time is up
        const LIMIT: Duration = Duration::from_secs(4);
        let mut answer = self.invoke_within(Value::Null, LIMIT).await?;
        for _ in 1..20 {
            if answer["verdict"] == "unknown" {
                break;
            }
            answer = self.invoke_within(Value::Null, LIMIT).await?;
        }
        Ok(answer)
    }

    /// The answer to `event` of a function with the time limit `deadline`.
    pub async fn invoke_within(
        &self,
        event: impl Into<Event>,
        deadline: Duration,
    ) -> Result<Value> {
        let answer = self.outcome(event, deadline).await?.response()?;
        ensure!(
            self.process.exit_status()?.is_none(),
            "the function answered and ended"
        );
        Ok(answer)
    }

    /// What came of `event`, whatever it is.
    pub async fn outcome(&self, event: impl Into<Event>, deadline: Duration) -> Result<Outcome> {
        self.api.invoke(event, deadline).await
    }

    /// The topic and subject of every alert so far.
    pub fn alerts(&self) -> Vec<(String, String)> {
        self.sns
            .attempts()
            .into_iter()
            .map(|alert| (alert.topic_arn, alert.subject.unwrap_or_default()))
            .collect()
    }
}
