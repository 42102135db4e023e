use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::alert::check_result::CheckResult;
use crate::alert::incident::{Previous, decide};
use crate::alert::origin::Origin;
use crate::alert::settings::Settings;
use crate::checks::UserCounts;
use crate::checks::health::HealthReport;
use crate::checks::recent::{RecentIssue, RecentReport};
use crate::error::Error;
use crate::finding::{self, Finding};
use crate::scheduled_check::ScheduledReport;
use crate::verdict::Verdict;

const MAX_SNS_MESSAGE: usize = 256 * 1024;

/// What the database keeps of a message.
const MAX_KEPT: usize = 65_536;

/// As in `message/email.rs`.
const WIDTH: usize = 72;

fn after(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + 60 * minutes).expect("in range")
}

fn with_missing(missing: i64) -> CheckResult {
    health(missing, [])
}

/// The next signup, as a probe found it.
fn without_profile() -> Finding {
    finding::signups_without_profile(&["email".to_owned()])
}

fn not_known() -> Finding {
    finding::probe_without_answer(&["email".to_owned()])
}

/// What the doctor says of a trigger that is switched off.
fn cause() -> Finding {
    let mut cause = finding::diagnosed(
        "signup_trigger_disabled",
        "critical",
        "the trigger that makes profiles is switched off, so the next signup gets no profile".to_owned(),
        "Make the trigger anew, which switches it on. Then repair who was missed: rollcall backfill --apply.".to_owned(),
    )
    .expect("a severity");
    cause.meaning = Some("Everyone who signs up from now on is without a profile. Supabase Auth notices nothing, and neither do its logs.".to_owned());
    cause.evidence =
        vec!["trigger on_auth_user_created on auth.users runs public.handle_new_user()".to_owned()];
    cause.fix = Some("create or replace trigger on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION handle_new_user();".to_owned());
    cause
}

fn health(missing: i64, more: impl IntoIterator<Item = Finding>) -> CheckResult {
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
    findings.extend(more);
    let report = HealthReport {
        verdict: Verdict::from_findings(&findings),
        findings,
        check_time: after(0),
        recent_signups_count: Some(3),
        signups_missing_profiles: Some(missing.min(1)),
        health_percentage: Some(66.67),
        users: Some(users),
        signup_trigger: Some("in_place".to_owned()),
        evidence: None,
    };
    report.to_result()
}

fn recent(issues: u128) -> CheckResult {
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
    report.to_result()
}

/// The same with what the doctor was asked for.
fn recent_with_cause(issues: u128) -> CheckResult {
    let mut result = recent(issues);
    result.summary.add_causes(&[cause()]);
    result
}

/// The last message of an incident that was seen like this, minute by minute.
fn last_of(seen: &[(i64, CheckResult)]) -> Notification {
    let mut previous = Previous {
        fresh_id: Uuid::from_u128(7),
        ..Previous::default()
    };
    let mut last = None;
    for (minutes, result) in seen {
        let decision = decide(&previous, result, after(*minutes), &Settings::default());
        previous.open = decision.incident;
        last = decision.notifications.into_iter().next_back();
    }
    last.expect("the last report leads to a message")
}

fn origin() -> Origin {
    Origin::from_variables(|name| {
        let value = match name {
            "PROJECT_NAME" => "myapp",
            "ENVIRONMENT_NAME" => "production",
            "DASHBOARD_URL" => "https://dashboard.example/?a=1&b=2",
            "GUIDE_URL" => "https://guide.example/",
            _ => return None,
        };
        Some(value.to_owned())
    })
    .with_link("Logs", "https://logs.example/#group/$252Faws")
}

/// Everything that somebody may see of a message, form by form.
fn shown(notification: &Notification) -> String {
    let origin = origin();
    let (subject, text) = (
        subject(notification, &origin),
        email::text(notification, &origin),
    );
    assert!(subject.is_ascii() && subject.len() <= 100, "{subject}");
    let long: Vec<_> = text
        .lines()
        .filter(|line| line.len() > WIDTH)
        .filter(|line| !line.contains("://") && !line.contains(" TRIGGER "))
        .filter(|line| !line.contains("create or replace"))
        .collect();
    assert!(long.is_empty(), "{long:?}");
    assert!(!text.contains("\n\n\n") && !text.contains(" \n"), "{text}");
    let slack = slack::body(notification, &origin);
    let chat = amazon_q::notification(notification, &origin);
    let json = |value: &Value| serde_json::to_string_pretty(value).expect("JSON");
    format!(
        "{subject}\n\n{text}\n=== Slack\n{}\n\n=== Amazon Q\n{}\n{}\n\n=== JSON\n{}",
        slack["text"].as_str().expect("a text"),
        chat["content"]["description"].as_str().expect("a text"),
        json(&chat),
        json(&payload::body(notification, &origin)),
    )
}

