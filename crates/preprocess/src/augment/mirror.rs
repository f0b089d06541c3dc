use ndarray::{Array, Dimension};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Frame, Transform};
use crate::rng::happens;
use crate::{Fraction, Patch, Truth};

/// Turns a patch over along some of its axes.
///
/// Not for anatomy whose sides differ in class, such as left and right kidney: switch off the axis.
///
/// # Source
///
/// `MirrorTransform` of batchgeneratorsv2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mirror {
    /// How often each axis is turned over.
    pub probability: Fraction,
    /// Which axes may be, `(z, y, x)`.
    pub axes: [bool; 3],
}

impl Default for Mirror {
    fn default() -> Self {
        Self { probability: Fraction::literal(0.5), axes: [true; 3] }
    }
}

impl Transform for Mirror {
    fn apply(&self, mut patch: Patch, _: &Frame, rng: &mut ChaCha8Rng) -> Patch {
        for axis in 0..3 {
            // Drawn for every axis, so that switching one off leaves the others as they are.
            let drawn = happens(self.probability.get(), rng);
            if drawn && self.axes[axis] {
                mirror(&mut patch.image, axis + 1);
                for truth in [&mut patch.truth].into_iter().chain(&mut patch.further) {
                    match truth {
                        Truth::Hard(labels) => mirror(labels, axis),
                        Truth::Soft(soft) => mirror(soft, axis + 1),
                    }
                }
                if let Some(outside) = &mut patch.outside {
                    mirror(&mut outside.voxels, axis);
                }
            }
        }
        patch
    }
}

/// Turns an array in standard layout over along an axis, in place.
///
/// # Panics
///
/// Where the array is not in standard layout, or has no such axis.
pub fn mirror<T, D: Dimension>(array: &mut Array<T, D>, axis: usize) {
    let length = array.shape()[axis];
    let inner: usize = array.shape()[axis + 1..].iter().product();
    let values = array.as_slice_mut().expect("patches are in standard layout");
    if inner == 1 {
        values.chunks_exact_mut(length.max(1)).for_each(<[T]>::reverse);
        return;
    }
    for block in values.chunks_exact_mut((length * inner).max(1)) {
        let (front, back) = block.split_at_mut(length / 2 * inner);
        let back = back.rchunks_exact_mut(inner);
        for (front, back) in front.chunks_exact_mut(inner).zip(back) {
            front.swap_with_slice(back);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Axis};

    use super::*;

    #[test]
    fn every_axis_is_turned_over_and_back() {
        let array = Array3::from_shape_fn((3, 4, 5), |(z, y, x)| 100 * z + 10 * y + x);
        for axis in 0..3 {
            let mut turned = array.clone();
            mirror(&mut turned, axis);

            let mut expected = array.view();
            expected.invert_axis(Axis(axis));
            assert_eq!(turned, expected);

            mirror(&mut turned, axis);
            assert_eq!(turned, array);
        }
    }
}
