//! Why profiles go missing, or will: one check a file, all of them run in one statement.
//!
//! A check is a query of six columns (severity, summary, meaning, evidence, next_step, fix) with one row a finding, in
//! `doctor/<id>.sql`. Before it stand the common table expressions of `doctor/prelude/`, which read the catalog and the
//! text of functions once for all checks. The role that connects needs rights to nothing but the few functions of
//! `migrations/20261127000400_rollcall_checks.sql` that answer what stands in rows.

use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::types::Type;

use super::counts::Comparison;
use super::next_signup::{self, AboutSignups, Asker, Evidence, Together};
use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding, Severity};
use crate::migrations::{self, Migration};
use crate::verdict::Verdict;

macro_rules! sql_files {
    ($folder:literal, $($name:literal,)*) => {
        &[$(($name, include_str!(concat!($folder, $name, ".sql"))),)*]
    };
}

/// Each check's id and query, in the order of their findings. Each has its section in `docs/doctor.md` and its test in
/// `tests/tests/doctor/` under the same name.
const CHECKS: &[(&str, &str)] = sql_files![
    "doctor/",
    "not_all_visible",
    "profiles_cannot_be_made",
    "signup_trigger_missing",
    "signup_trigger_disabled",
    "triggers_skipped_by_role",
    "signup_trigger_conditional",
    "signup_triggers_collide",
    "signup_trigger_not_for_insert",
    "before_trigger_discards_rows",
    "signup_function_runs_as_caller",
    "signup_function_owner_lacks_rights",
    "signup_function_lacks_schema",
    "row_level_security_blocks_signup",
    "signup_function_search_path",
    "signup_function_names_unknown_object",
    "signup_function_conflict_without_index",
    "signup_function_writes_generated_column",
    "signup_function_leaves_column_empty",
    "signup_function_needs_email",
    "signup_function_requires_session",
    "signup_function_casts_metadata",
    "signup_function_hides_errors",
    "signup_function_waits",
    "recent_failures_in_function",
    "guard_overwritten",
    "unfilled_columns",
    "profile_key_references_other_table",
    "profile_email_taken",
    "profile_key_without_cascade",
    "profile_key_without_reference",
    "users_loaded_past_trigger",
    "users_with_null_tokens",
    "anonymous_upgrade_unnoticed",
    "profiles_left_to_client",
    "migrations_incomplete",
    "rollcall_exposed",
    "rollcall_owner_lacks_rights",
    "auth_users_exposed",
    "audit_log_not_written",
];

/// Checks that say why users and profiles cannot be compared.
const UNREADABLE: [&str; 2] = ["not_all_visible", "profiles_cannot_be_made"];

/// What the checks have in common. Each may use those before it.
const PRELUDE: &[(&str, &str)] = sql_files![
    "doctor/prelude/",
    "facts",
    "place",
    "routine",
    "path_trigger",
    "run",
    "profile_insert",
    "maker",
    "trigger_state",
    "examined",
    "reading",
    "named",
    "lacking",
    "orphan",
    "client_policy",
];

/// Checks that no schedule waits for: warnings, which lock nobody out, and the audit log, all of which may have to be read
/// for an answer that the verdict does not need.
const ON_REQUEST: [&str; 6] = [
    "signup_function_waits",
    "guard_overwritten",
    "users_loaded_past_trigger",
    "users_with_null_tokens",
    "auth_users_exposed",
    "audit_log_not_written",
];

/// Checks that see what a probe cannot: it runs as the owner of Rollcall's functions.
const OF_RIGHTS: [&str; 4] = [
    "triggers_skipped_by_role",
    "signup_function_runs_as_caller",
    "signup_function_lacks_schema",
    "row_level_security_blocks_signup",
];

/// Checks that run in one statement.
pub(super) struct Checks {
    checks: Vec<(&'static str, &'static str)>,
    sql: String,
}

impl Checks {
    fn of(is_wanted: impl Fn(&str) -> bool) -> Self {
        let mut checks = CHECKS.to_vec();
        checks.retain(|(id, _)| is_wanted(id));
        let sql = statement(&checks);
        Self { checks, sql }
    }

    /// All that there are.
    pub(super) fn all() -> &'static Self {
        static ALL: LazyLock<Checks> = LazyLock::new(|| Checks::of(|_| true));
        &ALL
    }

    /// Those that a schedule asks for.
    pub(super) fn scheduled() -> &'static Self {
        static SCHEDULED: LazyLock<Checks> =
            LazyLock::new(|| Checks::of(|id| !ON_REQUEST.contains(&id)));
        &SCHEDULED
    }

    fn of_rights() -> &'static Self {
        static CHECKS_OF_RIGHTS: LazyLock<Checks> =
            LazyLock::new(|| Checks::of(|id| OF_RIGHTS.contains(&id)));
        &CHECKS_OF_RIGHTS
    }
}

