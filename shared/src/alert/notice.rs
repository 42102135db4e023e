//! One message about an incident.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::incident::{Incident, Observation, Severity};
use crate::checks::history::CheckName;
use crate::verdict::Verdict;
use crate::wording::counted;

/// Longest text, in bytes. Four of them, with what JSON escapes, fit into the 256 KiB of an SNS message.
const MAX_TEXT: usize = 16 * 1024;

/// How many next steps a message lists, and how long each may be, in bytes.
const MAX_NEXT_STEPS: usize = 5;
const MAX_NEXT_STEP: usize = 500;

/// How many findings a message names, and how long each name may be, in bytes.
const MAX_FINDING_IDS: usize = 100;
const MAX_FINDING_ID: usize = 100;

/// The end of what was cut.
const SHORTENED: &str = "\n[shortened]\n";

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// A message as it is kept until a topic has taken it. Ids and counts only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is.
    pub kind: Kind,
    /// The incident it is about; the same from the first message to the last.
    pub incident: Uuid,
    /// The check that found it.
    pub check: CheckName,
    /// How urgent it is; it chooses the topic.
    pub severity: Severity,
    /// The check's conclusion.
    pub verdict: Verdict,
    /// One line of ASCII, at most 100 characters.
    pub subject: String,
    /// Short lines of plain text.
    pub text: String,
    /// What to do; empty where nothing is.
    pub next_steps: Vec<String>,
    /// Users without a profile, where they could be counted.
    pub missing: Option<i64>,
    /// What is wrong, by its stable names.
    pub finding_ids: Vec<String>,
    /// When the incident was found.
    pub opened_at: Timestamp,
    /// When this was decided on.
    pub decided_at: Timestamp,
}

impl Notice {
    pub(super) fn new(
        kind: Kind,
        incident: &Incident,
        observation: &Observation,
        now: Timestamp,
    ) -> Self {
        let digest = &observation.digest;
        let lasted = spoken(now.duration_since(incident.opened_at));
        let subject = match kind {
            Kind::Opened => format!("Rollcall: {}", digest.headline),
            Kind::Changed => format!("Rollcall, changed: {}", digest.headline),
            Kind::Reminder => format!("Rollcall, still after {lasted}: {}", digest.headline),
            Kind::Resolved => format!("Rollcall, resolved after {lasted}: {}", digest.headline),
        };
        let mut text = format!("{}\n{}", digest.opening, digest.facts);
        if kind != Kind::Resolved {
            text.push_str(&digest.listing);
        }
        text.push_str(&digest.findings);
        let _ = write!(
            text,
            "\nIncident: {}\nOpened: {:.0}\n",
            kind.as_str(),
            incident.opened_at
        );
        let _ = match kind {
            Kind::Opened => Ok(()),
            Kind::Changed | Kind::Reminder => writeln!(text, "Open for: {lasted}"),
            Kind::Resolved => writeln!(text, "Resolved: {now:.0}, after {lasted}"),
        };
        let _ = writeln!(text, "Incident id: {}", incident.id);
        Self {
            kind,
            incident: incident.id,
            check: observation.check,
            severity: incident.severity,
            verdict: observation.verdict,
            subject,
            text,
            next_steps: if kind == Kind::Resolved {
                Vec::new()
            } else {
                digest.next_steps.clone()
            },
            missing: observation.missing,
            finding_ids: observation
                .missing_id
                .iter()
                .chain(&observation.finding_ids)
                .cloned()
                .collect(),
            opened_at: incident.opened_at,
            decided_at: now,
        }
        .within_bounds()
    }

    /// The same, cut to what a topic takes: a message that no topic takes would hold up all that come after it.
    pub(super) fn within_bounds(mut self) -> Self {
        self.text = bounded(&self.text, MAX_TEXT);
        self.next_steps.truncate(MAX_NEXT_STEPS);
        for step in &mut self.next_steps {
            *step = bounded(step, MAX_NEXT_STEP);
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

/// `3 days 4 h`, `4 h 5 min`, `12 min`, `less than a minute`.
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
