//! The page: one document that holds all it needs.

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::overview::Overview;
use super::sections;
use crate::verdict::Verdict;

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const SCRIPT: &str = include_str!("refresh.js");

/// The whole document. It asks for itself again after each `refresh`, and says so when nobody answers.
pub fn page(overview: &Overview, refresh: Duration) -> String {
    let seconds = refresh.as_secs();
    let title = title(overview);
    let document: Markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) }
                // a browser without one would ask the server for it
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
                noscript { meta http-equiv="refresh" content=(seconds); }
            }
            body.rollcall data-name=(name(overview)) data-refresh=(seconds) {
                header {
                    h1 { "Rollcall" }
                    p { "Does every user of this Supabase project have a profile?" }
                    (sections::place(&overview.place))
                }
                main {
                    div #stale .banner .unknown role="alert" hidden {
                        (sections::sign(Verdict::Unknown))
                        div {
                            p.word { "Unknown" }
                            p { "This page could not be refreshed. What is below is as old as it says." }
                            p.next { "Check that what serves it still runs, then reload." }
                        }
                    }
                    (sections::verdict(overview))
                    div #report { (sections::report(overview)) }
                }
                footer {
                    p {
                        "Refreshes every " (seconds) " seconds. "
                        button #pause type="button" hidden { "Pause" }
                    }
                    p { "Rollcall " (env!("CARGO_PKG_VERSION")) ". Ids and counts only; no personal data. Times are UTC." }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    document.into_string()
}

/// What the title begins with: tabs are narrow.
fn name(overview: &Overview) -> &str {
    overview.place.project.as_deref().unwrap_or("Rollcall")
}

fn title(overview: &Overview) -> String {
    let name = name(overview);
    match overview.health.users.as_ref().map(|users| users.missing) {
        Some(missing @ 1..) => format!("{name}: {}, {missing} missing", overview.health.verdict),
        _ => format!("{name}: {}", overview.health.verdict),
    }
}
