use serde::{Deserialize, Serialize};

use crate::Preset;
use crate::real::index;

/// Where a U-Net halves its feature maps, and how wide its kernels are.
///
/// For slices, a patch of one voxel along its first axis, nothing happens along that axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// For each stage, finest first, the stride of its first convolution, `(z, y, x)`; that of the
    /// first stage is 1.
    pub strides: Vec<[usize; 3]>,
    /// For each stage, the widths of its kernels, voxels.
    pub kernel_sizes: Vec<[usize; 3]>,
    /// How often each axis is halved.
    pub pools: [usize; 3],
    /// The patch, enlarged to what `pools` divide.
    pub patch_size: [usize; 3],
}

/// nnU-Net's rule: halve the axes of fine spacing until all are alike, then all together, as long
/// as no feature map gets shorter than `min_edge` voxels; kernels are 1 voxel wide across slices
/// that are still more than twice as thick as the finest axis.
///
/// `spacing` is that of the patch, mm. A first axis of one voxel is left alone, whatever its
/// spacing.
///
/// # Source
///
/// `get_pool_and_conv_props` of nnU-Net v2; nnU-Net uses `min_edge = 4`.
pub fn topology(spacing: [f64; 3], patch_size: [usize; 3], min_edge: usize) -> Topology {
    topology_of(spacing, patch_size.map(|voxels| voxels as f64), min_edge)
}

/// The same, of a patch that need not be of whole voxels: a median of sizes may lie between two.
#[expect(clippy::float_cmp, reason = "a slice is one voxel exactly")]
pub(crate) fn topology_of(spacing: [f64; 3], patch_size: [f64; 3], min_edge: usize) -> Topology {
    let axes = if patch_size[0] == 1.0 { 1..3 } else { 0..3 };
    let min_edge = min_edge as f64;
    let mut spacing = spacing;
    let mut size = patch_size;
    let mut pools = [0; 3];
    let mut kernel = [1; 3];
    let mut strides = vec![[1; 3]];
    let mut kernel_sizes = Vec::new();
    loop {
        let long: Vec<usize> = axes.clone().filter(|&axis| size[axis] >= 2.0 * min_edge).collect();
        let finest = long.iter().map(|&axis| spacing[axis]).fold(f64::INFINITY, f64::min);
        let pooled: Vec<usize> =
            long.into_iter().filter(|&axis| spacing[axis] / finest < 2.0).collect();
        match pooled.as_slice() {
            [] => break,
            // Alone, an axis is only halved while something is left to halve again.
            [axis] if size[*axis] < 3.0 * min_edge => break,
            _ => {}
        }
        let finest = axes.clone().map(|axis| spacing[axis]).fold(f64::INFINITY, f64::min);
        for axis in axes.clone() {
            if spacing[axis] / finest < 2.0 {
                kernel[axis] = 3;
            }
        }
        let mut stride = [1; 3];
        for axis in pooled {
            stride[axis] = 2;
            pools[axis] += 1;
            spacing[axis] *= 2.0;
            size[axis] = (size[axis] / 2.0).ceil();
        }
        strides.push(stride);
        kernel_sizes.push(kernel);
    }
    let mut coarsest = [1; 3];
    axes.for_each(|axis| coarsest[axis] = 3);
    kernel_sizes.push(coarsest);
    let multiple = |axis: usize| index(patch_size[axis].ceil()).next_multiple_of(1 << pools[axis]);
    Topology { strides, kernel_sizes, pools, patch_size: std::array::from_fn(multiple) }
}

impl Topology {
    /// nnU-Net's estimate of the memory that a U-Net of this topology needs: the values of all feature
    /// maps of one patch, where the finest stage has a head of `outputs` channels.
    pub(crate) fn feature_values(&self, preset: Preset, rank: usize, outputs: usize) -> f64 {
        let mut size = self.patch_size.map(|voxels| voxels as f64);
        let last = self.strides.len() - 1;
        let mut values = 0.0;
        for (stage, stride) in self.strides.iter().enumerate() {
            size = std::array::from_fn(|axis| (size[axis] / stride[axis] as f64).floor());
            let voxels: f64 = size.iter().product();
            let mut maps = preset.down(stage);
            if preset.is_residual() {
                // Two in each block, and a stem, or the projection where a stage begins.
                maps = 2 * maps + 1;
            }
            if stage < last {
                // And the upsampling.
                maps += preset.up() + 1;
            }
            values += (Preset::features(stage, rank) * maps) as f64 * voxels;
            if stage == 0 && last > 0 {
                values += outputs as f64 * voxels;
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cubes_are_halved_alike_along_all_axes() {
        let found = topology([1.0; 3], [128; 3], 4);

        assert_eq!(found.pools, [5; 3]);
        assert_eq!(found.kernel_sizes, [[3; 3]; 6]);
        assert_eq!(found.patch_size, [128; 3]);
    }

    #[test]
    fn thick_slices_are_halved_later_and_have_flat_kernels_first() {
        let found = topology([3.0, 0.8, 0.8], [40, 224, 192], 4);

        assert_eq!(found.pools, [3, 5, 5]);
        let strides = [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2], [2, 2, 2], [1, 2, 2]];
        assert_eq!(found.strides, strides);
        assert_eq!(found.kernel_sizes[..2], [[1, 3, 3], [3, 3, 3]]);
        assert_eq!(found.kernel_sizes.len(), 6);
    }

    #[test]
    fn slices_are_left_alone_across() {
        let found = topology([5.0, 0.8, 0.8], [1, 512, 448], 4);

        assert_eq!(found.pools, [0, 6, 6]);
        assert_eq!(found.strides[6], [1, 2, 2]);
        assert_eq!(found.kernel_sizes[6], [1, 3, 3]);
        assert_eq!(found.patch_size, [1, 512, 448]);
    }

    #[test]
    fn patches_grow_to_what_can_be_halved() {
        assert_eq!(topology([1.0; 3], [36, 50, 35], 4).patch_size, [40, 56, 40]);
        assert_eq!(topology([1.0; 3], [3, 3, 3], 4).patch_size, [3, 3, 3]);
    }
}
