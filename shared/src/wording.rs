//! Numbers with their nouns, for sentences.

/// `1 user`, `2 users`.
pub fn counted(count: i64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
