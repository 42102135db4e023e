//! Numbers with their nouns, for sentences.

/// `1 user`, `2 users`.
pub fn counted(count: i64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `3 minutes`, `5 hours`, `2 days`: a length of time as people say it.
pub fn lasting(length: jiff::SignedDuration) -> String {
    let minutes = length.as_mins().max(0);
    match minutes {
        ..120 => counted(minutes, "minute"),
        120..2880 => counted(minutes / 60, "hour"),
        _ => counted(minutes / 1440, "day"),
    }
}
