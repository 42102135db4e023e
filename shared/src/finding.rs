//! Findings: what a check has to say, each with a stable id and the next step. Made by pure functions from counts;
//! none holds a value of a row.

mod replay;

use jiff::SignedDuration;
use serde::Serialize;

pub use replay::replayed;

use crate::checks::side_tables::SideTable;
use crate::error::{self, Error, Result};
use crate::verdict::Verdict;
use crate::wording::{counted, lasting};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// Stable name, for programs and documentation.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The verdict that it alone would lead to.
    verdict: Verdict,
    /// How many users, profiles or columns it is about, where it is about some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// What is the case, in one sentence.
    pub summary: String,
    /// What that means, and for whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// What was seen: names from the catalog and counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What to do next.
    pub next_step: String,
    /// The SQL that fixes it, where SQL can do so safely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
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
            meaning: None,
            evidence: Vec::new(),
            next_step: next_step.into(),
            fix: None,
            verdict,
        }
    }

    fn counting(mut self, count: i64) -> Self {
        self.count = Some(count);
        self
    }

    /// The verdict that it alone would lead to.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
}

impl Verdict {
    /// The verdict that follows from findings: what is known to be wrong outranks what is not known,
    /// and both outrank silence.
    pub fn from_findings(findings: &[Finding]) -> Self {
        let says = |verdict| findings.iter().any(|finding| finding.verdict() == verdict);
        if says(Self::Inconsistent) {
            Self::Inconsistent
        } else if says(Self::Unknown) {
            Self::Unknown
        } else {
            Self::Consistent
        }
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
pub fn check_failed(error: &Error) -> Finding {
    let finding = not_known(error.id(), error.to_string(), error.next_step());
    if matches!(error, Error::NoDefinition { .. }) {
        // nothing is wrong with the project: a person has yet to say where its profiles are
        Finding {
            severity: Severity::Warning,
            ..finding
        }
    } else {
        finding
    }
}

/// Profiles exist, and by the definition nobody must have one.
pub fn definition_expects_nobody(profiles: i64) -> Finding {
    not_known(
        "definition_expects_nobody",
        format!(
            "the definition expects nobody to have a profile, and there are {}",
            counted(profiles, "profile")
        ),
        "Compare the definition with the rows: rollcall definition check. Then correct its \"where\": rollcall definition set FILE.",
    )
}

/// The rows that are there are not as the definition would make them; `unexplained` are columns and kinds of users.
pub(crate) fn definition_explains_little(unexplained: Vec<String>) -> Finding {
    Finding {
        meaning: Some("A repair would create profiles unlike those that are there, or for others than those who have one.".to_owned()),
        evidence: unexplained,
        ..Finding::new(
            "definition_explains_little",
            Severity::Warning,
            "less than half of what is there is as the definition says",
            "Nothing to do where users edit these values. Else correct the definition (rollcall definition set FILE), or repair by the application's own code: rollcall backfill --replay.",
        )
    }
}

/// A command failed before it could look.
pub fn failed(message: String) -> Finding {
    not_known(
        "command_failed",
        message,
        "See what can be typed: rollcall help.",
    )
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
        "Check the id. Who must have a profile: rollcall definition show.",
    )
}

/// A user who was asked for is on no record at all.
pub fn user_not_found() -> Finding {
    not_known(
        "user_not_found",
        "no record of this user: not in auth.users, not in the audit log, no profile, no event",
        "Check the id or the address, and that this is the right project.",
    )
}

/// A user is gone, and the audit log says that somebody deleted them.
pub fn user_deleted() -> Finding {
    Finding::new(
        "user_deleted",
        Severity::Info,
        "this user was deleted, and the deletion is on record in the audit log",
        "Nothing to repair. To let the person back in: a new signup.",
    )
}

/// A user is gone, and nothing says why.
pub fn user_gone(audit_log: &str) -> Finding {
    Finding::new(
        "user_gone",
        Severity::Warning,
        format!(
            "this user is no longer in auth.users, and no deletion is on record (audit log: {audit_log})"
        ),
        "Somebody may have deleted the row by SQL, or a restore left it out; ask your team. A new signup lets the person back in.",
    )
}

/// A user needs no profile.
pub fn no_profile_expected() -> Finding {
    Finding::new(
        "no_profile_expected",
        Severity::Info,
        "no profile is expected for this user",
        "Who must have one: rollcall definition show. Soft-deleted users need none.",
    )
}

/// A user signed up so lately that the profile may still come.
pub fn profile_may_still_come() -> Finding {
    Finding::new(
        "profile_may_still_come",
        Severity::Info,
        "this user signed up a moment ago, and the profile may still come",
        "Look again after the grace period (grace_period in rollcall.settings).",
    )
}

/// Supabase Auth does not let a user in, whatever profile there is.
pub fn user_banned() -> Finding {
    Finding::new(
        "user_banned",
        Severity::Info,
        "this user is banned and cannot sign in",
        "Supabase dashboard, Authentication, Users: remove the ban if it is a mistake.",
    )
}

/// The newest attempt to make a user's profile failed. Names are from the catalog.
pub fn profile_refused(
    code: &str,
    constraint: Option<&str>,
    column: Option<&str>,
    functions: &[String],
) -> Finding {
    let mut summary = format!(
        "the database refused this user's profile: {} (SQLSTATE {code}",
        error::meaning(code)
    );
    for (name, value) in [("constraint", constraint), ("column", column)] {
        if let Some(value) = value {
            summary += &format!(", {name} {value}");
        }
    }
    if let Some(function) = functions.first() {
        summary += &format!(", in {function}");
    }
    Finding::new(
        "profile_refused",
        Severity::Warning,
        summary + ")",
        "Fix that in the table, its triggers or the definition (rollcall definition show). Then: rollcall backfill --apply.",
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

/// Profiles belong to nobody.
pub fn orphaned_profiles(count: i64) -> Finding {
    Finding::new(
        "orphaned_profiles",
        Severity::Info,
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
        "A changed address does not reach the profile by itself; copy it with a trigger on update of auth.users. Bring the profiles up to date: rollcall sync-emails.",
    )
    .counting(count)
}

/// Nobody has signed up for longer than chance explains.
pub(crate) fn signups_stopped(pause: SignedDuration, probability: f64) -> Finding {
    // a chance of 1 in 3,000,000 is not known to the last digit
    let odds = 10_f64.powf((1.0 / probability.max(1e-15)).log10().floor());
    Finding {
        meaning: Some("Refused signups leave no row. Mail that is not sent, a hook that fails, or a form that is broken stops them, too.".to_owned()),
        ..Finding::new(
            "signups_stopped",
            Severity::Critical,
            format!(
                "nobody has signed up for {}; at the pace of the last two weeks, chance alone does that less than once in {odds:.0}",
                lasting(pause)
            ),
            "Try to sign up yourself. See whether the database takes a signup: rollcall probe. Then look at the logs of Supabase Auth. If the pause is meant: update rollcall.settings set stopped_below = 0.",
        )
    }
}

/// What was read comes from a replica that is behind.
pub(crate) fn replica_behind(seconds: f64) -> Finding {
    not_known(
        "replica_behind",
        format!("this is a replica, and it is {seconds:.0} seconds behind"),
        "Ask the primary, or wait until the replica has caught up.",
    )
}

/// No signup has shown that the signup path works as it is now; `reasons` are why none was tried.
pub(crate) fn unproven(may_wait: bool, is_by_rule: bool, reasons: Vec<String>) -> Finding {
    const SUMMARY: &str = "nothing has shown yet that a signup gets its profile";
    let meaning = if is_by_rule {
        "A made-up signup was let in by none of your rules, or must have no profile; and nobody has signed up since the signup path last changed."
    } else if reasons.is_empty() {
        "No signup was tried, and nobody has signed up since the signup path last changed, as far as is known."
    } else {
        "No signup was tried, since a signup does what a rollback does not take back; and nobody has signed up since the signup path last changed, as far as is known."
    };
    let next_step = if reasons.is_empty() {
        "Sign up once. Without anybody doing so, the verdict is unknown after a day."
    } else {
        "Sign up once; without anybody doing so, the verdict is unknown after a day. A signup that queues such calls (pg_net) can be tried: a rollback takes them back."
    };
    let finding = if may_wait {
        Finding::new("unproven", Severity::Info, SUMMARY, next_step)
    } else {
        not_known("unproven", SUMMARY, next_step)
    };
    Finding {
        meaning: Some(meaning.to_owned()),
        evidence: reasons,
        ..finding
    }
}

/// A probe: the database refuses the signups of these kinds of users.
pub(crate) fn signups_blocked(kinds: &[String]) -> Finding {
    Finding::new(
        "signups_blocked",
        Severity::Critical,
        format!("the database refuses the signup of: {}", kinds.join(", ")),
        "Supabase Auth answers \"Database error saving new user\" to them. Find the cause: rollcall doctor.",
    )
}

/// A probe: these kinds of users sign up and cannot confirm their address.
pub(crate) fn confirmations_blocked(kinds: &[String]) -> Finding {
    Finding::new(
        "confirmations_blocked",
        Severity::Critical,
        format!(
            "the database refuses the confirmation of: {}",
            kinds.join(", ")
        ),
        "They sign up and never get in: the link in their e-mail leads to an error. Find the cause: rollcall doctor.",
    )
}

/// A probe: these kinds of users sign up and cannot sign in.
pub(crate) fn sign_ins_blocked(kinds: &[String]) -> Finding {
    Finding::new(
        "sign_ins_blocked",
        Severity::Critical,
        format!("the database refuses the sign-in of: {}", kinds.join(", ")),
        "Supabase Auth notes each sign-in in auth.users, and a trigger on that update fails. Fix the function that is named.",
    )
}

/// A probe: these kinds of users cannot change their address.
pub(crate) fn email_changes_blocked(kinds: &[String]) -> Finding {
    Finding::new(
        "email_changes_blocked",
        Severity::Warning,
        format!(
            "the database refuses a change of the e-mail address of: {}",
            kinds.join(", ")
        ),
        "A trigger on update of auth.users fails. Fix the function that is named.",
    )
}

/// A probe: these kinds of users cannot be deleted.
pub(crate) fn deletions_blocked(kinds: &[String]) -> Finding {
    Finding::new(
        "deletions_blocked",
        Severity::Info,
        format!("the database refuses the deletion of: {}", kinds.join(", ")),
        "Nothing to do if that is meant. Else let what refers to the user follow: on delete cascade.",
    )
}

/// Users with a profile have no row in other tables that a signup writes. None where everybody has theirs.
pub(crate) fn side_rows_missing(tables: &[SideTable]) -> Option<Finding> {
    let lacking: Vec<&SideTable> = tables
        .iter()
        .filter(|table| table.users_without > 0)
        .collect();
    let is_since = lacking.iter().any(|table| table.is_since);
    let names: Vec<&str> = lacking.iter().map(|table| table.table.as_str()).collect();
    (!lacking.is_empty()).then(|| Finding {
        meaning: Some(
            if is_since {
                "A signup writes these tables, too. Some users who signed up since that was last changed have no row there, and others have."
            } else {
                "A signup writes these tables, too. The users without a row signed up before that was last changed, or their rows went again."
            }
            .to_owned(),
        ),
        evidence: lacking
            .iter()
            .map(|table| {
                let newest = table.newest_without.map_or_else(String::new, |newest| {
                    format!(", the newest signed up at {} UTC", newest.strftime("%Y-%m-%d %H:%M"))
                });
                format!("{}: {} without a row{newest}", table.table, counted(table.users_without, "user"))
            })
            .collect(),
        ..Finding::new(
            "side_rows_missing",
            if is_since { Severity::Warning } else { Severity::Info },
            format!("users with a profile have no row in {}", names.join(", ")),
            if is_since {
                "See what the signup function does when that insert fails, and whether somebody deleted the rows. Rollcall repairs profiles only."
            } else {
                "Nothing to do if your application can do without them. Rollcall repairs profiles only."
            },
        )
    })
}

/// A probe: these kinds of users sign up and get no profile.
pub(crate) fn signups_without_profile(kinds: &[String]) -> Finding {
    Finding::new(
        "signups_without_profile",
        Severity::Critical,
        format!("a signup gets no profile for: {}", kinds.join(", ")),
        "Find the cause: rollcall doctor. Then repair who was missed: rollcall backfill --apply.",
    )
}

/// A probe: these kinds of users get a profile that differs from the definition.
pub(crate) fn signups_with_wrong_profile(kinds: &[String]) -> Finding {
    Finding::new(
        "signups_with_wrong_profile",
        Severity::Critical,
        format!(
            "a signup gets another profile than the definition says for: {}",
            kinds.join(", ")
        ),
        "Compare the definition with what the trigger writes: rollcall definition check.",
    )
}

/// A probe could not be tried for these kinds of users.
pub(crate) fn probe_without_answer(kinds: &[String]) -> Finding {
    not_known(
        "probe_without_answer",
        format!("a signup could not be tried for: {}", kinds.join(", ")),
        "A lock or the time (55P03, 57014): try again. A right (42501): the owner of Rollcall's functions must be allowed to insert into auth.users, as postgres of Supabase is.",
    )
}

/// A probe was not begun, since it could not be rolled back; `reasons` are what `rollcall.beyond_rollback()` names.
pub(crate) fn probe_refused(reasons: Vec<String>) -> Finding {
    Finding {
        evidence: reasons,
        ..not_known(
            "probe_refused",
            "no signup was tried: what a signup does beyond the database could not be rolled back",
            "Let a signup queue such calls (pg_net), so that a rollback takes them back; then probe again.",
        )
    }
}

/// A probe: a trigger of the application refused these kinds of users on purpose.
pub(crate) fn probe_refused_by_rule(kinds: &[String]) -> Finding {
    Finding::new(
        "probe_refused_by_rule",
        Severity::Info,
        format!(
            "your own rule refused the made-up signup of: {}",
            kinds.join(", ")
        ),
        "Nothing to do if that is what the rule is for: a probe signs up with a made-up address.",
    )
}

/// A probe: signups fail of kinds that no user is of, or that no client sends.
pub(crate) fn unused_kinds_fail(kinds: &[String]) -> Finding {
    Finding::new(
        "unused_kinds_fail",
        Severity::Info,
        format!(
            "no user is of these kinds, and their signups would fail or make another profile than defined: {}",
            kinds.join(", ")
        ),
        "Nothing to do while your project lets no such users in. Before it does: rollcall doctor.",
    )
}

/// One check of the doctor failed by itself, and the others did not.
pub(crate) fn doctor_check_failed(id: &'static str, error: &Error) -> Finding {
    not_known(
        id,
        format!("this check could not look: {error}"),
        error.next_step(),
    )
}

/// What a check of the doctor found, in the words of its SQL: severity `critical`, `warning`, `info` or `unknown`.
///
/// # Errors
/// [`Error::UnexpectedAnswer`] for a severity that is none of them: what is not understood is not good news.
pub(crate) fn diagnosed(
    id: &'static str,
    severity: &str,
    summary: String,
    next_step: String,
) -> Result<Finding> {
    Ok(match severity {
        "critical" => Finding::new(id, Severity::Critical, summary, next_step),
        "warning" => Finding::new(id, Severity::Warning, summary, next_step),
        "info" => Finding::new(id, Severity::Info, summary, next_step),
        "unknown" => not_known(id, summary, next_step),
        _ => return Err(Error::UnexpectedAnswer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_finding_is_consistent() {
        assert_eq!(Verdict::from_findings(&[]), Verdict::Consistent);
    }

    #[test]
    fn what_could_not_be_seen_is_unknown() {
        let blind = check_failed(&Error::NotMigrated);
        assert_eq!(Verdict::from_findings(&[blind]), Verdict::Unknown);
    }

    #[test]
    fn a_known_fault_outranks_blindness() {
        let findings = [check_failed(&Error::NotMigrated), missing_profiles(1)];
        assert_eq!(Verdict::from_findings(&findings), Verdict::Inconsistent);
    }

    #[test]
    fn a_warning_alone_leaves_the_verdict_consistent() {
        assert_eq!(
            Verdict::from_findings(&[email_mismatches(3)]),
            Verdict::Consistent
        );
    }

    #[test]
    fn a_definition_that_is_yet_to_be_made_is_no_fault_and_no_good_news() {
        let finding = check_failed(&Error::NoDefinition {
            message: String::new(),
            hint: None,
        });
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(finding.verdict(), Verdict::Unknown);
        assert_eq!(
            check_failed(&Error::NotMigrated).severity,
            Severity::Critical
        );
    }

    #[test]
    fn the_odds_of_a_pause_are_a_round_number_that_is_no_exaggeration() {
        let said = |probability| {
            let finding = signups_stopped(SignedDuration::from_hours(5), probability);
            finding.summary.rsplit(' ').next().map(ToOwned::to_owned)
        };
        assert_eq!(said(1.0 / 3_000_000.0).as_deref(), Some("1000000"));
        assert_eq!(said(0.000_05).as_deref(), Some("10000"));
        assert_eq!(said(0.0).as_deref(), Some("1000000000000000"));
    }

    #[test]
    fn rows_beside_profiles_matter_where_signups_leave_them_out_since_the_last_change() {
        let table = |name: &str, users_without, is_since| SideTable {
            table: name.to_owned(),
            users_without,
            newest_without: None,
            is_since,
        };
        assert_eq!(side_rows_missing(&[]), None);
        assert_eq!(
            side_rows_missing(&[table("public.wallets", 0, false)]),
            None
        );
        let old = side_rows_missing(&[
            table("public.wallets", 0, true),
            table("app.teams", 2, false),
        ])
        .expect("two users lack a row");
        assert_eq!(old.severity, Severity::Info);
        assert_eq!(old.summary, "users with a profile have no row in app.teams");
        assert_eq!(old.evidence, ["app.teams: 2 users without a row"]);
        let new = side_rows_missing(&[table("app.teams", 2, true)]).expect("the same");
        assert_eq!(new.severity, Severity::Warning);
        assert_ne!((new.meaning, new.next_step), (old.meaning, old.next_step));
    }

    #[test]
    fn the_doctors_severities_lead_to_their_verdicts_and_another_word_to_none() {
        let of = |severity| {
            let finding = diagnosed("a_check", severity, String::new(), String::new()).ok()?;
            Some((finding.severity, finding.verdict()))
        };
        for (word, expected) in [
            (
                "critical",
                Some((Severity::Critical, Verdict::Inconsistent)),
            ),
            ("warning", Some((Severity::Warning, Verdict::Consistent))),
            ("info", Some((Severity::Info, Verdict::Consistent))),
            ("unknown", Some((Severity::Critical, Verdict::Unknown))),
            ("fine", None),
        ] {
            assert_eq!(of(word), expected, "{word}");
        }
    }

    #[test]
    fn why_nothing_is_proven_is_said_with_what_was_not_tried() {
        let tried_nothing = unproven(true, false, Vec::new());
        let may_not_try = unproven(
            false,
            false,
            vec!["public.mail() calls a server".to_owned()],
        );
        let refused = unproven(true, true, Vec::new());
        assert_eq!(tried_nothing.verdict(), Verdict::Consistent);
        assert_eq!(may_not_try.verdict(), Verdict::Unknown);
        assert_eq!(may_not_try.evidence, ["public.mail() calls a server"]);
        let starts = |finding: &Finding, words: &str| {
            finding
                .meaning
                .as_ref()
                .is_some_and(|meaning| meaning.starts_with(words))
        };
        assert!(starts(&tried_nothing, "No signup was tried, and"));
        assert!(starts(&may_not_try, "No signup was tried, since"));
        assert!(starts(&refused, "A made-up signup was let in by none"));
    }
}
