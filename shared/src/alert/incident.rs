//! Incidents, and the one function that decides about them.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::digest::Digest;
use super::notice::{Kind, Notice};
use crate::checks::health::HealthReport;
use crate::checks::history::CheckName;
use crate::checks::recent::RecentReport;
use crate::finding::Finding;
use crate::verdict::Verdict;

/// How many users a message names, and an incident remembers.
pub const LISTED: usize = 10;

/// Schedules are not exact to the second: a reminder that is due within this time is not left to the next run.
const PUNCTUALITY: SignedDuration = SignedDuration::from_secs(60);

/// Whoever was told of a number hears of it again before the reminder when it has grown so many times.
const WORSE: i64 = 10;

/// How urgent an incident is; it chooses the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody should look today: what the hourly check finds.
    Alert,
    /// Signups fail right now: what the check of every five minutes finds.
    Critical,
}

impl Severity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Critical => "critical",
        }
    }

    fn of(check: CheckName) -> Self {
        match check {
            CheckName::Health => Self::Alert,
            CheckName::Recent => Self::Critical,
        }
    }
}

/// When people want to be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Fewer users without a profile open no incident.
    pub min_missing: i64,
    /// A smaller share of them, in percent, opens none either.
    pub min_percent: f64,
    /// How long after a message an incident that is still open is told again.
    pub remind_after: SignedDuration,
    /// A check that had so many incidents within an hour is flapping: …
    pub flapping_incidents: i64,
    /// … then all has to be well for so long before the incident is over.
    pub flapping_hold: SignedDuration,
}

impl Default for Settings {
    /// Every user counts, and is told at once.
    fn default() -> Self {
        Self {
            min_missing: 1,
            min_percent: 0.0,
            remind_after: SignedDuration::from_hours(4),
            flapping_incidents: 3,
            flapping_hold: SignedDuration::from_mins(15),
        }
    }
}

/// From the first report that something is wrong to the one that all is well. Ids, times and counts only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Stable from the first message to the last.
    pub id: Uuid,
    /// How urgent it is.
    pub severity: Severity,
    /// When it was found.
    pub opened_at: Timestamp,
    /// When a report last found something wrong.
    pub seen_at: Timestamp,
    /// Since when reports find nothing wrong, where that has yet to last.
    pub good_since: Option<Timestamp>,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// When people were last told.
    pub told_at: Timestamp,
    /// Every finding that they were told of.
    pub finding_ids: Vec<String>,
    /// Users without a profile, by the newest report that could count.
    pub missing: i64,
    /// The number in the newest message.
    pub told_missing: i64,
    /// Users whom the newest message named.
    pub user_ids: Vec<Uuid>,
}

/// How things were before a report.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Previous {
    /// The open incident of the check.
    pub open: Option<Incident>,
    /// The moment that the newest report speaks of.
    pub checked_at: Option<Timestamp>,
    /// Incidents of the last hour that are over.
    pub recently_opened: i64,
    /// Users whom the open incident named and who still miss their profile.
    pub still_missing: i64,
    /// Whether a message has not reached its topic yet.
    pub has_unsent: bool,
    /// The id for an incident that opens now.
    pub fresh_id: Uuid,
}

/// What a check found, as far as alerts are concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Which check.
    pub check: CheckName,
    /// Its conclusion.
    pub verdict: Verdict,
    /// The moment that the report speaks of, by the database's clock. None: it could not look.
    pub at: Option<Timestamp>,
    /// Findings that are wrong, or not known, whatever the numbers are.
    pub finding_ids: Vec<String>,
    /// The finding that counts users without a profile, if there are some.
    pub missing_id: Option<String>,
    /// Users without a profile. None: it could not count.
    pub missing: Option<i64>,
    /// Of how many users, where that is known.
    pub of: Option<i64>,
    /// Some of them, newest first.
    pub user_ids: Vec<Uuid>,
    /// The report in words.
    pub digest: Digest,
}

