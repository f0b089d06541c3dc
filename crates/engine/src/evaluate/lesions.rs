//! Connected components, class by class.

use metrics::{Froc, FrocPoint, Lesions, MaskPair, Panoptic};
use ndarray::ArrayView3;
use registry::Fraction;
use volume::{Connectivity, LabelMap};

use super::{LesionScores, LesionSummary};
use crate::Result;

/// Voxels that touch by a corner are of one lesion, as in most challenges.
const CONNECTIVITY: Connectivity = Connectivity::Corners;

/// From this probability on, a voxel is part of a candidate.
const BASE: Fraction = Fraction::literal(0.1);

/// Points of a curve that are kept.
const POINTS: usize = 100;

impl LesionScores {
    /// Of one class of one case.
    pub(super) fn of(pair: &MaskPair) -> Self {
        let lesions = Lesions::of(pair, CONNECTIVITY);
        Self {
            lesions: lesions.reference.len(),
            found: lesions.found(),
            candidates: lesions.prediction.len(),
            false_alarms: lesions.false_alarms(),
            panoptic: Panoptic::of(pair, CONNECTIVITY),
        }
    }

    fn add(&mut self, other: &Self) {
        self.lesions += other.lesions;
        self.found += other.found;
        self.candidates += other.candidates;
        self.false_alarms += other.false_alarms;
        self.panoptic.add(&other.panoptic);
    }
}

/// Adds one case to the curve of a class that is the union of label `values`.
pub(super) fn add_to_curve(
    froc: &mut Froc,
    reference: &LabelMap,
    values: &[u16],
    probability: &ArrayView3<'_, f32>,
) -> Result<()> {
    let inside = reference.data.mapv(|label| values.contains(&label));
    Ok(froc.add(&inside.view(), probability, BASE, CONNECTIVITY)?)
}

impl LesionSummary {
    pub(super) fn of<'a>(cases: impl Iterator<Item = &'a LesionScores>, froc: &Froc) -> Self {
        let (mut total, mut count) = (LesionScores::default(), 0usize);
        for case in cases {
            total.add(case);
            count += 1;
        }
        let share = |part: usize, all: usize| (all > 0).then(|| part as f64 / all as f64);
        let missed = total.lesions - total.found;
        Self {
            sensitivity: share(total.found, total.lesions),
            precision: share(total.candidates - total.false_alarms, total.candidates),
            f1: share(2 * total.found, 2 * total.found + total.false_alarms + missed),
            false_alarms_per_case: share(total.false_alarms, count),
            panoptic_quality: total.panoptic.quality(),
            segmentation_quality: total.panoptic.segmentation(),
            recognition_quality: total.panoptic.recognition(),
            froc: froc.score(),
            froc_curve: thinned(froc.curve()),
            total,
        }
    }
}

/// At most so many points, evenly spread, the last among them.
fn thinned(curve: Vec<FrocPoint>) -> Vec<FrocPoint> {
    let step = curve.len().div_ceil(POINTS).max(1);
    let last = curve.len().saturating_sub(1);
    let kept = |at: &usize| at.is_multiple_of(step) || *at == last;
    curve.into_iter().enumerate().filter(|(at, _)| kept(at)).map(|(_, point)| point).collect()
}