/// What the migrations make in the schema `rollcall`, and who may call what of it; no second list of either exists.
static MADE: LazyLock<Value> = LazyLock::new(|| {
    let objects: Vec<&str> = migrations::ALL
        .iter()
        .flat_map(Migration::objects)
        .collect();
    let grants: Vec<Value> = migrations::ALL
        .iter()
        .flat_map(Migration::grants)
        .map(|(role, function)| json!({ "role": role, "function": function }))
        .collect();
    json!({ "objects": objects, "grants": grants })
});

/// The ids of the checks, in the order of their findings.
pub fn check_ids() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(id, _)| *id)
}

/// What the doctor found.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DoctorReport {
    /// The conclusion: `inconsistent` where signups fail, or profiles are missing or will be.
    pub verdict: Verdict,
    /// What led to it, the most severe first, each with what it means, what was seen, and what fixes it.
    pub findings: Vec<Finding>,
    /// When it was taken, by the database's clock.
    pub check_time: Timestamp,
    /// How many checks looked; null where none could.
    pub checks: Option<usize>,
    /// What has shown that signups get their profiles.
    pub evidence: Option<Evidence>,
    /// What the next signup meets; null where nobody could look.
    #[serde(skip)]
    pub signup_path: Option<SignupPath>,
}

/// What a signup meets on its way to a profile, as the catalog shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignupPath {
    /// Whether a trigger of Rollcall's makes the profiles that are missing.
    pub makes_profiles: bool,
    /// The application's functions that Rollcall guards, by name.
    pub guarded: Vec<String>,
    /// Where a signup writes the profile; null: there is no definition.
    pub profile_table: Option<String>,
}

impl AboutSignups for DoctorReport {
    const IS_WHOLE: bool = true;
    const LIMIT: Duration = Duration::from_secs(20);

    async fn read(queries: &Queries<'_>, _asker: Asker, together: Together) -> Result<Self> {
        // An error ends the transaction, so the definition comes last.
        let (examination, definition) = together
            .both(
                Examination::take(queries, Checks::all(), together),
                Comparison::require_definition(queries),
            )
            .await;
        let Examination {
            check_time,
            mut findings,
            signup_path,
            comparison,
            ..
        } = examination?;
        let comparison = match (definition, comparison) {
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(Comparison::missing(queries, together).await),
            (Ok(()), Some(comparison)) => Ok(comparison),
        };
        match comparison {
            Ok(comparison) => {
                findings.splice(0..0, comparison.findings());
            }
            Err(error @ Error::NoDefinition { .. }) if together == Together::Yes => {
                findings.push(finding::check_failed(&error));
            }
            Err(error) if error.is_retryable() || together == Together::Yes => return Err(error),
            // the checks have said why
            Err(_) if findings.iter().any(|f| UNREADABLE.contains(&f.id)) => {}
            Err(error) => findings.push(finding::check_failed(&error)),
        }
        Ok(Self {
            verdict: finding::conclude(&mut findings),
            findings,
            check_time,
            checks: Some(CHECKS.len()),
            evidence: None,
            signup_path: Some(signup_path),
        })
    }

    fn add(&mut self, evidence: Option<Evidence>, findings: Vec<Finding>) {
        self.evidence = evidence;
        next_signup::join(&mut self.findings, findings);
        self.verdict = finding::conclude(&mut self.findings);
    }
}

impl DoctorReport {
    /// Runs every check, and counts the users who are without a profile now.
    ///
    /// # Errors
    /// What the database refuses; [`Self::unknown`] makes a report of it.
    pub async fn take(database: &mut Database) -> Result<Self> {
        database
            .read(Self::LIMIT, async |queries| {
                Self::read(queries, Asker::Person, Together::No).await
            })
            .await
    }

    /// The report of a doctor who could not look.
    pub fn unknown(error: &Error, now: Timestamp) -> Self {
        Self {
            verdict: Verdict::Unknown,
            findings: vec![finding::check_failed(error)],
            check_time: now,
            checks: None,
            evidence: None,
            signup_path: None,
        }
    }
}

/// What the checks saw.
pub(crate) struct Examination {
    /// When, by the database's clock.
    pub(super) check_time: Timestamp,
    /// State of the signup trigger: `in_place` (Rollcall's), `application` (one of the application's makes profiles, or
    /// hands the signup on to something that may), `disabled` (one that would is switched off) or `missing`.
    pub(super) signup_trigger: String,
    /// The rest of what a signup meets.
    signup_path: SignupPath,
    /// All users against all profiles; none where they could not be compared.
    pub(super) comparison: Option<Comparison>,
    /// In the order of the checks.
    pub(super) findings: Vec<Finding>,
}

