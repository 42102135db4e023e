//! The pictures.

use anyhow::{Context, Result, ensure};
use rollcall_tests::picture::lines_of;

use crate::{GUIDE, document, root};

/// What differs from run to run, as the record of the demo has it.
fn timeless(line: &str) -> String {
    line.split(' ')
        .map(|word| {
            if word.parse::<uuid::Uuid>().is_ok() {
                "[id]"
            } else if word.parse::<jiff::Timestamp>().is_ok() {
                "[time]"
            } else {
                word
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Pictures that are shown are there; every line of the demo's is one that the demo prints.
#[test]
fn the_pictures_show_what_the_programs_print() -> Result<()> {
    for name in ["README.md", GUIDE] {
        let text = document(name)?;
        ensure!(text.contains("images/"), "{name} shows no picture");
        for picture in text.split("images/").skip(1) {
            let picture = picture.split(')').next().context("a name")?;
            let path = root().join("docs/images").join(picture);
            ensure!(path.is_file(), "{name} shows {picture}");
        }
    }
    let svg = document("docs/images/demo.svg")?;
    let story = document("tests/tests/commands/snapshots/commands__demo__story.snap")?;
    let lines = lines_of(&svg);
    ensure!(lines.len() > 20, "{lines:?}");
    for line in lines.iter().filter(|line| !line.starts_with("$ ")) {
        let printed = timeless(line);
        ensure!(
            story.lines().any(|said| said == printed),
            "the demo does not print: {line}; make the picture anew (CONTRIBUTING.md)"
        );
    }
    Ok(())
}
