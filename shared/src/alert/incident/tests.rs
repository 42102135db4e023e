use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::alert::message::subject;
use crate::alert::origin::Origin;
use crate::alert::summary::Summary;
use crate::verdict::Verdict;

const START: i64 = 1_800_000_000;

fn minute(minutes: i64) -> Timestamp {
    Timestamp::from_second(START + 60 * minutes).expect("in range")
}

/// A report of the hourly check: so many of 100 users without a profile, and whatever else is wrong.
fn report(missing: Option<i64>, finding_ids: &[&str]) -> CheckResult {
    let is_wrong = missing != Some(0) || !finding_ids.is_empty();
    CheckResult {
        check: CheckName::Health,
        verdict: match (missing, is_wrong) {
            (None, _) => Verdict::Unknown,
            (_, true) => Verdict::Inconsistent,
            (_, false) => Verdict::Consistent,
        },
        at: None,
        finding_ids: finding_ids.iter().map(|id| (*id).to_owned()).collect(),
        missing_id: missing
            .filter(|missing| *missing > 0)
            .map(|_| "missing_profiles".to_owned()),
        missing,
        of: missing.map(|_| 100),
        user_ids: Vec::new(),
        summary: Summary {
            headline: "a headline".to_owned(),
            ..Summary::default()
        },
    }
}

fn blind() -> CheckResult {
    report(None, &["database_timeout"])
}

/// A check's incidents as the database keeps them.
struct World {
    settings: Settings,
    incidents: Vec<Incident>,
    checked_at: Option<Timestamp>,
    still_missing: i64,
    told: Vec<Notification>,
}

impl World {
    fn new(settings: Settings) -> Self {
        Self {
            settings,
            incidents: Vec::new(),
            checked_at: None,
            still_missing: 0,
            told: Vec::new(),
        }
    }

    fn open(&self) -> Option<&Incident> {
        self.incidents
            .last()
            .filter(|incident| incident.resolved_at.is_none())
    }

    /// What is told because of a report at this minute.
    fn sees(&mut self, minutes: i64, result: &CheckResult) -> Vec<Kind> {
        let now = minute(minutes);
        let an_hour_ago = minute(minutes - 60);
        let previous = Previous {
            open: self.open().cloned(),
            checked_at: self.checked_at,
            recently_opened: self
                .incidents
                .iter()
                .filter(|incident| incident.resolved_at.is_some())
                .filter(|incident| incident.opened_at > an_hour_ago)
                .count()
                .try_into()
                .expect("few"),
            still_missing: self.still_missing,
            has_unsent: false,
            fresh_id: Uuid::from_u128(self.incidents.len() as u128 + 1),
        };
        let decision = decide(&previous, result, now, &self.settings);
        if !decision.is_outdated {
            self.checked_at = self.checked_at.max(result.at);
            if let Some(incident) = decision.incident {
                if previous.open.is_some() {
                    self.incidents.pop();
                }
                self.incidents.push(incident);
            }
        }
        let kinds = decision
            .notifications
            .iter()
            .map(|notification| notification.kind)
            .collect();
        self.told.extend(decision.notifications);
        kinds
    }
}

fn world() -> World {
    World::new(Settings::default())
}

#[test]
fn an_incident_is_never_less_urgent_than_its_check() {
    let mut world = world();
    let failing = CheckResult {
        check: CheckName::Recent,
        ..report(Some(1), &[])
    };
    world.sees(0, &failing);
    world.incidents[0].urgency = Urgency::Alert;
    assert_eq!(world.sees(240, &failing), [Kind::Reminder]);
    assert_eq!(world.told[1].urgency, Urgency::Critical);
}

#[test]
fn the_first_report_of_something_wrong_is_told_at_once_and_the_same_again_is_not() {
    let mut world = world();
    assert_eq!(world.sees(0, &report(Some(0), &[])), []);
    assert_eq!(world.sees(5, &report(Some(1), &[])), [Kind::Opened]);
    for minutes in 6..200 {
        assert_eq!(world.sees(minutes, &report(Some(1), &[])), []);
    }
}

