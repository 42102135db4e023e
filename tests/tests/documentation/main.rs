//! The documentation is true: its commands and queries run as they stand there, its tables are those of the code, its
//! pictures show what the programs print.

mod commands;
mod definitions;
mod map;
mod pictures;
mod promises;
mod tables;
mod words;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The guide.
const GUIDE: &str = "docs/AUTH_PROFILE_CONSISTENCY_GUIDE.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document(name: &str) -> Result<String> {
    fs::read_to_string(root().join(name)).with_context(|| format!("{name} is not there"))
}

/// The names of all documents.
fn documents() -> Result<Vec<String>> {
    let mut names: Vec<String> = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "infra/README.md",
        "skills/rollcall/SKILL.md",
    ]
    .map(str::to_owned)
    .to_vec();
    for entry in fs::read_dir(root().join("docs"))? {
        let name = entry?.file_name().into_string().ok().context("a name")?;
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.sort();
    ensure!(names.len() > 10, "{names:?}");
    Ok(names)
}

/// What stands below a heading, up to the next of its rank or a higher one.
fn section<'a>(markdown: &'a str, heading: &str) -> Result<&'a str> {
    let (_, text) = markdown
        .split_once(&format!("\n{heading}\n"))
        .with_context(|| format!("there is no {heading}"))?;
    let rank = heading.bytes().take_while(|byte| *byte == b'#').count();
    let end = (2..=rank)
        .filter_map(|rank| text.find(&format!("\n{} ", "#".repeat(rank))))
        .min();
    Ok(&text[..end.unwrap_or(text.len())])
}

/// A fenced block: its language, and its text.
struct Block {
    language: String,
    text: String,
}

/// The fenced blocks, in their order.
fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut block: Option<Block> = None;
    for line in markdown.lines() {
        match &mut block {
            None => {
                block = line.strip_prefix("```").map(|language| Block {
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
            Some(_) if line == "```" => blocks.extend(block.take()),
            Some(block) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
        }
    }
    blocks
}

/// The rows of the table whose head begins with these words; the cells of each.
fn table<'a>(markdown: &'a str, head: &str) -> Result<Vec<Vec<&'a str>>> {
    let rows: Vec<Vec<&str>> = markdown
        .lines()
        .skip_while(|line| !line.starts_with(head))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    ensure!(!rows.is_empty(), "there is no table {head}");
    Ok(rows)
}

/// What stands in backquotes.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// All Rust code under a folder of the repository.
fn code_under(folder: &str) -> Result<String> {
    fn read(path: &Path, text: &mut String) -> Result<()> {
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            if path.is_dir() {
                read(&path, text)?;
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                *text += &fs::read_to_string(path)?;
            }
        }
        Ok(())
    }
    let mut text = String::new();
    read(&root().join(folder), &mut text)?;
    Ok(text)
}
