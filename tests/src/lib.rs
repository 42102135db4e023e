//! Support for the tests: the surroundings of Rollcall's programs, each small enough to be started
//! by every test that needs it and gone when the test ends.
//!
//! - [`at_once`] does at the same time what is mostly waiting.
//! - [`authority`] signs certificates, and makes a server serve TLS.
//! - [`backfills`] makes users without a profile, and orders to repair them.
//! - [`programs`] builds and finds the workspace's own binaries.
//! - [`project`] is a Supabase project: a real PostgreSQL with a fresh database for every test.
//! - [`pooler`] puts PgBouncer before such a database.
//! - [`proxy`] is a network between a program and its database that fails where a test says.
//! - [`dump`] carries a database to another one.
//! - [`supabase_cli`] is the real Supabase CLI.
//! - [`sql`] asks a database for values, and for all that it holds.
//! - [`command_line`] runs `rollcall` to its end.
//! - [`browser`] is a real headless Chromium.
//! - [`dashboard`] is the page that `rollcall dashboard` serves.
//! - [`runtime_api`] and [`function_process`] are what AWS Lambda is to a function.
//! - [`lambda`] puts the two together with a topic that takes every alert.
//! - [`missing`] is what a machine may lack, and what becomes of the tests that need it.
//! - [`random`] is random input that can be had again.
//! - [`picture`] draws what a terminal shows, for the documentation.
//! - [`moto`] and [`inbox`] are SNS and Secrets Manager as a real server, and a subscriber of it.
//! - [`webhook`] takes what `rollcall check` and [`watch`] publish, and fails when told to.
//! - [`fake_sns`] is an SNS that fails when told to, for the quick tests of failing alerts.
//!
//! Every wait has a limit, and whatever runs into it says what it waited for.

pub mod at_once;
pub mod authority;
pub mod backfills;
pub mod browser;
pub mod command_line;
pub mod dashboard;
pub mod dump;
pub mod fake_sns;
pub mod function_process;
pub mod http;
pub mod inbox;
pub mod lambda;
mod local_server;
pub mod missing;
pub mod moto;
mod owned_process;
pub mod picture;
pub mod pooler;
pub mod programs;
pub mod project;
pub mod proxy;
pub mod random;
pub mod runtime_api;
pub mod sql;
pub mod supabase_cli;
pub mod watch;
pub mod webhook;
