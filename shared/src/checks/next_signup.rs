//! Will the next signup get its profile? Counts cannot tell: a signup that was refused leaves no row.
//!
//! What tells it is evidence: a signup that got its profile since the signup path last changed, or one of every kind that
//! was tried and rolled back. Each scheduled check keeps what it knows with its record.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::join;
use uuid::Uuid;

use super::doctor::Examination;
use super::probe::{LIMIT_OF_ALL, ProbeOutcome, ProbeReport};
use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding};
use crate::verdict::Verdict;

/// For the one statement that reads; trying a signup has limits of its own.
const LIMIT: Duration = Duration::from_secs(20);

/// After how long without a signup that got its profile one is tried.
const PROOF_LASTS: SignedDuration = SignedDuration::from_hours(1);

/// After how long every kind of user is tried again, since those who sign up may all be of one kind.
const PROBE_LASTS: SignedDuration = SignedDuration::from_hours(24);

/// For how long a changed signup path may stay unproven before the verdict is unknown.
pub const UNPROVEN_FOR: SignedDuration = SignedDuration::from_hours(24);

/// How far a replica may be behind.
const REPLICA_LAG: f64 = 60.0;

/// How many tables are kept with a check.
const MAX_SIDE_TABLES: usize = 20;

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Somebody at a terminal: where evidence is missing or old, a signup is tried, if that has no effect beyond a rollback.
    Person,
    /// A deployment, which has changed something: a signup is tried in any case, if that has no effect beyond a rollback.
    Deployment,
    /// A scheduled check, which keeps what it learns.
    Schedule {
        /// Whether it may try a signup, as a person may.
        probes: bool,
    },
}

/// A report that says whether the next signup gets its profile.
pub trait AboutSignups: Sized {
    /// Whether it is about everybody: it has asked the doctor.
    const IS_WHOLE: bool;

    /// For each statement that reads it.
    const LIMIT: Duration;

    /// Reads the rest of it, `together` by queries that are all sent before an answer is waited for.
    fn read(
        queries: &Queries<'_>,
        asker: Asker,
        together: Together,
    ) -> impl Future<Output = Result<Self>>;

    /// Takes what is known of the next signup in.
    fn add(&mut self, evidence: Option<Evidence>, findings: Vec<Finding>);
}

/// How several queries are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Together {
    /// All are sent before an answer is waited for. An error of one is an error of all behind it.
    Yes,
    /// One after the other, so that an error of one can be answered by another query.
    No,
}

impl Together {
    /// Both answers.
    pub(super) async fn both<A, B>(
        self,
        first: impl Future<Output = A>,
        second: impl Future<Output = B>,
    ) -> (A, B) {
        // boxed, so that what is nested does not fill the stack
        let (first, second) = (Box::pin(first), Box::pin(second));
        match self {
            Self::Yes => join!(first, second),
            Self::No => (first.await, second.await),
        }
    }
}

/// Takes a report with what is known of the next signup, trying one where that is due. A report without a definition has
/// nothing of that.
///
/// # Errors
/// What the database refuses to a report of this kind, and what may pass by itself: a lost connection, the time.
pub async fn take<R: AboutSignups>(database: &mut Database, asker: Asker) -> Result<R> {
    if database.looks() {
        // the copy costs more than all queries: it is made once
        return database
            .try_out(R::LIMIT + LIMIT + LIMIT_OF_ALL, async |queries| {
                queries.script("savepoint report").await?;
                let report = R::read(queries, asker, Together::No).await?;
                // a report without a definition has ended on an error
                queries.script("rollback to savepoint report").await?;
                let next = NextSignup::read(queries).await;
                let seen = match next {
                    Ok(next) => {
                        let probe = next.probe_if_due::<R>(queries, asker).await;
                        probe.map(|probe| next.judge(probe, asker))
                    }
                    Err(error) => Err(error),
                };
                with(report, seen)
            })
            .await;
    }
    let (report, next) = match at_once::<R>(database, asker).await {
        Ok((report, Err(error))) if error.is_of_aborted_transaction() => {
            // the report is one without a definition
            return Ok(report);
        }
        Ok((report, Ok(next))) => (report, Ok(next)),
        Err(error @ Error::NoDefinition { .. }) => return Err(error),
        Err(error) | Ok((_, Err(error))) if error.is_retryable() || error.is_connection_lost() => {
            return Err(error);
        }
        // one query after the other, so that the report can say what failed
        Err(_) | Ok(_) => {
            let report = database
                .read(R::LIMIT, async |queries| {
                    R::read(queries, asker, Together::No).await
                })
                .await?;
            let next = database
                .read(LIMIT, async |queries| NextSignup::read(queries).await)
                .await;
            (report, next)
        }
    };
    let next = match next {
        Ok(next) => next,
        Err(error) => return with(report, Err(error)),
    };
    let probe = if next.is_due(asker) {
        database
            .try_out(LIMIT_OF_ALL, async |queries| {
                next.probe_if_due::<R>(queries, asker).await
            })
            .await
    } else {
        Ok(None)
    };
    with(report, probe.map(|probe| next.judge(probe, asker)))
}

