//! The subject: one line that says where, what and why, and fits what SNS accepts.

use crate::alert::notification::{Kind, Notification};
use crate::alert::origin::Origin;

/// SNS's limit for an e-mail subject, in ASCII characters. One that is cut short beats one that is refused.
const MAX_SUBJECT_CHARS: usize = 100;

/// Stands in for a subject that has nothing printable.
const DEFAULT_SUBJECT: &str = "Rollcall";

const ELLIPSIS: &str = "...";

/// `[myapp production] Rollcall: 3 signups failing now (signup_trigger_disabled)`, as at most 100 characters of ASCII.
pub fn subject(notification: &Notification, origin: &Origin) -> String {
    let name = origin
        .short_name()
        .map_or_else(String::new, |name| format!("[{name}] "));
    let course = match notification.kind {
        Kind::Opened => String::new(),
        Kind::Changed => ", changed".to_owned(),
        Kind::Reminder => format!(", still after {}", notification.lasted()),
        Kind::Resolved => format!(", resolved after {}", notification.lasted()),
    };
    let cause = notification
        .causes
        .first()
        .map_or_else(String::new, |cause| format!(" ({})", cause.id));
    safe_subject(&format!(
        "{name}Rollcall{course}: {}{cause}",
        notification.headline
    ))
}

/// `subject` as one line of at most [`MAX_SUBJECT_CHARS`] printable ASCII characters, without
/// white space at either end or two blanks in a row. Typographic characters become their plain
/// counterparts, other non-ASCII ones `?`; what is too long ends in `...`.
fn safe_subject(subject: &str) -> String {
    let mut safe = String::new();
    for c in subject.chars() {
        if c.is_whitespace() || c.is_control() {
            if !safe.is_empty() && !safe.ends_with(' ') {
                safe.push(' ');
            }
        } else {
            match c {
                '\u{2010}'..='\u{2015}' | '\u{2212}' => safe.push('-'),
                '\u{2018}' | '\u{2019}' => safe.push('\''),
                '\u{201c}' | '\u{201d}' => safe.push('"'),
                '\u{2026}' => safe.push_str(ELLIPSIS),
                '\u{2192}' => safe.push_str("->"),
                _ => safe.push(if c.is_ascii() { c } else { '?' }),
            }
        }
    }
    safe.truncate(safe.trim_end().len());
    if safe.len() > MAX_SUBJECT_CHARS {
        safe.truncate(MAX_SUBJECT_CHARS - ELLIPSIS.len());
        safe.truncate(safe.trim_end().len());
        safe.push_str(ELLIPSIS);
    }
    if safe.is_empty() {
        DEFAULT_SUBJECT.to_owned()
    } else {
        safe
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_ordinary_subject_is_left_alone() {
        let subject = "[CRITICAL] Rollcall: 3 of 12 signups have no profile";
        assert_eq!(safe_subject(subject), subject);
    }

    #[test]
    fn line_breaks_and_typography_become_plain_ascii() {
        assert_eq!(
            safe_subject(
                " 3\u{a0}signups \u{2014} \u{201c}no profile\u{201d}\r\nBcc: x\u{2026} \u{2018}é\u{2019} \u{2192} \u{2212}1\t"
            ),
            "3 signups - \"no profile\" Bcc: x... '?' -> -1"
        );
    }

    #[test]
    fn a_subject_of_exactly_100_is_kept_and_one_more_is_shortened() {
        let full = "x".repeat(100);
        assert_eq!(safe_subject(&full), full);
        assert_eq!(safe_subject(&format!("{full}\n")), full);
        assert_eq!(
            safe_subject(&format!("{full}y")),
            format!("{}...", "x".repeat(97))
        );
    }

    #[test]
    fn a_subject_with_nothing_printable_gets_a_name() {
        assert_eq!(safe_subject(" \n\u{7}"), DEFAULT_SUBJECT);
    }

    proptest! {
        #[test]
        fn every_subject_fits_sns(subject in any::<String>()) {
            let safe = safe_subject(&subject);
            prop_assert!((1..=MAX_SUBJECT_CHARS).contains(&safe.len()));
            prop_assert!(safe.bytes().all(|b| b == b' ' || b.is_ascii_graphic()));
            prop_assert_eq!(safe.trim(), safe.as_str());
        }
    }
}
