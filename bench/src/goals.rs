//! What an operation should reach.

use serde::Serialize;

use crate::operation::Operation;

/// One goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// Ours takes at most so many times as long as the lower bound.
    TimesLowerBound(f64),
    /// The baseline takes at least so many times as long as ours.
    TimesBaseline(f64),
}

impl Goal {
    /// None: not judged.
    pub(crate) fn is_met(self, operation: &Operation) -> Option<bool> {
        match self {
            Self::TimesLowerBound(times) => Some(operation.over_lower_bound() <= times),
            Self::TimesBaseline(times) => operation.under_baseline().map(|ratio| ratio >= times),
        }
    }

    pub(crate) fn text(self, operation: &Operation) -> String {
        let goal = match self {
            Self::TimesLowerBound(times) => format!("≤ {times:.2} × lower bound"),
            Self::TimesBaseline(times) => format!("≥ {times} × baseline"),
        };
        match self.is_met(operation) {
            Some(true) => format!("{goal}: met"),
            Some(false) => format!("{goal}: missed"),
            None => goal,
        }
    }
}
