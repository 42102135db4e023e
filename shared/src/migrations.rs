//! The migrations, inside the program: what there is, what applying it would change, applying it, and taking it back.
//!
//! The history is Rollcall's own, `rollcall.migration`. The Supabase CLI's is never touched: it refuses to push where the
//! remote has versions without local files.

mod apply;
pub mod export;
mod plan;
mod rollback;
mod situation;

use std::fmt::Write;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

pub use apply::{apply, apply_planned, plan};
pub use plan::{DefinitionChange, FileChange, FileState, NameChange, NameState, Plan, RoleChange};
pub use rollback::{Extent, RolledBack, plan_roll_back, roll_back};
pub(crate) use situation::Situation;

/// One migration file. Each can be run twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// 14 digits; the order of application.
    pub version: &'static str,
    /// What it is about.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
    /// Whether a report needs it where Rollcall is not installed.
    is_for_look: bool,
}

macro_rules! migration {
    ($version:literal, $name:literal) => {
        migration!(@ $version, $name, false)
    };
    ($version:literal, $name:literal, look) => {
        migration!(@ $version, $name, true)
    };
    (@ $version:literal, $name:literal, $is_for_look:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../migrations/", $version, "_", $name, ".sql")),
            is_for_look: $is_for_look,
        }
    };
}

/// All migrations in order.
pub const ALL: &[Migration] = &[
    migration!("20261127000100", "rollcall_tables", look),
    migration!("20261127000200", "rollcall_definition", look),
    migration!("20261127000300", "rollcall_draft", look),
    migration!("20261127000400", "rollcall_checks", look),
    migration!("20261127000500", "rollcall_probe", look),
    migration!("20261127000600", "rollcall_repair", look),
    migration!("20261127000700", "rollcall_signup_trigger"),
    migration!("20261127000800", "rollcall_alerts"),
    migration!("20261127000900", "rollcall_public_api"),
    migration!("20261128000100", "rollcall_rights"),
];

/// The newest version that this program knows.
pub fn newest() -> &'static str {
    ALL[ALL.len() - 1].version
}

impl Migration {
    /// SHA-256 of the file, in hexadecimal.
    pub fn checksum(&self) -> String {
        Sha256::digest(self.sql)
            .iter()
            .fold(String::new(), |mut text, byte| {
                // writing to a string cannot fail
                let _ = write!(text, "{byte:02x}");
                text
            })
    }

    /// The names of the functions and tables that it makes in the schema `rollcall`.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &'static str> {
        const BEGINNINGS: [&str; 2] = [
            "create or replace function rollcall.",
            "create table if not exists rollcall.",
        ];
        self.sql.lines().filter_map(|line| {
            let rest = BEGINNINGS
                .iter()
                .find_map(|begin| line.strip_prefix(begin))?;
            rest.split([' ', '(']).next()
        })
    }

    /// The functions that roles may call by it: `role`, and the function as `regprocedure` reads it.
    pub(crate) fn grants(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.sql
            .split("\ngrant execute on function")
            .skip(1)
            .filter_map(|rest| rest.split(';').next()?.trim().rsplit_once("to "))
            .flat_map(|(functions, role)| {
                functions
                    .split_inclusive(')')
                    .map(|function| function.trim_start_matches([',', ' ', '\n']).to_owned())
                    .filter(|function| function.ends_with(')'))
                    .map(move |function| (role, function))
            })
    }
}

/// The text of all that a report needs where Rollcall is not installed.
pub(crate) fn look_sql() -> &'static str {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        ALL.iter()
            .filter(|migration| migration.is_for_look)
            .map(|migration| migration.sql)
            .collect()
    });
    &SQL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_what_the_folder_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .into_string()
                    .expect("UTF-8")
            })
            .filter(|name| name.ends_with(".sql"))
            .collect();
        files.sort();
        let listed: Vec<String> = ALL
            .iter()
            .map(|m| format!("{}_{}.sql", m.version, m.name))
            .collect();
        assert_eq!(listed, files);
    }

    #[test]
    fn the_newest_migration_says_its_own_version() {
        assert!(
            ALL[ALL.len() - 1]
                .sql
                .contains(&format!("$$ select '{}' $$", newest()))
        );
    }

    #[test]
    fn a_checksum_is_what_sha256sum_prints() {
        let migration = Migration {
            sql: "abc",
            ..ALL[0]
        };
        assert_eq!(
            migration.checksum(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn the_objects_of_a_file_are_found_by_their_names() {
        let tables: Vec<&str> = ALL[0].objects().collect();
        assert!(
            tables.contains(&"settings") && tables.contains(&"event"),
            "{tables:?}"
        );
        let functions: Vec<&str> = ALL[1].objects().collect();
        assert!(functions.contains(&"define"), "{functions:?}");
    }

    #[test]
    fn who_may_call_what_is_read_from_the_file() {
        let grants: Vec<(&str, String)> = ALL.iter().flat_map(Migration::grants).collect();
        for (role, function) in [
            ("service_role", "rollcall.list_users()"),
            (
                "rollcall_monitor",
                "rollcall.acknowledge_message(bigint, uuid, boolean)",
            ),
            ("rollcall_monitor", "rollcall.user_record(uuid)"),
            (
                "rollcall_repairer",
                "rollcall.undo_batch(uuid, integer, boolean)",
            ),
        ] {
            assert!(grants.contains(&(role, function.to_owned())), "{function}");
        }
        assert!(
            grants
                .iter()
                .all(|(_, function)| function.starts_with("rollcall.")),
            "{grants:?}"
        );
    }

    #[test]
    fn a_look_makes_no_role_and_no_trigger_and_grants_nothing() {
        // inside a function such a line is indented
        for statement in ["create role", "alter role", "create trigger", "grant "] {
            assert!(
                !look_sql().lines().any(|line| line.starts_with(statement)),
                "{statement}"
            );
        }
    }
}
