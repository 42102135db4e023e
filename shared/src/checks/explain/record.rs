//! What the database has on record of one user, and what becomes of it: facts and a timeline.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{ProfileFailure, TimelineEntry, UserFacts};
use crate::checks::events::{EventPayload, UserEvent, moment};
use crate::masked::Masked;

/// How many entries a timeline has at most, the newest.
const MAX_ENTRIES: usize = 200;

/// The document of `rollcall.user_record()`.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    user: Option<User>,
    is_expected: bool,
    is_in_grace: bool,
    email_differs: bool,
    profile: Option<Profile>,
    identities: Vec<Identity>,
    audit_log: String,
    audit_events: Vec<AuditEvent>,
    events: Vec<UserEvent>,
    failure: Option<Failure>,
}

/// What an older Supabase Auth does not know is left out.
#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct User {
    #[serde(deserialize_with = "moment")]
    created_at: Option<Timestamp>,
    #[serde(deserialize_with = "moment")]
    invited_at: Option<Timestamp>,
    #[serde(deserialize_with = "moment")]
    confirmation_sent_at: Option<Timestamp>,
    #[serde(deserialize_with = "moment")]
    email_confirmed_at: Option<Timestamp>,
    #[serde(deserialize_with = "moment")]
    phone_confirmed_at: Option<Timestamp>,
    #[serde(deserialize_with = "moment")]
    confirmed_at: Option<Timestamp>,
    #[serde(deserialize_with = "moment")]
    last_sign_in_at: Option<Timestamp>,
    banned_until: Option<String>,
    #[serde(deserialize_with = "moment")]
    deleted_at: Option<Timestamp>,
    is_anonymous: bool,
    is_sso_user: bool,
    has_email: bool,
    has_phone: bool,
    email: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    #[serde(deserialize_with = "moment")]
    created_at: Option<Timestamp>,
    email: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Identity {
    #[serde(deserialize_with = "moment")]
    created_at: Option<Timestamp>,
    provider: String,
}

#[derive(Debug, Deserialize)]
struct AuditEvent {
    action: String,
    #[serde(deserialize_with = "moment")]
    created_at: Option<Timestamp>,
    email: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    sqlstate: String,
    constraint_name: Option<String>,
    column_name: Option<String>,
    functions: Vec<String>,
    attempts: i32,
    #[serde(deserialize_with = "moment")]
    last_failed_at: Option<Timestamp>,
}

impl Record {
    pub(super) fn facts(&self, now: Timestamp) -> UserFacts {
        let nobody = User::default();
        let user = self.user.as_ref().unwrap_or(&nobody);
        let logged = |is_wanted: fn(&str) -> bool| {
            self.audit_events
                .iter()
                .any(|event| is_wanted(&event.action))
        };
        UserFacts {
            is_user: self.user.is_some(),
            is_expected: self.is_expected,
            has_profile: self.profile.is_some(),
            is_in_grace: self.is_in_grace,
            is_soft_deleted: user.deleted_at.is_some(),
            is_anonymous: user.is_anonymous,
            is_sso: user.is_sso_user,
            is_confirmed: user.confirmed_at.is_some(),
            is_banned: match user.banned_until.as_deref() {
                Some("infinity") => true,
                Some(until) => until.parse::<Timestamp>().is_ok_and(|until| until > now),
                None => false,
            },
            phone_only: !user.has_email && user.has_phone,
            email_differs: self.email_differs,
            signup_logged: logged(|action| action != "user_deleted"),
            deletion_logged: logged(|action| action == "user_deleted"),
            audit_log: self.audit_log.clone(),
            email: user.email.clone().map(Masked::new),
            failure: self.newest_failure(),
        }
    }

    /// By signup or repair.
    fn newest_failure(&self) -> Option<ProfileFailure> {
        let by_signup = self
            .events
            .iter()
            .filter(|event| event.kind == "profile_bootstrap_error")
            .filter_map(|event| {
                let payload = event.payload.reveal()?;
                let text = |name| payload.get(name).and_then(Value::as_str).map(str::to_owned);
                Some(ProfileFailure {
                    sqlstate: text("sqlstate").filter(|code| code.len() == 5)?,
                    constraint: text("constraint"),
                    column: text("column"),
                    functions: payload
                        .get("functions")
                        .and_then(|names| serde_json::from_value(names.clone()).ok())
                        .unwrap_or_default(),
                    attempts: 1,
                    last_failed_at: event.created_at?,
                })
            });
        let by_repair = self.failure.iter().filter_map(|failure| {
            Some(ProfileFailure {
                sqlstate: failure.sqlstate.clone(),
                constraint: failure.constraint_name.clone(),
                column: failure.column_name.clone(),
                functions: failure.functions.clone(),
                attempts: failure.attempts,
                last_failed_at: failure.last_failed_at?,
            })
        });
        by_signup
            .chain(by_repair)
            .max_by_key(|failure| failure.last_failed_at)
    }

