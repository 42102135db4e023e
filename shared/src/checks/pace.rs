//! How often people sign up, and whether that has stopped.

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;

use crate::database::column;
use crate::error::Result;
use crate::finding::{self, Finding};

/// From how many minutes with signups on, within two weeks, a pause can mean anything.
const MIN_MINUTES: i64 = 20;

/// On how many days there must have been some: an import takes a day or two.
const MIN_DAYS: i64 = 3;

/// Signups of the last two weeks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pace {
    /// Minutes that had one.
    minutes: i64,
    /// Days that had one.
    days: i64,
    /// The longest pause between two, in seconds.
    longest_pause: f64,
    /// The newest.
    newest: Timestamp,
    /// Below which probability a pause is a finding.
    stopped_below: f64,
}

impl Pace {
    /// As the doctor's facts have it; none where nobody signed up.
    pub(super) fn of_facts(facts: &Row) -> Result<Option<Self>> {
        let newest: Option<Timestamp> = column(facts, "newest_minute")?;
        let Some(newest) = newest else {
            return Ok(None);
        };
        Ok(Some(Self {
            minutes: column(facts, "minutes")?,
            days: column(facts, "days")?,
            longest_pause: column::<Option<f64>>(facts, "longest_pause")?.unwrap_or(0.0),
            newest,
            stopped_below: column(facts, "stopped_below")?,
        }))
    }

    /// That signups have stopped, where neither chance nor habit explains the pause.
    pub(super) fn finding(&self, now: Timestamp) -> Option<Finding> {
        let (pause, probability) = self.stopped(now)?;
        Some(finding::signups_stopped(pause, probability))
    }

    /// Seconds since the newest signup, and how likely chance alone makes a pause as long, where that is a finding.
    #[expect(clippy::cast_precision_loss, reason = "at most 20,160 minutes")]
    fn stopped(&self, now: Timestamp) -> Option<(SignedDuration, f64)> {
        const TWO_WEEKS: f64 = 14.0 * 24.0 * 3600.0;
        let pause = now.duration_since(self.newest);
        let probability = (-(self.minutes as f64) * pause.as_secs_f64() / TWO_WEEKS).exp();
        (self.minutes >= MIN_MINUTES
            && self.days >= MIN_DAYS
            // nights and weekends come again
            && pause.as_secs_f64() > self.longest_pause
            && probability < self.stopped_below)
            .then_some((pause, probability))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(2_000_000_000 + seconds).expect("a moment of 2033")
    }

    #[test]
    fn a_pause_is_a_finding_where_neither_chance_nor_habit_explains_it() {
        let steady = Pace {
            minutes: 140,
            days: 14,
            longest_pause: 3.0 * 3600.0,
            newest: at(-DAY),
            stopped_below: 0.0001,
        };
        let stopped = |pace: &Pace| pace.stopped(at(0)).is_some();
        assert!(stopped(&steady));
        for quiet in [
            Pace {
                newest: at(-DAY / 2),
                ..steady.clone()
            },
            Pace {
                minutes: 19,
                ..steady.clone()
            },
            Pace {
                days: 2,
                ..steady.clone()
            },
            Pace {
                longest_pause: 1.1 * 24.0 * 3600.0,
                ..steady.clone()
            },
            Pace {
                stopped_below: 0.0,
                ..steady.clone()
            },
        ] {
            assert!(!stopped(&quiet), "{quiet:?}");
        }
    }
}
