//! A week of checks, drawn: one slot an hour. Where nobody looked, nothing is drawn.

use maud::{Markup, html};

use super::history::{HOURS, History, Hour};
use crate::verdict::Verdict;
use crate::wording::counted;

/// Width of an hour, in the units of the drawing.
const SLOT: usize = 4;
const WIDTH: usize = HOURS * SLOT;
const HEIGHT: usize = 48;

/// The drawings, one above the other.
pub(super) fn charts(history: &History) -> Markup {
    let slots = history.slots();
    html! {
        figure {
            figcaption { "Verdict: " (verdicts_in_words(history)) }
            (drawing("Verdict by the hour", 16, html! {
                @for (place, hour) in drawn(&slots) {
                    // as high as it is bad, for whoever does not see the colours
                    @let height = match hour.verdict { Verdict::Consistent => 5, Verdict::Unknown => 10, Verdict::Inconsistent => 16 };
                    rect .(hour.verdict.as_str()) x=(place * SLOT) y=(16 - height) width=(SLOT - 1) height=(height) {}
                }
            }))
        }
        figure {
            figcaption { "Healthy signups of the hour before each check: " (shares_in_words(history)) }
            (drawing("Share of signups with a profile, by the hour", HEIGHT, html! {
                @for (place, hour) in drawn(&slots) {
                    @if let Some(share) = hour.health_percentage {
                        @let height = scaled(share, 100.0);
                        rect.line x=(place * SLOT) y=(HEIGHT - height) width=(SLOT) height="2" {}
                    }
                }
            }))
        }
        figure {
            @let most = history.hours.iter().filter_map(|hour| hour.recent_signups_count).max().unwrap_or(0);
            figcaption { "Signups: at most " (most) " an hour; those without a profile stand out" }
            (drawing("Signups by the hour, and those without a profile", HEIGHT, html! {
                @for (place, hour) in drawn(&slots) {
                    @let height = |count: Option<i64>| scaled_count(count.unwrap_or(0), most);
                    rect.signups x=(place * SLOT) y=(HEIGHT - height(hour.recent_signups_count)) width=(SLOT - 1) height=(height(hour.recent_signups_count)) {}
                    rect.inconsistent x=(place * SLOT) y=(HEIGHT - height(hour.signups_missing_profiles)) width=(SLOT - 1) height=(height(hour.signups_missing_profiles)) {}
                }
            }))
        }
        p.axis aria-hidden="true" { span { "7 days ago" } span { "now" } }
    }
}

fn drawing(label: &str, height: usize, shapes: Markup) -> Markup {
    html! {
        svg role="img" aria-label={ (label) "; the table below has the numbers" } viewBox={ "0 0 " (WIDTH) " " (height) } preserveAspectRatio="none" height=(height) width="100%" {
            (shapes)
        }
    }
}

fn drawn<'a>(slots: &'a [Option<&'a Hour>]) -> impl Iterator<Item = (usize, &'a Hour)> {
    slots
        .iter()
        .enumerate()
        .filter_map(|(place, hour)| hour.map(|hour| (place, hour)))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and HEIGHT"
)]
fn scaled(value: f64, most: f64) -> usize {
    let room = (HEIGHT - 2) as f64;
    (value / most).clamp(0.0, 1.0).mul_add(room, 2.0).round() as usize
}

/// Zero is nothing at all, and one is something.
fn scaled_count(count: i64, most: i64) -> usize {
    if count <= 0 || most <= 0 {
        return 0;
    }
    scaled(count as f64, most as f64)
}

fn verdicts_in_words(history: &History) -> String {
    let number = |verdict| {
        history
            .hours
            .iter()
            .filter(|hour| hour.verdict == verdict)
            .count()
    };
    let hours = |count: usize| counted(i64::try_from(count).unwrap_or(i64::MAX), "hour");
    let unseen = HOURS - history.hours.len().min(HOURS);
    format!(
        "{} consistent, {} inconsistent, {} unknown, {} without a check",
        hours(number(Verdict::Consistent)),
        number(Verdict::Inconsistent),
        number(Verdict::Unknown),
        unseen
    )
}

fn shares_in_words(history: &History) -> String {
    let lowest = history
        .hours
        .iter()
        .filter_map(|hour| hour.health_percentage)
        .reduce(f64::min);
    lowest.map_or_else(
        || "not known".to_owned(),
        |share| format!("lowest {share:.2} %"),
    )
}
