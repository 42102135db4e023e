//! What an installation changes, and what stays as it is: the difference between what is read before and after.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use tokio_postgres::types::Type;

use super::{ALL, Migration};
use crate::database::{Queries, Warning, column};
use crate::definition::{self, Candidate};
use crate::error::Result;

/// The names that the public API has in the schema `public`, each where it is free.
const API_NAMES: [&str; 12] = [
    "auth_profile_mismatch",
    "backfill_all_missing_profiles",
    "backfill_user_profile",
    "check_recent_signup_issues",
    "diagnose_auth_profile_consistency",
    "ensure_profile_exists",
    "get_auth_profile_mismatches",
    "get_user_signup_events",
    "monitor_signup_health",
    "signup_audit_summary",
    "user_events",
    "verify_profile_completeness",
];

/// What an installation changes, or has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plan {
    /// Nothing is missing and nothing changes.
    pub is_up_to_date: bool,
    /// Every migration file.
    pub files: Vec<FileChange>,
    /// Objects of Rollcall's that the history says are there, and that somebody dropped: they are made again.
    pub missing: Vec<String>,
    /// Objects of Rollcall's that somebody changed: they are made as they were.
    pub changed: Vec<String>,
    /// Objects of Rollcall's on which rights were given or taken, as a restore or a branch does: they are put right.
    pub rights: Vec<String>,
    /// The names of the public API in the schema `public`.
    pub names: Vec<NameChange>,
    /// The two roles, both without login.
    pub roles: Vec<RoleChange>,
    /// Who must have a profile.
    pub definition: DefinitionChange,
    /// The application's triggers on the tables of Supabase Auth. They stay as they are, always.
    pub application_triggers: Vec<String>,
    /// What Rollcall's SQL warns of.
    pub warnings: Vec<Warning>,
    /// What tried signups told about the profile table.
    #[serde(skip)]
    pub(super) example: Option<Value>,
}

/// A migration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileChange {
    /// 14 digits.
    pub version: &'static str,
    /// What it is about.
    pub name: &'static str,
    /// How it stood before.
    pub state: FileState,
}

/// How a migration file stood in the history before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// The history did not have it.
    New,
    /// The history had another text of it.
    Changed,
    /// The history had it.
    Applied,
}

/// A name of the public API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NameChange {
    /// The name, without its schema.
    pub name: &'static str,
    /// What becomes of it.
    pub state: NameState,
}

/// What becomes of a name in the schema `public`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NameState {
    /// It was free, and is Rollcall's now.
    Created,
    /// It was Rollcall's already.
    Kept,
    /// It is the application's, and stays so.
    Taken,
    /// It was the application's; its old definition is kept, and a rollback gives it back.
    Replaced,
}

/// A role of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoleChange {
    /// Its name.
    pub name: String,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// Which definition is in force, and whether that is new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DefinitionChange {
    /// A person has set it; it is never replaced.
    Set {
        /// The profile table.
        table: String,
    },
    /// It was drafted from the table's columns and rows.
    Drafted {
        /// The profile table.
        table: String,
        /// Whether there was another one, or none, before.
        is_new: bool,
    },
    /// There is none, so every verdict is `unknown`.
    None {
        /// Tables that could hold the profiles, best first.
        candidates: Vec<Candidate>,
    },
}

/// What is read before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    objects: BTreeMap<String, Object>,
    our_names: Vec<String>,
    pub(super) their_names: Vec<String>,
    application_triggers: Vec<String>,
    /// Version and checksum.
    history: Vec<(String, String)>,
    definition: Option<Definition>,
    candidates: Vec<Candidate>,
}

/// An object of Rollcall's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    /// A hash of what it is.
    shape: String,
    /// Who may do what with it.
    rights: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Definition {
    table: String,
    query: String,
    is_draft: bool,
}

impl Facts {
    pub(super) async fn read(queries: &Queries<'_>) -> Result<Self> {
        let row = queries
            .row(
                include_str!("facts.sql"),
                &[(&API_NAMES.as_slice(), Type::TEXT_ARRAY)],
            )
            .await?;
        let mut facts = Self {
            our_names: column(&row, "our_names")?,
            their_names: column(&row, "their_names")?,
            application_triggers: column(&row, "application_triggers")?,
            ..Self::default()
        };
        for row in &queries.rows(include_str!("objects.sql"), &[]).await? {
            facts.objects.insert(
                column(row, "name")?,
                Object {
                    shape: column(row, "shape")?,
                    rights: column(row, "rights")?,
                },
            );
        }
        if column(&row, "has_history")? {
            let rows = queries
                .rows(
                    "select m.version, m.checksum from rollcall.migration m",
                    &[],
                )
                .await?;
            for row in &rows {
                facts
                    .history
                    .push((column(row, "version")?, column(row, "checksum")?));
            }
        }
        if column(&row, "has_settings")? {
            let rows = queries
                .rows(
                    "select s.target_table, s.query, s.is_draft from rollcall.settings s where s.target_table is not null",
                    &[],
                )
                .await?;
            if let Some(row) = rows.first() {
                facts.definition = Some(Definition {
                    table: column(row, "target_table")?,
                    query: column(row, "query")?,
                    is_draft: column(row, "is_draft")?,
                });
            } else if facts.objects.contains_key("rollcall.candidate_tables()") {
                facts.candidates = definition::candidates_in(queries).await?;
            }
        }
        Ok(facts)
    }

