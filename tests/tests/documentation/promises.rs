//! What the documentation says is kept by a test is: every test that it names exists, and no promise goes without one.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> Result<String> {
    fs::read_to_string(root().join(name)).with_context(|| format!("{name} is not there"))
}

/// The tests that a page names, as `file::test` in backquotes.
fn named_tests(page: &str) -> BTreeSet<(&str, &str)> {
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    page.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once("::"))
        .filter(|(file, test)| is_name(file) && is_name(test))
        .collect()
}

/// All Rust code under a folder, or of a file.
fn code(path: &Path) -> Result<String> {
    if path.is_file() {
        return Ok(fs::read_to_string(path)?);
    }
    let mut text = String::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "rs") {
            text += &code(&path)?;
        }
    }
    Ok(text)
}

/// The code that `file` means: a folder of tests, every file of that name in one, or a crate's own tests.
fn code_of(file: &str) -> Result<String> {
    let tests = root().join("tests/tests");
    let file_name = format!("{file}.rs");
    let mut places = vec![
        root().join(file).join("src"),
        tests.join(file),
        tests.join(&file_name),
    ];
    for folder in fs::read_dir(&tests)? {
        places.push(folder?.path().join(&file_name));
    }
    places.retain(|path| path.exists());
    ensure!(!places.is_empty(), "no tests are called {file}");
    places.iter().map(|path| code(path)).collect()
}

fn check(page: &str) -> Result<usize> {
    let named = named_tests(page);
    for (file, test) in &named {
        ensure!(
            code_of(file)?.contains(&format!("fn {test}(")),
            "{file}::{test} does not exist"
        );
    }
    Ok(named.len())
}

#[test]
fn every_promise_names_tests_that_exist() -> Result<()> {
    let page = page("docs/reliability.md")?;
    check(&page)?;
    for number in 1..=16 {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| P{number} ")))
            .with_context(|| format!("P{number} has no row"))?;
        ensure!(!named_tests(row).is_empty(), "P{number} names no test");
    }
    Ok(())
}

#[test]
fn every_line_of_the_threat_model_names_a_test_that_exists() -> Result<()> {
    let page = page("docs/security.md")?;
    let tested = check(&page)?;
    ensure!(tested > 20, "{tested}");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| what"));
    for row in rows {
        ensure!(!named_tests(row).is_empty(), "nothing backs: {row}");
    }
    Ok(())
}
