//! The numbers of a run, for CloudWatch: one line of its embedded metric format (EMF) on standard output.
//!
//! The line stands for itself rather than in a log event, since CloudWatch looks for `_aws` at the root. It costs no
//! call and needs no permission.

use std::env;
use std::io::Write as _;
use std::time::{Instant, SystemTime};

use rollcall::verdict::Verdict;
use serde_json::{Value, json};

/// Where the metrics are found. The function's name, which holds the stack's, is their only dimension.
pub const NAMESPACE: &str = "Rollcall";

/// Measured from the beginning of an invocation; printed at its end.
#[derive(Debug)]
pub struct Metrics {
    started: Instant,
    values: Vec<(&'static str, &'static str, f64)>,
    verdict: Option<Verdict>,
}

impl Metrics {
    /// Starts the clock.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            values: Vec::new(),
            verdict: None,
        }
    }

    /// The metric `Verdict`: 0 consistent, 1 inconsistent, 2 unknown.
    pub fn verdict(&mut self, verdict: Verdict) {
        self.verdict = Some(verdict);
        self.values.push((
            "Verdict",
            "None",
            match verdict {
                Verdict::Consistent => 0.0,
                Verdict::Inconsistent => 1.0,
                Verdict::Unknown => 2.0,
            },
        ));
    }

    /// The metrics `Unreachable` and, unless that is 1, `Alerting`: whether the database could keep what was decided, and
    /// whether an incident is open. Where nobody knows there is no `Alerting`, so that it is no all-clear.
    pub fn is_incident_open(&mut self, is_open: Option<bool>) {
        let unreachable = (
            "Unreachable",
            "None",
            f64::from(u8::from(is_open.is_none())),
        );
        let alerting = is_open.map(|is_open| ("Alerting", "None", f64::from(u8::from(is_open))));
        self.values
            .extend([Some(unreachable), alerting].into_iter().flatten());
    }

    /// A number of things; what was not counted is left out, and is not zero.
    pub fn count(&mut self, name: &'static str, count: Option<i64>) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "numbers of users are far below 2^53"
        )]
        let count = count.map(|count| count as f64);
        self.values
            .extend(count.map(|count| (name, "Count", count)));
    }

    /// A share in percent.
    pub fn percentage(&mut self, name: &'static str, percentage: Option<f64>) {
        self.values
            .extend(percentage.map(|percentage| (name, "Percent", percentage)));
    }

    /// Prints them, with the duration until now.
    pub fn print(mut self) {
        let duration = self.started.elapsed().as_secs_f64() * 1000.0;
        self.values.push(("Duration", "Milliseconds", duration));
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let function = env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
        let line = self.line(&function, now.as_millis());
        // nothing can be done about a log that cannot be written
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }

    fn line(&self, function: &str, timestamp_ms: u128) -> Value {
        let metrics: Vec<_> = self
            .values
            .iter()
            .map(|(name, unit, _)| json!({"Name": name, "Unit": unit}))
            .collect();
        let mut line = json!({
            "_aws": {
                "Timestamp": u64::try_from(timestamp_ms).unwrap_or_default(),
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [["FunctionName"]],
                    "Metrics": metrics,
                }],
            },
            "FunctionName": function,
            "verdict": self.verdict.map(Verdict::as_str),
        });
        for (name, _, value) in &self.values {
            line[*name] = json!(value);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_each_metric_at_its_root_and_leaves_out_what_was_not_counted() {
        let mut metrics = Metrics::start();
        metrics.verdict(Verdict::Inconsistent);
        metrics.count("Missing", Some(3));
        metrics.count("RecentSignups", None);
        metrics.percentage("HealthPercentage", Some(99.5));
        let expected = json!({
            "_aws": {
                "Timestamp": 1_800_000_000_000_u64,
                "CloudWatchMetrics": [{
                    "Namespace": "Rollcall",
                    "Dimensions": [["FunctionName"]],
                    "Metrics": [
                        {"Name": "Verdict", "Unit": "None"},
                        {"Name": "Missing", "Unit": "Count"},
                        {"Name": "HealthPercentage", "Unit": "Percent"},
                    ],
                }],
            },
            "FunctionName": "rollcall-health-check",
            "verdict": "inconsistent",
            "Verdict": 1.0,
            "Missing": 3.0,
            "HealthPercentage": 99.5,
        });
        assert_eq!(
            metrics.line("rollcall-health-check", 1_800_000_000_000),
            expected
        );
    }
}
