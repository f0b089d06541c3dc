use ndarray::{Array3, ArrayViewMut3};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Frame, Transform, each_channel};
use crate::number::Interval;
use crate::real::{Real, index};
use crate::resize::{positions, resize};
use crate::rng::{happens, within};
use crate::spline::Interpolation;
use crate::{Fraction, Patch};

/// Makes a channel look as if it came from a scan of fewer voxels.
///
/// # Source
///
/// `SimulateLowResolutionTransform` of batchgeneratorsv2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LowResolution {
    /// How often a patch is changed.
    pub probability: Fraction,
    /// How often each of its channels then is.
    pub channel_probability: Fraction,
    /// What the share of voxels that is left along each axis is drawn from, all axes alike.
    pub scale: Interval,
}

impl Default for LowResolution {
    fn default() -> Self {
        Self {
            probability: Fraction::literal(0.25),
            channel_probability: Fraction::literal(0.5),
            scale: Interval::literal(0.5, 1.0),
        }
    }
}

impl Transform for LowResolution {
    fn apply(&self, mut patch: Patch, frame: &Frame, rng: &mut ChaCha8Rng) -> Patch {
        if happens(self.probability.get(), rng) {
            each_channel(&mut patch, self.channel_probability.get(), rng, |channel, rng| {
                let drawn = within(self.scale, rng);
                let mut scale = [1.0; 3];
                frame.axes().for_each(|axis| scale[axis] = drawn);
                low_resolution(channel, scale);
            });
        }
        patch
    }
}

/// Keeps every so many voxels, a share `scale` along each axis, and fills in the others linearly.
/// At least one voxel is kept.
pub fn low_resolution<T: Real>(mut channel: ArrayViewMut3<'_, T>, scale: [f64; 3]) {
    let size = [channel.shape()[0], channel.shape()[1], channel.shape()[2]];
    let few: [usize; 3] = std::array::from_fn(|axis| {
        index((size[axis] as f64 * scale[axis]).round_ties_even()).clamp(1, size[axis].max(1))
    });
    if few == size {
        return;
    }
    let from: [Vec<usize>; 3] = std::array::from_fn(|axis| {
        let nearest = |p: f64| index((p + 0.5).floor()).min(size[axis] - 1);
        positions(size[axis], few[axis]).map(nearest).collect()
    });
    let coarse =
        Array3::from_shape_fn(few, |(z, y, x)| channel[[from[0][z], from[1][y], from[2][x]]]);
    channel.assign(&resize(coarse.view(), size, [Interpolation::Linear; 3], false));
}
