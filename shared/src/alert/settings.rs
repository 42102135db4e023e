//! When people want to be notified.

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::SignedDuration;

/// When people want to be notified.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Fewer users without a profile open no incident.
    pub min_missing: i64,
    /// A smaller share of them, in percent, opens none either.
    pub min_percent: f64,
    /// How long after a message an incident that is still open is published again.
    pub remind_after: SignedDuration,
    /// A check that had so many incidents within an hour is flapping: …
    pub flapping_incidents: i64,
    /// … then all has to be well for so long before the incident is over.
    pub flapping_hold: SignedDuration,
}

impl Default for Settings {
    /// Every user counts, and is published at once.
    fn default() -> Self {
        Self {
            min_missing: 1,
            min_percent: 0.0,
            remind_after: SignedDuration::from_hours(4),
            flapping_incidents: 3,
            flapping_hold: SignedDuration::from_mins(15),
        }
    }
}

impl Settings {
    /// `ALERT_MIN_MISSING`, `ALERT_MIN_PERCENT` and `ALERT_REMINDER_MINUTES`, as `variable` finds them. One that is no number
    /// within its bounds is left out with a warning: a check that does not start notifies nobody.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let default = Self::default();
        Self {
            min_missing: number(&variable, "ALERT_MIN_MISSING", 1..=1_000_000_000)
                .unwrap_or(default.min_missing),
            min_percent: number(&variable, "ALERT_MIN_PERCENT", 0.0..=100.0)
                .unwrap_or(default.min_percent),
            remind_after: number(&variable, "ALERT_REMINDER_MINUTES", 1..=525_600)
                .map_or(default.remind_after, SignedDuration::from_mins),
            ..default
        }
    }
}

fn number<T>(
    variable: &impl Fn(&str) -> Option<String>,
    name: &str,
    bounds: RangeInclusive<T>,
) -> Option<T>
where
    T: FromStr + PartialOrd + Debug,
{
    let text = variable(name).filter(|text| !text.trim().is_empty())?;
    let value = text.trim().parse().ok();
    let value = value.filter(|value| bounds.contains(value));
    if value.is_none() {
        tracing::warn!(
            name,
            ?bounds,
            "the setting is not a number within its bounds; the default counts"
        );
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_counts_where_it_is_a_number_within_its_bounds() {
        let of = |text: &'static str| Settings::from_variables(|_| Some(text.to_owned()));
        let twelve = of(" 12 ");
        assert_eq!((twelve.min_missing, twelve.min_percent), (12, 12.0));
        assert_eq!(twelve.remind_after, SignedDuration::from_mins(12));
        for text in ["", "-1", "many", "2000000000"] {
            assert_eq!(of(text), Settings::default(), "{text}");
        }
        // no number of users, and a share
        assert_eq!((of("0.5").min_missing, of("0.5").min_percent), (1, 0.5));
        assert_eq!(Settings::from_variables(|_| None), Settings::default());
    }
}
