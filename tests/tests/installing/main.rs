//! What Rollcall puts into a database: itself, the definition, and, asked for on purpose, a trigger.

mod copies;
mod definition;
mod install;
mod signup_is_never_blocked;
mod signup_trigger;
mod supabase_cli;
mod upgrades;
