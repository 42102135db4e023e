//! The proof after a repair: every user a profile, every profile a user, the same e-mail.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::database::{Database, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding};
use crate::verdict::Verdict;

const LIMIT: Duration = Duration::from_secs(120);

/// One line of the proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub check_name: String,
    /// `PASS`, `WARNING` or `FAIL`.
    pub status: String,
    /// How many rows break it.
    pub count: i64,
    /// The same in words.
    pub details: String,
}

/// The proof and its verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// The conclusion.
    pub verdict: Verdict,
    /// What led to it.
    pub findings: Vec<Finding>,
    /// When it was taken, by the database's clock.
    pub check_time: Timestamp,
    /// The lines.
    pub checks: Vec<Check>,
}

impl Verification {
    /// Takes the proof.
    ///
    /// # Errors
    /// What the database refuses; [`Self::unknown`] makes a report of it.
    pub async fn take(database: &mut Database) -> Result<Self> {
        database
            .read(LIMIT, async |queries| {
                let rows = queries
                    .rows(
                        "select now() as check_time, v.check_name, v.status, v.count, v.details
                         from public.verify_profile_completeness() v",
                        &[],
                    )
                    .await?;
                let check_time =
                    column(rows.first().ok_or(Error::UnexpectedAnswer)?, "check_time")?;
                let checks: Vec<Check> = rows
                    .iter()
                    .map(|row| {
                        Ok(Check {
                            check_name: column(row, "check_name")?,
                            status: column(row, "status")?,
                            count: column(row, "count")?,
                            details: column(row, "details")?,
                        })
                    })
                    .collect::<Result<_>>()?;
                let findings = findings(&checks)?;
                Ok(Self {
                    verdict: Verdict::from_findings(&findings),
                    findings,
                    check_time,
                    checks,
                })
            })
            .await
    }

    /// The report of a proof that could not be taken.
    pub fn unknown(error: &Error, now: Timestamp) -> Self {
        Self {
            verdict: Verdict::Unknown,
            findings: vec![finding::blind(error)],
            check_time: now,
            checks: Vec::new(),
        }
    }
}

/// A line that this program does not know would be a check that it did not evaluate.
fn findings(checks: &[Check]) -> Result<Vec<Finding>> {
    checks
        .iter()
        .filter(|check| check.status != "PASS")
        .map(|check| match check.check_name.as_str() {
            "Auth users without profiles" => Ok(finding::missing_profiles(check.count)),
            "Profiles without auth users" => Ok(finding::orphaned_profiles(check.count)),
            "Email consistency" => Ok(finding::email_mismatches(check.count)),
            _ => Err(Error::UnexpectedAnswer),
        })
        .collect()
}
