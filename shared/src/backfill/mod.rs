//! The repair: profiles for users who have none, in runs of batches, each a transaction of its own.
//!
//! The database decides who is repaired and with what (the definition, or the application's own signup triggers), splits
//! off rows that cannot be created, and knows how far a run has come. What remains here are the options, the pace and the
//! clock.

mod batch;
mod count;
mod dry_run;
mod options;
mod pace;
mod request;
mod result;
pub mod runs;
mod start;
mod undo;
mod user;
mod worker;

pub use count::count;
pub use dry_run::{
    DryRun, MAX_ROWS, PreviewRow, ReplayedTrigger, TableWrites, WriteOperation, dry_run,
};
pub use options::{RunOptions, RunTarget, Source};
pub use request::{BackfillRequest, InvalidRequest, Selection};
pub use result::{Failure, MAX_FAILURES, Progress, RunResult, StopReason, UserResult};
pub use runs::{Run, RunKind, RunState};
pub use undo::{MAX_SKIPPED, SkipReason, SkippedProfile, Undo, undo};
pub use user::apply_to_user;
pub use worker::apply;
