//! The fragment for a CloudWatch dashboard: no script and no outside resource, which CloudWatch would remove.

use maud::{PreEscaped, html};

use super::overview::Overview;
use super::page::STYLE;
use super::sections;

/// What CloudWatch shows to whoever adds the widget.
pub const DOCUMENTATION: &str = include_str!("widget.md");

/// The look of the dashboard around the widget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    #[default]
    Light,
    /// Light on dark.
    Dark,
}

/// The overview as a fragment of HTML.
pub fn widget(overview: &Overview, theme: Theme) -> String {
    let theme = match theme {
        Theme::Light => "light",
        Theme::Dark => "dark",
    };
    html! {
        // CloudWatch's own styles of tables and links would mix with these
        div class="cwdb-no-default-styles" {}
        style { (PreEscaped(STYLE)) }
        div.rollcall.widget.(theme) {
            (sections::place(&overview.place))
            (sections::verdict(overview))
            (sections::report(overview))
        }
    }
    .into_string()
}
