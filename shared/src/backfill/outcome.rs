//! What a repair answers.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;

/// How many failures a result lists; the counts are of all.
pub const MAX_FAILURES: usize = 1000;

/// A profile that cannot be created, and why; never a value of the row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The user.
    pub user_id: Uuid,
    /// SQLSTATE, five characters. `RC002`: a trigger discarded the row without an error.
    pub sqlstate: String,
    /// Constraint that was broken.
    pub constraint: Option<String>,
    /// Column that was refused.
    pub column: Option<String>,
}

/// What a repair would do. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DryRun {
    /// Users without a profile.
    pub total_missing: i64,
    /// How many of these were tried, and the trial taken back.
    pub tried: i64,
    /// Of the tried, how many profiles would be created.
    pub would_create: i64,
    /// Of the tried, how many could not be created.
    pub would_fail: i64,
    /// Of the tried, how many another transaction kept locked: nothing is known of them.
    pub busy: i64,
    /// Users whose profile would be created, at most [`MAX_FAILURES`].
    pub users: Vec<Uuid>,
    /// Users whose profile could not be created, at most [`MAX_FAILURES`].
    pub failures: Vec<Failure>,
}

/// Why a repair stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Everyone in reach was attempted.
    Complete,
    /// Everyone was, but for those whom another transaction kept locked; the next repair comes to them.
    Busy,
    /// As many users as asked for were attempted.
    MaxUsers,
    /// The time was up; the next repair goes on.
    OutOfTime,
    /// The database refused to go on; what was done stays.
    Interrupted,
}

/// What a repair did.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Why it stopped.
    pub ending: Ending,
    /// Users without a profile when it began.
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
    /// The failures, at most [`MAX_FAILURES`].
    pub failures: Vec<Failure>,
    /// What ended it, if it was interrupted.
    #[serde(skip)]
    pub interruption: Option<Error>,
}

/// How far a repair has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Users without a profile when it began.
    pub total_missing: i64,
    /// Users attempted so far.
    pub attempted: i64,
    /// Profiles created so far.
    pub created: i64,
    /// Profiles that could not be created so far.
    pub failed: i64,
}

/// What became of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum UserOutcome {
    /// The profile was created; in a dry run, it would be.
    Created,
    /// The user has a profile already.
    AlreadyExists,
    /// No such user, or none who must have a profile.
    NotExpected,
    /// The profile cannot be created.
    Failed(Failure),
}