    fn state_of(&self, file: &Migration) -> FileState {
        match self
            .history
            .iter()
            .find(|(version, _)| version == file.version)
        {
            None => FileState::New,
            Some((_, checksum)) if *checksum == file.checksum() => FileState::Applied,
            Some(_) => FileState::Changed,
        }
    }

    /// Whether a definition is to be drafted, and there is a trigger that may show what a profile contains.
    pub(super) fn needs_example(&self) -> bool {
        let is_of_a_person = self
            .definition
            .as_ref()
            .is_some_and(|definition| !definition.is_draft);
        !is_of_a_person && !self.application_triggers.is_empty()
    }

    /// Those of the two roles that are there.
    fn roles(&self) -> impl Iterator<Item = &str> {
        self.objects
            .keys()
            .filter_map(|name| name.strip_prefix("role "))
    }
}

impl Plan {
    /// What has changed between two readings, and what has not.
    pub(super) fn between(before: &Facts, after: &Facts, warnings: Vec<Warning>) -> Self {
        let files: Vec<FileChange> = ALL
            .iter()
            .map(|file| FileChange {
                version: file.version,
                name: file.name,
                state: before.state_of(file),
            })
            .collect();
        let is_applied = files.iter().all(|file| file.state == FileState::Applied);
        // what a new version brings is no damage
        let damaged = |is_so: fn(Option<&Object>, &Object) -> bool| -> Vec<String> {
            after
                .objects
                .iter()
                .filter(|(name, now)| is_applied && is_so(before.objects.get(*name), now))
                .map(|(name, _)| name.clone())
                .collect()
        };
        let missing = damaged(|was, _| was.is_none());
        let changed = damaged(|was, now| was.is_some_and(|was| was.shape != now.shape));
        let rights = damaged(|was, now| was.is_some_and(|was| was.rights != now.rights));
        let names = API_NAMES.map(|name| NameChange {
            name,
            state: name_state(name, before, after),
        });
        let roles = after
            .roles()
            .map(|name| RoleChange {
                name: name.to_owned(),
                is_new: !before.roles().any(|other| other == name),
            })
            .collect();
        let is_up_to_date = is_applied
            && before.history.len() == ALL.len()
            && before.objects == after.objects
            && names
                .iter()
                .all(|name| matches!(name.state, NameState::Kept | NameState::Taken))
            // one table may stand out meanwhile
            && before.definition.is_some() == after.definition.is_some();
        Self {
            is_up_to_date,
            files,
            missing,
            changed,
            rights,
            names: names.to_vec(),
            roles,
            definition: definition_change(before, if is_up_to_date { before } else { after }),
            application_triggers: after.application_triggers.clone(),
            warnings,
            example: None,
        }
    }
}

fn name_state(name: &str, before: &Facts, after: &Facts) -> NameState {
    let is_in = |names: &[String]| names.iter().any(|other| other == name);
    match (
        is_in(&before.our_names),
        is_in(&before.their_names),
        is_in(&after.our_names),
    ) {
        (_, _, false) => NameState::Taken,
        (true, _, true) => NameState::Kept,
        (false, true, true) => NameState::Replaced,
        (false, false, true) => NameState::Created,
    }
}