impl Observation {
    /// What the hourly check found.
    pub fn of_health(report: &HealthReport) -> Self {
        Self {
            missing: report.users.as_ref().map(|users| users.missing),
            of: report.users.as_ref().map(|users| users.expected),
            at: report.users.as_ref().map(|_| report.check_time),
            user_ids: report
                .users
                .as_ref()
                .map(|users| users.newest_missing.clone())
                .unwrap_or_default(),
            ..Self::new(
                CheckName::Health,
                report.verdict,
                &report.findings,
                "missing_profiles",
                Digest::of_health(report),
            )
        }
    }

    /// What the check of recent signups found.
    pub fn of_recent(report: &RecentReport) -> Self {
        let missing = report
            .issues
            .iter()
            .flatten()
            .filter(|issue| issue.has_auth_user);
        let count = |id| {
            report
                .findings
                .iter()
                .find(|finding| finding.id == id)
                .and_then(|finding| finding.count)
                .unwrap_or(0)
        };
        Self {
            missing: report
                .issues
                .as_ref()
                .map(|_| count("recent_missing_profiles")),
            of: report.signups_count,
            at: report.issues.as_ref().map(|_| report.check_time),
            user_ids: missing.map(|issue| issue.user_id).take(LISTED).collect(),
            ..Self::new(
                CheckName::Recent,
                report.verdict,
                &report.findings,
                "recent_missing_profiles",
                Digest::of_recent(report),
            )
        }
    }

    fn new(
        check: CheckName,
        verdict: Verdict,
        findings: &[Finding],
        missing_id: &str,
        digest: Digest,
    ) -> Self {
        // a warning leads to no message
        let (counting, others): (Vec<_>, Vec<_>) = findings
            .iter()
            .filter(|finding| finding.verdict() != Verdict::Consistent)
            .partition(|finding| finding.id == missing_id);
        Self {
            check,
            verdict,
            at: None,
            finding_ids: others.iter().map(|finding| finding.id.to_owned()).collect(),
            missing_id: counting.first().map(|finding| finding.id.to_owned()),
            missing: None,
            of: None,
            user_ids: Vec::new(),
            digest,
        }
    }

    /// The same where only the incident is to end that was about not being able to look, or to remember.
    pub fn looking_again(&self) -> Self {
        let mut observation = Self {
            finding_ids: Vec::new(),
            missing_id: None,
            missing: Some(0),
            user_ids: Vec::new(),
            ..self.clone()
        };
        if self.verdict != Verdict::Consistent {
            observation.digest.headline = "the check works again".to_owned();
        }
        observation
    }

    /// Whether as many users, and as large a share, miss their profile. With `half`, half of both is enough: what has
    /// opened an incident at a limit does not resolve it just below.
    fn is_over(&self, missing: i64, settings: &Settings, half: bool) -> bool {
        let part = if half { 0.5 } else { 1.0 };
        // exact below 2^53 users
        #[expect(
            clippy::cast_precision_loss,
            reason = "numbers of users are far below 2^53"
        )]
        let (missing_exact, least) = (missing as f64, settings.min_missing.max(1) as f64);
        #[expect(
            clippy::cast_precision_loss,
            reason = "numbers of users are far below 2^53"
        )]
        let share = self
            .of
            .filter(|of| *of > 0)
            .map(|of| 100.0 * missing_exact / of as f64);
        missing > 0
            && missing_exact >= least * part
            && share.is_none_or(|share| share >= settings.min_percent * part)
    }
}

/// What follows from a report.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Decision {
    /// The incident as it is now, if there is one, or was one until now.
    pub incident: Option<Incident>,
    /// What to tell people.
    pub notices: Vec<Notice>,
    /// The report is older than one that was decided on: nothing follows from it.
    pub is_outdated: bool,
}

