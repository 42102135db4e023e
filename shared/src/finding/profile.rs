//! Profiles that are missing, left over, refused or out of date.

use super::{Finding, Severity};
use crate::error;
use crate::wording::counted;

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

/// The user who was asked about must have a profile and has none.
pub fn missing_profile() -> Finding {
    Finding {
        next_step: "Why: rollcall explain USER. See what a repair would do: rollcall backfill --user USER. Repair: rollcall backfill --apply --user USER.".to_owned(),
        ..missing_profiles(1)
    }
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
