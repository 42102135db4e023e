//! Incidents and their messages: what invocations of one check make of them, whatever becomes of each.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use rollcall::alert::incident::Decision;
use rollcall::alert::summary::Summary;
use rollcall::alert::{CheckResult, Incident, Kind, Notification, Previous, Settings, decide};
use rollcall::checks::history::CheckName;
use rollcall::verdict::Verdict;
use rollcall_tests::{backfills::user, random};
use stateright::{Model, Property};
use uuid::Uuid;

use crate::explore;

/// The moment that so many minutes are after the beginning.
fn minute(minutes: u8) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + 60 * i64::from(minutes)).expect("in range")
}

/// What a look finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    Healthy,
    /// User 1 has no profile.
    Missing,
    /// It could not look.
    Unreachable,
}

impl Seen {
    /// The report of a look at this moment.
    pub(crate) fn result(self, check: CheckName, at: Timestamp) -> CheckResult {
        let (verdict, finding_ids, missing) = match self {
            Self::Healthy => (Verdict::Consistent, vec![], Some(0)),
            Self::Missing => (Verdict::Inconsistent, vec![], Some(1)),
            Self::Unreachable => (Verdict::Unknown, vec!["database_timeout".to_owned()], None),
        };
        let is_missing = self == Self::Missing;
        CheckResult {
            check,
            verdict,
            at: missing.map(|_| at),
            finding_ids,
            missing_id: is_missing.then(|| "missing_profiles".to_owned()),
            missing,
            of: missing.map(|_| 1),
            user_ids: if is_missing { vec![user(1)] } else { vec![] },
            summary: Summary::default(),
        }
    }
}

/// What an invocation does next, and what it has in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Invocation {
    /// Keep what follows from this look.
    Looked { at: u8, seen: Seen },
    /// Publish this message.
    Leased { message: usize },
    /// Keep whether a topic took it, as far as is known.
    Published { message: usize, is_sent: bool },
    /// Nothing: it came to its end, or died.
    Ended,
}

/// A row of `rollcall.message`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    /// Whose lease it is, and since which minute.
    pub(crate) lease: Option<(usize, u8)>,
    pub(crate) is_sent: bool,
    /// What subscribers tell it from others by.
    id: String,
    incident: Uuid,
    /// The look it was decided on.
    seen: Seen,
    looked_at: u8,
    /// The newest look that anything was decided on before.
    decided_before: Option<u8>,
    /// Users whom the incident named and who had no profile then.
    still_missing: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) minute: u8,
    pub(crate) is_repaired: bool,
    pub(crate) open: Option<Incident>,
    /// When those that are over were opened.
    ended: Vec<Timestamp>,
    checked_at: Option<Timestamp>,
    pub(crate) messages: Vec<Message>,
    pub(crate) invocations: Vec<Invocation>,
    /// The messages in the order in which the topic first took each.
    heard: Vec<usize>,
    has_heard_twice: bool,
    /// The newest look that anything was decided on.
    decided_on: Option<u8>,
    /// Answers that were lost.
    lost: usize,
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publication {
    Taken,
    Refused,
    /// The topic took it, and the answer was lost.
    TakenUnheard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// An invocation begins and looks.
    Look(Seen),
    /// Decides, keeps that and leases a message, in one transaction. An invocation that hears no answer tries again.
    Record {
        who: usize,
        is_answered: bool,
    },
    Publish {
        who: usize,
        outcome: Publication,
    },
    /// Keeps what became of the message, and leases the next one.
    Acknowledge {
        who: usize,
        is_answered: bool,
    },
    Crash(usize),
    /// Longer than a lease.
    Minute,
    /// User 1 gets the profile.
    Repair,
}

impl Action {
    fn is_unheard(self) -> bool {
        match self {
            Self::Record { is_answered, .. } | Self::Acknowledge { is_answered, .. } => {
                !is_answered
            }
            Self::Publish { outcome, .. } => outcome == Publication::TakenUnheard,
            _ => false,
        }
    }
}

