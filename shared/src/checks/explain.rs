//! One user, from every source: what happened, what is wrong, what to do.

mod handlers;
mod record;
mod replay;
mod replay_finding;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use self::record::Record;
pub use self::replay::{Replay, ReplayError, ReplayOutcome};
use super::events::EventPayload;
use crate::database::{Database, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding};
use crate::masked::{Email, Masked};
use crate::verdict::Verdict;

/// Longer than other lists: the audit log has no index by user, and its owner lets nobody make one.
const LIMIT: Duration = Duration::from_secs(120);

/// One entry of a user's timeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimelineEntry {
    /// When. None: the source does not say.
    pub happened_at: Option<Timestamp>,
    /// `audit log`, `user`, `identity`, `event`, `profile` or `repair`.
    pub source: String,
    /// What.
    pub happening: String,
    /// Codes; whatever Rollcall did not write itself is masked.
    pub details: EventPayload,
    /// The address, where the source names one.
    pub email: Option<Masked<Email>>,
}

/// What is known of a user.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, as the row has it"
)]
pub struct UserFacts {
    /// In `auth.users`.
    pub is_user: bool,
    /// By the definition.
    pub is_expected: bool,
    /// In the profile table.
    pub has_profile: bool,
    /// In the grace period after the signup.
    pub is_in_grace: bool,
    /// Kept in `auth.users` without personal data.
    pub is_soft_deleted: bool,
    /// Signed up without a name.
    pub is_anonymous: bool,
    /// Came by single sign-on.
    pub is_sso: bool,
    /// Confirmed e-mail or phone.
    pub is_confirmed: bool,
    /// Banned now.
    pub is_banned: bool,
    /// Has a phone and no e-mail.
    pub phone_only: bool,
    /// The profile holds another address than expected.
    pub email_differs: bool,
    /// The audit log has the signup.
    pub signup_logged: bool,
    /// The audit log has the deletion.
    pub deletion_logged: bool,
    /// State of the audit log: `on`, `stale` or `off`.
    pub audit_log: String,
    /// The address in `auth.users`.
    #[serde(skip)]
    pub email: Option<Masked<Email>>,
    /// The last attempt that failed, by signup or repair.
    pub failure: Option<ProfileFailure>,
}

/// Why a profile could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProfileFailure {
    /// SQLSTATE.
    pub sqlstate: String,
    /// Constraint that was broken.
    pub constraint: Option<String>,
    /// Column that was refused.
    pub column: Option<String>,
    /// Functions in which it failed, innermost first.
    pub functions: Vec<String>,
    /// How often it was tried.
    pub attempts: i32,
    /// The last time.
    pub last_failed_at: Timestamp,
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Whether the profile is there if it must be.
    pub verdict: Verdict,
    /// What is wrong, each with its next step.
    pub findings: Vec<Finding>,
    /// The user.
    pub user_id: Uuid,
    /// What is known of them.
    pub facts: UserFacts,
    /// What happened, oldest first, the newest 200 entries.
    pub timeline: Vec<TimelineEntry>,
    /// What came of replaying the signup of a user who has no profile and must have one; none for others.
    pub replay: Option<Replay>,
}

/// The users who have an e-mail address or a phone number, at most 10: several where single sign-on is in use.
///
/// # Errors
/// What the database refuses.
pub async fn users_by_contact(database: &mut Database, contact: &str) -> Result<Vec<Uuid>> {
    database
        .read(LIMIT, async |queries| {
            queries
                .rows(
                    include_str!("explain/users_by_contact.sql"),
                    &[(&contact, Type::TEXT)],
                )
                .await?
                .iter()
                .map(|row| column(row, "user_id"))
                .collect()
        })
        .await
}

/// Explains one user. Where they have no profile and must have one, their signup is replayed and rolled back.
///
/// # Errors
/// What the database refuses.
pub async fn of_user(database: &mut Database, user_id: Uuid) -> Result<Explanation> {
    let record: Record = database
        .read(LIMIT, async |queries| {
            let row = queries
                .row(
                    "select rollcall.user_record($1) as record",
                    &[(&user_id, Type::UUID)],
                )
                .await?;
            serde_json::from_value(column(&row, "record")?).map_err(|_| Error::UnexpectedAnswer)
        })
        .await?;
    let facts = record.facts(Timestamp::now());
    let timeline = record.timeline();
    let replay = if facts.is_missing() {
        Some(replay::replay(database, user_id).await)
    } else {
        None
    };
    let mut findings = conclude(&facts, !timeline.is_empty(), replay.as_ref());
    Ok(Explanation {
        verdict: finding::conclude(&mut findings),
        findings,
        user_id,
        facts,
        timeline,
        replay,
    })
}

impl UserFacts {
    /// Whether they must have a profile by now, and have none.
    fn is_missing(&self) -> bool {
        self.is_user && self.is_expected && !self.has_profile && !self.is_in_grace
    }
}