/// A report and the next signup, in one round trip.
async fn at_once<R: AboutSignups>(
    database: &mut Database,
    asker: Asker,
) -> Result<(R, Result<NextSignup>)> {
    database
        .read(R::LIMIT + LIMIT, async |queries| {
            queries
                .end_with(async {
                    let (report, next) = Together::Yes
                        .both(
                            R::read(queries, asker, Together::Yes),
                            NextSignup::read(queries),
                        )
                        .await;
                    Ok((report?, next))
                })
                .await
        })
        .await
}

fn with<R: AboutSignups>(mut report: R, seen: Result<(Evidence, Vec<Finding>)>) -> Result<R> {
    match seen {
        Ok((evidence, findings)) => report.add(Some(evidence), findings),
        Err(Error::NoDefinition { .. }) => {}
        Err(error) if error.is_retryable() || error.is_connection_lost() => return Err(error),
        Err(error) => report.add(None, vec![finding::check_failed(&error)]),
    }
    Ok(report)
}

/// The findings of a report and those of the next signup, each once. What is known to fail need not be shown to work.
pub(super) fn join(known: &mut Vec<Finding>, more: Vec<Finding>) {
    let is_broken = Verdict::from_findings(known) == Verdict::Inconsistent;
    for finding in more {
        if is_broken && finding.id == "unproven" {
            continue;
        }
        if known.iter().all(|other| other.id != finding.id) {
            known.push(finding);
        }
    }
}

/// What showed that a signup gets its profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProvedBy {
    /// A person signed up.
    Signup,
    /// A signup of every kind was tried and rolled back.
    Probe,
}

/// What is known of the signup path: triggers, functions, tables and what belongs to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Evidence {
    /// A fingerprint; another one means that something on the path was changed.
    pub path: String,
    /// When a check first saw the path like this.
    pub path_since: Timestamp,
    /// When a signup last got its profile on this path. None: nothing has shown it.
    pub proved_at: Option<Timestamp>,
    /// By what that was shown.
    pub proved_by: Option<ProvedBy>,
    /// When every kind of user was last tried on this path, and all was well.
    pub probed_at: Option<Timestamp>,
    /// The other tables that a signup was seen to write, each with its column that holds the user's id.
    pub side_tables: BTreeMap<String, String>,
    /// Of the newest users, those whose signup wrote their profile on this path. Not kept.
    #[serde(skip)]
    pub on_this_path: Vec<Uuid>,
}

impl Evidence {
    fn of_path(path: String, path_since: Timestamp) -> Self {
        Self {
            path,
            path_since,
            proved_at: None,
            proved_by: None,
            probed_at: None,
            side_tables: BTreeMap::new(),
            on_this_path: Vec::new(),
        }
    }

    fn prove(&mut self, at: Timestamp, by: ProvedBy) {
        if self.proved_at.is_none_or(|before| before < at) {
            self.proved_at = Some(at);
            self.proved_by = Some(by);
        }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let older = |moment: Option<Timestamp>, age| {
            moment.is_none_or(|moment| now.duration_since(moment) >= age)
        };
        older(self.proved_at, PROOF_LASTS) || older(self.probed_at, PROBE_LASTS)
    }
}

/// What the database tells, before anything is tried.
#[derive(Clone, Debug)]
struct NextSignup {
    now: Timestamp,
    evidence: Evidence,
    /// A check has kept something of the path before.
    is_remembered: bool,
    replica_age: Option<f64>,
}

