use ndarray::Zip;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Frame, Transform};
use crate::Patch;

/// Makes voxels outside the patient 0 again, in the channels that were normalised without them.
///
/// # Source
///
/// `MaskImageTransform` of nnU-Net v2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskOutside {}

impl Transform for MaskOutside {
    fn apply(&self, mut patch: Patch, _: &Frame, _: &mut ChaCha8Rng) -> Patch {
        if let Some(outside) = &patch.outside {
            for &channel in &outside.channels {
                let mut channel = patch.image.index_axis_mut(ndarray::Axis(0), channel);
                Zip::from(&mut channel)
                    .and(&outside.voxels)
                    .for_each(|value, &outside| *value = if outside { 0.0 } else { *value });
            }
        }
        patch
    }
}
