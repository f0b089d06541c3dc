//! Reliability over the voxels of all cases.

use std::num::NonZeroUsize;

use metrics::{
    Binning, Brier, Confidence, Nll, ProbabilityMetric, ProbabilityPair, Reliability, Voxels,
};
use ndarray::{Array3, s};
use volume::{Label, SoftLabelMap};

use super::{Calibration, Definition, ReliabilityBin};
use crate::Result;
use crate::neighborhood::{self, MARGIN};

const BINS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(14);

/// What the calibration error over all voxels is called; that of each case has another name.
pub(super) const POOLED_ECE: &str = "pooled_ece";

/// Sums over cases.
#[derive(Debug)]
pub(super) struct Accumulator {
    table: Reliability,
    brier: f64,
    nll: f64,
    voxels: usize,
}

impl Accumulator {
    pub(super) fn new() -> Self {
        Self { table: Reliability::new(BINS, Binning::LeftClosed), brier: 0.0, nll: 0.0, voxels: 0 }
    }

    /// Adds the voxels of a case that lie near its foreground.
    pub(super) fn add(
        &mut self,
        probabilities: &SoftLabelMap,
        label: &Label,
        ignore: Option<u16>,
    ) -> Result<()> {
        let near = near(label, ignore);
        let pair = ProbabilityPair::of(probabilities, label, ignore)?.counting(&near)?;
        let table =
            Reliability::of(&pair, BINS, Binning::LeftClosed, Confidence::TopLabel, Voxels::All)?;
        self.table.merge(&table)?;
        // Means over voxels: those of all cases are the mean of theirs, weighted by their voxels.
        let count = pair.counted();
        self.brier += count as f64 * mean(&Brier::default(), &pair);
        self.nll += count as f64 * mean(&Nll::default(), &pair);
        self.voxels += count;
        Ok(())
    }

    pub(super) fn finish(self, regions: bool) -> Option<Calibration> {
        let count = self.voxels as f64;
        let bins = self.table.bins();
        let width = 1.0 / bins.len() as f64;
        let row = |(at, bin): (usize, &metrics::Bin)| ReliabilityBin {
            lower: at as f64 * width,
            upper: (at + 1) as f64 * width,
            confidence: bin.confidence().unwrap_or(0.0),
            accuracy: bin.accuracy().unwrap_or(0.0),
            count: bin.count,
        };
        Some(Calibration {
            pooled_ece: self.table.ece()?,
            brier: self.brier / count,
            nll: self.nll / count,
            voxels: voxels(regions),
            bins: bins.iter().enumerate().map(row).collect(),
        })
    }
}

/// What [`POOLED_ECE`] is.
pub(super) fn definition(regions: bool) -> Definition {
    let text = "expected calibration error of the predicted class over the voxels of all cases \
                together, not over those of each case";
    let text = format!("{text}: {}", voxels(regions));
    Definition { text, unit: String::new(), larger_is_better: false }
}

/// Which voxels are looked at, in words.
fn voxels(regions: bool) -> String {
    let each = if regions { ", counted once for each region" } else { "" };
    format!(
        "voxels of all cases within {MARGIN} of the reference foreground's bounding box{each}; \
         {BINS} equal bins of the predicted class"
    )
}

/// The mean over the voxels of a case; 0 where none counts.
fn mean(metric: &dyn ProbabilityMetric, pair: &ProbabilityPair<'_>) -> f64 {
    metric.measure(pair).unwrap_or(0.0)
}

/// Whether each voxel lies near the foreground of any rater; all do where there is none.
fn near(label: &Label, ignore: Option<u16>) -> Array3<bool> {
    let found = neighborhood::of_label(label, ignore);
    let range = |axis: usize| found.start[axis]..found.end[axis];
    let mut near = Array3::from_elem(label.grid().size, false);
    near.slice_mut(s![range(0), range(1), range(2)]).fill(true);
    near
}

#[cfg(test)]
mod tests {
    use ndarray::{Array4, arr3};
    use volume::{Grid, LabelMap};

    use super::*;

    /// Four voxels in a row, of which the first two are foreground; `p` of class 1.
    fn add(sums: &mut Accumulator, p: [f32; 4]) -> anyhow::Result<()> {
        let grid = Grid::new([1, 1, 4], [1.0; 3])?;
        let data = Array4::from_shape_fn(
            (2, 1, 1, 4),
            |(class, _, _, x)| {
                if class == 1 { p[x] } else { 1.0 - p[x] }
            },
        );
        let label = Label::Hard(LabelMap::new(grid.clone(), arr3(&[[[1, 1, 0, 0]]]))?);
        Ok(sums.add(&SoftLabelMap::new(grid, data)?, &label, None)?)
    }

    #[test]
    fn the_voxels_of_all_cases_count_alike() -> anyhow::Result<()> {
        let mut sums = Accumulator::new();
        add(&mut sums, [0.75, 0.75, 0.25, 0.25])?;
        add(&mut sums, [1.0, 1.0, 1.0, 0.0])?;

        let found = sums.finish(false).expect("there are voxels");

        // At 0.75, four of four are right; at 1, three of four.
        approx::assert_relative_eq!(found.pooled_ece, 0.25, epsilon = 1e-9);
        // 4 · 2 · 0.25² and one certain mistake, 2, over 8 voxels.
        approx::assert_relative_eq!(found.brier, 2.5 / 8.0, epsilon = 1e-9);
        let nll = (4.0 * (4f64 / 3.0).ln() + 7.0 * 10f64.ln()) / 8.0;
        approx::assert_relative_eq!(found.nll, nll, epsilon = 1e-6);
        assert_eq!(found.bins.iter().map(|bin| bin.count).sum::<u64>(), 8);
        Ok(())
    }

    #[test]
    fn certainty_that_is_right_costs_no_less_than_nothing() -> anyhow::Result<()> {
        let mut sums = Accumulator::new();
        // As rounding leaves it.
        add(&mut sums, [1.000_000_1, 1.0, 0.0, 0.0])?;

        let found = sums.finish(false).expect("there are voxels");

        assert!(found.nll >= 0.0 && found.nll < 1e-6, "{}", found.nll);
        assert!(Accumulator::new().finish(false).is_none());
        Ok(())
    }
}
