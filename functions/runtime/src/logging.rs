//! Log lines for CloudWatch.

use lambda_runtime::tracing::subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use lambda_runtime::tracing::subscriber::fmt;
use lambda_runtime::tracing::subscriber::fmt::MakeWriter;
use lambda_runtime::tracing::subscriber::layer::SubscriberExt;
use tracing::{Dispatch, Level, Metadata};

/// Crates whose `debug` and `trace` lines print requests, responses and events, and with them
/// alerts, secrets and e-mail addresses.
const NEVER_MORE_THAN_INFO: [&str; 2] = ["aws_", "lambda_runtime"];

/// Sends `tracing`'s events to standard output for the rest of the process; a second call changes
/// nothing.
///
/// - `AWS_LAMBDA_LOG_FORMAT`: `Text` for readable lines; otherwise one JSON object a line, its
///   fields at the top level. `timestamp` and `level` are always there: without a timestamp
///   Lambda's log-level filter takes every line, errors too, for INFO, which is why the runtime's
///   own subscriber is not used.
/// - `RUST_LOG`, else `AWS_LAMBDA_LOG_LEVEL`, else `info`: what is logged. Directives that cannot
///   be read are passed over. The AWS SDK and the Lambda runtime never log more than `info`.
pub fn init() {
    let settings = LogSettings::from_variables(|name| std::env::var(name).ok());
    // An error means that a subscriber is already in place.
    let _ = tracing::dispatcher::set_global_default(settings.subscriber(std::io::stdout));
}

#[derive(Debug, PartialEq, Eq)]
struct LogSettings {
    json: bool,
    filter: String,
}

impl LogSettings {
    fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name| lookup(name).filter(|value| !value.trim().is_empty());
        let lambda_level = || {
            let level = variable("AWS_LAMBDA_LOG_LEVEL")?.to_ascii_lowercase();
            Some(if level == "fatal" {
                "error".to_owned()
            } else {
                level
            })
        };
        Self {
            json: !variable("AWS_LAMBDA_LOG_FORMAT")
                .is_some_and(|format| format.trim().eq_ignore_ascii_case("text")),
            filter: variable("RUST_LOG")
                .or_else(lambda_level)
                .unwrap_or_else(|| "info".to_owned()),
        }
    }

    fn subscriber<W>(&self, writer: W) -> Dispatch
    where
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        let filter = EnvFilter::builder()
            .with_default_directive(LevelFilter::INFO.into())
            .parse_lossy(&self.filter);
        let lines = fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(writer);
        if self.json {
            // The list of spans holds the runtime's, with the request id.
            let lines = lines
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .finish();
            Dispatch::new(lines.with(filter_fn(may_be_logged)))
        } else {
            Dispatch::new(lines.finish().with(filter_fn(may_be_logged)))
        }
    }
}

fn may_be_logged(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::INFO
        || !NEVER_MORE_THAN_INFO
            .iter()
            .any(|prefix| line.target().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use serde_json::Value;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("not poisoned")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn settings(variables: &[(&str, &str)]) -> LogSettings {
        LogSettings::from_variables(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn logged(variables: &[(&str, &str)], log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let dispatch = settings(variables).subscriber(move || writer.clone());
        tracing::dispatcher::with_default(&dispatch, log);
        let bytes = captured.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn a_line_is_json_with_level_timestamp_fields_and_request_id() {
        let line = logged(&[], || {
            let _invocation = tracing::info_span!("invoke", requestId = "r-1").entered();
            tracing::warn!(users_missing = 3, "profiles are missing");
        });
        let line: Value = serde_json::from_str(&line).expect("one JSON object");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "profiles are missing");
        assert_eq!(line["users_missing"], 3);
        assert_eq!(line["spans"][0]["requestId"], "r-1");
        let timestamp = line["timestamp"].as_str().expect("a timestamp");
        assert!(
            timestamp.ends_with('Z') && timestamp.contains('T'),
            "{timestamp}"
        );
    }

    #[test]
    fn text_is_written_only_where_lambda_is_set_to_it() {
        assert!(settings(&[]).json);
        assert!(settings(&[("AWS_LAMBDA_LOG_FORMAT", "JSON")]).json);
        let line = logged(&[("AWS_LAMBDA_LOG_FORMAT", "Text")], || {
            tracing::info!("hello")
        });
        assert!(
            line.contains("INFO") && line.trim_end().ends_with("hello"),
            "{line}"
        );
    }

    #[test]
    fn rust_log_wins_over_lambdas_level_which_wins_over_info() {
        let filter = |variables: &[(&str, &str)]| settings(variables).filter;
        assert_eq!(filter(&[]), "info");
        assert_eq!(filter(&[("RUST_LOG", "")]), "info");
        assert_eq!(filter(&[("AWS_LAMBDA_LOG_LEVEL", "WARN")]), "warn");
        assert_eq!(filter(&[("AWS_LAMBDA_LOG_LEVEL", "FATAL")]), "error");
        assert_eq!(
            filter(&[("AWS_LAMBDA_LOG_LEVEL", "WARN"), ("RUST_LOG", "debug")]),
            "debug"
        );
    }

    #[test]
    fn a_filter_that_cannot_be_read_means_info() {
        let lines = logged(&[("RUST_LOG", "=nonsense=")], || {
            tracing::debug!("hidden");
            tracing::info!("shown");
        });
        assert!(
            lines.contains("shown") && !lines.contains("hidden"),
            "{lines}"
        );
    }

    #[test]
    fn the_sdk_and_the_runtime_stay_quiet_when_everything_is_traced() {
        for asked in [
            "trace",
            "aws_smithy_runtime::client=trace,lambda_runtime=trace,trace",
        ] {
            let lines = logged(&[("RUST_LOG", asked)], || {
                tracing::trace!(target: "aws_smithy_runtime::client", "a request's body");
                tracing::debug!(target: "lambda_runtime::requests", "an event");
                tracing::trace!(target: "rollcall", "ours");
            });
            assert!(lines.contains("ours"), "{lines}");
            assert!(
                !lines.contains("body") && !lines.contains("event\""),
                "{lines}"
            );
        }
    }

    #[test]
    fn a_filter_for_errors_keeps_the_sdks_info_out_too() {
        let lines = logged(&[("RUST_LOG", "error")], || {
            tracing::info!(target: "aws_smithy_runtime::client", "hidden");
            tracing::error!(target: "aws_smithy_runtime::client", "shown");
        });
        assert!(
            lines.contains("shown") && !lines.contains("hidden"),
            "{lines}"
        );
    }
}
