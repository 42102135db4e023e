use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::alert::digest::WIDTH;
use crate::alert::incident::{Observation, Previous, Settings, decide};
use crate::checks::UserCounts;
use crate::checks::health::HealthReport;
use crate::checks::recent::{RecentIssue, RecentReport};
use crate::error::Error;
use crate::finding::{self, Finding};
use crate::verdict::Verdict;

const MAX_SNS_MESSAGE: usize = 256 * 1024;

fn after(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + 60 * minutes).expect("in range")
}

fn with_missing(missing: i64) -> Observation {
    health(missing, None)
}

/// The next signup, as a probe found it.
fn without_profile() -> Option<Finding> {
    Some(finding::signups_without_profile(&["email".to_owned()]))
}

fn not_known() -> Option<Finding> {
    Some(finding::probe_without_answer(&["email".to_owned()]))
}

fn health(missing: i64, next_signup: Option<Finding>) -> Observation {
    let users = UserCounts {
        total: 48,
        soft_deleted: 0,
        expected: 48,
        profiles: 48 - missing,
        healthy: 48 - missing,
        missing,
        missing_anonymous: 0,
        missing_phone: 0,
        missing_sso: 0,
        missing_unconfirmed: 0,
        orphaned: 0,
        newest_missing: (1..=u128::try_from(missing.min(10)).expect("a count"))
            .map(Uuid::from_u128)
            .collect(),
    };
    let mut findings = Vec::new();
    if missing > 0 {
        findings.push(finding::missing_profiles(missing));
    }
    findings.extend(next_signup);
    Observation::of_health(&HealthReport {
        verdict: Verdict::from_findings(&findings),
        findings,
        check_time: after(0),
        recent_signups_count: Some(3),
        signups_missing_profiles: Some(missing.min(1)),
        health_percentage: Some(66.67),
        users: Some(users),
        signup_trigger: Some("in_place".to_owned()),
        evidence: None,
    })
}

fn recent(issues: u128) -> Observation {
    let issue = |number| RecentIssue {
        user_id: Uuid::from_u128(number),
        action: None,
        created_at: after(0),
        minutes_since_signup: 1.25,
        has_auth_user: true,
        has_profile: false,
    };
    let count = i64::try_from(issues).expect("small");
    let findings = if issues > 0 {
        vec![finding::recent_missing_profiles(count, 10)]
    } else {
        Vec::new()
    };
    let mut report = RecentReport::unknown(&Error::Timeout, after(0));
    report.verdict = Verdict::from_findings(&findings);
    report.findings = findings;
    report.issues = Some((1..=issues).map(issue).collect());
    Observation::of_recent(&report)
}

fn error() -> Error {
    Error::Unreachable("connection refused".to_owned())
}

/// The last message of an incident that was seen like this, minute by minute.
fn last_of(seen: &[(i64, Observation)]) -> Notice {
    let mut previous = Previous {
        fresh_id: Uuid::from_u128(7),
        ..Previous::default()
    };
    let mut last = None;
    for (minutes, observation) in seen {
        let decision = decide(
            &previous,
            observation,
            after(*minutes),
            &Settings::default(),
        );
        previous.open = decision.incident;
        last = decision.notices.into_iter().next_back();
    }
    last.expect("the last report leads to a message")
}

/// All that a subscriber may see of a message.
fn shown(notice: &Notice) -> String {
    let subject = &notice.subject;
    assert!(subject.is_ascii() && subject.len() <= 100, "{subject}");
    let long: Vec<_> = notice
        .text
        .lines()
        .filter(|line| line.len() > WIDTH)
        .collect();
    assert!(long.is_empty(), "{long:?}");
    let message: Value = serde_json::from_str(&message(notice)).expect("JSON");
    assert_eq!(message["default"], notice.text.as_str());
    assert_eq!(message["email"], notice.text.as_str());
    let chat: Value =
        serde_json::from_str(message["https"].as_str().expect("a text")).expect("JSON");
    format!(
        "{subject}\n\n{}\n---\n{}",
        notice.text,
        serde_json::to_string_pretty(&chat).expect("JSON")
    )
}

#[test]
fn every_message_of_the_hourly_check() {
    let twelve = || with_missing(12);
    for (name, seen) in [
        ("opened", vec![(0, twelve())]),
        (
            "changed",
            vec![(0, twelve()), (60, health(12, without_profile()))],
        ),
        ("reminder", vec![(0, twelve()), (240, twelve())]),
        ("resolved", vec![(0, twelve()), (95, with_missing(0))]),
        ("outage", vec![(0, health(0, without_profile()))]),
        ("not_known", vec![(0, health(0, not_known()))]),
        (
            "blind",
            vec![(
                0,
                Observation::of_health(&HealthReport::unknown(&error(), after(0))),
            )],
        ),
    ] {
        insta::assert_snapshot!(format!("health_{name}"), shown(&last_of(&seen)));
    }
}

#[test]
fn every_message_of_the_check_of_recent_signups() {
    for (name, seen) in [
        ("opened", vec![(0, recent(12))]),
        ("changed", vec![(0, recent(1)), (5, recent(12))]),
        ("reminder", vec![(0, recent(1)), (241, recent(1))]),
        ("resolved", vec![(0, recent(1)), (4000, recent(0))]),
        (
            "blind",
            vec![(
                0,
                Observation::of_recent(&RecentReport::unknown(&error(), after(0))),
            )],
        ),
    ] {
        insta::assert_snapshot!(format!("recent_{name}"), shown(&last_of(&seen)));
    }
}

#[test]
fn all_messages_of_an_incident_are_one_thread() {
    let opened = last_of(&[(0, with_missing(1))]);
    let resolved = last_of(&[(0, with_missing(1)), (9, with_missing(0))]);
    let thread = |notice: &Notice| chat_notification(notice)["metadata"]["threadId"].clone();
    assert_eq!(thread(&opened), thread(&resolved));
    assert_ne!(
        chat_notification(&opened)["id"],
        chat_notification(&resolved)["id"]
    );
}

#[test]
fn the_largest_message_fits_into_one_of_sns() {
    let mut observation = with_missing(12);
    // two bytes each in JSON, four in JSON within JSON; as bytes that are none a control character would be more
    observation.digest.findings = "\"\u{0}".repeat(1_000_000);
    observation.digest.next_steps = vec!["\"\u{1}".repeat(1_000_000); 100];
    let notice = last_of(&[(0, observation)]);
    assert!(!notice.text.contains('\0'));
    assert!(notice.text.ends_with("[shortened]\n"));
    assert!(message(&notice).len() <= MAX_SNS_MESSAGE);

    // as somebody else may have kept it
    let kept = Notice {
        text: "\"".repeat(60_000),
        finding_ids: vec!["\"".repeat(1_000); 1_000],
        ..notice.clone()
    };
    assert!(message(&kept.within_bounds()).len() <= MAX_SNS_MESSAGE);
    assert_eq!(notice.clone().within_bounds(), notice);
}
