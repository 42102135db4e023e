//! The repair: profiles for users who have none, in runs of batches, each a transaction of its own.
//!
//! The database decides who is repaired and with what (`rollcall.expected_profile`), sets a row that cannot be
//! created apart from those that can, and knows how far a run has come. What remains here is the order, the pace and
//! the clock.

mod batch;
mod count;
mod order;
mod outcome;
mod pace;
mod preview;
mod range;
mod request;
pub mod runs;
mod undo;
mod user;
mod worker;

pub use count::count;
pub use order::{Face, Order, Which};
pub use outcome::{
    DryRun, Ending, Failure, MAX_FAILURES, MAX_ROWS, Outcome, PreviewRow, Progress, UserOutcome,
};
pub use preview::dry_run;
pub use range::{IdRange, PlannedRange, plan};
pub use request::{BackfillRequest, InvalidRequest, Selection};
pub use runs::{Run, RunState};
pub use undo::{Kept, KeptReason, MAX_KEPT, Undo, undo};
pub use user::apply_to_user;
pub use worker::apply;
