//! The repair: profiles for users who have none, in batches, each a transaction of its own.
//!
//! The database decides who is repaired and with what (`rollcall.expected_profile`), and sets a row that cannot be
//! created apart from those that can. What remains here is the order, the bounds and the clock.

mod batch;
mod count;
mod outcome;
mod preview;
mod request;
mod run;
mod user;

pub use count::count;
pub use outcome::{DryRun, Ending, Failure, MAX_FAILURES, Outcome, Progress, UserOutcome};
pub use preview::dry_run;
pub use request::{BackfillRequest, InvalidRequest, Selection};
pub use run::apply;
pub use user::apply_to_user;
