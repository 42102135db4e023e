//! What one process remembers while its database cannot keep anything: for a process that goes on, such as `rollcall
//! watch`. A function is better served by an alarm, since each of its instances would remember for itself.

use jiff::Timestamp;
use uuid::Uuid;

use super::check_result::CheckResult;
use super::incident::{Incident, Previous, decide};
use super::notification::Notification;
use super::settings::Settings;

/// An outage that people have heard of, and what they have yet to hear of it.
#[derive(Debug, Default)]
pub struct Outage {
    open: Option<Incident>,
    /// What nobody has taken yet, oldest first.
    pub unsent: Vec<Notification>,
}

impl Outage {
    /// A check could not reach the database, or what it decided could not be kept there.
    pub fn goes_on(&mut self, result: &CheckResult, now: Timestamp, settings: &Settings) {
        let previous = Previous {
            open: self.open.take(),
            has_unsent: !self.unsent.is_empty(),
            fresh_id: Uuid::new_v4(),
            ..Previous::default()
        };
        let decision = decide(&previous, result, now, settings);
        self.open = decision
            .incident
            .filter(|incident| incident.resolved_at.is_none());
        self.unsent.extend(decision.notifications);
    }

    /// A check's decision was kept in the database.
    pub fn is_over(&mut self, result: &CheckResult, now: Timestamp, settings: &Settings) {
        if self.open.is_some() {
            self.goes_on(&result.looking_again(), now, settings);
        }
    }
}
