//! The proof after a repair: every user a profile, every profile a user, the same e-mail.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{AuditLog, EmailDriftAge};
use crate::database::{Database, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding};
use crate::verdict::Verdict;

const LIMIT: Duration = Duration::from_secs(120);

/// One line of the proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Verification {
    /// The conclusion.
    pub verdict: Verdict,
    /// What led to it, the most severe first.
    pub findings: Vec<Finding>,
    /// When it was taken, by the database's clock.
    pub check_time: Timestamp,
    /// The lines.
    pub checks: Vec<Check>,
    /// Since when profiles have another e-mail than their user.
    pub email_drift: Option<EmailDriftAge>,
    /// State of the audit log, which the proof does not need: `on`, `stale` or `off`.
    pub audit_log: Option<String>,
}

impl Verification {
    /// Takes the proof.
    ///
    /// # Errors
    /// What the database refuses; [`Self::unknown`] makes a report of it.
    pub async fn take(database: &mut Database) -> Result<Self> {
        database
            .read(LIMIT, async |queries| {
                let rows = queries.rows(include_str!("verification.sql"), &[]).await?;
                let first = rows.first().ok_or(Error::UnexpectedAnswer)?;
                let check_time = column(first, "check_time")?;
                let unexpected: Option<i64> = column(first, "unexpected")?;
                let email_drift = EmailDriftAge::read(first)?;
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
                let mut findings = findings(&checks)?;
                findings.extend(unexpected.map(finding::definition_expects_nobody));
                Ok(Self {
                    verdict: finding::conclude(&mut findings),
                    findings,
                    check_time,
                    checks,
                    email_drift,
                    audit_log: Some(AuditLog::state(queries).await?),
                })
            })
            .await
    }

    /// The report of a proof that could not be taken.
    pub fn unknown(error: &Error, now: Timestamp) -> Self {
        Self {
            verdict: Verdict::Unknown,
            findings: vec![finding::check_failed(error)],
            check_time: now,
            checks: Vec::new(),
            email_drift: None,
            audit_log: None,
        }
    }
}

/// Each line that is expected must be there: one that is missing was not evaluated, and one that this program does not
/// know was not understood.
fn findings(checks: &[Check]) -> Result<Vec<Finding>> {
    type Maker = fn(i64) -> Finding;
    let makers: [(&str, Maker); 3] = [
        ("Auth users without profiles", finding::missing_profiles),
        ("Profiles without auth users", finding::orphaned_profiles),
        ("Email consistency", finding::email_mismatches),
    ];
    if checks.len() != makers.len() {
        return Err(Error::UnexpectedAnswer);
    }
    let mut findings = Vec::new();
    for (name, make) in makers {
        let check = checks
            .iter()
            .find(|check| check.check_name == name)
            .ok_or(Error::UnexpectedAnswer)?;
        match check.status.as_str() {
            "PASS" => {}
            "WARNING" | "FAIL" => findings.push(make(check.count)),
            _ => return Err(Error::UnexpectedAnswer),
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, status: &str) -> Check {
        Check {
            check_name: name.to_owned(),
            status: status.to_owned(),
            count: 1,
            details: String::new(),
        }
    }

    #[test]
    fn a_missing_or_unknown_line_is_no_proof() {
        let all = [
            check("Auth users without profiles", "PASS"),
            check("Profiles without auth users", "PASS"),
            check("Email consistency", "WARNING"),
        ];
        assert_eq!(findings(&all).expect("all are there").len(), 1);
        assert!(findings(&all[..2]).is_err());
        assert!(findings(&[all[0].clone(), all[0].clone(), all[1].clone()]).is_err());
        assert!(
            findings(&[
                all[0].clone(),
                all[1].clone(),
                check("Email consistency", "SKIPPED")
            ])
            .is_err()
        );
    }
}
