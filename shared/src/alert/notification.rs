//! One message about an incident, before it has the form of a particular subscriber.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::checks::history::CheckName;
use crate::finding::Finding;
use crate::verdict::Verdict;
use crate::wording::counted;

/// How many causes and other findings a message has. Together with the limits below all fits into the 64 KiB that the
/// database keeps.
const MAX_CAUSES: usize = 3;
const MAX_FINDINGS: usize = 4;

/// The longest text of one finding's summary, meaning, evidence or next step, in bytes, and how many lines of evidence.
const MAX_TEXT: usize = 450;
const MAX_EVIDENCE: usize = 3;

/// The longest SQL, in bytes; a longer one is not cut but left out.
const MAX_FIX: usize = 2_000;

/// How many ids an end names, and the longest.
const MAX_FINDING_IDS: usize = 20;
const MAX_FINDING_ID: usize = 100;

/// The end of what was cut.
const SHORTENED: &str = " [shortened]";

/// How many users a message names, and an incident remembers.
pub const LISTED: usize = 10;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The first of an incident.
    Opened,
    /// Something else is wrong now, or it is much worse.
    Changed,
    /// It is still so.
    Reminder,
    /// The last of an incident: all is well.
    Resolved,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Changed => "changed",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
        }
    }
}

/// How urgent an incident is; it chooses the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Somebody should look today: what the hourly check finds.
    Alert,
    /// Signups fail right now: what the check of every five minutes finds.
    Critical,
}

impl Urgency {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Critical => "critical",
        }
    }

    pub(super) fn of(check: CheckName) -> Self {
        match check {
            CheckName::Health => Self::Alert,
            CheckName::Recent => Self::Critical,
        }
    }
}

/// A finding as a message has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifiedFinding {
    /// Its stable name.
    pub id: String,
    /// What is the case.
    pub summary: String,
    /// What that means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// What was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What to do next.
    pub next_step: String,
    /// The SQL that fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl From<&Finding> for NotifiedFinding {
    fn from(finding: &Finding) -> Self {
        Self {
            id: finding.id.to_owned(),
            summary: finding.summary.clone(),
            meaning: finding.meaning.clone(),
            evidence: finding.evidence.clone(),
            next_step: finding.next_step.clone(),
            fix: finding.fix.clone(),
        }
    }
}

/// A message as it is kept until somebody has taken it. Ids, counts and names from the catalog only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// What it is.
    pub kind: Kind,
    /// The incident it is about; the same from the first message to the last.
    pub incident: Uuid,
    /// The check that found it.
    pub check: CheckName,
    /// How urgent it is; it chooses the topic.
    #[serde(rename = "severity")]
    pub urgency: Urgency,
    /// The check's conclusion.
    pub verdict: Verdict,
    /// The case in a few words.
    pub headline: String,
    /// What is new since the last message, in one that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// Why, as far as the checks of the doctor know.
    pub causes: Vec<NotifiedFinding>,
    /// What else was found.
    pub findings: Vec<NotifiedFinding>,
    /// Its numbers, a sentence each.
    pub facts: Vec<String>,
    /// Some of the users concerned: the id, with or without how long ago they signed up.
    pub users: Vec<String>,
    /// Where the others are, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_users: Option<String>,
    /// Users without a profile, where they could be counted.
    pub missing: Option<i64>,
    /// What is or was wrong, by its stable names.
    pub finding_ids: Vec<String>,
    /// When the incident was found.
    pub opened_at: Timestamp,
    /// The moment that the report speaks of.
    pub checked_at: Timestamp,
    /// When this was decided on.
    pub decided_at: Timestamp,
}

impl Notification {
    /// Stable, and no other message's.
    pub fn id(&self) -> String {
        format!(
            "{}-{}-{}",
            self.incident,
            self.kind.as_str(),
            self.decided_at.as_millisecond()
        )
    }

    /// How long the incident has lasted: `3 days 4 h`, `4 h 5 min`, `12 min`, `less than a minute`.
    pub fn lasted(&self) -> String {
        spoken(self.decided_at.duration_since(self.opened_at))
    }

    /// What to do, the cause's first.
    pub fn next_steps(&self) -> impl Iterator<Item = &str> {
        self.all_findings()
            .map(|finding| finding.next_step.as_str())
    }

    /// The causes, then what else was found.
    pub(super) fn all_findings(&self) -> impl Iterator<Item = &NotifiedFinding> {
        self.causes.iter().chain(&self.findings)
    }

    /// The same, cut to what the database and a topic take: a message that nobody takes would hold up all that come after
    /// it.
    pub(super) fn within_bounds(mut self) -> Self {
        self.causes.truncate(MAX_CAUSES);
        self.findings.truncate(MAX_FINDINGS);
        for finding in self.causes.iter_mut().chain(&mut self.findings) {
            finding.evidence.truncate(MAX_EVIDENCE);
            let texts = [&mut finding.summary, &mut finding.next_step];
            for text in texts
                .into_iter()
                .chain(&mut finding.meaning)
                .chain(&mut finding.evidence)
            {
                *text = bounded(text, MAX_TEXT);
            }
            finding.id = bounded(&finding.id, MAX_FINDING_ID);
            finding.fix = finding.fix.take().filter(|fix| fix.len() <= MAX_FIX);
            if let Some(fix) = &mut finding.fix {
                *fix = bounded(fix, MAX_FIX);
            }
        }
        for texts in [&mut self.facts, &mut self.users] {
            texts.truncate(LISTED);
            for text in texts {
                *text = bounded(text, MAX_TEXT / 2);
            }
        }
        for text in [
            Some(&mut self.headline),
            self.change.as_mut(),
            self.more_users.as_mut(),
        ]
        .into_iter()
        .flatten()
        {
            *text = bounded(text, MAX_TEXT);
        }
        self.finding_ids.truncate(MAX_FINDING_IDS);
        for id in &mut self.finding_ids {
            *id = bounded(id, MAX_FINDING_ID);
        }
        self
    }
}

/// What JSON would blow up, and jsonb may refuse, becomes a blank; what is too long is cut.
fn bounded(text: &str, limit: usize) -> String {
    let kept = if text.len() > limit {
        &text[..text.floor_char_boundary(limit - SHORTENED.len())]
    } else {
        text
    };
    let mut safe = kept.replace(|c: char| c.is_control() && c != '\n', " ");
    if kept.len() < text.len() {
        safe.push_str(SHORTENED);
    }
    safe
}

fn spoken(duration: SignedDuration) -> String {
    let minutes = duration.as_mins().max(0);
    let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => "less than a minute".to_owned(),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => counted(days, "day"),
        (days, hours, _) => format!("{} {hours} h", counted(days, "day")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_cut_within_its_limit_and_says_so() {
        let full = "x".repeat(40);
        assert_eq!(bounded(&full, 40), full);
        assert_eq!(
            bounded(&format!("{full}y"), 40),
            format!("{}{SHORTENED}", "x".repeat(28))
        );
    }

    #[test]
    fn what_json_would_blow_up_becomes_a_blank_and_a_line_stays_a_line() {
        assert_eq!(bounded("a\u{0}b\nc", 40), "a b\nc");
    }
}
