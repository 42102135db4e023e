//! What the dashboard shows, read section by section.

use jiff::Timestamp;
use serde::Serialize;

use super::history::History;
use super::incidents::{self, OpenIncident};
use super::repairs::{self, Repair};
use crate::alert::Origin;
use crate::checks::doctor::{DoctorReport, SignupPath, check_ids};
use crate::checks::health::HealthReport;
use crate::checks::next_signup::{self, Asker};
use crate::checks::recent::{RecentIssue, RecentReport, Window};
use crate::connection_string::ConnectionSettings;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::finding::{self, Finding, Severity};
use crate::verdict::Verdict;

/// How many recent issues are listed; their number is of all.
const MAX_ISSUES: usize = 20;

/// Everything at a glance. What could not be looked at is null, and a finding says why.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Overview {
    /// What it is about, for the head of the page; an answer in JSON names it by itself.
    #[serde(skip)]
    pub place: Place,
    /// Verdict and findings on everything below; everyone's profile, and the last hour's signups.
    #[serde(flatten)]
    pub health: HealthReport,
    /// What people were alerted about and is not over.
    pub incidents: Option<Vec<OpenIncident>>,
    /// Signups of the last minutes that went wrong.
    pub recent: Option<RecentSignups>,
    /// Why profiles go missing, or will, as the doctor says: critical findings and warnings.
    pub causes: Option<Vec<Finding>>,
    /// What the next signup meets.
    pub signup_path: Option<SignupPath>,
    /// What scheduled checks said.
    pub history: Option<History>,
    /// The last repairs, newest first.
    pub repairs: Option<Vec<Repair>>,
}

/// Which project, and which database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The project and its environment, as their people call them.
    pub project: Option<String>,
    /// The database and its host. None: no connection string could be had.
    pub database: Option<String>,
}

impl Place {
    /// The place that a connection leads to, of a project with this name.
    pub fn of(origin: &Origin, settings: &ConnectionSettings) -> Self {
        Self {
            project: origin.name(),
            database: Some(format!(
                "{} on {}",
                settings.database_name(),
                settings.host_name()
            )),
        }
    }
}

/// Signups of the last minutes that went wrong.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecentSignups {
    /// What was looked at.
    pub window: Window,
    /// How many went wrong.
    pub issues_count: usize,
    /// The newest of them, at most 20.
    pub issues: Vec<RecentIssue>,
}

impl Overview {
    /// Reads all sections. One that cannot be read does not hide the others, and is a finding of its own.
    ///
    /// # Errors
    /// What the database refuses for the first, the check of everyone, and a connection that was lost;
    /// [`Self::unknown`] makes an overview of it.
    pub async fn take(database: &mut Database) -> Result<Self> {
        let shown = Asker::Schedule { probes: false };
        let mut health: HealthReport = next_signup::take(database, shown).await?;
        let mut blind = Vec::new();
        let recent = seen(RecentReport::take_scheduled(database).await, &mut blind)?;
        let history = seen(History::read(database, health.check_time).await, &mut blind)?;
        let incidents = seen(incidents::open(database).await, &mut blind)?;
        let mut signup_path = None;
        let causes = seen(DoctorReport::take(database).await, &mut blind)?.map(|report| {
            signup_path = report.signup_path;
            let mut causes = report.findings;
            // users are counted beside them
            causes.retain(|finding| {
                finding.severity != Severity::Info && check_ids().any(|id| id == finding.id)
            });
            causes
        });
        let repairs = seen(repairs::newest(database).await, &mut blind)?;
        let recent = recent.map(|report| {
            health.findings.extend(report.findings);
            let mut issues = report.issues.unwrap_or_default();
            let issues_count = issues.len();
            issues.truncate(MAX_ISSUES);
            RecentSignups {
                window: report.window,
                issues_count,
                issues,
            }
        });
        health.findings.extend(blind);
        health.verdict = finding::conclude(&mut health.findings);
        Ok(Self {
            place: Place::default(),
            health,
            incidents,
            recent,
            causes,
            signup_path,
            history,
            repairs,
        })
    }

    /// The overview of someone who could not look.
    pub fn unknown(error: &Error, now: Timestamp) -> Self {
        Self {
            place: Place::default(),
            health: HealthReport::unknown(error, now),
            incidents: None,
            recent: None,
            causes: None,
            signup_path: None,
            history: None,
            repairs: None,
        }
    }

    /// The same overview, of this place.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Whether anything below the findings could be looked at.
    pub(super) fn saw_anything(&self) -> bool {
        self.incidents.is_some()
            || self.recent.is_some()
            || self.causes.is_some()
            || self.history.is_some()
            || self.repairs.is_some()
    }

    /// The conclusion in one sentence.
    pub(super) fn sentence(&self) -> String {
        match (self.health.verdict, self.health.findings.first()) {
            (Verdict::Consistent, _) if self.health.findings.iter().any(|f| f.id == "unproven") => {
                "Every user who must have a profile has one. Nothing has shown yet that the next signup gets one."
                    .to_owned()
            }
            (Verdict::Consistent, _) => {
                "Every user who must have a profile has one, and the next signup gets one."
                    .to_owned()
            }
            (Verdict::Inconsistent, _) => {
                let worst = self
                    .health
                    .findings
                    .iter()
                    .find(|finding| finding.verdict() == Verdict::Inconsistent);
                capitalised(worst.map_or("something is wrong", |finding| &finding.summary))
            }
            (Verdict::Unknown, _) if self.health.users.is_none() => {
                "Nobody can tell whether users lack profiles: the check could not look.".to_owned()
            }
            (Verdict::Unknown, _) => {
                "No fault was found, but something could not be looked at.".to_owned()
            }
        }
    }
}

/// A section, or what its reader is told instead.
fn seen<T>(outcome: Result<T>, blind: &mut Vec<Finding>) -> Result<Option<T>> {
    match outcome {
        Ok(section) => Ok(Some(section)),
        // worth another try with all of them
        Err(error) if error.is_connection_lost() => Err(error),
        Err(error) => {
            let finding = finding::check_failed(&error);
            if !blind.contains(&finding) {
                blind.push(finding);
            }
            Ok(None)
        }
    }
}

/// As a sentence begins and ends.
pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    let end = if text.ends_with(['.', '?', '!']) {
        ""
    } else {
        "."
    };
    first.unwrap_or_default() + letters.as_str() + end
}
