//! JSON for programs: what a webhook, a queue or a function gets.

use serde_json::{Value, json};

use super::subject;
use crate::alert::notification::Notification;
use crate::alert::origin::Origin;

/// The event, in the form that the Standard Webhooks propose: `type`, `timestamp`, `data`.
pub fn body(notification: &Notification, origin: &Origin) -> Value {
    let links: serde_json::Map<String, Value> = origin
        .links
        .iter()
        .map(|link| (link.title.to_lowercase(), json!(link.url)))
        .collect();
    json!({
        "type": format!("rollcall.incident.{}", notification.kind.as_str()),
        "timestamp": notification.decided_at,
        "data": {
            "id": notification.id(),
            "incident": notification.incident,
            "project": origin.project,
            "environment": origin.environment,
            "check": notification.check.as_str(),
            "severity": notification.urgency.as_str(),
            "verdict": notification.verdict.as_str(),
            "title": subject(notification, origin),
            "change": notification.change,
            "causes": notification.causes,
            "findings": notification.findings,
            "finding_ids": notification.finding_ids,
            "missing": notification.missing,
            "users": notification.users,
            "opened_at": notification.opened_at,
            "checked_at": notification.checked_at,
            "links": links,
        },
    })
}
