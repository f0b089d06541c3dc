//! The largest patch that memory allows: nnU-Net's planning of patch and batch; and the largest
//! image that can be worked on at all.

use crate::Preset;
use crate::real::index;
use crate::topology::{Topology, topology, topology_of};

/// No feature map gets shorter than this, voxels.
pub(crate) const MIN_EDGE: usize = 4;

/// The number of voxels of a size; `None` where it does not fit into four bytes, which is what places
/// in an image take.
pub(crate) fn voxels(size: [usize; 3]) -> Option<u32> {
    let product = size.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
    product.and_then(|voxels| u32::try_from(voxels).ok())
}

/// What decides how large a patch may be. Axes are those of the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) rank: usize,
    pub(crate) spacing: [f64; 3],
    /// Median size of the resampled cases, voxels.
    pub(crate) median_size: [f64; 3],
    /// Channels of the head.
    pub(crate) outputs: usize,
    /// Voxels of all resampled cases, about.
    pub(crate) data: f64,
    pub(crate) preset: Preset,
    /// Memory of the device, GB.
    pub(crate) memory: f64,
}

/// Fewer patches than this make a gradient too noisy.
const SMALLEST_BATCH: usize = 2;

/// Patch and batch, and what decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allotted {
    pub(crate) patch_size: [usize; 3],
    pub(crate) batch_size: usize,
    /// Whether memory had no room for a larger patch.
    pub(crate) is_shortened: bool,
    /// The batch that memory has room for.
    pub(crate) fitting: usize,
    /// The batch that shows as much of the data as it may.
    pub(crate) covering: usize,
}

impl Budget {
    /// Patch and batch for one of nnU-Net's networks.
    ///
    /// Starts from a patch of the aspect ratio that the spacing asks for, no larger than the median
    /// case, and shortens the axis that is longest compared with that case until two patches fit.
    ///
    /// # Source
    ///
    /// `ExperimentPlanner.get_plans_for_configuration` of nnU-Net v2.
    pub(crate) fn plan(&self) -> Allotted {
        let Self { rank, preset, outputs, .. } = *self;
        let batch = Preset::reference_batch(rank);
        let reference = preset.reference(rank) * (self.memory / preset.memory());
        let values = |topology: &Topology| topology.feature_values(preset, rank, outputs);

        let mut found = topology_of(self.spacing, self.start(), MIN_EDGE);
        let largest = found.patch_size;
        while values(&found) / batch * preset.shortening_batch(rank) > reference {
            let Some(smaller) = self.shorter(&found) else { break };
            found = smaller;
        }
        let voxels: f64 = found.patch_size.iter().map(|&voxels| voxels as f64).product();
        let fitting = (reference / values(&found) * batch).round_ties_even();
        // A plain network's batch should not show more than a twentieth of the data set.
        let covering = (self.data * preset.most_shown() / voxels).round_ties_even();
        Allotted {
            patch_size: found.patch_size,
            batch_size: index(fitting.min(covering)).max(SMALLEST_BATCH),
            is_shortened: found.patch_size != largest,
            fitting: index(fitting),
            covering: index(covering),
        }
    }

    fn start(&self) -> [f64; 3] {
        let first = 3 - self.rank;
        let (edge, rank): (f64, f64) = if self.rank == 2 { (2048.0, 2.0) } else { (256.0, 3.0) };
        let fineness: f64 = self.spacing[first..].iter().map(|mm| 1.0 / mm).product();
        let scale = edge / fineness.powf(1.0 / rank);
        std::array::from_fn(|axis| {
            if axis < first {
                return 1.0;
            }
            let aspect = (scale / self.spacing[axis]).round_ties_even();
            aspect.min(self.median_size[axis]).max(1.0)
        })
    }

    fn shorter(&self, found: &Topology) -> Option<Topology> {
        let patch = found.patch_size;
        let relative = |axis: usize| patch[axis] as f64 / self.median_size[axis];
        let first = 3 - self.rank;
        let mut longest = first;
        for axis in first..3 {
            if relative(axis) >= relative(longest) {
                longest = axis;
            }
        }
        // The step is that of the shortened patch: it may need fewer halvings.
        let step = |topology: &Topology| 1usize << topology.pools[longest];
        let mut shortened = patch;
        shortened[longest] = patch[longest].checked_sub(step(found)).filter(|&left| left > 0)?;
        let step = step(&topology(self.spacing, shortened, MIN_EDGE));
        shortened[longest] = patch[longest] - step;
        let shorter = topology(self.spacing, shortened, MIN_EDGE);
        (shorter.patch_size[longest] < patch[longest]).then_some(shorter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hippocampus of the Medical Segmentation Decathlon: 260 cases of 1 mm.
    const HIPPOCAMPUS: Budget = Budget {
        rank: 3,
        spacing: [1.0; 3],
        median_size: [36.0, 50.0, 35.0],
        outputs: 3,
        data: 260.0 * 36.0 * 50.0 * 35.0,
        preset: Preset::Plain,
        memory: 8.0,
    };

    fn both(budget: Budget) -> ([usize; 3], usize) {
        let Allotted { patch_size, batch_size, .. } = budget.plan();
        (patch_size, batch_size)
    }

    #[test]
    fn small_volumes_become_one_patch_and_a_larger_batch() {
        assert_eq!(both(HIPPOCAMPUS), ([40, 56, 40], 9));
    }

    #[test]
    fn slices_of_small_volumes_become_one_patch() {
        assert_eq!(both(Budget { rank: 2, ..HIPPOCAMPUS }), ([1, 56, 40], 366));
    }

    #[test]
    fn brains_become_cubes_of_128_voxels() {
        let median_size = [140.0, 171.0, 137.0];
        let data = 484.0 * median_size.iter().product::<f64>();
        let brains = Budget { median_size, outputs: 4, data, ..HIPPOCAMPUS };

        assert_eq!(both(brains), ([128; 3], 2));
    }

    #[test]
    fn hearts_keep_the_aspect_of_their_size() {
        let hearts = Budget {
            spacing: [1.37, 1.25, 1.25],
            median_size: [115.0, 320.0, 232.0],
            outputs: 2,
            data: 20.0 * 115.0 * 320.0 * 232.0,
            ..HIPPOCAMPUS
        };

        assert_eq!(both(hearts), ([80, 192, 160], 2));
    }

    #[test]
    fn less_memory_means_smaller_patches() {
        let voxels = |memory: f64| {
            let budget = Budget { median_size: [200.0; 3], memory, ..HIPPOCAMPUS };
            budget.plan().patch_size.iter().product::<usize>()
        };

        assert!(voxels(1.0) < voxels(4.0));
        assert!(voxels(4.0) < voxels(24.0));
        assert!(voxels(1e-6) > 0, "there is always a patch");
    }
}
