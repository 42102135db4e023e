//! The checks: each reads counts or lists from the database and turns them into a report with a verdict.

pub mod diagnosis;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod health;
pub mod history;
pub mod mismatches;
pub mod next_signup;
pub mod probe;
pub mod recent;
pub mod side_tables;
pub mod verification;

mod counts;
mod email_drift;
mod pace;

pub use counts::{AuditLog, UserCounts};
pub use email_drift::EmailDriftAge;