#[test]
fn what_could_not_be_looked_at_is_an_incident() {
    let mut world = world();
    assert_eq!(world.sees(0, &blind()), [Kind::Opened]);
    assert_eq!(world.sees(5, &blind()), []);
    assert_eq!(world.sees(10, &report(Some(0), &[])), [Kind::Resolved]);
}

#[test]
fn an_end_is_told_at_once_with_its_duration() {
    let mut world = world();
    world.sees(0, &report(Some(3), &[]));
    assert_eq!(world.sees(95, &report(Some(0), &[])), [Kind::Resolved]);
    let last = world.told.last().expect("told");
    assert_eq!(
        subject(last, &Origin::default()),
        "Rollcall, resolved after 1 h 35 min: a headline"
    );
    assert_eq!(last.incident, world.told[0].incident);
    assert_eq!(world.sees(100, &report(Some(0), &[])), []);
}

#[test]
fn an_incident_that_stays_open_is_told_again_after_four_hours_counted_from_the_last_message() {
    let mut world = world();
    world.sees(0, &report(Some(3), &[]));
    let told: Vec<_> = (1..=12)
        .filter(|hour| world.sees(60 * hour, &report(Some(3), &[])) == [Kind::Reminder])
        .collect();
    assert_eq!(told, [4, 8, 12]);
    // seconds early is in time
    let mut almost = World::new(Settings {
        remind_after: SignedDuration::from_secs(4 * 3600 + 30),
        ..Settings::default()
    });
    almost.sees(0, &report(Some(3), &[]));
    assert_eq!(almost.sees(240, &report(Some(3), &[])), [Kind::Reminder]);
}

#[test]
fn who_has_not_heard_the_last_message_gets_no_reminder_of_it() {
    let incident = {
        let mut world = world();
        world.sees(0, &report(Some(1), &[]));
        world.open().cloned()
    };
    let previous = Previous {
        open: incident,
        has_unsent: true,
        ..Previous::default()
    };
    let decision = decide(
        &previous,
        &report(Some(1), &[]),
        minute(600),
        &Settings::default(),
    );
    assert_eq!(decision.notifications, []);
}

#[test]
fn something_else_that_is_wrong_is_told_once_in_the_same_incident() {
    let mut world = world();
    world.sees(0, &report(Some(1), &[]));
    let off = report(Some(1), &["signup_trigger_disabled"]);
    assert_eq!(world.sees(60, &off), [Kind::Changed]);
    assert_eq!(world.sees(120, &off), []);
    assert_eq!(world.sees(180, &report(Some(1), &[])), []);
    assert_eq!(world.sees(190, &off), []);
    assert_eq!(world.incidents.len(), 1);
}

#[test]
fn a_number_that_grows_tenfold_is_told_before_the_reminder() {
    let mut world = world();
    world.sees(0, &report(Some(2), &[]));
    assert_eq!(world.sees(5, &report(Some(19), &[])), []);
    assert_eq!(world.sees(10, &report(Some(20), &[])), [Kind::Changed]);
    assert_eq!(world.sees(15, &report(Some(90), &[])), []);
}

#[test]
fn blindness_does_not_end_an_incident_that_it_cannot_see() {
    let mut world = world();
    world.sees(0, &report(Some(2), &[]));
    assert_eq!(world.sees(5, &blind()), [Kind::Changed]);
    assert_eq!(world.sees(10, &report(Some(2), &[])), []);
    assert_eq!(world.sees(15, &report(Some(0), &[])), [Kind::Resolved]);
}

