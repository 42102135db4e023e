//! A week of hourly checks, by the hour.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::checks::history::{self, CheckName, CheckRun};
use crate::database::Database;
use crate::error::Result;
use crate::verdict::Verdict;

/// How far back it goes.
pub(super) const HOURS: usize = 7 * 24;

const SECONDS_OF_HOUR: i64 = 3600;

/// What the checks of everyone's profile said in the last seven days.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct History {
    /// The beginning of its first hour.
    pub from: Timestamp,
    /// The moment it was read.
    pub to: Timestamp,
    /// The hours in which a check could look, newest first. Where one is not there, nobody looked.
    pub hours: Vec<Hour>,
}

/// An hour, by the worst of its checks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hour {
    /// Its beginning, UTC.
    pub hour: Timestamp,
    /// The verdict.
    pub verdict: Verdict,
    /// Signups of the hour before the check.
    pub recent_signups_count: Option<i64>,
    /// How many of these had no profile.
    pub signups_missing_profiles: Option<i64>,
    /// Share of these signups with a profile, in percent.
    pub health_percentage: Option<f64>,
    /// Users without a profile.
    pub missing: Option<i64>,
}

impl History {
    /// Reads the seven days before `now`.
    pub(super) async fn read(database: &mut Database, now: Timestamp) -> Result<Self> {
        let from = first_hour(now);
        let runs = history::since(database, CheckName::Health, from).await?;
        Ok(Self::of_runs(&runs, from, now))
    }

    fn of_runs(runs: &[CheckRun], from: Timestamp, to: Timestamp) -> Self {
        let mut hours: BTreeMap<Timestamp, &CheckRun> = BTreeMap::new();
        // newest first: of two that are as bad, the newer stays
        for run in runs {
            hours
                .entry(beginning_of_hour(run.checked_at))
                .and_modify(|worst| {
                    if badness(run.verdict) > badness(worst.verdict) {
                        *worst = run;
                    }
                })
                .or_insert(run);
        }
        Self {
            from,
            to,
            hours: hours
                .into_iter()
                .rev()
                .map(|(hour, run)| Hour::new(hour, run))
                .collect(),
        }
    }

    /// The hours in their places, oldest first; none where nobody looked.
    pub(super) fn slots(&self) -> Vec<Option<&Hour>> {
        let mut slots = vec![None; HOURS];
        for hour in &self.hours {
            let place = (hour.hour.as_second() - self.from.as_second()) / SECONDS_OF_HOUR;
            if let Some(slot) = usize::try_from(place)
                .ok()
                .and_then(|place| slots.get_mut(place))
            {
                *slot = Some(hour);
            }
        }
        slots
    }
}

impl Hour {
    fn new(hour: Timestamp, run: &CheckRun) -> Self {
        let number = |name| run.counts.get(name).and_then(Value::as_i64);
        Self {
            hour,
            verdict: run.verdict,
            recent_signups_count: number("recent_signups_count"),
            signups_missing_profiles: number("signups_missing_profiles"),
            health_percentage: run.counts.get("health_percentage").and_then(Value::as_f64),
            missing: number("missing"),
        }
    }
}

fn badness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Consistent => 0,
        Verdict::Unknown => 1,
        Verdict::Inconsistent => 2,
    }
}

fn beginning_of_hour(moment: Timestamp) -> Timestamp {
    let seconds = moment.as_second();
    Timestamp::from_second(seconds - seconds.rem_euclid(SECONDS_OF_HOUR)).unwrap_or(moment)
}

/// The last of the hours is the one that `now` is in.
fn first_hour(now: Timestamp) -> Timestamp {
    let hours = i64::try_from(HOURS - 1).unwrap_or(0);
    beginning_of_hour(now)
        .saturating_sub(SignedDuration::from_hours(hours))
        .unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(moment: &str, verdict: Verdict, missing: i64) -> CheckRun {
        CheckRun {
            check: CheckName::Health,
            checked_at: moment.parse().expect("a moment"),
            verdict,
            finding_ids: vec![],
            counts: json!({ "missing": missing }),
        }
    }

    #[test]
    fn an_hour_is_as_bad_as_its_worst_check_and_one_without_a_check_stays_empty() {
        let now = "2026-11-22T11:29:38Z".parse().expect("a moment");
        let runs = [
            run("2026-11-22T11:20:00Z", Verdict::Consistent, 0),
            run("2026-11-22T11:10:00Z", Verdict::Inconsistent, 3),
            run("2026-11-22T11:05:00Z", Verdict::Unknown, 0),
            run("2026-11-22T09:59:59Z", Verdict::Consistent, 0),
        ];
        let history = History::of_runs(&runs, first_hour(now), now);
        let slots = history.slots();
        let verdicts: Vec<_> = slots[HOURS - 3..]
            .iter()
            .map(|slot| slot.map(|hour| hour.verdict))
            .collect();
        assert_eq!(
            verdicts,
            [Some(Verdict::Consistent), None, Some(Verdict::Inconsistent)]
        );
        assert_eq!(history.hours[0].missing, Some(3));
        assert!(slots[..HOURS - 3].iter().all(Option::is_none));
    }

    #[test]
    fn the_week_ends_with_the_present_hour() {
        let now: Timestamp = "2026-11-22T11:29:38Z".parse().expect("a moment");
        assert_eq!(
            first_hour(now),
            "2026-11-15T12:00:00Z".parse().expect("a moment")
        );
    }
}