/// The invocations of one check.
#[derive(Clone)]
pub(crate) struct Incidents {
    pub(crate) check: CheckName,
    pub(crate) settings: Settings,
    pub(crate) max_invocations: usize,
    pub(crate) max_lost: usize,
    pub(crate) minutes: u8,
}

impl Incidents {
    pub(crate) fn new(check: CheckName) -> Self {
        Self {
            check,
            settings: Settings {
                // due after one
                remind_after: SignedDuration::from_mins(2),
                flapping_hold: SignedDuration::from_mins(1),
                ..Settings::default()
            },
            max_invocations: random::cases(2, 3),
            max_lost: 1,
            minutes: random::cases(1, 2),
        }
    }

    /// `alert::store::record`.
    fn record(&self, state: &mut State, who: usize) {
        let Invocation::Looked { at, seen } = state.invocations[who] else {
            return;
        };
        let now = minute(state.minute);
        let names_a_user = state.open.iter().any(|open| !open.user_ids.is_empty());
        // rollcall.incident_begin
        let previous = Previous {
            open: state.open.clone(),
            checked_at: state.checked_at,
            // all within the hour
            recently_opened: state.ended.len().try_into().expect("few"),
            still_missing: i64::from(names_a_user && !state.is_repaired),
            has_unsent: state.messages.iter().any(|message| !message.is_sent),
            fresh_id: Uuid::from_u128(state.ended.len() as u128 + 1),
        };
        let result = seen.result(self.check, minute(at));
        let decision = decide(&previous, &result, now, &self.settings);
        if !decision.is_outdated {
            state.checked_at = state.checked_at.max(Some(result.moment(now)));
            Self::keep(state, decision, |notification| Message {
                kind: notification.kind,
                lease: None,
                is_sent: false,
                id: notification.id(),
                incident: notification.incident,
                seen,
                looked_at: at,
                decided_before: None,
                still_missing: previous.still_missing,
            });
            state.decided_on = state.decided_on.max(Some(at));
        }
    }

    /// `rollcall.incident_record`.
    fn keep(state: &mut State, decision: Decision, message: impl Fn(&Notification) -> Message) {
        let decided_before = state.decided_on;
        state
            .messages
            .extend(decision.notifications.iter().map(|notification| Message {
                decided_before,
                ..message(notification)
            }));
        if let Some(incident) = decision.incident {
            if incident.resolved_at.is_some() {
                state.ended.push(incident.opened_at);
                state.open = None;
            } else {
                state.open = Some(incident);
            }
        }
    }

    /// `rollcall.lease_message`.
    fn lease(state: &mut State, who: usize) -> Option<usize> {
        let now = state.minute;
        let oldest = state.messages.iter().position(|message| !message.is_sent)?;
        let lease = &mut state.messages[oldest].lease;
        if lease.is_some_and(|(owner, since)| owner != who && since == now) {
            return None;
        }
        *lease = Some((who, now));
        Some(oldest)
    }

    /// `rollcall.acknowledge_message`.
    fn acknowledge(state: &mut State, who: usize, message: usize, is_sent: bool) {
        let message = &mut state.messages[message];
        if !message.is_sent && message.lease.is_some_and(|(owner, _)| owner == who) {
            message.lease = None;
            message.is_sent = is_sent;
        }
    }

    fn go_on_with(state: &mut State, who: usize, message: Option<usize>) {
        state.invocations[who] = match message {
            Some(message) => Invocation::Leased { message },
            None => Invocation::Ended,
        };
    }

