//! Repairs: what they make and leave alone, beside each other, beside signups, and when they are stopped.

mod crashes;
mod email_sync;
mod interleavings;
mod load;
mod locked_users;
mod repair;
mod repair_cost;
mod replay;
mod runs;
