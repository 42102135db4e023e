//! Medians of runs that take turns, so that whatever else the machine does meets all of them.

use anyhow::Result;
use serde::Serialize;

/// What some runs took, in the unit of its row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    /// Half of the runs lie between these.
    pub(crate) quartiles: [f64; 2],
    pub(crate) runs: usize,
}

impl Figure {
    /// # Panics
    /// If there is no run.
    pub(crate) fn of(mut runs: Vec<f64>) -> Self {
        runs.sort_by(f64::total_cmp);
        let last = runs.len() - 1;
        Self {
            median: f64::midpoint(runs[last / 2], runs[last.div_ceil(2)]),
            quartiles: [runs[last / 4], runs[last - last / 4]],
            runs: runs.len(),
        }
    }

    /// The same, with so much added to every run.
    pub(crate) fn plus(&self, more: f64) -> Self {
        Self {
            median: self.median + more,
            quartiles: self.quartiles.map(|quartile| quartile + more),
            runs: self.runs,
        }
    }
}

/// Measures each of `ways` in turn, `rounds` times. If that is more than once, a round before warms caches, and counts for
/// nobody.
pub(crate) async fn interleave<W: Copy, const N: usize>(
    rounds: u32,
    ways: [W; N],
    mut measure: impl AsyncFnMut(W) -> Result<f64>,
) -> Result<[Figure; N]> {
    let mut runs = [const { Vec::new() }; N];
    let warm_up = u32::from(rounds > 1);
    for round in 0..rounds + warm_up {
        for (way, runs) in ways.iter().zip(&mut runs) {
            let figure = measure(*way).await?;
            if round >= warm_up {
                runs.push(figure);
            }
        }
    }
    Ok(runs.map(Figure::of))
}
