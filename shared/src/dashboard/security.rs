//! The headers that the page is served with.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::page::{SCRIPT, STYLE};

/// The page's own style and script, by their text, and nothing else: no other origin, no form, no plugin.
static SOURCES: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

/// Who may show the page in a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameAncestors(Option<String>);

impl FrameAncestors {
    /// Origins such as `https://admin.example.com`, with spaces between them; nobody where the text is empty.
    ///
    /// # Errors
    /// What is wrong with the text, in a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let origins: Vec<&str> = text.split_whitespace().collect();
        let is_origin = |origin: &&str| {
            origin.strip_prefix("https://").is_some_and(|host| {
                !host.is_empty()
                    && host
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte))
            })
        };
        if !origins.iter().all(is_origin) {
            return Err("each must be an origin such as https://admin.example.com");
        }
        Ok(Self((!origins.is_empty()).then(|| origins.join(" "))))
    }
}

/// The headers of every answer that holds the page or its data.
pub fn headers(frames: &FrameAncestors) -> Vec<(&'static str, String)> {
    let ancestors = frames.0.as_deref().unwrap_or("'none'");
    let mut headers = vec![
        (
            "content-security-policy",
            format!("{}; frame-ancestors {ancestors}", *SOURCES),
        ),
        ("x-content-type-options", "nosniff".to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("cross-origin-resource-policy", "same-origin".to_owned()),
        ("cross-origin-opener-policy", "same-origin".to_owned()),
        // the answer depends on what is asked for
        ("vary", "accept".to_owned()),
    ];
    if frames.0.is_none() {
        // for browsers that do not know frame-ancestors
        headers.push(("x-frame-options", "DENY".to_owned()));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(frames: &str) -> String {
        headers(&FrameAncestors::parse(frames).expect("origins"))[0]
            .1
            .clone()
    }

    #[test]
    fn nobody_may_frame_the_page_unless_named() {
        assert!(policy("").ends_with("frame-ancestors 'none'"));
        assert!(
            policy(" https://admin.example.com  https://b.example:8443 ")
                .ends_with("frame-ancestors https://admin.example.com https://b.example:8443")
        );
    }

    #[test]
    fn what_is_no_origin_cannot_add_to_the_policy() {
        for text in [
            "*",
            "http://a.example",
            "https://",
            "https://a.example;script-src",
            "https://a.example/*",
            "'self'",
        ] {
            assert!(FrameAncestors::parse(text).is_err(), "{text}");
        }
    }
}
