//! The map names what is there, and all of it.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::{document, quoted, root, section, table};

const MAP: &str = "ARCHITECTURE.md";

#[test]
fn every_path_exists() -> Result<()> {
    let map = document(MAP)?;
    let mut paths = 0;
    for path in quoted(&map) {
        let is_path = path.contains('/') && !path.contains(['*', ' ', '(', '…']);
        if is_path {
            ensure!(root().join(path).exists(), "there is no {path}");
            paths += 1;
        }
    }
    ensure!(paths > 20, "{paths}");
    Ok(())
}

#[test]
fn every_room_of_the_repository_is_named() -> Result<()> {
    let map = document(MAP)?;
    let rooms: BTreeSet<&str> = quoted(section(&map, "## Rooms")?);
    for entry in fs::read_dir(root())? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a name")?;
        if entry.path().is_dir() && !name.starts_with('.') && name != "target" {
            ensure!(
                rooms
                    .iter()
                    .any(|room| room.starts_with(&format!("{name}/"))),
                "{name} is not on the map"
            );
        }
    }
    Ok(())
}

#[test]
fn the_migrations_are_those_of_the_folder_and_a_look_runs_those_that_are_marked() -> Result<()> {
    let map = document(MAP)?;
    let code = document("shared/src/migrations.rs")?;
    let mut named = BTreeSet::new();
    for row in table(section(&map, "### migrations/")?, "| file |")? {
        let name = row.first().context("a name")?.trim_matches('`').to_owned();
        let (version, rest) = name.split_once('_').context("a version")?;
        let is_for_look = code.contains(&format!("(\"{version}\", \"{rest}\", look)"));
        assert_eq!(row.get(2) == Some(&"yes"), is_for_look, "{name}");
        named.insert(name + ".sql");
    }
    let mut there = BTreeSet::new();
    for entry in fs::read_dir(root().join("migrations"))? {
        let name = entry?.file_name().into_string().ok().context("a name")?;
        if name.ends_with(".sql") {
            there.insert(name);
        }
    }
    assert_eq!(named, there);
    Ok(())
}

#[test]
fn the_modules_of_the_shared_crate_are_there_and_named() -> Result<()> {
    let map = document(MAP)?;
    let mut named = BTreeSet::new();
    for row in table(section(&map, "### shared/src")?, "| module |")? {
        named.extend(quoted(row.first().context("a name")?));
    }
    let library = document("shared/src/lib.rs")?;
    let there: BTreeSet<&str> = library
        .lines()
        .filter_map(|line| {
            line.strip_prefix("pub mod ")
                .or_else(|| line.strip_prefix("mod "))
        })
        .filter_map(|line| line.strip_suffix(';'))
        .collect();
    assert_eq!(named, there);
    Ok(())
}

#[test]
fn each_step_of_a_walk_names_a_file_and_what_is_in_it() -> Result<()> {
    let map = document(MAP)?;
    for walk in ["## Follow one check", "## Follow one repair"] {
        let steps = section(&map, walk)?
            .lines()
            .skip_while(|line| !line.starts_with("1. "));
        let mut number = 0;
        for step in steps.filter(|line| !line.is_empty()) {
            number += 1;
            let step = step
                .strip_prefix(&format!("{number}. `"))
                .with_context(|| format!("not step {number}: {step}"))?;
            let (file, what) = step.split_once("`: ").context("a file")?;
            let text = document(file)?;
            for name in quoted(what) {
                ensure!(text.contains(name), "{name} is not in {file}");
            }
        }
        ensure!(number > 10, "{walk} has {number} steps");
    }
    Ok(())
}
