//! A notification in the form that its readers get: plain text for e-mail, Slack's markdown, and JSON for programs.

mod amazon_q;
pub mod email;
pub mod payload;
pub mod slack;
pub mod sns;
mod subject;

pub use subject::subject;

use super::notification::{Kind, Notification};
use crate::checks::history::CheckName;

/// What the commands of a message need. Without a database they say so, too, but nobody should have to try.
const COMMANDS_NEED: &str = "The commands need DATABASE_URL: the connection string of the role postgres (Supabase's dashboard, Connect).";

/// What the check looks at, and how often.
fn about(check: CheckName) -> &'static str {
    match check {
        CheckName::Health => "everyone's profile, hourly",
        CheckName::Recent => "recent signups, every few minutes",
    }
}

/// What the incident has come to, in a sentence.
fn course(notification: &Notification) -> String {
    let (opened, lasted) = (notification.opened_at, notification.lasted());
    match notification.kind {
        Kind::Opened => format!("Opened {opened:.0}."),
        Kind::Changed | Kind::Reminder => format!("Open for {lasted}, since {opened:.0}."),
        Kind::Resolved => format!("Opened {opened:.0}, over after {lasted}."),
    }
}

/// What stands in a finding, as the beginning of a line.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

/// A sentence in pieces, of which some are commands.
fn commands(sentence: &str) -> Vec<(&str, bool)> {
    let mut pieces = Vec::new();
    let mut rest = sentence;
    while let Some(start) = rest.find("rollcall ") {
        let (before, command) = rest.split_at(start);
        let end = command
            .char_indices()
            .find(|(index, c)| {
                let next = command[index + c.len_utf8()..].chars().next();
                matches!(c, ')' | '\n')
                    || matches!(c, '.' | ',' | ';') && next.is_none_or(char::is_whitespace)
            })
            .map_or(command.len(), |(index, _)| index);
        let (command, after) = command.split_at(end);
        pieces.extend([(before, false), (command, true)]);
        rest = after;
    }
    pieces.push((rest, false));
    pieces
}

/// Whether it names a command.
fn has_commands(notification: &Notification) -> bool {
    notification
        .next_steps()
        .chain(notification.more_users.as_deref())
        .any(|step| step.contains("rollcall "))
}

#[cfg(test)]
mod tests;
