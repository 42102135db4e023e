//! Plain text in short lines: what a person reads in an e-mail, which shows it as it is.

use std::fmt::Write as _;

use textwrap::{Options, WordSplitter};

use super::{COMMANDS_NEED, about, commands, course, has_commands, sentence};
use crate::alert::notification::{Kind, Notification, NotifiedFinding};
use crate::alert::origin::Origin;

/// Longest line, in characters, but for what has to stay in one piece: SQL and addresses.
const WIDTH: usize = 72;

/// The whole message: what and why, what to do, who, where to read on.
pub fn text(notification: &Notification, origin: &Origin) -> String {
    let mut text = String::new();
    if let Some(change) = &notification.change {
        paragraph(&mut text, "", change);
    }
    if notification.kind == Kind::Resolved {
        let ids = notification.finding_ids.join(", ");
        paragraph(
            &mut text,
            "",
            &format!("This check finds nothing wrong any more. It was: {ids}."),
        );
    }
    section(&mut text, "CAUSE", &notification.causes);
    section(
        &mut text,
        if notification.causes.is_empty() {
            "FOUND"
        } else {
            "ALSO FOUND"
        },
        &notification.findings,
    );
    if has_commands(notification) {
        text.push('\n');
        paragraph(&mut text, "", COMMANDS_NEED);
    }
    if !notification.users.is_empty() {
        text.push_str("\nWITHOUT A PROFILE\n");
        for user in notification.users.iter().chain(&notification.more_users) {
            let _ = writeln!(text, "  {user}");
        }
    }
    text.push('\n');
    for fact in &notification.facts {
        paragraph(&mut text, "", fact);
    }
    paragraph(&mut text, "", &course(notification));
    text.push('\n');
    for (name, value) in [
        ("Project", origin.name()),
        ("Check", Some(about(notification.check).to_owned())),
        ("Checked", Some(format!("{:.0}", notification.checked_at))),
        ("Verdict", Some(notification.verdict.to_string())),
        ("Severity", Some(notification.urgency.as_str().to_owned())),
        ("Incident", Some(notification.incident.to_string())),
    ] {
        if let Some(value) = value {
            let _ = writeln!(text, "{name}: {value}");
        }
    }
    for link in &origin.links {
        let _ = writeln!(text, "{}: {}", link.title, link.url);
    }
    text.trim_start().to_owned()
}

fn section(text: &mut String, title: &str, findings: &[NotifiedFinding]) {
    for finding in findings {
        let _ = write!(text, "\n{title}\n");
        paragraph(
            text,
            "",
            &format!("{} ({})", sentence(&finding.summary), finding.id),
        );
        if let Some(meaning) = &finding.meaning {
            paragraph(text, "", meaning);
        }
        for seen in &finding.evidence {
            paragraph(text, "- ", seen);
        }
        if !finding.next_step.is_empty() {
            paragraph(text, "> ", &finding.next_step);
        }
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "\n{}", fix.trim_end());
        }
    }
}

/// Lines of one width, indented as far as the first one's `lead`. Commands and flags stay in one piece.
fn paragraph(text: &mut String, lead: &str, words: &str) {
    const JOINED: &str = "\u{a0}";
    let mut joined = String::new();
    for (piece, is_command) in commands(words) {
        if is_command {
            joined += &piece.replace(' ', JOINED);
        } else {
            joined += piece;
        }
    }
    let indent = " ".repeat(lead.len());
    let options = Options::new(WIDTH)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false)
        .initial_indent(lead)
        .subsequent_indent(&indent);
    let lines = textwrap::fill(&joined, options).replace(JOINED, " ");
    let _ = writeln!(text, "{lines}");
}