#[test]
fn both_limits_must_be_reached_and_half_of_either_keeps_an_incident_open() {
    let settings = Settings {
        min_missing: 4,
        min_percent: 10.0,
        ..Settings::default()
    };
    let mut world = World::new(settings);
    // enough users, too small a share; a large share, too few users; then both
    assert_eq!(world.sees(0, &report(Some(9), &[])), []);
    let of_ten = CheckResult {
        of: Some(10),
        ..report(Some(3), &[])
    };
    assert_eq!(world.sees(1, &of_ten), []);
    assert_eq!(world.sees(5, &report(Some(10), &[])), [Kind::Opened]);
    for (minutes, missing) in [(10, 9), (15, 5), (20, 8)] {
        assert_eq!(world.sees(minutes, &report(Some(missing), &[])), []);
    }
    assert_eq!(world.sees(25, &report(Some(4), &[])), [Kind::Resolved]);
    assert_eq!(world.sees(30, &report(Some(9), &[])), []);
    // what is wrong without a number knows no limit
    let off = report(Some(0), &["signup_trigger_missing"]);
    assert_eq!(world.sees(35, &off), [Kind::Opened]);
}

#[test]
fn a_cause_is_looked_for_where_recent_signups_fail() {
    let recent = |result: CheckResult| CheckResult {
        check: CheckName::Recent,
        ..result
    };
    assert!(recent(report(Some(1), &[])).lacks_cause());
    assert!(!recent(report(Some(0), &[])).lacks_cause());
    assert!(!recent(blind()).lacks_cause());
    // the hourly check has looked
    assert!(!report(Some(1), &[]).lacks_cause());
}

#[test]
fn an_incident_remembers_whom_its_newest_message_named() {
    let naming = |missing, users: &[u128]| CheckResult {
        user_ids: users.iter().copied().map(Uuid::from_u128).collect(),
        ..report(Some(missing), &[])
    };
    let mut world = world();
    let mut remembered = |minutes, result: &CheckResult| {
        world.sees(minutes, result);
        let incident = world.open().expect("it goes on");
        incident.user_ids.clone()
    };
    let named = |user| [Uuid::from_u128(user)];
    assert_eq!(remembered(0, &naming(1, &[1])), named(1));
    // no message
    assert_eq!(remembered(5, &naming(2, &[2])), named(1));
    // tenfold
    assert_eq!(remembered(10, &naming(10, &[3])), named(3));
    // a message of a check that could not see anybody
    assert_eq!(remembered(15, &blind()), named(3));
}

#[test]
fn a_check_that_flaps_is_well_only_when_it_stays_well() {
    let mut world = world();
    for minutes in [0, 10, 20] {
        assert_eq!(world.sees(minutes, &report(Some(1), &[])), [Kind::Opened]);
        assert_eq!(
            world.sees(minutes + 5, &report(Some(0), &[])),
            [Kind::Resolved]
        );
    }
    assert_eq!(world.sees(30, &report(Some(1), &[])), [Kind::Opened]);
    assert_eq!(world.sees(35, &report(Some(0), &[])), []);
    assert_eq!(world.sees(40, &report(Some(1), &[])), []);
    assert_eq!(world.sees(45, &report(Some(0), &[])), []);
    assert_eq!(world.sees(55, &report(Some(0), &[])), []);
    assert_eq!(world.sees(60, &report(Some(0), &[])), [Kind::Resolved]);
}

#[test]
fn a_recent_signup_is_not_mended_by_growing_old() {
    let mut recent = report(Some(2), &[]);
    recent.check = CheckName::Recent;
    let mut nothing_recent = report(Some(0), &[]);
    nothing_recent.check = CheckName::Recent;
    let mut world = world();
    assert_eq!(world.sees(0, &recent), [Kind::Opened]);
    world.still_missing = 2;
    assert_eq!(world.sees(20, &nothing_recent), []);
    assert_eq!(world.sees(240, &nothing_recent), [Kind::Reminder]);
    let reminder = world.told.last().expect("told");
    assert_eq!(
        subject(reminder, &Origin::default()),
        "Rollcall, still after 4 h: 2 signups still without a profile"
    );
    world.still_missing = 0;
    assert_eq!(world.sees(245, &nothing_recent), [Kind::Resolved]);
}