/// Decides what `observation` means, at the time `now`, after what was `previous`.
///
/// An incident opens with the first report that finds something wrong or could not look, and is resolved with the first
/// that finds nothing wrong (later where the check is flapping). In between people are told of findings that are new,
/// of a number that has grown tenfold, and else after [`Settings::remind_after`]. Between the limit that opens and half
/// of it nothing changes.
pub fn decide(
    previous: &Previous,
    observation: &Observation,
    now: Timestamp,
    settings: &Settings,
) -> Decision {
    if let (Some(newest), Some(at)) = (previous.checked_at, observation.at)
        && at < newest
    {
        return Decision {
            incident: previous.open.clone(),
            notices: Vec::new(),
            is_outdated: true,
        };
    }
    let missing = observation.missing;
    let Some(mut incident) = previous.open.clone() else {
        let is_wrong = !observation.finding_ids.is_empty()
            || observation.is_over(missing.unwrap_or(0), settings, false);
        if !is_wrong {
            return Decision::default();
        }
        let incident = Incident {
            id: previous.fresh_id,
            severity: Severity::of(observation.check),
            opened_at: now,
            seen_at: now,
            good_since: None,
            resolved_at: None,
            told_at: now,
            finding_ids: told_of(observation),
            missing: missing.unwrap_or(0),
            told_missing: missing.unwrap_or(0),
            user_ids: observation.user_ids.clone(),
        };
        return Decision {
            notices: vec![Notice::new(Kind::Opened, &incident, observation, now)],
            incident: Some(incident),
            is_outdated: false,
        };
    };

    // A check of a stretch of time forgets whom it found; they are not mended by that.
    let mut observation = observation.clone();
    let named = match observation.check {
        CheckName::Recent => previous.still_missing,
        CheckName::Health => 0,
    };
    if observation.missing.is_some_and(|missing| missing < named) {
        observation.missing = Some(named);
        observation.digest.remember(named);
    }
    let observation = &observation;
    let missing = observation.missing;
    incident.severity = incident.severity.max(Severity::of(observation.check));
    incident.missing = missing.unwrap_or(incident.missing);
    let is_calm = observation.finding_ids.is_empty()
        && !observation.is_over(incident.missing, settings, true);
    let kind = if is_calm {
        let since = *incident.good_since.get_or_insert(now);
        let is_flapping = previous.recently_opened >= settings.flapping_incidents;
        let is_settled = !is_flapping || now.duration_since(since) >= settings.flapping_hold;
        is_settled.then(|| {
            incident.resolved_at = Some(now);
            Kind::Resolved
        })
    } else {
        incident.good_since = None;
        incident.seen_at = now;
        let new: Vec<String> = told_of(observation)
            .into_iter()
            .filter(|id| !incident.finding_ids.contains(id))
            .collect();
        let is_new = !new.is_empty();
        incident.finding_ids.extend(new);
        let is_worse = missing
            .is_some_and(|missing| missing >= WORSE.saturating_mul(incident.told_missing.max(1)));
        let is_due = now.duration_since(incident.told_at) + PUNCTUALITY >= settings.remind_after;
        if is_new || is_worse {
            Some(Kind::Changed)
        } else {
            // whoever has not heard the last message needs no reminder of it
            (is_due && !previous.has_unsent).then_some(Kind::Reminder)
        }
    };
    let notices: Vec<_> = kind
        .into_iter()
        .map(|kind| {
            incident.told_at = now;
            if let Some(missing) = missing {
                incident.told_missing = missing;
            }
            if !observation.user_ids.is_empty() {
                incident.user_ids.clone_from(&observation.user_ids);
            }
            Notice::new(kind, &incident, observation, now)
        })
        .collect();
    Decision {
        incident: Some(incident),
        notices,
        is_outdated: false,
    }
}

fn told_of(observation: &Observation) -> Vec<String> {
    observation
        .missing_id
        .iter()
        .chain(&observation.finding_ids)
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests;