impl Examination {
    /// Runs these checks in one round trip. One that fails by itself says so and hides no other, where the queries are not
    /// asked together with others.
    ///
    /// # Errors
    /// What the database refuses for reasons that are no check's: a lock, the time, a missing function of Rollcall's.
    pub(super) async fn take(
        queries: &Queries<'_>,
        wanted: &Checks,
        together: Together,
    ) -> Result<Self> {
        if together == Together::Yes {
            return Self::run(queries, wanted).await;
        }
        let (savepoint, examination) = tokio::join!(
            queries.script("savepoint doctor"),
            Self::run(queries, wanted)
        );
        savepoint?;
        match examination {
            Err(error @ Error::Statement { .. }) if !error.is_retryable() => {}
            examination => return examination,
        }
        let mut whole: Option<Self> = None;
        let mut failed = Vec::new();
        for (check, _) in &wanted.checks {
            queries.script("rollback to savepoint doctor").await?;
            match Self::run(queries, &Checks::of(|id| id == *check)).await {
                Ok(part) => match &mut whole {
                    Some(whole) => whole.findings.extend(part.findings),
                    None => whole = Some(part),
                },
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => failed.push(finding::doctor_check_failed(check, &error)),
            }
        }
        queries.script("rollback to savepoint doctor").await?;
        let mut whole = whole.ok_or(Error::UnexpectedAnswer)?;
        whole.findings.extend(failed);
        Ok(whole)
    }

    /// What belongs into every report: all but the warnings, which lock nobody out, and what is amiss with Rollcall itself.
    pub(super) fn without_warnings(mut self) -> Self {
        self.findings.retain(|finding| {
            finding.severity != Severity::Warning || finding.id == "migrations_incomplete"
        });
        self
    }

    /// Those that see what a probe cannot.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(super) async fn of_rights(queries: &Queries<'_>) -> Result<Vec<Finding>> {
        let mut findings = Self::run(queries, Checks::of_rights()).await?.findings;
        findings.retain(|finding| finding.severity != Severity::Warning);
        Ok(findings)
    }

    /// Runs the checks within a transaction that has something else to do: where they fail, nothing is known, and the rest
    /// goes on. Asked together with what is sent before, it costs no round trip.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`], and what going on does.
    pub(crate) async fn causes(queries: &Queries<'_>) -> Result<Vec<Finding>> {
        let (savepoint, examination) = tokio::join!(
            queries.script("savepoint doctor"),
            Self::run(queries, Checks::scheduled())
        );
        savepoint?;
        match examination {
            Ok(examination) => Ok(examination.findings),
            Err(Error::ConnectionLost) => Err(Error::ConnectionLost),
            Err(error) => {
                tracing::warn!(error.id = error.id(), "the cause could not be looked for");
                queries.script("rollback to savepoint doctor").await?;
                Ok(Vec::new())
            }
        }
    }

    async fn run(queries: &Queries<'_>, wanted: &Checks) -> Result<Self> {
        let row = queries.row(&wanted.sql, &[(&*MADE, Type::JSONB)]).await?;
        // one list a check; null where it found nothing
        let answers: Vec<Option<Vec<Answer>>> =
            serde_json::from_str(column(&row, "findings")?).map_err(|_| Error::UnexpectedAnswer)?;
        let signup_trigger: String = column(&row, "signup_trigger")?;
        Ok(Self {
            check_time: column(&row, "check_time")?,
            signup_path: SignupPath {
                makes_profiles: signup_trigger == "in_place",
                guarded: column(&row, "guarded")?,
                profile_table: column(&row, "profile_table")?,
            },
            signup_trigger,
            comparison: Comparison::of_facts(&row)?,
            findings: wanted
                .checks
                .iter()
                .zip(answers)
                .flat_map(|((id, _), answers)| {
                    answers
                        .unwrap_or_default()
                        .into_iter()
                        .map(|answer| answer.into_finding(id))
                })
                .collect::<Result<_>>()?,
        })
    }
}

/// One row of a check.
#[derive(Deserialize)]
struct Answer {
    severity: String,
    summary: String,
    meaning: String,
    evidence: Vec<String>,
    next_step: String,
    fix: Option<String>,
}

impl Answer {
    fn into_finding(self, id: &'static str) -> Result<Finding> {
        let mut finding = finding::diagnosed(id, &self.severity, self.summary, self.next_step)?;
        finding.meaning = Some(self.meaning);
        finding.evidence = self.evidence;
        finding.fix = self.fix;
        Ok(finding)
    }
}

/// One statement that runs these checks, each a subquery that is planned by itself: `$1` is [`MADE`].
fn statement(checks: &[(&str, &str)]) -> String {
    let prelude: Vec<&str> = PRELUDE.iter().map(|(_, sql)| *sql).collect();
    let checks: Vec<String> = checks
        .iter()
        .map(|(_, sql)| {
            format!(
                "(select json_agg(c) from (\n{sql}) c (severity, summary, meaning, evidence, next_step, fix))"
            )
        })
        .collect();
    format!(
        "with recursive\n{}\nselect now() as check_time, s.state as signup_trigger, coalesce(f.guarded, '{{}}') as guarded, f.target_name as profile_table,
         f.users, f.soft_deleted, f.expected, f.profiles, f.healthy, f.missing, f.missing_anonymous, f.missing_phone, f.missing_sso,
         f.missing_unconfirmed, f.orphaned, f.newest_missing, f.of_last_hour, f.missing_of_last_hour,
         f.minutes, f.days, f.newest_minute, f.longest_pause, f.stopped_below,
         json_build_array(\n{}\n)::text as findings
         from trigger_state s, facts f where $1::jsonb is not null",
        prelude.join(",\n"),
        checks.join(",\n"),
    )
}
