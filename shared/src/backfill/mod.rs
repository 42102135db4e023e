//! The repair: profiles for users who have none, in batches, each a transaction of its own.
//!
//! The database decides who is repaired and with what (`rollcall.expected_profile`), and sets a row that cannot be
//! created apart from those that can. What remains here is the order, the bounds and the clock.

mod outcome;
mod request;
mod run;

pub use outcome::{DryRun, Ending, Failure, MAX_FAILURES, Outcome, Progress, UserOutcome};
pub use request::{BackfillRequest, InvalidRequest, Selection};
pub use run::{apply, apply_to_user, count, dry_run};
