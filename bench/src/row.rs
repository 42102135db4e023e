//! One line of the table, and what it should reach.

use serde::Serialize;

use crate::figure::Figure;

/// What an operation took, beside what it is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) ours: Figure,
    pub(crate) baseline: Option<Figure>,
    /// The least that the operation could take, and what that is.
    pub(crate) lower_bound: Option<(String, Figure)>,
    pub(crate) goals: Vec<Goal>,
}

/// What the figures of a row count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "bytes")]
    Bytes,
    #[serde(rename = "MB")]
    Megabytes,
    #[serde(rename = "")]
    Count,
}

impl Unit {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Milliseconds => " ms",
            Self::Bytes => " bytes",
            Self::Megabytes => " MB",
            Self::Count => "",
        }
    }
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, unit: Unit, ours: Figure) -> Self {
        Self {
            name: name.into(),
            unit,
            ours,
            baseline: None,
            lower_bound: None,
            goals: Vec::new(),
        }
    }

    pub(crate) fn milliseconds(name: impl Into<String>, ours: Figure) -> Self {
        Self::new(name, Unit::Milliseconds, ours)
    }

    pub(crate) fn baseline(mut self, figure: Figure) -> Self {
        self.baseline = Some(figure);
        self
    }

    pub(crate) fn lower_bound(mut self, is: impl Into<String>, figure: Figure) -> Self {
        self.lower_bound = Some((is.into(), figure));
        self
    }

    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }

    /// Whether each goal is met on which the exit status hangs: milliseconds are the machine's, ratios and counts are ours.
    pub(crate) fn is_good(&self) -> bool {
        self.goals.iter().all(|goal| {
            let is_shown_only = self.unit == Unit::Milliseconds && matches!(goal, Goal::AtMost(_));
            is_shown_only || goal.is_met(self)
        })
    }
}

/// What an operation should reach.
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
