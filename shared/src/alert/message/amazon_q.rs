//! The custom notification of Amazon Q Developer in chat applications (formerly AWS Chatbot), schema version 1.0. It shows
//! nothing else that a topic gets, but for what AWS's own services write.

use serde_json::{Value, json};

use super::{slack, subject};
use crate::alert::notification::Notification;
use crate::alert::origin::Origin;

/// The service's limit is 250 characters.
const MAX_TITLE: usize = 200;

/// Longer texts are folded away in a chat.
const MAX_DESCRIPTION: usize = 2_000;

/// The notification; `threadId` puts all messages of an incident into one thread.
pub(super) fn notification(notification: &Notification, origin: &Origin) -> Value {
    let title = slack::title(notification, origin);
    let mut content = json!({
        "textType": "client-markdown",
        "title": &title[..title.floor_char_boundary(MAX_TITLE)],
        "description": slack::description(notification, origin, false, MAX_DESCRIPTION),
        "keywords": ["rollcall", notification.kind.as_str(), notification.urgency.as_str()],
    });
    let next_steps: Vec<String> = notification
        .next_steps()
        .filter(|step| !step.is_empty())
        .map(slack::with_commands)
        .collect();
    if !next_steps.is_empty() {
        content["nextSteps"] = json!(next_steps);
    }
    let mut context = json!({
        "check": notification.check.as_str(),
        "severity": notification.urgency.as_str(),
        "verdict": notification.verdict.as_str(),
        "findings": notification.finding_ids.join(" "),
        "missing": notification.missing.map_or_else(|| "unknown".to_owned(), |missing| missing.to_string()),
    });
    for (name, value) in [
        ("project", &origin.project),
        ("environment", &origin.environment),
    ] {
        if let Some(value) = value {
            context[name] = json!(value);
        }
    }
    json!({
        "version": "1.0",
        "source": "custom",
        "id": notification.id(),
        "content": content,
        "metadata": {
            "threadId": notification.incident,
            "summary": subject(notification, origin),
            "eventType": notification.kind.as_str(),
            "relatedResources": [format!("rollcall/{}", notification.check.as_str())],
            "additionalContext": context,
        },
    })
}
