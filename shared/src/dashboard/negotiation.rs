//! Page or data: what the header `Accept` asks for.

/// Whether JSON is asked for before, or without, HTML or anything at all.
pub fn prefers_json(accept: &str) -> bool {
    accept
        .split(',')
        .map(|range| {
            range
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        })
        .find(|range| {
            [
                "text/html",
                "application/json",
                "*/*",
                "text/*",
                "application/*",
            ]
            .contains(&range.as_str())
        })
        .is_some_and(|range| range == "application/json")
}
