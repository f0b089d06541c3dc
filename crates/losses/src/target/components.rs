use candle::{Device, Tensor};

use crate::Result;

/// Which connected component of its class a voxel belongs to.
#[derive(Clone, Debug)]
pub(super) struct Components {
    /// `u32`, `(N, C, *S)`: 0 outside, then from 1 on in each sample and class.
    pub(super) indices: Tensor,
    /// How many there are, by sample and class.
    pub(super) counts: Vec<Vec<u32>>,
}

impl Components {
    pub(super) fn to_device(&self, device: &Device) -> Result<Self> {
        Ok(Self { indices: self.indices.to_device(device)?, counts: self.counts.clone() })
    }
}
