//! One file a command: ask the shared crate, print, say how it ends.

pub(crate) mod backfill;
pub(crate) mod check;
pub(crate) mod ci;
pub(crate) mod completions;
pub(crate) mod dashboard;
pub(crate) mod definition;
pub(crate) mod diagnose;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod health;
pub(crate) mod manual;
pub(crate) mod migrate;
pub(crate) mod mismatches;
pub(crate) mod probe;
pub(crate) mod recent;
pub(crate) mod rollback;
pub(crate) mod runs;
pub(crate) mod schema;
pub(crate) mod sync_emails;
pub(crate) mod trigger;
pub(crate) mod undo;
pub(crate) mod verify;

mod confirmation;
mod payload;
mod progress;
mod stop;
mod trial;
mod user;
