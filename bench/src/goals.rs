//! What an operation should reach.

use serde::Serialize;

use crate::operation::Operation;

/// One goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// Ours takes at most so many times as long as the floor.
    TimesFloor(f64),
    /// The seed's way takes at least so many times as long as ours.
    TimesSeed(f64),
    /// Said, and not judged: another machine has other milliseconds.
    Milliseconds(f64),
    /// Ours takes at most so much longer than the floor; not judged either.
    AddedMilliseconds(f64),
}

impl Goal {
    /// None: not judged.
    pub(crate) fn is_met(self, operation: &Operation) -> Option<bool> {
        match self {
            Self::TimesFloor(times) => Some(operation.over_floor() <= times),
            Self::TimesSeed(times) => operation.under_seed().map(|ratio| ratio >= times),
            Self::Milliseconds(_) | Self::AddedMilliseconds(_) => None,
        }
    }

    pub(crate) fn text(self, operation: &Operation) -> String {
        let goal = match self {
            Self::TimesFloor(times) => format!("≤ {times:.2} × floor"),
            Self::TimesSeed(times) => format!("≥ {times} × seed"),
            Self::Milliseconds(limit) => format!("≤ {limit} ms"),
            Self::AddedMilliseconds(limit) => format!(
                "≤ floor + {limit} ms ({:+.2})",
                operation.ours.median_ms - operation.floor.median_ms
            ),
        };
        match self.is_met(operation) {
            Some(true) => format!("{goal}: met"),
            Some(false) => format!("{goal}: missed"),
            None => goal,
        }
    }
}