impl NextSignup {
    /// Reads it; needs a definition.
    async fn read(queries: &Queries<'_>) -> Result<Self> {
        let row = queries
            .row(include_str!("next_signup/read.sql"), &[])
            .await?;
        let now: Timestamp = column(&row, "check_time")?;
        let kept: Option<Value> = column(&row, "evidence")?;
        let kept = kept.and_then(|kept| serde_json::from_value::<Evidence>(kept).ok());
        let is_remembered = kept.is_some();
        let mut evidence = weigh(
            kept,
            column(&row, "path")?,
            column(&row, "newest_signup")?,
            column(&row, "newest_on_this_path")?,
            now,
        );
        evidence.on_this_path = column(&row, "on_this_path")?;
        Ok(Self {
            evidence,
            is_remembered,
            now,
            replica_age: column(&row, "replica_age")?,
        })
    }

    fn is_due(&self, asker: Asker) -> bool {
        match asker {
            Asker::Person | Asker::Schedule { probes: true } => self.evidence.is_due(self.now),
            Asker::Deployment => true,
            Asker::Schedule { probes: false } => false,
        }
    }

    /// Tries a signup of every kind where that is due, in a transaction that will be rolled back.
    async fn probe_if_due<R: AboutSignups>(
        &self,
        queries: &Queries<'_>,
        asker: Asker,
    ) -> Result<Option<ProbeReport>> {
        if !self.is_due(asker) {
            return Ok(None);
        }
        let rights = if R::IS_WHOLE {
            Vec::new()
        } else {
            Examination::of_rights(queries).await?
        };
        Ok(Some(ProbeReport::take_in(queries, rights).await?))
    }

    /// Says what it means, with a probe where one was due.
    fn judge(self, probe: Option<ProbeReport>, asker: Asker) -> (Evidence, Vec<Finding>) {
        let Self {
            now,
            mut evidence,
            is_remembered,
            replica_age,
        } = self;
        let mut findings = Vec::new();
        if let Some(age) = replica_age.filter(|age| *age > REPLICA_LAG) {
            findings.push(finding::replica_behind(age));
        }
        let mut refused_for = Vec::new();
        let (mut is_by_rule, mut is_locked) = (false, false);
        if let Some(probe) = probe {
            let signups = probe.signups.as_deref().unwrap_or_default();
            let has = |outcome| signups.iter().any(|signup| signup.outcome == outcome);
            is_by_rule = !signups.is_empty()
                && signups.iter().all(|signup| {
                    matches!(
                        signup.outcome,
                        ProbeOutcome::RefusedByRule | ProbeOutcome::NotExpected
                    ) || signup.is_in_use == Some(false)
                });
            if probe.verdict == Verdict::Consistent && has(ProbeOutcome::RightProfile) {
                evidence.prove(now, ProvedBy::Probe);
                evidence.probed_at = Some(now);
                evidence.side_tables = signups
                    .iter()
                    .flat_map(|signup| signup.side_tables.clone())
                    .take(MAX_SIDE_TABLES)
                    .collect();
            }
            let is_broken = probe.verdict == Verdict::Inconsistent;
            let meets_locks_only = probe.meets_locks_only();
            for finding in probe.findings {
                match finding.id {
                    "probe_refused" => refused_for = finding.evidence,
                    // a person who got through tells as much
                    "probe_without_answer" if evidence.proved_at.is_some() => {}
                    // nobody signs up while somebody alters these tables, and nothing is wrong
                    "probe_without_answer" if meets_locks_only => is_locked = true,
                    _ => findings.push(finding),
                }
            }
            if is_broken {
                // signups that passed before show nothing: the path is broken now
                evidence = Evidence::of_path(evidence.path, evidence.path_since);
            }
        }
        if evidence.proved_at.is_none() && Verdict::from_findings(&findings) == Verdict::Consistent
        {
            // a person who is the first to ask cannot wait for what the next day shows
            let may_wait = is_by_rule
                || is_locked
                || (is_remembered || matches!(asker, Asker::Schedule { .. }))
                    && now.duration_since(evidence.path_since) < UNPROVEN_FOR;
            findings.push(finding::unproven(may_wait, is_by_rule, refused_for));
        }
        (evidence, findings)
    }
}

