//! Incidents, and the one function that decides about them.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::check_result::CheckResult;
use super::notification::{Kind, Notification, Urgency};
use super::settings::Settings;
use crate::checks::history::CheckName;
use crate::wording::counted;

/// Schedules are not exact to the second: a reminder that is due within this time is not left to the next run.
const PUNCTUALITY: SignedDuration = SignedDuration::from_secs(60);

/// People hear of a number again before the reminder when it has grown so many times.
const WORSE: i64 = 10;

/// From the first report that something is wrong to the one that all is well. Ids, times and counts only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incident {
    /// Stable from the first message to the last.
    pub id: Uuid,
    /// How urgent it is.
    #[serde(rename = "severity")]
    pub urgency: Urgency,
    /// When it was found.
    pub opened_at: Timestamp,
    /// When a report last found something wrong.
    pub seen_at: Timestamp,
    /// Since when reports find nothing wrong, where that has yet to last.
    pub good_since: Option<Timestamp>,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// When people were last notified.
    pub told_at: Timestamp,
    /// Every finding that they were notified of.
    pub finding_ids: Vec<String>,
    /// Users without a profile, by the newest report that could count.
    pub missing: i64,
    /// The number in the newest message.
    pub told_missing: i64,
    /// Users whom the newest message named.
    pub user_ids: Vec<Uuid>,
}

impl Incident {
    /// What people are notified of when a check has found this.
    fn notification(
        &self,
        kind: Kind,
        change: Option<String>,
        result: &CheckResult,
        now: Timestamp,
    ) -> Notification {
        let summary = result.summary.clone();
        let is_over = kind == Kind::Resolved;
        // where all is well there is nothing to do
        let unless_over = |findings| if is_over { Vec::new() } else { findings };
        let mut finding_ids: Vec<String> = summary.causes.iter().map(|c| c.id.clone()).collect();
        for id in &self.finding_ids {
            if !finding_ids.contains(id) {
                finding_ids.push(id.clone());
            }
        }
        Notification {
            kind,
            incident: self.id,
            check: result.check,
            urgency: self.urgency,
            verdict: result.verdict,
            headline: summary.headline,
            change,
            causes: unless_over(summary.causes),
            findings: unless_over(summary.findings),
            facts: summary.facts,
            users: if is_over { Vec::new() } else { summary.users },
            more_users: summary.more_users.filter(|_| !is_over),
            missing: result.missing,
            finding_ids,
            opened_at: self.opened_at,
            checked_at: summary.checked_at,
            decided_at: now,
        }
        .within_bounds()
    }
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

/// What follows from a report.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Decision {
    /// The incident as it is now, if there is one, or was one until now.
    pub incident: Option<Incident>,
    /// What to publish.
    pub notifications: Vec<Notification>,
    /// The report is older than one that was decided on: nothing follows from it.
    pub is_outdated: bool,
}

/// Decides what `result` means, at the time `now`, after what was `previous`.
///
/// An incident opens with the first report that finds something wrong or could not look, and is resolved with the first
/// that finds nothing wrong (later where the check is flapping). In between people are notified of findings that are new,
/// of a number that has grown tenfold, and else after [`Settings::remind_after`]. Between the limit that opens and half
/// of it nothing changes.
pub fn decide(
    previous: &Previous,
    result: &CheckResult,
    now: Timestamp,
    settings: &Settings,
) -> Decision {
    if let (Some(newest), Some(at)) = (previous.checked_at, result.at)
        && at < newest
    {
        return Decision {
            incident: previous.open.clone(),
            notifications: Vec::new(),
            is_outdated: true,
        };
    }
    let missing = result.missing;
    let Some(mut incident) = previous.open.clone() else {
        let is_wrong =
            !result.finding_ids.is_empty() || result.is_over(missing.unwrap_or(0), settings, false);
        if !is_wrong {
            return Decision::default();
        }
        let incident = Incident {
            id: previous.fresh_id,
            urgency: Urgency::of(result.check),
            opened_at: now,
            seen_at: now,
            good_since: None,
            resolved_at: None,
            told_at: now,
            finding_ids: ids_of(result),
            missing: missing.unwrap_or(0),
            told_missing: missing.unwrap_or(0),
            user_ids: result.user_ids.clone(),
        };
        return Decision {
            notifications: vec![incident.notification(Kind::Opened, None, result, now)],
            incident: Some(incident),
            is_outdated: false,
        };
    };

    // A check of a stretch of time forgets whom it found; that repairs nobody.
    let mut result = result.clone();
    let named = match result.check {
        CheckName::Recent => previous.still_missing,
        CheckName::Health => 0,
    };
    if result.missing.is_some_and(|missing| missing < named) {
        result.missing = Some(named);
        result.summary.remember(named);
    }
    let result = &result;
    let missing = result.missing;
    incident.urgency = incident.urgency.max(Urgency::of(result.check));
    incident.missing = missing.unwrap_or(incident.missing);
    let mut change = None;
    let is_calm =
        result.finding_ids.is_empty() && !result.is_over(incident.missing, settings, true);
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
        let new: Vec<String> = ids_of(result)
            .into_iter()
            .filter(|id| !incident.finding_ids.contains(id))
            .collect();
        let worse = missing
            .filter(|missing| *missing >= WORSE.saturating_mul(incident.told_missing.max(1)));
        change = match worse {
            _ if !new.is_empty() => Some(format!("New: {}", new.join(", "))),
            Some(missing) => Some(format!(
                "{} without a profile, {} in the last message",
                counted(missing, "user"),
                incident.told_missing
            )),
            None => None,
        };
        incident.finding_ids.extend(new);
        let is_due = now.duration_since(incident.told_at) + PUNCTUALITY >= settings.remind_after;
        if change.is_some() {
            Some(Kind::Changed)
        } else {
            // whoever has not heard the last message needs no reminder of it
            (is_due && !previous.has_unsent).then_some(Kind::Reminder)
        }
    };
    let notifications: Vec<_> = kind
        .into_iter()
        .map(|kind| {
            incident.told_at = now;
            if let Some(missing) = missing {
                incident.told_missing = missing;
            }
            if !result.user_ids.is_empty() {
                incident.user_ids.clone_from(&result.user_ids);
            }
            incident.notification(kind, change.take(), result, now)
        })
        .collect();
    Decision {
        incident: Some(incident),
        notifications,
        is_outdated: false,
    }
}

fn ids_of(result: &CheckResult) -> Vec<String> {
    result
        .missing_id
        .iter()
        .chain(&result.finding_ids)
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests;
