//! A scheduled check from its look to what people hear of it: the same for the functions and the command line.

mod report;

use jiff::Timestamp;
use tokio::time::Instant;

pub use self::report::ScheduledReport;
use crate::alert::{CheckResult, Notified, Publisher, Settings, notify};
use crate::checks::history::CheckRun;
use crate::checks::next_signup::{self, Asker};
use crate::error::Error;
use crate::session::SessionAccess;

/// A report, and whether its database can be asked for more.
#[derive(Clone, Debug)]
pub struct Look<R> {
    /// What was seen; `unknown` where nothing was.
    pub report: R,
    /// The same for alerts.
    pub result: CheckResult,
    /// What is to be kept. None: it could not look, which leaves a gap.
    check_run: Option<CheckRun>,
    is_reachable: bool,
}

/// Whether a check may try a signup: unless `PROBE` is `off`, as `variable` finds it.
pub fn may_probe(variable: impl Fn(&str) -> Option<String>) -> bool {
    !variable("PROBE").is_some_and(|value| value.trim().eq_ignore_ascii_case("off"))
}

/// Looks, and tries again what may pass by itself until `until`. `probes`: whether it may try a signup.
pub async fn look<R: ScheduledReport>(
    access: &impl SessionAccess,
    probes: bool,
    until: Instant,
) -> Look<R> {
    let taken = access
        .with_session(until, async |session| {
            session
                .retry_until(until, async |database| {
                    next_signup::take::<R>(database, Asker::Schedule { probes }).await
                })
                .await
        })
        .await;
    let is_reachable = taken
        .as_ref()
        .err()
        .is_none_or(Error::leaves_database_usable);
    let check_run = taken.as_ref().ok().map(R::to_check_run);
    let report = taken.unwrap_or_else(|error| R::unknown(&error, Timestamp::now()));
    Look {
        result: report.to_result(),
        report,
        check_run,
        is_reachable,
    }
}

impl<R> Look<R> {
    /// Decides what follows, keeps that, and publishes it, by `until`.
    pub async fn notify(
        &self,
        access: &impl SessionAccess,
        publisher: &impl Publisher,
        settings: &Settings,
        until: Instant,
    ) -> Notified {
        notify(
            access,
            publisher,
            settings,
            &self.result,
            self.check_run.as_ref(),
            self.is_reachable,
            until,
        )
        .await
    }
}