    pub(crate) fn play(&self, state: &mut State, action: Action) {
        match action {
            Action::Look(seen) => state.invocations.push(Invocation::Looked {
                at: state.minute,
                seen,
            }),
            Action::Record { who, is_answered } => {
                self.record(state, who);
                let leased = Self::lease(state, who);
                if is_answered {
                    Self::go_on_with(state, who, leased);
                }
            }
            Action::Publish { who, outcome } => {
                let Invocation::Leased { message } = state.invocations[who] else {
                    return;
                };
                if outcome != Publication::Refused {
                    if state.heard.contains(&message) {
                        state.has_heard_twice = true;
                    } else {
                        state.heard.push(message);
                    }
                }
                let is_sent = outcome == Publication::Taken;
                state.invocations[who] = Invocation::Published { message, is_sent };
            }
            Action::Acknowledge { who, is_answered } => {
                let Invocation::Published { message, is_sent } = state.invocations[who] else {
                    return;
                };
                Self::acknowledge(state, who, message, is_sent);
                let next = is_sent.then(|| Self::lease(state, who)).flatten();
                if is_answered {
                    Self::go_on_with(state, who, next);
                }
            }
            Action::Crash(who) => state.invocations[who] = Invocation::Ended,
            Action::Minute => state.minute += 1,
            Action::Repair => state.is_repaired = true,
        }
    }

    /// The same after the next check that works: every other invocation is dead, all is well, and the topic takes everything.
    fn after_a_good_check(&self, state: &State) -> State {
        let mut state = state.clone();
        state.invocations.fill(Invocation::Ended);
        state.is_repaired = true;
        state.minute += 1;
        let who = state.invocations.len();
        self.play(&mut state, Action::Look(Seen::Healthy));
        let is_answered = true;
        self.play(&mut state, Action::Record { who, is_answered });
        while state.invocations[who] != Invocation::Ended {
            let outcome = Publication::Taken;
            self.play(&mut state, Action::Publish { who, outcome });
            self.play(&mut state, Action::Acknowledge { who, is_answered });
        }
        state
    }

    fn is_everything_sent_by_a_good_check(&self, state: &State) -> bool {
        if is_anyone_at_work(state) {
            return true;
        }
        let end = self.after_a_good_check(state);
        end.messages.iter().all(|message| message.is_sent) && end.heard.len() == end.messages.len()
    }

    /// Flapping or not, two good checks are the end.
    fn has_every_incident_a_beginning_and_an_end(&self, state: &State) -> bool {
        if is_anyone_at_work(state) {
            return true;
        }
        let end = self.after_a_good_check(&self.after_a_good_check(state));
        let incidents: BTreeSet<Uuid> = end
            .messages
            .iter()
            .map(|message| message.incident)
            .collect();
        end.open.is_none()
            && incidents.len() == end.ended.len()
            && incidents.into_iter().all(|incident| {
                let heard = end.heard.iter().map(|message| &end.messages[*message]);
                let kinds: Vec<Kind> = heard
                    .filter(|message| message.incident == incident)
                    .map(|message| message.kind)
                    .collect();
                let count = |kind| kinds.iter().filter(|other| **other == kind).count();
                kinds.first() == Some(&Kind::Opened)
                    && kinds.last() == Some(&Kind::Resolved)
                    && count(Kind::Opened) == 1
                    && count(Kind::Resolved) == 1
            })
    }
}

/// A state in which somebody is: an invocation could still crash, and that leads to a state of its own.
fn is_anyone_at_work(state: &State) -> bool {
    let mut invocations = state.invocations.iter();
    invocations.any(|invocation| *invocation != Invocation::Ended)
}

impl Model for Incidents {
    type State = State;
    type Action = Action;