/// What counts as evidence for the path as it is now.
fn weigh(
    kept: Option<Evidence>,
    path: String,
    newest_signup: Option<Timestamp>,
    newest_on_this_path: Option<Timestamp>,
    now: Timestamp,
) -> Evidence {
    let mut evidence = match kept {
        // what is dated in the future was kept by a clock that was ahead
        Some(kept) if kept.path == path => Evidence {
            proved_at: kept.proved_at.filter(|at| *at <= now),
            probed_at: kept.probed_at.filter(|at| *at <= now),
            path_since: kept.path_since.min(now),
            ..kept
        },
        _ => Evidence::of_path(path, now),
    };
    let newest_since = newest_signup.filter(|at| *at > evidence.path_since);
    for at in [newest_on_this_path, newest_since].into_iter().flatten() {
        evidence.prove(at.min(now), ProvedBy::Signup);
    }
    evidence
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(2_000_000_000 + seconds).expect("a moment of 2033")
    }

    fn kept(proved: Option<i64>) -> Evidence {
        Evidence {
            proved_at: proved.map(at),
            proved_by: proved.map(|_| ProvedBy::Probe),
            probed_at: proved.map(at),
            ..Evidence::of_path("path".to_owned(), at(-DAY))
        }
    }

    fn next(evidence: Evidence, is_remembered: bool) -> NextSignup {
        NextSignup {
            now: at(0),
            evidence,
            is_remembered,
            replica_age: None,
        }
    }

    fn ids_and_verdict(next: NextSignup, asker: Asker) -> (Vec<&'static str>, Verdict) {
        let (_, findings) = next.judge(None, asker);
        let verdict = Verdict::from_findings(&findings);
        (findings.iter().map(|finding| finding.id).collect(), verdict)
    }

    #[test]
    fn another_path_is_without_evidence() {
        let same = weigh(Some(kept(Some(-60))), "path".to_owned(), None, None, at(0));
        assert_eq!(same.proved_at, Some(at(-60)));
        assert!(!same.is_due(at(0)));
        let other = weigh(
            Some(kept(Some(-60))),
            "other".to_owned(),
            Some(at(-30)),
            None,
            at(0),
        );
        assert_eq!(other, Evidence::of_path("other".to_owned(), at(0)));
        assert!(other.is_due(at(0)));
    }

    #[test]
    fn a_signup_on_this_path_is_evidence_and_one_from_before_is_none() {
        let weighed = |newest, on_this_path| {
            weigh(
                Some(kept(None)),
                "path".to_owned(),
                newest,
                on_this_path,
                at(0),
            )
            .proved_at
        };
        assert_eq!(weighed(Some(at(-DAY - 1)), None), None);
        assert_eq!(weighed(Some(at(-5)), None), Some(at(-5)));
        assert_eq!(
            weighed(Some(at(-DAY - 1)), Some(at(-DAY - 1))),
            Some(at(-DAY - 1))
        );
    }

    #[test]
    fn evidence_from_the_future_is_none() {
        let weighed = weigh(Some(kept(Some(60))), "path".to_owned(), None, None, at(0));
        assert_eq!((weighed.proved_at, weighed.probed_at), (None, None));
    }

    #[test]
    fn what_is_old_is_tried_again() {
        assert!(kept(Some(-3600)).is_due(at(0)));
        assert!(!kept(Some(-3599)).is_due(at(0)));
        let signups_only = Evidence {
            probed_at: Some(at(-DAY)),
            ..kept(Some(-60))
        };
        assert!(
            signups_only.is_due(at(0)),
            "those who sign up may all be of one kind"
        );
    }

    #[test]
    fn nothing_shown_is_unproven_for_a_day_and_unknown_afterwards() {
        let schedule = Asker::Schedule { probes: false };
        let since = |seconds| Evidence::of_path("path".to_owned(), at(seconds));
        for (evidence, is_remembered, asker, verdict) in [
            (since(0), false, schedule, Verdict::Consistent),
            (since(1 - DAY), true, schedule, Verdict::Consistent),
            (since(-DAY), true, schedule, Verdict::Unknown),
            (since(0), false, Asker::Person, Verdict::Unknown),
            (since(1 - DAY), true, Asker::Person, Verdict::Consistent),
        ] {
            let (ids, found) = ids_and_verdict(next(evidence, is_remembered), asker);
            assert_eq!((ids, found), (vec!["unproven"], verdict));
        }
        let (ids, verdict) = ids_and_verdict(next(kept(Some(-DAY / 2)), true), schedule);
        assert_eq!((ids, verdict), (Vec::new(), Verdict::Consistent));
    }

    #[test]
    fn a_replica_that_is_behind_tells_nothing() {
        for (age, verdict) in [(59.0, Verdict::Consistent), (61.0, Verdict::Unknown)] {
            let replica = NextSignup {
                replica_age: Some(age),
                ..next(kept(Some(-60)), true)
            };
            assert_eq!(ids_and_verdict(replica, Asker::Person).1, verdict);
        }
    }
}
