//! Medians of runs that take turns, so that whatever else the machine does meets all of them.

use serde::Serialize;

/// What some runs took.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Timing {
    pub(crate) median_ms: f64,
    /// The quickest, which says most on a machine that is busy with other things.
    pub(crate) best_ms: f64,
    /// Half of the runs lie between these.
    pub(crate) quartiles_ms: [f64; 2],
    pub(crate) runs: usize,
}

impl Timing {
    /// # Panics
    /// If there is no run.
    pub(crate) fn of(mut milliseconds: Vec<f64>) -> Self {
        milliseconds.sort_by(f64::total_cmp);
        let last = milliseconds.len() - 1;
        Self {
            median_ms: f64::midpoint(milliseconds[last / 2], milliseconds[last.div_ceil(2)]),
            best_ms: milliseconds[0],
            quartiles_ms: [milliseconds[last / 4], milliseconds[last - last / 4]],
            runs: milliseconds.len(),
        }
    }
}
