//! The numbers that several checks share.

use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::health::SignupHealth;
use super::next_signup::Together;
use super::pace::Pace;
use crate::database::{Queries, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding};

/// Users against profiles, both ways; each a number of users or profiles, never of log entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserCounts {
    /// Rows of `auth.users`.
    pub total: i64,
    /// Of these, soft-deleted: kept without personal data, no profile expected.
    pub soft_deleted: i64,
    /// Users who must have a profile, by the definition.
    pub expected: i64,
    /// Rows of the profile table.
    pub profiles: i64,
    /// Users who must have a profile and have one.
    pub healthy: i64,
    /// Users who must have a profile and have none.
    pub missing: i64,
    /// Of the missing, anonymous users.
    pub missing_anonymous: i64,
    /// Of the missing, users with a phone and no e-mail.
    pub missing_phone: i64,
    /// Of the missing, users of single sign-on.
    pub missing_sso: i64,
    /// Of the missing, users who have not confirmed e-mail or phone.
    pub missing_unconfirmed: i64,
    /// Profiles whose user is not in `auth.users`.
    pub orphaned: i64,
    /// The newest of the missing, as many as an alert names.
    #[serde(skip)]
    pub newest_missing: Vec<Uuid>,
}

impl UserCounts {
    pub(super) async fn read(queries: &Queries<'_>) -> Result<Self> {
        Self::of_row(&queries.row(include_str!("user_counts.sql"), &[]).await?)
    }

    fn of_row(row: &Row) -> Result<Self> {
        Ok(Self {
            total: column(row, "users")?,
            soft_deleted: column(row, "soft_deleted")?,
            expected: column(row, "expected")?,
            profiles: column(row, "profiles")?,
            healthy: column(row, "healthy")?,
            missing: column(row, "missing")?,
            missing_anonymous: column(row, "missing_anonymous")?,
            missing_phone: column(row, "missing_phone")?,
            missing_sso: column(row, "missing_sso")?,
            missing_unconfirmed: column(row, "missing_unconfirmed")?,
            orphaned: column(row, "orphaned")?,
            newest_missing: column(row, "newest_missing")?,
        })
    }

    /// Why nobody can be missing by a definition like this.
    pub(super) fn doubt(&self) -> Option<Finding> {
        (self.expected == 0 && self.profiles > 0 && self.total > self.soft_deleted)
            .then(|| finding::definition_expects_nobody(self.profiles))
    }

    /// What these numbers mean.
    fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.doubt().into_iter().collect();
        if self.missing > 0 {
            findings.push(finding::missing_profiles(self.missing));
        }
        if self.orphaned > 0 {
            findings.push(finding::orphaned_profiles(self.orphaned));
        }
        findings
    }
}

/// All users beside all profiles, as the doctor's facts have it.
pub(super) struct Comparison {
    pub(super) users: UserCounts,
    pub(super) signups: SignupHealth,
    pace: Option<Pace>,
}

impl Comparison {
    /// None where users and profiles could not be compared.
    pub(super) fn of_facts(facts: &Row) -> Result<Option<Self>> {
        if column::<Option<i64>>(facts, "users")?.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            users: UserCounts::of_row(facts)?,
            signups: SignupHealth::of_facts(facts)?,
            pace: Pace::of_facts(facts)?,
        }))
    }

    /// Asks for nobody by the definition: what is wrong with it is the error.
    pub(super) async fn require_definition(queries: &Queries<'_>) -> Result<()> {
        let nobody = "select rollcall.is_expected('00000000-0000-0000-0000-000000000000')";
        queries.row(nobody, &[]).await.map(drop)
    }

    /// Why there is none: counting again says it, where queries are not asked together.
    pub(super) async fn missing(queries: &Queries<'_>, together: Together) -> Error {
        if together == Together::Yes {
            return Error::UnexpectedAnswer;
        }
        let counted = UserCounts::read(queries).await;
        counted.err().unwrap_or(Error::UnexpectedAnswer)
    }

    /// What it means.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = self.users.findings();
        let pace = self.pace.as_ref();
        findings.extend(pace.and_then(|pace| pace.finding(self.signups.check_time)));
        findings
    }
}

/// What the audit log tells, if it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditLog {
    /// `on`, `stale` or `off`.
    pub state: String,
    /// Users with a signup event. None: the log is off.
    pub signups: Option<i64>,
    /// Of these, users who are no longer in `auth.users`. None: the log is off.
    pub audit_only: Option<i64>,
    /// Of the signups, users whose deletion is recorded. None: the log is off.
    pub recorded_deletions: Option<i64>,
}

impl AuditLog {
    pub(super) async fn state(queries: &Queries<'_>) -> Result<String> {
        column(
            &queries
                .row("select rollcall.audit_log_state() as state", &[])
                .await?,
            "state",
        )
    }

    pub(super) async fn read(queries: &Queries<'_>) -> Result<Self> {
        let row = queries
            .row(
                "select s.state, c.signups, c.audit_only, c.recorded_deletions
                 from (select rollcall.audit_log_state() as state) s left join lateral rollcall.audit_counts() c on s.state <> 'off'",
                &[],
            )
            .await?;
        let state: String = column(&row, "state")?;
        Ok(Self {
            state,
            signups: column(&row, "signups")?,
            audit_only: column(&row, "audit_only")?,
            recorded_deletions: column(&row, "recorded_deletions")?,
        })
    }
}