/// What the facts mean.
fn conclude(facts: &UserFacts, is_on_record: bool, replay: Option<&Replay>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !facts.is_user {
        findings.push(if !is_on_record {
            finding::user_not_found()
        } else if facts.deletion_logged {
            finding::user_deleted()
        } else {
            finding::user_gone(&facts.audit_log)
        });
        if facts.has_profile {
            findings.push(finding::orphaned_profiles(1));
        }
        return findings;
    }
    if !facts.is_expected {
        findings.push(finding::no_profile_expected());
    } else if !facts.has_profile && facts.is_in_grace {
        findings.push(finding::profile_may_still_come());
    } else if !facts.has_profile {
        findings.push(missing(replay));
        findings.extend(facts.failure.as_ref().map(|failure| {
            finding::profile_refused(
                &failure.sqlstate,
                failure.constraint.as_deref(),
                failure.column.as_deref(),
                &failure.functions,
            )
        }));
        findings.extend(replay.map(replay_finding::replayed));
    } else if facts.email_differs {
        findings.push(finding::email_mismatches(1));
    }
    if facts.is_banned {
        findings.push(finding::user_banned());
    }
    findings
}

/// That there is no profile. Where the signup said why, a repair is not the first step.
fn missing(replay: Option<&Replay>) -> Finding {
    let mut missing = finding::missing_profile();
    let next_step = match replay.map(|replay| replay.outcome) {
        Some(ReplayOutcome::Refused | ReplayOutcome::Swallowed) => {
            "Why is said below; a repair may fail on the same. See what it would do: rollcall backfill."
        }
        Some(ReplayOutcome::LeftOut) => {
            "Whether that is meant is asked below. See what a repair would do: rollcall backfill."
        }
        _ => return missing,
    };
    next_step.clone_into(&mut missing.next_step);
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> UserFacts {
        UserFacts {
            is_user: true,
            is_expected: true,
            has_profile: true,
            is_in_grace: false,
            is_soft_deleted: false,
            is_anonymous: false,
            is_sso: false,
            is_confirmed: true,
            is_banned: false,
            phone_only: false,
            email_differs: false,
            signup_logged: true,
            deletion_logged: false,
            audit_log: "on".to_owned(),
            email: None,
            failure: None,
        }
    }

    fn ids(facts: &UserFacts, is_on_record: bool) -> (Verdict, Vec<&'static str>) {
        let findings = conclude(facts, is_on_record, None);
        (
            Verdict::from_findings(&findings),
            findings.iter().map(|finding| finding.id).collect(),
        )
    }

    #[test]
    fn each_state_of_a_user_has_its_words() {
        let refused = ProfileFailure {
            sqlstate: "23514".to_owned(),
            constraint: Some("name_length".to_owned()),
            column: None,
            functions: Vec::new(),
            attempts: 2,
            last_failed_at: Timestamp::UNIX_EPOCH,
        };
        let missing = UserFacts {
            has_profile: false,
            ..healthy()
        };
        let gone = UserFacts {
            is_user: false,
            is_expected: false,
            has_profile: false,
            ..healthy()
        };
        assert_eq!(ids(&healthy(), true), (Verdict::Consistent, vec![]));
        assert_eq!(
            ids(&missing, true),
            (Verdict::Inconsistent, vec!["missing_profiles"])
        );
        assert_eq!(
            ids(
                &UserFacts {
                    failure: Some(refused),
                    ..missing.clone()
                },
                true
            ),
            (
                Verdict::Inconsistent,
                vec!["missing_profiles", "profile_refused"]
            )
        );
        assert_eq!(
            ids(
                &UserFacts {
                    is_in_grace: true,
                    ..missing.clone()
                },
                true
            ),
            (Verdict::Consistent, vec!["profile_may_still_come"])
        );
        assert_eq!(
            ids(
                &UserFacts {
                    is_expected: false,
                    is_banned: true,
                    ..missing
                },
                true
            ),
            (
                Verdict::Consistent,
                vec!["no_profile_expected", "user_banned"]
            )
        );
        assert_eq!(
            ids(
                &UserFacts {
                    email_differs: true,
                    ..healthy()
                },
                true
            ),
            (Verdict::Consistent, vec!["email_mismatches"])
        );
        assert_eq!(
            ids(&gone, false),
            (Verdict::Unknown, vec!["user_not_found"])
        );
        assert_eq!(ids(&gone, true), (Verdict::Consistent, vec!["user_gone"]));
        assert_eq!(
            ids(
                &UserFacts {
                    deletion_logged: true,
                    has_profile: true,
                    ..gone
                },
                true
            ),
            (
                Verdict::Consistent,
                vec!["user_deleted", "orphaned_profiles"]
            )
        );
    }
}
