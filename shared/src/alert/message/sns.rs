//! One text for each protocol of SNS (`MessageStructure=json`).

use serde::Serialize;

use super::{amazon_q, email, payload, subject};
use crate::alert::notification::Notification;
use crate::alert::origin::Origin;

/// SNS takes 256 KiB, which counts what JSON escapes.
const MAX_MESSAGE: usize = 256 * 1024;

/// Keys are protocols; one that is not here gets `default`. A chat that is connected with Amazon Q Developer is an `https`
/// subscriber; programs of one's own are best connected by a queue or a function.
#[derive(Serialize)]
struct PerProtocol<'a> {
    default: &'a str,
    email: &'a str,
    sms: &'a str,
    https: &'a str,
    http: &'a str,
    sqs: &'a str,
    lambda: &'a str,
}

/// The `Message` of an SNS publication.
pub fn message(notification: &Notification, origin: &Origin) -> String {
    let (subject, text) = (
        subject(notification, origin),
        email::text(notification, origin),
    );
    let chat = amazon_q::notification(notification, origin).to_string();
    let payload = payload::body(notification, origin).to_string();
    let message = serialized(&PerProtocol {
        default: &text,
        email: &text,
        sms: &subject,
        https: &chat,
        http: &payload,
        sqs: &payload,
        lambda: &payload,
    });
    if message.len() <= MAX_MESSAGE {
        return message;
    }
    // what is escaped three times may be too long; a message that is cut still notifies people
    serialized(&PerProtocol {
        default: &subject,
        email: &text,
        sms: &subject,
        https: &chat,
        http: &subject,
        sqs: &subject,
        lambda: &subject,
    })
}

/// Strings only, which nothing can keep from being JSON.
fn serialized(texts: &PerProtocol<'_>) -> String {
    serde_json::to_string(texts).unwrap_or_default()
}
