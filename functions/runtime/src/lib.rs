//! What the Lambda functions share.
//!
//! [`Function`](function::Function) is what each `main` keeps between invocations: the database
//! session, and for a check the [`Topics`](topics::Topics) that it publishes to. [`Metrics`](metrics::Metrics) are the
//! numbers that each run leaves for alarms and dashboards.
//!
//! The AWS half: [`AwsClients`](aws_clients::AwsClients) are made once, at start-up, from the
//! variables Lambda sets; [`AlertTopic`](alert_topic::AlertTopic) publishes and
//! [`DatabaseSecret`](database_secret::DatabaseSecret) reads, both within fixed time limits.
//! No error and no log line of this crate contains a secret or the text of an alert.

pub mod alert_topic;
pub mod arn;
pub mod aws_clients;
pub mod aws_environment;
pub mod aws_failure;
mod console;
pub mod database_secret;
pub mod function;
pub mod http_connector;
pub mod kept_session;
pub mod logging;
pub mod metrics;
pub mod secret_text;
pub mod topics;
