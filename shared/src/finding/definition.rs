//! A definition that does not fit what is there.

use super::{Finding, Severity, not_known};
use crate::wording::counted;

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
