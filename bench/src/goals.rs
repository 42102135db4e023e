//! What an operation should reach.

use serde::Serialize;

use crate::operation::Operation;

/// One goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// Ours takes at most so many times as long as the floor.
    AtMostTimesFloor(f64),
    /// The seed's way takes at least so many times as long as ours.
    AtLeastTimesSeed(f64),
    /// Said, and not judged: another machine has other milliseconds.
    AtMostMilliseconds(f64),
}

impl Goal {
    /// None: not judged.
    pub(crate) fn is_met(self, operation: &Operation) -> Option<bool> {
        match self {
            Self::AtMostTimesFloor(times) => Some(operation.over_floor() <= times),
            Self::AtLeastTimesSeed(times) => operation.under_seed().map(|ratio| ratio >= times),
            Self::AtMostMilliseconds(_) => None,
        }
    }

    pub(crate) fn text(self, operation: &Operation) -> String {
        let goal = match self {
            Self::AtMostTimesFloor(times) => format!("≤ {times:.2} × floor"),
            Self::AtLeastTimesSeed(times) => format!("≥ {times} × seed"),
            Self::AtMostMilliseconds(limit) => format!("≤ {limit} ms"),
        };
        match self.is_met(operation) {
            Some(true) => format!("{goal}: met"),
            Some(false) => format!("{goal}: missed"),
            None => goal,
        }
    }
}
