//! The AWS SDK's clients, set up once per process.

use std::time::Duration;

use aws_sdk_sns::config::{BehaviorVersion, Region};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::arn::Arn;
use crate::aws_environment::{AwsEnvironment, EndpointUrl};
use crate::http_connector::{NativeTlsHttpClient, Scheme};

/// How long a call to AWS may take. Retries happen inside `operation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// To open a TCP connection.
    pub connect: Duration,
    /// For one attempt: connect, TLS, request, whole response.
    pub attempt: Duration,
    /// For the call, waits between attempts included.
    pub operation: Duration,
    /// The longest first wait between two attempts; the second one is up to twice as long.
    pub backoff: Duration,
}

/// Well above what SNS and Secrets Manager need (tens of milliseconds), well below a function's
/// time-out: a hanging AWS must leave the run time to report what it found.
impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            attempt: Duration::from_secs(3),
            operation: Duration::from_secs(8),
            backoff: Duration::from_millis(500),
        }
    }
}

/// The first attempt and two more: enough for a dropped connection or a moment's throttling.
const MAX_ATTEMPTS: u32 = 3;

/// Makes clients for the region an ARN names; they share credentials, TLS roots and time limits.
#[derive(Clone, Debug)]
pub struct AwsClients {
    environment: AwsEnvironment,
    http: NativeTlsHttpClient,
    limits: TimeLimits,
}

impl AwsClients {
    /// Opens no connection and reads nothing.
    pub fn new(environment: AwsEnvironment) -> Self {
        Self {
            environment,
            http: NativeTlsHttpClient::default(),
            limits: TimeLimits::default(),
        }
    }

    /// The same clients under other time limits.
    #[must_use]
    pub fn with_limits(self, limits: TimeLimits) -> Self {
        Self { limits, ..self }
    }

    pub(crate) fn sns(&self, topic: &Arn) -> aws_sdk_sns::Client {
        let endpoint = self.environment.sns_endpoint.as_ref();
        let mut config = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(topic.region().to_owned()))
            .credentials_provider(self.environment.credentials.clone())
            .http_client(self.http_client(endpoint))
            .retry_config(self.retries())
            .timeout_config(self.timeouts());
        config.set_endpoint_url(endpoint.map(|url| url.as_str().to_owned()));
        aws_sdk_sns::Client::from_conf(config.build())
    }

    pub(crate) fn secrets_manager(&self, secret: &Arn) -> aws_sdk_secretsmanager::Client {
        let endpoint = self.environment.secrets_manager_endpoint.as_ref();
        let mut config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(secret.region().to_owned()))
            .credentials_provider(self.environment.credentials.clone())
            .http_client(self.http_client(endpoint))
            .retry_config(self.retries())
            .timeout_config(self.timeouts());
        config.set_endpoint_url(endpoint.map(|url| url.as_str().to_owned()));
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }

    /// Reads the TLS roots for Secrets Manager before the first invocation has to: while it starts, Lambda gives a
    /// function more processor time than its memory size stands for.
    pub(crate) fn prepare_secrets_manager(&self) {
        let endpoint = self.environment.secrets_manager_endpoint.as_ref();
        self.http_client(endpoint).prepare();
    }

    fn http_client(&self, endpoint: Option<&EndpointUrl>) -> NativeTlsHttpClient {
        self.http.with_scheme(match endpoint {
            Some(url) if url.is_plain_http() => Scheme::PlainHttp,
            _ => Scheme::HttpsOnly,
        })
    }

    fn retries(&self) -> RetryConfig {
        RetryConfig::standard()
            .with_max_attempts(MAX_ATTEMPTS)
            .with_initial_backoff(self.limits.backoff)
    }

    fn timeouts(&self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.limits.connect)
            .read_timeout(self.limits.attempt)
            .operation_attempt_timeout(self.limits.attempt)
            .operation_timeout(self.limits.operation)
            .build()
    }
}