#[test]
fn every_message_of_the_hourly_check() {
    let twelve = || with_missing(12);
    let unknown = HealthReport::unknown(&Error::Timeout, after(0));
    for (name, seen) in [
        ("opened", vec![(0, twelve())]),
        (
            "changed",
            vec![
                (0, twelve()),
                (60, health(12, [without_profile(), cause()])),
            ],
        ),
        ("worse", vec![(0, with_missing(1)), (60, twelve())]),
        ("reminder", vec![(0, twelve()), (240, twelve())]),
        ("resolved", vec![(0, twelve()), (95, with_missing(0))]),
        ("outage", vec![(0, health(0, [without_profile(), cause()]))]),
        ("not_known", vec![(0, health(0, [not_known()]))]),
        ("blind", vec![(0, unknown.to_result())]),
    ] {
        insta::assert_snapshot!(format!("health_{name}"), shown(&last_of(&seen)));
    }
}

#[test]
fn every_message_of_the_check_of_recent_signups() {
    let unknown = RecentReport::unknown(&Error::Timeout, after(0));
    for (name, seen) in [
        ("opened", vec![(0, recent_with_cause(12))]),
        ("without_cause", vec![(0, recent(1))]),
        ("changed", vec![(0, recent(1)), (5, recent_with_cause(12))]),
        (
            "reminder",
            vec![(0, recent(1)), (241, recent_with_cause(1))],
        ),
        ("resolved", vec![(0, recent(1)), (4000, recent(0))]),
        ("blind", vec![(0, unknown.to_result())]),
    ] {
        insta::assert_snapshot!(format!("recent_{name}"), shown(&last_of(&seen)));
    }
}

#[test]
fn a_message_from_nowhere_goes_without_names_and_links() {
    let notification = last_of(&[(0, recent(1))]);
    let text = email::text(&notification, &Origin::default());
    assert!(!text.contains("Project") && !text.contains("://"), "{text}");
    assert_eq!(
        subject(&notification, &Origin::default()),
        "Rollcall: 1 signup failing now"
    );
}

#[test]
fn each_protocol_of_sns_gets_its_form() {
    let (notification, origin) = (last_of(&[(0, recent(1))]), origin());
    let message: Value = serde_json::from_str(&sns::message(&notification, &origin)).expect("JSON");
    let form = |protocol: &str| message[protocol].as_str().expect("a text").to_owned();
    let json = |protocol| serde_json::from_str::<Value>(&form(protocol)).expect("JSON");
    for protocol in ["default", "email"] {
        assert_eq!(form(protocol), email::text(&notification, &origin));
    }
    assert_eq!(form("sms"), subject(&notification, &origin));
    assert_eq!(
        json("https"),
        amazon_q::notification(&notification, &origin)
    );
    for protocol in ["http", "sqs", "lambda"] {
        assert_eq!(json(protocol), payload::body(&notification, &origin));
    }
}

#[test]
fn all_messages_of_an_incident_are_one_thread() {
    let opened = last_of(&[(0, with_missing(1))]);
    let resolved = last_of(&[(0, with_missing(1)), (9, with_missing(0))]);
    let chat = |notification| amazon_q::notification(notification, &Origin::default());
    assert_eq!(
        chat(&opened)["metadata"]["threadId"],
        chat(&resolved)["metadata"]["threadId"]
    );
    assert_ne!(chat(&opened)["id"], chat(&resolved)["id"]);
}

/// Two bytes each in JSON, four in JSON within JSON; as bytes that are none a control character would be more.
#[test]
fn the_largest_message_fits_into_the_database_and_into_sns() {
    let long = || "\"\u{0}".repeat(1_000);
    let mut largest = cause();
    for text in [&mut largest.summary, &mut largest.next_step] {
        *text = long();
    }
    largest.meaning = Some(long());
    largest.evidence = vec![long(); 100];
    largest.fix = Some("\"".repeat(2_000));
    let mut result = with_missing(12);
    result.summary.headline = long();
    result.summary.causes = vec![(&largest).into(); 100];
    result.summary.findings = result.summary.causes.clone();
    result.summary.facts = vec![long(); 100];
    result.finding_ids = vec![long(); 100];
    let notification = last_of(&[(0, result)]);
    let kept = serde_json::to_string(&notification).expect("JSON");
    assert!(!kept.contains("u0000"));
    // jsonb shows a blank behind each colon and comma
    let blanks = kept.matches([':', ',']).count();
    assert!(kept.len() + blanks <= MAX_KEPT, "{}", kept.len());
    assert!(sns::message(&notification, &origin()).len() <= MAX_SNS_MESSAGE);
    assert_eq!(notification.clone().within_bounds(), notification);
    let chat = amazon_q::notification(&notification, &origin());
    assert!(
        chat["content"]["description"]
            .as_str()
            .expect("a text")
            .len()
            <= 2_000
    );
}

/// Half of an SQL statement does harm.
#[test]
fn sql_that_is_too_long_is_left_out_as_a_whole() {
    let mut long = cause();
    long.fix = Some("x".repeat(2_001));
    let notification = last_of(&[(0, health(1, [long]))]);
    assert_eq!(notification.causes[0].fix, None);
}
