//! A private PostgreSQL with a Supabase-shaped `auth` schema, for `rollcall demo` and the tests.
//!
//! [`Server`] starts a throw-away server on loopback, [`Database`] is one database in it, and
//! dropping the server, or the death of the process that started it, removes both. [`Auth`] plays
//! Supabase Auth in such a database. [`RoundTrips`] is a slow network before it.

mod account;
mod auth;
mod binaries;
mod cache;
mod data;
mod database;
mod folder;
mod kept;
mod postgres;
mod round_trips;
mod server;
mod source;
mod startup;
mod watchdog;
mod wheel;

pub use account::Account;
pub use auth::{Auth, Person, Release, SignupKind, sqlstate};
pub use binaries::Binaries;
pub use database::{Database, connect};
pub use kept::Kept;
pub use round_trips::RoundTrips;
pub use server::{Options, Server};
pub use source::Source;
