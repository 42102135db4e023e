//! The words, and where links lead.

use anyhow::{Context, Result, ensure};

use crate::{document, documents, root};

/// Words that have a better one, each with it.
const INSTEAD: [(&str, &str); 16] = [
    ("he", "they"),
    ("his", "their"),
    ("him", "them"),
    ("himself", "themselves"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("mended", "fixed"),
    ("ledger", "(gone)"),
    ("census", "counts"),
    ("doubt", "(gone)"),
    ("displaced", "replaced"),
    ("settle", "grace period"),
    ("blind", "check failed"),
    ("duty", "throttle"),
    ("patience", "retry"),
    ("told", "notified"),
];

#[test]
fn every_document_uses_the_words_of_the_list() -> Result<()> {
    for name in documents()? {
        for (number, line) in document(&name)?.lines().enumerate() {
            // code has names of its own
            let prose = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
            for word in prose.split(|letter: char| !letter.is_alphabetic()) {
                let word = word.to_lowercase();
                if let Some((_, better)) = INSTEAD.iter().find(|(worse, _)| *worse == word) {
                    anyhow::bail!("{name}:{}: {word}: say {better}", number + 1);
                }
            }
        }
    }
    Ok(())
}

/// A heading as GitHub's link to it.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches(['#', ' '])
        .to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ => letter.is_alphanumeric().then_some(letter),
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() -> Result<()> {
    let mut links = 0;
    for name in documents()? {
        let text = document(&name)?;
        let path = root().join(&name);
        let folder = path.parent().context("a folder")?;
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().context("a link")?;
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                folder.join(file)
            };
            ensure!(target.exists(), "{name}: {link} leads nowhere");
            if !heading.is_empty() {
                let there = std::fs::read_to_string(&target)?;
                ensure!(
                    there
                        .lines()
                        .any(|line| line.starts_with('#') && anchor(line) == heading),
                    "{name}: {link} names no heading"
                );
            }
            links += 1;
        }
    }
    ensure!(links > 20, "{links}");
    Ok(())
}
