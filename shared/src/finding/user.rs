//! Users who are gone, banned or not to be found.

use super::{Finding, Severity, not_known};
use crate::wording::counted;

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

/// Supabase Auth does not let a user in, whatever profile there is.
pub fn user_banned() -> Finding {
    Finding::new(
        "user_banned",
        Severity::Info,
        "this user is banned and cannot sign in",
        "Supabase dashboard, Authentication, Users: remove the ban if it is a mistake.",
    )
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
