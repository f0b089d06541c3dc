//! Reliability over the voxels of all cases.

use std::num::NonZeroUsize;

use metrics::{
    Binning, Brier, BrierParts, Confidence, Nll, ProbabilityMetric, ProbabilityPair, Reliability,
    Voxels,
};
use ndarray::{Array3, s};
use serde::{Deserialize, Serialize};
use volume::{Label, SoftLabelMap};

use super::{Calibration, Definition, ReliabilityBin};
use crate::Result;
use crate::neighborhood::{self, MARGIN};

/// Bins of a reliability diagram.
const BINS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(14);

/// Bins that are kept until the end: each of [`BINS`] is several of these, and thresholds lie on their edges.
const FINE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(239);

/// What the calibration error over all voxels is called; that of each case has another name.
pub(super) const POOLED_ECE: &str = "pooled_ece";

/// Sums over cases.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Accumulator {
    near: Sums,
    whole: Sums,
}

/// Sums over some voxels of all cases.
#[derive(Debug, Serialize, Deserialize)]
struct Sums {
    tables: Tables,
    brier: f64,
    nll: f64,
    voxels: usize,
}

/// Of the predicted class, and of each class by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Tables {
    top: Reliability,
    classes: Vec<Reliability>,
}

impl Accumulator {
    pub(super) fn new() -> Self {
        Self { near: Sums::new(), whole: Sums::new() }
    }

    /// Adds the voxels of a case, and says what each of its classes adds.
    pub(super) fn add(
        &mut self,
        probabilities: &SoftLabelMap,
        label: &Label,
        ignore: Option<u16>,
    ) -> Result<Vec<Reliability>> {
        let pair = ProbabilityPair::of(probabilities, label, ignore)?;
        let classes = self.whole.add(&pair)?;
        self.near.add(&pair.counting(&near(label, ignore))?)?;
        Ok(classes)
    }

    /// Adds what another has added up.
    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        self.near.merge(&other.near)?;
        self.whole.merge(&other.whole)
    }

    /// Near the foreground, and everywhere.
    pub(super) fn finish(self, regions: bool) -> [Option<Calibration>; 2] {
        let around = format!("within {MARGIN} of the reference foreground's bounding box");
        [self.near.finish(voxels(&around, regions)), self.whole.finish(voxels("", regions))]
    }
}

impl Sums {
    fn new() -> Self {
        Self { tables: Tables::new(0), brier: 0.0, nll: 0.0, voxels: 0 }
    }

    fn add(&mut self, pair: &ProbabilityPair<'_>) -> Result<Vec<Reliability>> {
        let found = Tables::of(pair)?;
        self.tables.merge(&found)?;
        // Means over voxels: those of all cases are the mean of theirs, weighted by their voxels.
        let count = pair.counted();
        self.brier += count as f64 * mean(&Brier::default(), pair);
        self.nll += count as f64 * mean(&Nll::default(), pair);
        self.voxels += count;
        Ok(found.classes)
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        self.tables.merge(&other.tables)?;
        self.brier += other.brier;
        self.nll += other.nll;
        self.voxels += other.voxels;
        Ok(())
    }

    fn finish(self, voxels: String) -> Option<Calibration> {
        let count = self.voxels as f64;
        let coarse = |table: &Reliability| table.coarser(BINS);
        let (top, classes) = (coarse(&self.tables.top)?, &self.tables.classes);
        let width = 1.0 / BINS.get() as f64;
        let row = |(at, bin): (usize, &metrics::Bin)| ReliabilityBin {
            lower: at as f64 * width,
            upper: (at + 1) as f64 * width,
            confidence: bin.confidence().unwrap_or(0.0),
            accuracy: bin.accuracy().unwrap_or(0.0),
            count: bin.count,
        };
        let of_classes = |error: &dyn Fn(&Reliability) -> Option<f64>| {
            let sum = classes.iter().map(error).sum::<Option<f64>>()?;
            Some(sum / classes.len() as f64)
        };
        Some(Calibration {
            pooled_ece: top.ece()?,
            brier: self.brier / count,
            nll: self.nll / count,
            mce: top.mce(),
            classwise_ece: of_classes(&|table| coarse(table)?.ece()),
            ace: of_classes(&|table| table.ace(BINS)),
            ks: self.tables.top.ks(),
            brier_parts: BrierParts::of(classes),
            voxels,
            bins: top.bins().iter().enumerate().map(row).collect(),
        })
    }
}

impl Tables {
    fn new(classes: usize) -> Self {
        let table = Reliability::new(FINE, Binning::LeftClosed);
        Self { classes: vec![table.clone(); classes], top: table }
    }

    fn of(pair: &ProbabilityPair<'_>) -> Result<Self> {
        let table =
            |confidence| Reliability::of(pair, FINE, Binning::LeftClosed, confidence, Voxels::All);
        let classes = (0..pair.classes()).map(Confidence::Class).map(table);
        Ok(Self { top: table(Confidence::TopLabel)?, classes: classes.collect::<Result<_, _>>()? })
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        let empty = Reliability::new(FINE, Binning::LeftClosed);
        self.classes.resize(other.classes.len().max(self.classes.len()), empty);
        self.top.merge(&other.top)?;
        for (table, more) in self.classes.iter_mut().zip(&other.classes) {
            table.merge(more)?;
        }
        Ok(())
    }
}

/// What [`POOLED_ECE`] is.
pub(super) fn definition(regions: bool) -> Definition {
    let text = "expected calibration error of the predicted class over the voxels of all cases \
                together, not over those of each case";
    let around = format!("within {MARGIN} of the reference foreground's bounding box");
    let text = format!("{text}: {}", voxels(&around, regions));
    Definition { text, unit: String::new(), larger_is_better: false }
}

/// Which voxels are looked at, in words.
fn voxels(which: &str, regions: bool) -> String {
    let each = if regions { ", counted once for each region" } else { "" };
    let space = if which.is_empty() { "" } else { " " };
    format!("voxels of all cases{space}{which}{each}; {BINS} equal bins of the predicted class")
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
        sums.add(&SoftLabelMap::new(grid, data)?, &label, None)?;
        Ok(())
    }

    #[test]
    fn the_voxels_of_all_cases_count_alike() -> anyhow::Result<()> {
        let mut sums = Accumulator::new();
        add(&mut sums, [0.75, 0.75, 0.25, 0.25])?;
        add(&mut sums, [1.0, 1.0, 1.0, 0.0])?;

        let [near, whole] = sums.finish(false);
        let found = near.expect("there are voxels");
        // All of them are near.
        assert_eq!(whole.map(|it| it.bins), Some(found.bins.clone()));

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

        let [near, whole] = sums.finish(false);
        let found = near.expect("there are voxels");
        // All of them are near.
        assert_eq!(whole.map(|it| it.bins), Some(found.bins.clone()));

        assert!(found.nll >= 0.0 && found.nll < 1e-6, "{}", found.nll);
        assert_eq!(Accumulator::new().finish(false), [None, None]);
        Ok(())
    }
}
