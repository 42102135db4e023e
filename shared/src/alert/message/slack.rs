//! Slack's markdown, for its incoming webhooks and those of others that take the same.

use serde_json::{Value, json};

use super::{COMMANDS_NEED, commands, course, has_commands, sentence, subject};
use crate::alert::notification::{Kind, Notification, NotifiedFinding, Urgency};
use crate::alert::origin::Origin;

/// Slack shortens longer texts, and folds away what is longer than a screen.
const MAX_TEXT: usize = 3_500;

/// The body of an incoming webhook. Each is a message of its own: such a webhook knows no threads.
pub fn body(notification: &Notification, origin: &Origin) -> Value {
    let title = format!("*{}*", escaped(&title(notification, origin)));
    json!({ "text": format!("{title}\n{}", description(notification, origin, true, MAX_TEXT)) })
}

/// The subject behind a sign of how bad it is.
pub(super) fn title(notification: &Notification, origin: &Origin) -> String {
    let mark = match (notification.kind, notification.urgency) {
        (Kind::Resolved, _) => ":white_check_mark:",
        (_, Urgency::Critical) => ":rotating_light:",
        (_, Urgency::Alert) => ":warning:",
    };
    format!("{mark} {}", subject(notification, origin))
}

/// The rest of the message, the cause first; whole blocks of it, at most `limit` bytes.
pub(super) fn description(
    notification: &Notification,
    origin: &Origin,
    with_next_steps: bool,
    limit: usize,
) -> String {
    let mut blocks: Vec<String> = notification
        .change
        .iter()
        .map(|change| escaped(change))
        .collect();
    if notification.kind == Kind::Resolved {
        let ids: Vec<String> = notification.finding_ids.iter().map(|id| code(id)).collect();
        blocks.push(format!(
            "This check finds nothing wrong any more. It was: {}.",
            ids.join(", ")
        ));
    }
    let causes = notification.causes.iter().map(|cause| ("Cause: ", cause));
    let others = notification.findings.iter().map(|finding| ("", finding));
    blocks.extend(
        causes
            .chain(others)
            .map(|(lead, finding)| block(lead, finding, with_next_steps)),
    );
    if has_commands(notification) {
        blocks.push(format!("_{COMMANDS_NEED}_"));
    }
    if !notification.users.is_empty() {
        blocks.push(users(notification));
    }
    let mut end: Vec<String> = notification
        .facts
        .iter()
        .map(|fact| escaped(fact))
        .collect();
    end.push(course(notification));
    blocks.push(end.join(" "));
    let links: Vec<String> = origin
        .links
        .iter()
        .map(|link| format!("<{}|{}>", link_target(&link.url), link.title))
        .collect();
    blocks.push(links.join(" · "));
    within(limit, &blocks)
}

fn users(notification: &Notification) -> String {
    let lines: Vec<String> = notification
        .users
        .iter()
        .map(|user| match user.split_once(' ') {
            Some((id, age)) => format!("• {} {}", code(id), escaped(age)),
            None => format!("• {}", code(user)),
        })
        .chain(
            notification
                .more_users
                .iter()
                .map(|more| with_commands(more)),
        )
        .collect();
    format!("Without a profile:\n{}", lines.join("\n"))
}

/// As many of the blocks as fit, each whole.
fn within(limit: usize, blocks: &[String]) -> String {
    let mut text = String::new();
    for block in blocks.iter().filter(|block| !block.is_empty()) {
        if text.len() + block.len() + 1 > limit {
            continue;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(block);
    }
    text
}

fn block(lead: &str, finding: &NotifiedFinding, with_next_step: bool) -> String {
    let mut lines = vec![format!(
        "*{lead}{}* ({})",
        escaped(&sentence(&finding.summary)).replace('*', "∗"),
        code(&finding.id)
    )];
    lines.extend(finding.meaning.iter().map(|meaning| escaped(meaning)));
    lines.extend(
        finding
            .evidence
            .iter()
            .map(|seen| format!("• {}", escaped(seen))),
    );
    if with_next_step && !finding.next_step.is_empty() {
        lines.push(format!("→ {}", with_commands(&finding.next_step)));
    }
    if let Some(fix) = &finding.fix {
        let fix = escaped(fix.trim_end()).replace("```", "'''");
        lines.push(format!("```\n{fix}\n```"));
    }
    lines.join("\n")
}

/// A sentence whose commands are set as code.
pub(super) fn with_commands(sentence: &str) -> String {
    commands(sentence)
        .into_iter()
        .map(|(piece, is_command)| {
            if is_command {
                code(piece)
            } else {
                escaped(piece)
            }
        })
        .collect()
}

fn code(text: &str) -> String {
    format!("`{}`", escaped(text).replace('`', "'"))
}

/// The three characters that mean something else to Slack.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// An address within `<…|…>`.
fn link_target(url: &str) -> String {
    url.replace('&', "&amp;")
        .replace('<', "%3C")
        .replace('>', "%3E")
        .replace('|', "%7C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_set_as_code_and_sentences_are_not() {
        assert_eq!(
            with_commands("See who: rollcall mismatches. Repair: rollcall backfill --apply."),
            "See who: `rollcall mismatches`. Repair: `rollcall backfill --apply`."
        );
        assert_eq!(
            with_commands(
                "Correct it (rollcall definition set FILE), or update rollcall.settings."
            ),
            "Correct it (`rollcall definition set FILE`), or update rollcall.settings."
        );
        assert_eq!(with_commands("a < b & c"), "a &lt; b &amp; c");
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_what_follows_is_not() {
        let blocks = ["first", "", "too long", "last"].map(ToOwned::to_owned);
        assert_eq!(within(19, &blocks), "first\ntoo long\nlast");
        assert_eq!(within(18, &blocks), "first\ntoo long");
        assert_eq!(within(13, &blocks), "first\nlast");
        assert_eq!(within(5, &blocks), "last");
    }
}
