//! All migrations as one file, for projects whose migrations the Supabase CLI applies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use jiff::civil::DateTime;
use jiff::{Timestamp, ToSpan};

use super::{ALL, Migration, newest};
use crate::definition::EXAMPLE_SQL;

/// What is behind the version in the name of the file.
const NAME_END: &str = "_rollcall.sql";

/// What came of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Export {
    /// This file was written.
    Written(PathBuf),
    /// The exports that are there, of which this is the newest, hold all of it.
    UpToDate(PathBuf),
}

/// Writes one migration file into a folder, with a version after that of every file there, unless the exports there hold
/// all of it. With `upgrade`, the file has what they do not hold.
///
/// # Errors
/// What the file system refuses; nothing that is there is ever overwritten.
pub fn write(folder: &Path, upgrade: bool, now: Timestamp) -> io::Result<Export> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    let exports: Vec<PathBuf> = names
        .iter()
        .filter(|name| name.ends_with(NAME_END))
        .map(|name| folder.join(name))
        .collect();
    let mut held = BTreeMap::new();
    for path in &exports {
        held.extend(entries(&fs::read_to_string(path)?));
    }
    let is_held =
        |migration: &Migration| held.get(migration.version) == Some(&migration.checksum());
    if let Some(newest) = exports.last()
        && ALL.iter().all(is_held)
    {
        return Ok(Export::UpToDate(newest.clone()));
    }
    let text = if upgrade {
        text_of(|migration| !is_held(migration))
    } else {
        text()
    };
    let path = folder.join(version(&names, now) + NAME_END);
    io::Write::write_all(&mut fs::File::create_new(&path)?, text.as_bytes())?;
    Ok(Export::Written(path))
}

/// Version and checksum of what an exported file holds, by its own entries in the history.
fn entries(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let mut values = line.strip_prefix("  ('")?.split("', '");
            let (version, _name) = (values.next()?, values.next()?);
            let checksum = values.next()?.split('\'').next()?;
            (version.len() == 14 && checksum.len() == 64)
                .then(|| (version.to_owned(), checksum.to_owned()))
        })
        .collect()
}

/// 14 digits: now, or a second after the newest file.
fn version(names: &[String], now: Timestamp) -> String {
    const FORM: &str = "%Y%m%d%H%M%S";
    let now = now.strftime(FORM).to_string();
    let newest = names
        .iter()
        .filter_map(|name| name.split(['_', '.']).next())
        .filter(|version| version.len() == 14 && version.bytes().all(|b| b.is_ascii_digit()))
        .max();
    match newest {
        Some(newest) if *newest >= *now => DateTime::strptime(FORM, newest)
            .and_then(|newest| newest.checked_add(1.second()))
            .map(|next| next.strftime(FORM).to_string())
            // not a date: only its order matters
            .unwrap_or_else(|_| {
                newest
                    .parse::<u64>()
                    .map_or(now, |number| format!("{:014}", number.saturating_add(1)))
            }),
        _ => now,
    }
}

/// The text of the file: every migration, and their entries in the history.
pub fn text() -> String {
    text_of(|_| true)
}

/// The same with some of them only, and with the last, which says who may do what.
fn text_of(is_wanted: impl Fn(&Migration) -> bool) -> String {
    let newest = newest();
    let migrations: Vec<&Migration> = ALL
        .iter()
        .filter(|migration| is_wanted(migration) || migration.version == newest)
        .collect();
    let what = if migrations.len() == ALL.len() {
        "as one migration"
    } else {
        "what is new of it since the export before"
    };
    let mut text = format!(
        "-- Rollcall {newest}, {what}: made by `rollcall export`, applied by `supabase db push`.\n\
         --\n\
         -- Creates the schema rollcall, two roles without login, and functions and views in public under names that are free.\n\
         -- No table, function or trigger of the application's is changed. Safe to run twice.\n\n\
         select pg_advisory_xact_lock(hashtext('rollcall.install'));\n"
    );
    for migration in &migrations {
        let title = format!("-- {}_{} ", migration.version, migration.name);
        text += &format!("\n{title:-<119}\n\n{}", migration.sql);
    }
    text += &format!(
        "\n-- What signups that are tried and rolled back tell about the profile table, where no person has set a definition.\n\n\
         {EXAMPLE_SQL}\n\
         do $$\n\
         begin\n  \
           perform rollcall.adopt_draft(rollcall.signup_example());\n\
         exception when others or assert_failure then\n  \
           raise warning 'rollcall: no signup could be tried (SQLSTATE %), so the definition is drafted without', sqlstate;\n\
         end\n\
         $$;\n\
         drop function rollcall.signup_example(regclass);\n"
    );
    let versions: Vec<String> = ALL.iter().map(|m| format!("'{}'", m.version)).collect();
    text += &format!(
        "\n-- The history that `rollcall migrate` reads.\n\
         delete from rollcall.migration m where m.version not in (\n  {});\n\
         insert into rollcall.migration as m (version, name, checksum) values\n",
        versions.join(", ")
    );
    let entries: Vec<String> = migrations
        .iter()
        .map(|m| format!("  ('{}', '{}', '{}')", m.version, m.name, m.checksum()))
        .collect();
    text += &entries.join(",\n");
    text + "\non conflict (version) do update\n  \
            set name = excluded.name, checksum = excluded.checksum, applied_at = now(), applied_by = session_user\n  \
            where (m.name, m.checksum) is distinct from (excluded.name, excluded.checksum);\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(moment: &str) -> Timestamp {
        moment.parse().expect("a moment")
    }

    fn version_after(names: &[&str], now: &str) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        version(&names, at(now))
    }

    #[test]
    fn the_version_is_now_and_after_every_file() {
        let now = "2026-11-27T05:06:07Z";
        assert_eq!(version_after(&[], now), "20261127050607");
        assert_eq!(
            version_after(&["20251231000000_old.sql", "readme.md", "99_odd.sql"], now),
            "20261127050607"
        );
        assert_eq!(
            version_after(&["20261127050607_same.sql"], now),
            "20261127050608"
        );
        assert_eq!(
            version_after(
                &["20271231235959_ahead.sql", "20261127050607_same.sql"],
                now
            ),
            "20280101000000"
        );
        assert_eq!(
            version_after(&["20269999999999_no_date.sql"], now),
            "20270000000000"
        );
    }

    #[test]
    fn what_a_file_holds_is_read_from_it() {
        let held = entries(&text());
        let all: Vec<(String, String)> = ALL
            .iter()
            .map(|migration| (migration.version.to_owned(), migration.checksum()))
            .collect();
        assert_eq!(held, all);
    }

    #[test]
    fn an_upgrade_has_what_is_new_and_the_rights() {
        let text = text_of(|migration| migration.name == "rollcall_checks");
        let held: Vec<String> = entries(&text)
            .into_iter()
            .map(|(version, _)| version)
            .collect();
        let expected: Vec<&str> = ALL
            .iter()
            .filter(|migration| ["rollcall_checks", "rollcall_rights"].contains(&migration.name))
            .map(|migration| migration.version)
            .collect();
        assert_eq!(held, expected);
        assert!(!text.contains(ALL[0].sql));
    }

    #[test]
    fn the_file_holds_every_migration_and_its_entry() {
        let text = text();
        for migration in ALL {
            assert!(text.contains(migration.sql), "{}", migration.name);
            assert!(text.contains(&format!("'{}'", migration.checksum())));
        }
    }
}
