//! Finds, explains and repairs Supabase signups without a profile.
//!
//! Data flows one way: [`database`] → [`checks`] (typed rows, a report with a [`verdict::Verdict`]) → a face, which is
//! a Lambda function or the command line. What is consistent is defined in SQL, in the schema `rollcall`, and nowhere
//! else; what follows from the numbers is decided by pure functions ([`finding`], [`alert`]).

pub mod alert;
pub mod backfill;
pub mod checks;
pub mod connection_string;
pub mod dashboard;
pub mod database;
pub mod definition;
pub mod email_sync;
pub mod error;
pub mod finding;
pub mod masked;
pub mod migrations;
pub mod scheduled_check;
pub mod schema_version;
pub mod session;
pub mod signup_trigger;
pub mod stance;
pub mod verdict;
pub mod wording;

mod retry;
mod tls;
