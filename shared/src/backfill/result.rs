//! What a repair answers.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Run;
use crate::error::Error;

/// How many failures a result lists; the counts are of all.
pub const MAX_FAILURES: usize = 1000;

/// How many bytes of JSON these may take, so that a result with everything else stays below 256 KiB.
const MAX_FAILURES_BYTES: usize = 180 * 1024;

/// A profile that cannot be created, and why; never a value of the row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failure {
    /// The user.
    pub user_id: Uuid,
    /// SQLSTATE, five characters. `RC002`: a trigger discarded the row without an error; `RC010`: a row with the user's
    /// e-mail address waits to be claimed.
    pub sqlstate: String,
    /// Constraint that was broken.
    pub constraint: Option<String>,
    /// Column that was refused.
    pub column: Option<String>,
    /// The application's functions in which it failed, innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// The same in words, for people.
    #[serde(default, skip_serializing)]
    pub reason: String,
}

impl Failure {
    /// As many of them as a result has room for.
    pub(super) fn bounded(failures: Vec<Self>) -> Vec<Self> {
        // the brackets, less the last comma
        let mut bytes = 1;
        failures
            .into_iter()
            .take(MAX_FAILURES)
            .take_while(|failure| {
                bytes += serde_json::to_string(failure).map_or(0, |text| text.len() + 1);
                bytes <= MAX_FAILURES_BYTES
            })
            .collect()
    }
}

/// Why a call stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Everyone in reach was attempted.
    Complete,
    /// Everyone was, but for those whom another transaction kept locked; the next repair comes to them.
    Busy,
    /// As many users as asked for were attempted.
    MaxUsers,
    /// The time was up; the next repair continues.
    OutOfTime,
    /// The time was up while another had the run's lease; that one continues.
    Leased,
    /// This call was told to stop; the next repair continues.
    Stopped,
    /// A person paused the run.
    Paused,
    /// A person ended the run.
    Cancelled,
    /// An error that another worker met ended the run.
    Failed,
    /// The database refused to continue; what was done stays.
    Interrupted,
}

/// What a repair did.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunResult {
    /// Why it stopped.
    pub stop_reason: StopReason,
    /// The run that this call began or continued.
    pub run_id: Uuid,
    /// Users without a profile when it began; for a run that was continued, those it had left.
    pub total_missing: i64,
    /// Users attempted.
    pub attempted: i64,
    /// Profiles created.
    pub created: i64,
    /// Profiles that could not be created.
    pub failed: i64,
    /// Users whom another transaction kept locked to the end; not among the attempted.
    pub busy: i64,
    /// Users without a profile when it ended, failures included. None: they could not be counted.
    pub remaining: Option<i64>,
    /// The failures of the run, at most 1,000.
    pub failures: Vec<Failure>,
    /// The run as a whole, with what other calls did in it.
    pub run: Run,
    /// What ended it, if it was interrupted.
    #[serde(skip)]
    pub interruption: Option<Error>,
}

impl RunResult {
    /// What two runs one after the other did.
    pub(super) fn followed_by(self, next: Self) -> Self {
        Self {
            total_missing: self.created + next.total_missing,
            attempted: self.attempted + next.attempted,
            created: self.created + next.created,
            failed: next.failed,
            ..next
        }
    }
}

/// How far a repair has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The run.
    pub run_id: Uuid,
    /// Users without a profile when it began.
    pub total_missing: i64,
    /// Users attempted so far.
    pub attempted: i64,
    /// Profiles created so far.
    pub created: i64,
    /// Profiles that could not be created so far.
    pub failed: i64,
    /// Why nothing happens just now.
    pub waits_for: Option<String>,
}

/// What became of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum UserResult {
    /// The profile was created; in a dry run, it would be.
    Created,
    /// The user has a profile already.
    AlreadyExists,
    /// No such user, or none who must have a profile.
    NotExpected,
    /// The profile cannot be created.
    Failed(Failure),
    /// A dry run that was not tried, and why.
    NotTried {
        /// What a try would do that no rollback takes back.
        not_tried_because: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(functions: usize) -> Failure {
        Failure {
            user_id: Uuid::nil(),
            sqlstate: "23514".to_owned(),
            constraint: Some("x".repeat(63)),
            column: Some("y".repeat(63)),
            functions: vec!["z".repeat(130); functions],
            reason: String::new(),
        }
    }

    #[test]
    fn a_list_of_failures_is_bounded_by_number_and_by_size() {
        let listed = |functions| Failure::bounded(vec![failure(functions); 2000]);
        for functions in [0, 1, 10] {
            let text = serde_json::to_string(&listed(functions)).expect("JSON");
            assert!(text.len() <= MAX_FAILURES_BYTES, "{}", text.len());
            assert!(text.len() > MAX_FAILURES_BYTES / 2, "{}", text.len());
        }
        let short = Failure {
            constraint: None,
            column: None,
            ..failure(0)
        };
        assert_eq!(Failure::bounded(vec![short; 2000]).len(), MAX_FAILURES);
    }
}
