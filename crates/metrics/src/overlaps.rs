//! Which components of two masks share voxels.

use volume::{Components, Connectivity};

use crate::MaskPair;

/// The components of a reference and of a prediction.
#[derive(Debug, Default)]
pub(crate) struct Overlaps {
    /// Their sizes, voxels, in the order in which their first voxels come.
    pub(crate) reference: Vec<usize>,
    /// Likewise.
    pub(crate) prediction: Vec<usize>,
    /// Each two that share a voxel, by their place in the two lists, in ascending order.
    pub(crate) shared: Vec<Shared>,
}

/// What two components share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared {
    pub(crate) reference: usize,
    pub(crate) prediction: usize,
    pub(crate) voxels: usize,
    /// As a share of what either has.
    pub(crate) iou: f64,
}

impl Overlaps {
    pub(crate) fn of(pair: &MaskPair, connectivity: Connectivity) -> Self {
        let Some(masks) = pair.masks() else { return Self::default() };
        let reference = Components::of(&masks.reference, |&inside| inside, connectivity);
        let prediction = Components::of(&masks.prediction, |&inside| inside, connectivity);
        let labels = reference.labels().iter().zip(prediction.labels());
        let mut both: Vec<(u32, u32)> =
            labels.filter(|&(&r, &p)| r > 0 && p > 0).map(|(&r, &p)| (r, p)).collect();
        both.sort_unstable();
        let shared = both.chunk_by(PartialEq::eq).map(|part| {
            let (r, p) = (part[0].0 as usize - 1, part[0].1 as usize - 1);
            let voxels = part.len();
            let union = reference.sizes()[r] + prediction.sizes()[p] - voxels;
            Shared { reference: r, prediction: p, voxels, iou: voxels as f64 / union as f64 }
        });
        let shared = shared.collect();
        let sizes = |components: &Components| components.sizes().to_vec();
        Self { reference: sizes(&reference), prediction: sizes(&prediction), shared }
    }
}
