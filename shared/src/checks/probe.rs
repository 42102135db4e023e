//! Does a signup get its profile now? One of every kind of user is tried, and taken back.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::join;
use tokio_postgres::Row;

use super::doctor::Examination;
use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding};
use crate::verdict::Verdict;

/// For all kinds of users, in milliseconds. A signup takes some; what triggers of the application wait for, others wait for.
const LIMIT: &str = "set local statement_timeout = 8000";

/// For all of it.
pub(super) const LIMIT_OF_ALL: Duration = Duration::from_secs(20);

/// The SQLSTATE of a statement whose time was up.
const TIME_IS_UP: &str = "57014";

/// The SQLSTATE of a lock that another transaction holds.
const LOCKED: &str = "55P03";

/// The SQLSTATE of a user whom a trigger discarded.
const DISCARDED: &str = "RC002";

/// What a probe cannot see, or roll back.
pub const NOT_SEEN: [&str; 4] = [
    "rights that only supabase_auth_admin lacks: the doctor's checks of them stand in for it",
    "e-mails and text messages that Supabase Auth fails to send, and its hooks, which take a signup back, too",
    "calls over HTTP and to other databases are not rolled back: where a signup makes them, nothing is tried",
    "statistics count what was tried",
];

/// What became of the signup of one kind of user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProbeOutcome {
    /// A profile as the definition says.
    RightProfile,
    /// A profile that differs from the definition.
    WrongProfile,
    /// The user is there, and no profile.
    NoProfile,
    /// The database refused the signup.
    Blocked,
    /// The definition does not expect a profile.
    NotExpected,
    /// It could not be tried: a lock, a right, the time.
    Unknown,
    /// A trigger of the application refused it on purpose.
    RefusedByRule,
    /// It was not tried, since it could not be rolled back.
    Refused,
}

impl ProbeOutcome {
    fn parse(word: &str) -> Result<Self> {
        Ok(match word {
            "right_profile" => Self::RightProfile,
            "wrong_profile" => Self::WrongProfile,
            "no_profile" => Self::NoProfile,
            "blocked" => Self::Blocked,
            "not_expected" => Self::NotExpected,
            "unknown" => Self::Unknown,
            "refused_by_rule" => Self::RefusedByRule,
            "refused" => Self::Refused,
            _ => return Err(Error::UnexpectedAnswer),
        })
    }
}

/// One signup that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProbedSignup {
    /// `email`, `phone`, `oauth`, `sso`, `anonymous`, `web3`, `admin_created` or `odd_metadata`.
    pub kind: String,
    /// What became of it.
    pub outcome: ProbeOutcome,
    /// SQLSTATE, where something failed.
    pub sqlstate: Option<String>,
    /// Constraint that was broken.
    pub constraint: Option<String>,
    /// Column that was refused.
    pub column: Option<String>,
    /// Columns that differ from the definition.
    pub wrong_columns: Vec<String>,
    /// Tables of the application that the signup wrote.
    pub tables_written: Vec<String>,
    /// Functions in which it failed, innermost first.
    pub failed_functions: Vec<String>,
    /// Where it went wrong: whether users of this kind exist. Nobody sends odd metadata on purpose.
    pub is_in_use: Option<bool>,
    /// Where it was blocked: `signup` or `confirmation`.
    pub step: Option<String>,
    /// What failed after a signup that passed: `sign_in`, `email_change` or `deletion`.
    pub later: BTreeMap<String, LaterFailure>,
    /// Other tables that have a row of the user now, each with the column that holds their id.
    pub side_tables: BTreeMap<String, String>,
}

/// Why a step after the signup failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LaterFailure {
    /// SQLSTATE.
    pub sqlstate: String,
    /// Functions in which it failed, innermost first.
    pub functions: Vec<String>,
}

impl ProbedSignup {
    /// The kind, and in brackets what is known of the reason: names from the catalog.
    fn described(&self) -> String {
        let reasons = [
            self.sqlstate
                .as_ref()
                .map(|code| format!("SQLSTATE {code}")),
            self.constraint
                .as_ref()
                .map(|name| format!("constraint {name}")),
            self.column.as_ref().map(|name| format!("column {name}")),
            self.failed_functions
                .first()
                .map(|name| format!("in {name}()")),
        ];
        let reasons: Vec<String> = reasons
            .into_iter()
            .flatten()
            .chain(
                self.wrong_columns
                    .iter()
                    .map(|name| format!("column {name}")),
            )
            .collect();
        if reasons.is_empty() {
            self.kind.clone()
        } else {
            format!("{} ({})", self.kind, reasons.join(", "))
        }
    }
}

/// What the probe saw.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProbeReport {
    /// The conclusion: `consistent` if every kind that must get a profile got a right one.
    pub verdict: Verdict,
    /// What led to it, the most severe first.
    pub findings: Vec<Finding>,
    /// When it began, by the database's clock.
    pub check_time: Timestamp,
    /// What became of each kind; null where none was tried.
    pub signups: Option<Vec<ProbedSignup>>,
    /// What it cannot see.
    pub not_seen: [&'static str; 4],
}

impl ProbeReport {
    /// Tries one signup of every kind, in a transaction that is rolled back.
    ///
    /// # Errors
    /// What the database refuses; [`Self::unknown`] makes a report of it.
    pub async fn take(database: &mut Database) -> Result<Self> {
        database
            .try_out(LIMIT_OF_ALL, async |queries| {
                Self::take_in(queries, Examination::of_rights(queries).await?).await
            })
            .await
    }

