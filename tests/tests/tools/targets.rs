//! A target that `cargo test` is told to skip holds nothing that would have to run.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What the files of `folder` contain, those below it included, but for programs beside a library.
fn text_below(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("bin") {
            text += &text_below(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(path)?;
        }
    }
    Ok(text)
}

#[test]
fn a_target_that_is_skipped_has_no_test() -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let mut skipped = 0;
    for target in packages
        .iter()
        .flat_map(|package| package["targets"].as_array())
        .flatten()
    {
        let source = Path::new(target["src_path"].as_str().context("a source")?);
        let text = match source.file_name().and_then(|name| name.to_str()) {
            Some("lib.rs" | "main.rs") => text_below(source.parent().context("a folder")?)?,
            _ => fs::read_to_string(source)?,
        };
        let is_lib = target["kind"][0] == "lib";
        for (kind, marks) in [
            ("test", &["#[test]", "#[tokio::test]"][..]),
            ("doctest", &["/// ```", "//! ```"]),
        ] {
            if target[kind] == false && (kind == "test" || is_lib) {
                let found = marks.iter().find(|mark| text.contains(**mark));
                ensure!(
                    found.is_none(),
                    "{} is skipped, and has {found:?}",
                    source.display()
                );
                skipped += 1;
            }
        }
    }
    ensure!(skipped > 5, "{skipped}");
    Ok(())
}
