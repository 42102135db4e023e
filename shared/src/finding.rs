//! Findings: what a check has to say, each with a stable id and the next step. Made by pure functions from counts;
//! none holds a value of a row.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::verdict::Verdict;
use crate::wording::counted;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Info,
    /// Worth a look; nobody is locked out.
    Warning,
    /// Users are locked out, will be, or nobody can tell.
    Critical,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name, for programs and documentation.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// How many users, profiles or columns it is about, where it is about some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// What is the case, in one sentence.
    pub summary: String,
    /// What to do next.
    pub next_step: String,
    #[serde(skip)]
    verdict: Verdict,
}

impl Finding {
    fn new(
        id: &'static str,
        severity: Severity,
        summary: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        let verdict = if severity == Severity::Critical {
            Verdict::Inconsistent
        } else {
            Verdict::Consistent
        };
        Self {
            id,
            severity,
            count: None,
            summary: summary.into(),
            next_step: next_step.into(),
            verdict,
        }
    }

    fn counting(mut self, count: i64) -> Self {
        self.count = Some(count);
        self
    }

    /// The verdict this finding alone would lead to.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
}

fn not_known(
    id: &'static str,
    summary: impl Into<String>,
    next_step: impl Into<String>,
) -> Finding {
    Finding {
        verdict: Verdict::Unknown,
        ..Finding::new(id, Severity::Critical, summary, next_step)
    }
}

/// Something could not be looked at.
pub fn blind(error: &Error) -> Finding {
    not_known(error.id(), error.to_string(), error.next_step())
}

/// Users who must have a profile have none.
pub fn missing_profiles(count: i64) -> Finding {
    Finding::new(
        "missing_profiles",
        Severity::Critical,
        format!("{} without a profile", counted(count, "user")),
        "See who: rollcall mismatches. See what a repair would do: rollcall backfill. Repair: rollcall backfill --apply.",
    )
    .counting(count)
}

/// A user who was asked for is none who must have a profile.
pub fn user_not_expected() -> Finding {
    not_known(
        "user_not_expected",
        "this user is not in auth.users, or is not expected to have a profile",
        "Check the id. Who must have a profile is said by the view rollcall.expected_profile.",
    )
}

/// Users signed up in the window of the check and have no profile.
pub fn recent_missing_profiles(count: i64, window_minutes: i64) -> Finding {
    Finding::new(
        "recent_missing_profiles",
        Severity::Critical,
        format!("{} of the last {window_minutes} minutes without a profile", counted(count, "signup")),
        "Signups are failing now. Find the cause: rollcall diagnose. Then repair: rollcall backfill --apply.",
    )
    .counting(count)
}

/// Users of recent signups are gone, and no deletion is on record.
pub fn vanished_users(count: i64, window_minutes: i64) -> Finding {
    Finding::new(
        "vanished_users",
        Severity::Warning,
        format!("{} of the last {window_minutes} minutes whose user is gone without a recorded deletion", counted(count, "signup")),
        "Somebody may have deleted rows of auth.users by SQL; ask your team.",
    )
    .counting(count)
}

/// A check of many users leaves the audit log alone, so nobody looked for users who are gone.
pub fn vanished_users_not_looked_for() -> Finding {
    Finding::new(
        "vanished_users_not_looked_for",
        Severity::Info,
        "users who signed up and are gone again were not looked for: with so many users, a scheduled check reads no audit log",
        "To look for them now: rollcall recent.",
    )
}

/// Profiles belong to nobody.
pub fn orphaned_profiles(count: i64) -> Finding {
    Finding::new(
        "orphaned_profiles",
        Severity::Warning,
        format!("{} whose user is not in auth.users", counted(count, "profile")),
        "Let the key reference auth.users (id) on delete cascade, and decide what becomes of these rows.",
    )
    .counting(count)
}

/// Profiles hold another e-mail address than their user.
pub fn email_mismatches(count: i64) -> Finding {
    Finding::new(
        "email_mismatches",
        Severity::Warning,
        format!("{} with another e-mail than the user's", counted(count, "profile")),
        "A changed address does not reach the profile by itself; copy it with a trigger on update of auth.users.",
    )
    .counting(count)
}

/// No profile can be made at all, for the reason that the SQL function `rollcall.profile_fault()` gives.
pub fn profile_fault(reason: &str) -> Finding {
    Finding::new(
        "profiles_cannot_be_made",
        Severity::Critical,
        format!("neither signup nor repair can make a profile: {reason}"),
        "Where the profile table changed, edit the view rollcall.expected_profile to fit it and run: select rollcall.adopt_profile_table(). Where functions are missing: rollcall migrate --again.",
    )
}

/// Columns of the profile table that every insert would fail on.
pub fn unfilled_columns(columns: &[String]) -> Finding {
    Finding::new(
        "unfilled_columns",
        Severity::Critical,
        format!(
            "the next signup gets no profile: the table requires values that rollcall.expected_profile does not give: {}",
            columns.join(", ")
        ),
        "Give these columns a default, or add them by name to the view rollcall.expected_profile.",
    )
    .counting(i64::try_from(columns.len()).unwrap_or(i64::MAX))
}

/// The state of the trigger that makes profiles, if it is worth a word.
///
/// States are those of the SQL function `rollcall.signup_trigger_state()`.
///
/// # Errors
/// [`Error::UnexpectedAnswer`] for a state that is none of them: what is not understood is not good news.
pub fn signup_trigger(state: &str) -> Result<Option<Finding>> {
    const MEND: &str = "Run the migrations again: rollcall migrate --again. Then repair who was missed: rollcall backfill --apply.";
    Ok(Some(match state {
        "in_place" => return Ok(None),
        "missing" => Finding::new(
            "signup_trigger_missing",
            Severity::Critical,
            "auth.users has no trigger for signups, so the next signup gets no profile",
            MEND,
        ),
        "disabled" => Finding::new(
            "signup_trigger_disabled",
            Severity::Critical,
            "the trigger for signups is switched off, so the next signup gets no profile",
            MEND,
        ),
        "left_to_application" => not_known(
            "signup_trigger_left_to_application",
            "new profiles are left to a trigger of the application that comes later; whether it makes them is not known",
            "To let Rollcall make them, drop that trigger and run the migrations again, which name it: rollcall migrate --again.",
        ),
        "foreign" => not_known(
            "signup_trigger_foreign",
            "signups run another function than Rollcall's; whether the next one gets a profile is not known",
            "Put Rollcall's in place, which leaves an existing profile alone: rollcall migrate --again.",
        ),
        _ => return Err(Error::UnexpectedAnswer),
    }))
}

/// The state of the audit log, if it is not written.
///
/// States are those of the SQL function `rollcall.audit_log_state()`.
///
/// # Errors
/// [`Error::UnexpectedAnswer`] for a state that is none of them.
pub fn audit_log(state: &str) -> Result<Option<Finding>> {
    let summary = match state {
        "on" => return Ok(None),
        "stale" => {
            "the audit log in PostgreSQL has not been written for a while: history and deletions end where it ends"
        }
        "off" => {
            "the audit log is not written to PostgreSQL: history and deletions are not available"
        }
        _ => return Err(Error::UnexpectedAnswer),
    };
    Ok(Some(Finding::new(
        "audit_log_not_written",
        Severity::Info,
        summary,
        "The verdict does not need it. To have history: Supabase dashboard, Authentication, Audit Logs, write to the database.",
    )))
}
