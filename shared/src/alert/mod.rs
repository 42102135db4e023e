//! When people are notified, and of what: incidents that open, remind and are resolved.
//!
//! [`incident`] decides, as a pure function of how things were, what a check found ([`check_result`]), and the time.
//! [`summary`] puts a report into words, [`notification`] is what is kept of them until it is published, and [`message`]
//! gives it the form that each kind of subscriber reads, with the names and links of [`origin`]. [`store`] keeps incidents
//! and notifications in the database, so that checks that overlap, or are repeated, or end halfway, publish each once.
//! [`notify()`] does all that for one check, through a [`Publisher`]; [`outage`] is for a process that outlives its
//! database.

pub mod check_result;
pub mod incident;
pub mod message;
pub mod notification;
mod notify;
pub mod origin;
pub mod outage;
pub mod settings;
pub mod store;
pub mod summary;

pub use check_result::CheckResult;
pub use incident::{Incident, Previous, decide};
pub use notification::{Kind, Notification, Urgency};
pub use notify::{AlertOutcome, Attempt, Notified, Publisher, Unpublished, notify};
pub use origin::Origin;
pub use settings::Settings;