fn definition_change(before: &Facts, after: &Facts) -> DefinitionChange {
    match &after.definition {
        None => DefinitionChange::None {
            candidates: after.candidates.clone(),
        },
        Some(definition) if definition.is_draft => DefinitionChange::Drafted {
            table: definition.table.clone(),
            is_new: before.definition != after.definition,
        },
        Some(definition) => DefinitionChange::Set {
            table: definition.table.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Facts {
        Facts::default()
    }

    fn object(shape: &str) -> Object {
        Object {
            shape: shape.to_owned(),
            rights: "postgres".to_owned(),
        }
    }

    fn installed() -> Facts {
        let names = [
            "role rollcall_monitor",
            "role rollcall_repairer",
            "rollcall.define(text, text)",
            "rollcall.settings",
        ];
        Facts {
            objects: names.map(|name| (name.to_owned(), object("new"))).into(),
            our_names: API_NAMES.map(ToOwned::to_owned).to_vec(),
            history: ALL
                .iter()
                .map(|file| (file.version.to_owned(), file.checksum()))
                .collect(),
            definition: Some(Definition {
                table: "public.profiles".to_owned(),
                query: "select …".to_owned(),
                is_draft: true,
            }),
            ..Facts::default()
        }
    }

    fn of(plan: &Plan, name: &str) -> NameState {
        let found = plan.names.iter().find(|change| change.name == name);
        found.expect("a name of the API").state
    }

    #[test]
    fn a_first_installation_is_all_new() {
        let plan = Plan::between(&nothing(), &installed(), Vec::new());
        assert!(!plan.is_up_to_date && plan.missing.is_empty());
        assert!(plan.files.iter().all(|file| file.state == FileState::New));
        assert!(
            plan.names
                .iter()
                .all(|name| name.state == NameState::Created)
        );
        assert!(plan.roles.iter().all(|role| role.is_new));
        assert_eq!(
            plan.definition,
            DefinitionChange::Drafted {
                table: "public.profiles".to_owned(),
                is_new: true
            }
        );
    }

    #[test]
    fn what_is_installed_is_up_to_date() {
        let plan = Plan::between(&installed(), &installed(), Vec::new());
        assert!(plan.is_up_to_date, "{plan:?}");
    }

    #[test]
    fn a_name_that_is_taken_stays_unless_it_is_to_be_replaced() {
        let mut before = nothing();
        before.their_names = vec!["user_events".to_owned()];
        let mut after = installed();
        after.our_names.retain(|name| name != "user_events");
        after.their_names.clone_from(&before.their_names);
        let plan = Plan::between(&before, &after, Vec::new());
        assert_eq!(of(&plan, "user_events"), NameState::Taken);
        assert!(Plan::between(&after, &after, Vec::new()).is_up_to_date);

        let plan = Plan::between(&before, &installed(), Vec::new());
        assert_eq!(of(&plan, "user_events"), NameState::Replaced);
    }

    #[test]
    fn a_file_of_another_text_is_changed() {
        let mut before = installed();
        before.history[0].1 = "0".repeat(64);
        let plan = Plan::between(&before, &installed(), Vec::new());
        assert!(!plan.is_up_to_date);
        assert_eq!(plan.files[0].state, FileState::Changed);
        assert_eq!(plan.files[1].state, FileState::Applied);
    }

    #[test]
    fn what_was_dropped_changed_or_opened_since_is_named() {
        let function = "rollcall.define(text, text)";
        let mut before = installed();
        before.objects.remove(function);
        let plan = Plan::between(&before, &installed(), Vec::new());
        assert!(!plan.is_up_to_date);
        assert_eq!(
            (
                plan.missing.as_slice(),
                plan.changed.len(),
                plan.rights.len()
            ),
            ([function.to_owned()].as_slice(), 0, 0)
        );

        before.objects.insert(function.to_owned(), object("old"));
        let plan = Plan::between(&before, &installed(), Vec::new());
        assert!(!plan.is_up_to_date);
        assert_eq!(
            (
                plan.missing.len(),
                plan.changed.as_slice(),
                plan.rights.len()
            ),
            (0, [function.to_owned()].as_slice(), 0)
        );

        let opened = Object {
            rights: "postgres, anon".to_owned(),
            ..object("new")
        };
        before.objects.insert(function.to_owned(), opened);
        let plan = Plan::between(&before, &installed(), Vec::new());
        assert!(!plan.is_up_to_date);
        assert_eq!(
            (
                plan.missing.len(),
                plan.changed.len(),
                plan.rights.as_slice()
            ),
            (0, 0, [function.to_owned()].as_slice())
        );
    }

    #[test]
    fn what_a_new_version_changes_is_no_damage() {
        let mut before = installed();
        before.history[0].1 = "0".repeat(64);
        before
            .objects
            .insert("rollcall.settings".to_owned(), object("old"));
        before.objects.remove("rollcall.define(text, text)");
        let plan = Plan::between(&before, &installed(), Vec::new());
        assert!(!plan.is_up_to_date && plan.missing.is_empty() && plan.changed.is_empty());
    }

    #[test]
    fn a_history_that_is_empty_or_has_more_is_put_right_though_nothing_changes_otherwise() {
        let mut before = installed();
        before.history.clear();
        let plan = Plan::between(&before, &installed(), Vec::new());
        assert!(!plan.is_up_to_date && plan.missing.is_empty());

        let mut before = installed();
        before
            .history
            .push(("20200101000000".to_owned(), String::new()));
        assert!(!Plan::between(&before, &installed(), Vec::new()).is_up_to_date);
    }

    #[test]
    fn the_names_are_those_that_the_public_api_publishes() {
        let sql: String = ALL.iter().map(|file| file.sql).collect();
        for name in API_NAMES {
            assert!(sql.contains(&format!("('{name}',")), "{name}");
        }
    }
}