    /// The same in a transaction that will be rolled back, beside what is known of rights.
    pub(super) async fn take_in(queries: &Queries<'_>, mut findings: Vec<Finding>) -> Result<Self> {
        let (check_time, signups, beyond_rollback) = try_each(queries).await?;
        findings.extend(judge(&signups, beyond_rollback));
        Ok(Self {
            verdict: finding::conclude(&mut findings),
            findings,
            check_time,
            signups: Some(signups),
            not_seen: NOT_SEEN,
        })
    }

    /// Whether nothing was tried since another transaction held a lock.
    pub(super) fn meets_locks_only(&self) -> bool {
        self.signups.iter().flatten().all(|signup| {
            signup.outcome != ProbeOutcome::Unknown || signup.sqlstate.as_deref() == Some(LOCKED)
        })
    }

    /// The report of a probe that could not begin.
    pub fn unknown(error: &Error, now: Timestamp) -> Self {
        Self {
            verdict: Verdict::Unknown,
            findings: vec![finding::check_failed(error)],
            check_time: now,
            signups: None,
            not_seen: NOT_SEEN,
        }
    }
}

/// When it began, what became of each kind, and what kept it from being tried.
async fn try_each(queries: &Queries<'_>) -> Result<(Timestamp, Vec<ProbedSignup>, Vec<String>)> {
    let (limited, rows) = join!(
        queries.script(LIMIT),
        queries.rows(include_str!("probe.sql"), &[])
    );
    limited?;
    let rows = rows?;
    let first = rows.first().ok_or(Error::UnexpectedAnswer)?;
    Ok((
        column(first, "check_time")?,
        rows.iter().map(probed).collect::<Result<_>>()?,
        column(first, "beyond_rollback")?,
    ))
}

fn probed(row: &Row) -> Result<ProbedSignup> {
    let outcome = ProbeOutcome::parse(column(row, "outcome")?)?;
    Ok(ProbedSignup {
        kind: column(row, "kind")?,
        outcome,
        sqlstate: column(row, "code")?,
        constraint: column(row, "constraint_name")?,
        column: column(row, "column_name")?,
        wrong_columns: column(row, "wrong_columns")?,
        tables_written: column(row, "tables_written")?,
        failed_functions: column(row, "failed_functions")?,
        is_in_use: column(row, "is_in_use")?,
        step: column::<Option<String>>(row, "step")?.filter(|_| outcome == ProbeOutcome::Blocked),
        later: document(column(row, "later")?)?,
        side_tables: document(column(row, "side_tables")?)?,
    })
}

fn document<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|_| Error::UnexpectedAnswer)
}

/// One finding for each way in which signups went wrong.
fn judge(signups: &[ProbedSignup], beyond_rollback: Vec<String>) -> Vec<Finding> {
    let described = |wanted: &dyn Fn(&ProbedSignup) -> bool| -> Vec<String> {
        let signups = signups.iter().filter(|signup| wanted(signup));
        signups.map(ProbedSignup::described).collect()
    };
    let of =
        |outcome| described(&|signup| signup.outcome == outcome && signup.is_in_use != Some(false));
    let blocked_in = |confirmation| {
        described(&|signup| {
            signup.outcome == ProbeOutcome::Blocked
                && signup.is_in_use != Some(false)
                && (signup.step.as_deref() == Some("confirmation")) == confirmation
        })
    };
    let later = |step| -> Vec<String> {
        signups
            .iter()
            // nobody sends odd metadata on purpose, and what needs a lock or more time has shown nothing
            .filter(|signup| signup.kind != "odd_metadata")
            .filter_map(|signup| Some((signup, signup.later.get(step)?)))
            .filter(|(_, failure)| {
                ![LOCKED, TIME_IS_UP, "P0001"].contains(&failure.sqlstate.as_str())
            })
            .map(|(signup, failure)| match failure.functions.first() {
                Some(function) => format!(
                    "{} (SQLSTATE {}, in {function}())",
                    signup.kind, failure.sqlstate
                ),
                None => format!("{} (SQLSTATE {})", signup.kind, failure.sqlstate),
            })
            .collect()
    };
    let mut blocked = blocked_in(false);
    let mut refused_by_rule = of(ProbeOutcome::RefusedByRule);
    let is_discarded = |signup: &ProbedSignup| signup.sqlstate.as_deref() == Some(DISCARDED);
    if signups.iter().all(is_discarded) {
        // a trigger that discards everybody is no rule
        blocked.append(&mut refused_by_rule);
    }
    let unused = described(&|signup| signup.is_in_use == Some(false));
    type Maker = fn(&[String]) -> Finding;
    let ways: [(Vec<String>, Maker); 10] = [
        (blocked, finding::signups_blocked),
        (blocked_in(true), finding::confirmations_blocked),
        (
            of(ProbeOutcome::NoProfile),
            finding::signups_without_profile,
        ),
        (
            of(ProbeOutcome::WrongProfile),
            finding::signups_with_wrong_profile,
        ),
        (later("sign_in"), finding::sign_ins_blocked),
        (later("email_change"), finding::email_changes_blocked),
        (later("deletion"), finding::deletions_blocked),
        (of(ProbeOutcome::Unknown), finding::probe_without_answer),
        (refused_by_rule, finding::probe_refused_by_rule),
        (unused, finding::unused_kinds_fail),
    ];
    let mut findings: Vec<Finding> = ways
        .into_iter()
        .filter(|(kinds, _)| !kinds.is_empty())
        .map(|(kinds, finding)| finding(&kinds))
        .collect();
    if !of(ProbeOutcome::Refused).is_empty() {
        findings.push(finding::probe_refused(beyond_rollback));
    }
    findings
}
