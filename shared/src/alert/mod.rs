//! What people are told, and when: incidents that open, remind and are resolved.
//!
//! [`incident`] decides, as a pure function of how things were, what a check found, and the time. [`digest`] puts a
//! report into words, [`notice`] makes a message of it, and [`envelope`] gives the message the form that each kind of
//! subscriber reads. [`store`] keeps incidents and messages in the database, so that invocations that overlap, or are
//! repeated, or end halfway, tell each thing once.

pub mod digest;
pub mod envelope;
pub mod incident;
pub mod notice;
pub mod store;

pub use incident::{Incident, Observation, Previous, Settings, Severity, decide};
pub use notice::{Kind, Notice};
