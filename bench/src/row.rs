//! One line of the table.

use serde::Serialize;

use crate::figure::Figure;
use crate::goals::Goal;

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