#[test]
fn a_report_that_was_overtaken_decides_nothing() {
    let mut world = world();
    let at = |minutes, missing| CheckResult {
        at: Some(minute(minutes)),
        ..report(Some(missing), &[])
    };
    world.sees(0, &at(0, 1));
    assert_eq!(world.sees(11, &at(10, 0)), [Kind::Resolved]);
    assert_eq!(world.sees(12, &at(9, 1)), []);
    assert_eq!(world.sees(13, &at(12, 1)), [Kind::Opened]);
}

/// Minutes since the report before, what it finds, and how often it is delivered.
#[derive(Clone, Debug)]
struct Event {
    minutes: i64,
    result: CheckResult,
    deliveries: usize,
}

fn any_event() -> impl Strategy<Value = Event> {
    let finding =
        prop::sample::subsequence(vec!["signup_trigger_disabled", "unfilled_columns"], 0..=2);
    let result = prop_oneof![
        4 => Just(report(Some(0), &[])),
        4 => (1_i64..=100, finding).prop_map(|(missing, ids)| report(Some(missing), &ids)),
        1 => Just(report(Some(0), &["signup_trigger_missing"])),
        2 => Just(blind()),
    ];
    (0_i64..300, result, 1_usize..=2).prop_map(|(minutes, result, deliveries)| Event {
        minutes,
        result,
        deliveries,
    })
}

fn any_settings() -> impl Strategy<Value = Settings> {
    (1_i64..40, 0_u8..50, 0_i64..4).prop_map(|(min_missing, min_percent, flapping_incidents)| {
        Settings {
            min_missing,
            min_percent: f64::from(min_percent),
            flapping_incidents,
            ..Settings::default()
        }
    })
}

/// `ROLLCALL_ALERT_SEQUENCES` asks for more than 10,000.
fn sequences() -> u32 {
    std::env::var("ROLLCALL_ALERT_SEQUENCES")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(10_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(sequences()))]

    #[test]
    fn each_incident_is_opened_once_and_resolved_once_however_reports_come(
        settings in any_settings(),
        events in prop::collection::vec(any_event(), 1..=50),
    ) {
        let mut world = World::new(settings);
        let mut minutes = 0;
        for Event { minutes: passed, mut result, deliveries } in events {
            minutes += passed;
            result.at = result.missing.map(|_| minute(minutes));
            for delivery in 0..deliveries {
                let told = world.sees(minutes, &result);
                prop_assert!(told.len() <= 1);
                prop_assert!(delivery == 0 || told.is_empty(), "told twice: {told:?}");
            }
            let is_loud = !result.finding_ids.is_empty()
                || result.is_over(result.missing.unwrap_or(0), &settings, false);
            prop_assert!(!is_loud || world.open().is_some(), "silent about {result:?}");
        }
        // an end that holds
        for _ in 0..2 {
            minutes += 16;
            let mut good = report(Some(0), &[]);
            good.at = Some(minute(minutes));
            world.sees(minutes, &good);
        }
        prop_assert_eq!(world.open(), None);

        let mut messages: HashMap<Uuid, Vec<&Notification>> = HashMap::new();
        for notification in &world.told {
            messages.entry(notification.incident).or_default().push(notification);
        }
        prop_assert_eq!(messages.len(), world.incidents.len());
        for told in messages.values() {
            let count = |kind| told.iter().filter(|notification| notification.kind == kind).count();
            prop_assert_eq!(count(Kind::Opened), 1);
            prop_assert_eq!(count(Kind::Resolved), 1);
            prop_assert_eq!(told[0].kind, Kind::Opened);
            prop_assert_eq!(told[told.len() - 1].kind, Kind::Resolved);
            for pair in told.windows(2) {
                let pause = pair[1].decided_at.duration_since(pair[0].decided_at);
                prop_assert!(
                    pair[1].kind != Kind::Reminder || pause + PUNCTUALITY >= settings.remind_after
                );
            }
        }
    }
}
