//! A message in the forms that its subscribers read: one text for each protocol of SNS (`MessageStructure=json`).
//!
//! People read `default` and `email`. A chat that is connected with Amazon Q Developer in chat applications (formerly
//! AWS Chatbot) reads `https`, in that service's schema for custom notifications; it drops anything else.

use serde::Serialize;
use serde_json::{Value, json};

use super::notice::{Kind, Notice};

/// The service's limit is 250.
const MAX_TITLE: usize = 200;

/// Longer texts are folded away in a chat.
const MAX_DESCRIPTION: usize = 2_000;

#[derive(Serialize)]
struct PerProtocol<'a> {
    default: &'a str,
    email: &'a str,
    https: String,
}

/// The `Message` of an SNS publication whose `MessageStructure` is `json`.
pub fn message(notice: &Notice) -> String {
    let texts = PerProtocol {
        default: &notice.text,
        email: &notice.text,
        https: chat_notification(notice).to_string(),
    };
    // strings only, which nothing can keep from being JSON
    serde_json::to_string(&texts).unwrap_or_default()
}

/// Amazon Q Developer's custom notification, schema version 1.0. `threadId` puts all messages of an incident into one
/// thread.
pub fn chat_notification(notice: &Notice) -> Value {
    let mark = match (notice.kind, notice.severity) {
        (Kind::Resolved, _) => ":white_check_mark:",
        (_, super::Severity::Critical) => ":rotating_light:",
        (_, super::Severity::Alert) => ":warning:",
    };
    let mut content = json!({
        "textType": "client-markdown",
        "title": format!("{mark} {}", cut(&notice.subject, MAX_TITLE)),
        "description": cut(&notice.text, MAX_DESCRIPTION),
        "keywords": ["rollcall", notice.kind.as_str(), notice.severity.as_str()],
    });
    if !notice.next_steps.is_empty() {
        content["nextSteps"] = json!(notice.next_steps);
    }
    json!({
        "version": "1.0",
        "source": "custom",
        "id": format!("{}-{}-{}", notice.incident, notice.kind.as_str(), notice.decided_at.as_millisecond()),
        "content": content,
        "metadata": {
            "threadId": notice.incident,
            "summary": cut(&notice.subject, MAX_TITLE),
            "eventType": notice.kind.as_str(),
            "relatedResources": [format!("rollcall/{}", notice.check.as_str())],
            "additionalContext": {
                "check": notice.check.as_str(),
                "severity": notice.severity.as_str(),
                "verdict": notice.verdict.as_str(),
                "findings": notice.finding_ids.join(" "),
                "missing": notice.missing.map_or_else(|| "unknown".to_owned(), |missing| missing.to_string()),
            },
        },
    })
}

fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests;
