//! Reliability over the voxels of all cases.

use std::num::NonZeroUsize;

use metrics::{Binning, Confidence, ProbabilityPair, Reliability, Voxels};
use ndarray::{Array3, s};
use volume::{Label, SoftLabelMap};

use super::{Calibration, ReliabilityBin};
use crate::Result;

const BINS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(14);

/// Voxels around the foreground's bounding box that still count.
const MARGIN: usize = 10;

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
        let near = neighbourhood(label, ignore);
        let pair = ProbabilityPair::of(probabilities, label, ignore)?.counting(&near)?;
        let table =
            Reliability::of(&pair, BINS, Binning::LeftClosed, Confidence::TopLabel, Voxels::All)?;
        self.table.merge(&table)?;
        let (brier, nll, voxels) = pair.fold(
            || (0.0, 0.0, 0usize),
            |sums: &mut (f64, f64, usize), voxel| {
                for (class, &p) in voxel.predicted.iter().enumerate() {
                    let t = voxel.truth(class);
                    sums.0 += (p - t).powi(2);
                    if t > 0.0 {
                        sums.1 -= t * p.max(SMALLEST).ln();
                    }
                }
                sums.2 += 1;
            },
            |sums, part| {
                sums.0 += part.0;
                sums.1 += part.1;
                sums.2 += part.2;
            },
        );
        self.brier += brier;
        self.nll += nll;
        self.voxels += voxels;
        Ok(())
    }

    pub(super) fn finish(self, regions: bool) -> Option<Calibration> {
        let each = if regions { ", counted once for each region" } else { "" };
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
        let gap = |bin: &metrics::Bin| (bin.confidence_sum - bin.accuracy_sum).abs() / count;
        (self.voxels > 0).then(|| Calibration {
            ece: bins.iter().map(gap).sum(),
            brier: self.brier / count,
            nll: self.nll / count,
            voxels: format!(
                "voxels of all cases within {MARGIN} of the reference foreground's bounding box\
                 {each}; {BINS} bins of the predicted class"
            ),
            bins: bins.iter().enumerate().map(row).collect(),
        })
    }
}

/// The least probability that a logarithm is taken of: what `f32` can still tell from 0 in a sum
/// of 1.
const SMALLEST: f64 = 1e-7;

/// Whether each voxel lies near the foreground of any rater; all do where there is none.
fn neighbourhood(label: &Label, ignore: Option<u16>) -> Array3<bool> {
    let foreground = |label: u16| label > 0 && Some(label) != ignore;
    let size = label.grid().size;
    let (mut low, mut high) = (size, [0; 3]);
    let mut include = |(z, y, x): (usize, usize, usize)| {
        for (axis, at) in [z, y, x].into_iter().enumerate() {
            low[axis] = low[axis].min(at);
            high[axis] = high[axis].max(at + 1);
        }
    };
    match label {
        Label::Hard(map) => {
            map.data.indexed_iter().filter(|it| foreground(*it.1)).for_each(|it| include(it.0));
        }
        Label::Raters(maps) => {
            let voxels = maps.iter().flat_map(|map| map.data.indexed_iter());
            voxels.filter(|it| foreground(*it.1)).for_each(|it| include(it.0));
        }
        Label::Soft(map) => {
            for ((class, z, y, x), &probability) in map.data.indexed_iter() {
                if class > 0 && probability > 0.0 {
                    include((z, y, x));
                }
            }
        }
    }
    if high[0] == 0 {
        return Array3::from_elem(size, true);
    }
    let range =
        |axis: usize| low[axis].saturating_sub(MARGIN)..(high[axis] + MARGIN).min(size[axis]);
    let mut near = Array3::from_elem(size, false);
    near.slice_mut(s![range(0), range(1), range(2)]).fill(true);
    near
}