    /// Oldest first; what has no date comes last.
    pub(super) fn timeline(&self) -> Vec<TimelineEntry> {
        let mut entries = self.entries();
        // of one moment, in the order in which they happen
        entries.sort_by(|(a, one), (b, other)| {
            (one.happened_at, a, &one.happening).cmp(&(other.happened_at, b, &other.happening))
        });
        entries.drain(..entries.len().saturating_sub(MAX_ENTRIES));
        entries.sort_by_key(|(_, entry)| entry.happened_at.is_none());
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Each with its place among those of the same moment.
    fn entries(&self) -> Vec<((u8, i64), TimelineEntry)> {
        let mut entries = Vec::new();
        let mut add = |place: (u8, i64),
                       happened_at,
                       source: &str,
                       happening: String,
                       details: Option<EventPayload>,
                       email: Option<&String>| {
            let entry = TimelineEntry {
                happened_at,
                source: source.to_owned(),
                happening,
                details: details.unwrap_or_default(),
                email: email.cloned().map(Masked::new),
            };
            entries.push((place, entry));
        };
        for event in &self.audit_events {
            let (action, email) = (event.action.clone(), event.email.as_ref());
            add((1, 0), event.created_at, "audit log", action, None, email);
        }
        if let Some(user) = &self.user {
            let (created, email) = (format!("created{}", user.kind()), user.email.as_ref());
            add((2, 1), user.created_at, "user", created, None, email);
            for (place, (moment, happening)) in (2..).zip(user.later_moments()) {
                if moment.is_some() {
                    add((2, place), moment, "user", happening.to_owned(), None, None);
                }
            }
        }
        for identity in &self.identities {
            let linked = format!("linked ({})", identity.provider);
            add((2, 9), identity.created_at, "identity", linked, None, None);
        }
        for event in &self.events {
            let (kind, payload) = (event.kind.clone(), event.payload.clone());
            let place = (3, event.event_id);
            add(place, event.created_at, "event", kind, Some(payload), None);
        }
        if let Some(profile) = &self.profile {
            let (created, email) = ("created".to_owned(), profile.email.as_ref());
            add((4, 0), profile.created_at, "profile", created, None, email);
        }
        if let Some(failure) = &self.failure {
            let failed = format!("failed (attempt {})", failure.attempts);
            let details = EventPayload::new(failure.details());
            let at = failure.last_failed_at;
            add((5, 0), at, "repair", failed, Some(details), None);
        }
        entries
    }
}

impl User {
    fn kind(&self) -> &'static str {
        match self {
            Self {
                is_anonymous: true, ..
            } => " (anonymous)",
            Self {
                is_sso_user: true, ..
            } => " (single sign-on)",
            Self {
                has_email: true, ..
            } => " (e-mail)",
            Self {
                has_phone: true, ..
            } => " (phone)",
            _ => "",
        }
    }

    fn later_moments(&self) -> [(Option<Timestamp>, &'static str); 7] {
        [
            (self.invited_at, "invited"),
            (self.confirmation_sent_at, "confirmation sent"),
            (self.email_confirmed_at, "e-mail confirmed"),
            (self.phone_confirmed_at, "phone confirmed"),
            (self.last_sign_in_at, "last sign-in"),
            (
                self.banned_until
                    .as_deref()
                    .and_then(|until| until.parse().ok()),
                "banned until",
            ),
            (self.deleted_at, "soft-deleted"),
        ]
    }
}

impl Failure {
    fn details(&self) -> Value {
        let fields = [
            ("sqlstate", Some(Value::from(self.sqlstate.clone()))),
            ("constraint", self.constraint_name.clone().map(Value::from)),
            ("column", self.column_name.clone().map(Value::from)),
            (
                "functions",
                (!self.functions.is_empty()).then(|| Value::from(self.functions.clone())),
            ),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }
}
