//! What a signup that was tried came to.

use super::{Finding, Severity, not_known};

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
