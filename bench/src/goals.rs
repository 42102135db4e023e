//! What an operation should reach.

use serde::Serialize;

use crate::figure::Figure;
use crate::row::Row;

/// One goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// Ours is at most so many times the lower bound.
    TimesLowerBound(f64),
    /// The baseline is at least so many times ours.
    TimesBaseline(f64),
    /// Ours is at most so much.
    AtMost(f64),
}

impl Goal {
    /// What is held against the goal. Not a number, which meets none, where a row lacks it.
    fn seen(self, row: &Row) -> f64 {
        let ours = row.ours.median;
        let median = |figure: Option<&Figure>| figure.map_or(f64::NAN, |figure| figure.median);
        match self {
            Self::TimesLowerBound(_) => {
                ours / median(row.lower_bound.as_ref().map(|(_, figure)| figure))
            }
            Self::TimesBaseline(_) => median(row.baseline.as_ref()) / ours,
            Self::AtMost(_) => ours,
        }
    }

    pub(crate) fn is_met(self, row: &Row) -> bool {
        let seen = self.seen(row);
        match self {
            Self::TimesLowerBound(most) | Self::AtMost(most) => seen <= most,
            Self::TimesBaseline(least) => seen >= least,
        }
    }

    pub(crate) fn text(self, row: &Row) -> String {
        let result = if self.is_met(row) { "met" } else { "missed" };
        let seen = self.seen(row);
        match self {
            Self::TimesLowerBound(most) => {
                format!("≤ {most:.2} × lower bound: {seen:.2}, {result}")
            }
            Self::TimesBaseline(least) => format!("baseline ≥ {least} ×: {seen:.1}, {result}"),
            Self::AtMost(most) => format!("≤ {most}{}: {result}", row.unit.text()),
        }
    }
}
