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

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::alert::notification::Kind;
    use crate::alert::summary::Summary;
    use crate::checks::history::CheckName;
    use crate::verdict::Verdict;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Event {
        Unreachable,
        Kept,
        /// Somebody takes the oldest message.
        Taken,
    }

    fn unreachable() -> CheckResult {
        CheckResult {
            check: CheckName::Recent,
            verdict: Verdict::Unknown,
            at: None,
            finding_ids: vec!["database_unreachable".to_owned()],
            missing_id: None,
            missing: None,
            of: None,
            user_ids: Vec::new(),
            summary: Summary::default(),
        }
    }

    /// What is taken, in its order, if these happen an hour after another.
    fn taken(events: impl IntoIterator<Item = Event>) -> Vec<Notification> {
        let (mut outage, settings) = (Outage::default(), Settings::default());
        let (mut now, mut taken) = (Timestamp::UNIX_EPOCH, Vec::new());
        for event in events {
            now += SignedDuration::from_hours(1);
            match event {
                Event::Unreachable => outage.goes_on(&unreachable(), now, &settings),
                Event::Kept => outage.is_over(&unreachable(), now, &settings),
                Event::Taken if outage.unsent.is_empty() => {}
                Event::Taken => taken.push(outage.unsent.remove(0)),
            }
        }
        taken
    }

    /// Keeps P8 and P9.
    #[test]
    fn each_outage_is_opened_once_and_resolved_once_in_every_order_of_events() {
        const LENGTH: u32 = 8;
        const EVENTS: [Event; 3] = [Event::Unreachable, Event::Kept, Event::Taken];
        for number in 0..3_usize.pow(LENGTH) {
            let events: Vec<Event> = (0..LENGTH)
                .map(|place| EVENTS[number / 3_usize.pow(place) % 3])
                .collect();
            let end = [Event::Kept]
                .into_iter()
                .chain([Event::Taken; LENGTH as usize]);
            let taken = taken(events.iter().copied().chain(end));
            let outages = events
                .iter()
                .filter(|event| **event != Event::Taken)
                .collect::<Vec<_>>()
                .chunk_by(|one, next| one == next)
                .filter(|chunk| *chunk[0] == Event::Unreachable)
                .count();
            let told: Vec<&[Notification]> = taken
                .chunk_by(|one, next| one.incident == next.incident)
                .collect();
            assert_eq!(told.len(), outages, "{events:?}");
            for messages in told {
                let kinds: Vec<Kind> = messages.iter().map(|message| message.kind).collect();
                let [Kind::Opened, between @ .., Kind::Resolved] = &kinds[..] else {
                    panic!("{events:?}: {kinds:?}");
                };
                assert!(
                    between.iter().all(|kind| *kind == Kind::Reminder),
                    "{events:?}: {kinds:?}"
                );
            }
        }
    }

    #[test]
    fn people_are_not_reminded_of_an_outage_that_they_have_yet_to_hear_of() {
        let unheard = [Event::Unreachable; 9];
        let then = [Event::Taken; 3];
        let kinds = |events: &[Event]| -> Vec<Kind> {
            let taken = taken(events.iter().copied());
            taken.iter().map(|message| message.kind).collect()
        };
        assert_eq!(kinds(&[&unheard[..], &then].concat()), [Kind::Opened]);
        let heard = [&unheard[..], &then, &unheard, &then].concat();
        assert_eq!(kinds(&heard), [Kind::Opened, Kind::Reminder]);
    }
}