    /// Nothing has happened; an incident is open, and people have heard of it.
    fn init_states(&self) -> Vec<State> {
        let mut open = State::default();
        let (who, is_answered, outcome) = (0, true, Publication::Taken);
        for action in [
            Action::Look(Seen::Missing),
            Action::Record { who, is_answered },
            Action::Publish { who, outcome },
            Action::Acknowledge { who, is_answered },
        ] {
            self.play(&mut open, action);
        }
        open.invocations.clear();
        vec![State::default(), open]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.invocations.len() < self.max_invocations {
            let looks = [Seen::Healthy, Seen::Missing, Seen::Unreachable];
            actions.extend(looks.map(Action::Look));
        }
        for (who, invocation) in state.invocations.iter().enumerate() {
            match invocation {
                Invocation::Looked { .. } => actions
                    .extend([true, false].map(|is_answered| Action::Record { who, is_answered })),
                Invocation::Leased { .. } => actions.extend(
                    [
                        Publication::Taken,
                        Publication::Refused,
                        Publication::TakenUnheard,
                    ]
                    .map(|outcome| Action::Publish { who, outcome }),
                ),
                Invocation::Published { .. } => actions.extend(
                    [true, false].map(|is_answered| Action::Acknowledge { who, is_answered }),
                ),
                Invocation::Ended => continue,
            }
            actions.push(Action::Crash(who));
        }
        if state.minute < self.minutes {
            actions.push(Action::Minute);
        }
        if self.check == CheckName::Recent && !state.is_repaired {
            actions.push(Action::Repair);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.play(&mut next, action);
        next.lost += usize::from(action.is_unheard());
        (next.lost <= self.max_lost).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::<Self>::always(
                "P8: no message has the id of another",
                |_, state: &State| {
                    let ids: BTreeSet<&str> =
                        state.messages.iter().map(|message| &*message.id).collect();
                    ids.len() == state.messages.len()
                },
            ),
            Property::<Self>::always(
                "P8: messages come in the order in which they were decided",
                |_, state| state.heard.iter().copied().eq(0..state.heard.len()),
            ),
            Property::<Self>::always(
                "P8: each incident is opened once and resolved once",
                |model: &Self, state| model.has_every_incident_a_beginning_and_an_end(state),
            ),
            Property::<Self>::always(
                "P9: the next check that works sends whatever is left",
                |model: &Self, state| model.is_everything_sent_by_a_good_check(state),
            ),
            Property::<Self>::always(
                "nobody hears of anything while nothing is wrong",
                |_, state| {
                    state.messages.iter().all(|message| match message.kind {
                        Kind::Resolved => message.seen == Seen::Healthy,
                        _ => message.seen != Seen::Healthy || message.still_missing > 0,
                    })
                },
            ),
            Property::<Self>::always(
                "nothing is resolved while somebody whom it named has no profile",
                |model: &Self, state| {
                    model.check == CheckName::Health
                        || state.messages.iter().all(|message| {
                            message.kind != Kind::Resolved || message.still_missing == 0
                        })
                },
            ),
            Property::<Self>::always(
                "nothing follows from a report that was overtaken",
                |_, state| {
                    state.messages.iter().all(|message| {
                        message.seen == Seen::Unreachable
                            || Some(message.looked_at) >= message.decided_before
                    })
                },
            ),
            Property::<Self>::sometimes("a message comes twice", |_, state| state.has_heard_twice),
            Property::<Self>::sometimes("an incident is reminded of", |_, state| {
                state
                    .messages
                    .iter()
                    .any(|message| message.kind == Kind::Reminder)
            }),
            Property::<Self>::sometimes("an incident changes", |_, state| {
                state
                    .messages
                    .iter()
                    .any(|message| message.kind == Kind::Changed)
            }),
            Property::<Self>::sometimes("an incident is over", |_, state| !state.ended.is_empty()),
        ];
        if !self.is_always_flapping() {
            properties.push(Property::<Self>::sometimes(
                "a second incident is opened",
                |_, state| !state.ended.is_empty() && state.open.is_some(),
            ));
        }
        properties
    }
}

impl Incidents {
    fn is_always_flapping(&self) -> bool {
        self.settings.flapping_incidents == 0
    }
}

/// Keeps P8 and P9.
#[test]
fn every_message_of_the_hourly_check_comes_once_and_in_order_whatever_crashes() {
    explore(
        "incidents of the hourly check",
        Incidents::new(CheckName::Health),
    );
}

/// Keeps P8 and P9.
#[test]
fn every_message_about_recent_signups_comes_once_and_in_order_whatever_crashes() {
    explore(
        "incidents of recent signups",
        Incidents::new(CheckName::Recent),
    );
}

/// Keeps P8 and P9.
#[test]
fn every_message_of_a_check_that_flaps_comes_once_and_in_order_whatever_crashes() {
    let mut model = Incidents::new(CheckName::Health);
    model.settings.flapping_incidents = 0;
    explore("incidents of a check that flaps", model);
}
