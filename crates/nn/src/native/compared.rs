//! What sums over voxels are taken of, as kernels read it.

use candle::{DType, Result, Tensor};

use crate::class_sums::Shape;
use crate::{ClassLabels, ClassSums};

/// Labels and weights of logits, contiguous and of the types that kernels take.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) labels: ClassLabels,
    pub(crate) weight: Option<Tensor>,
    pub(crate) settings: ClassSums,
    pub(crate) shape: Shape,
}

impl Compared {
    /// Indices as `u32`, masks as they are where kernels take them, all else in the type of the logits.
    pub(super) fn new(
        (logits, shape): (&Tensor, Shape),
        labels: &ClassLabels,
        weight: Option<&Tensor>,
        settings: &ClassSums,
        takes_masks: bool,
    ) -> Result<Self> {
        let plain = |x: &Tensor, dtype: DType| x.detach().to_dtype(dtype)?.contiguous();
        let labels = match labels {
            ClassLabels::Indices(labels) => ClassLabels::Indices(plain(labels, DType::U32)?),
            ClassLabels::Shares(labels) => {
                let masks = takes_masks && labels.dtype() == DType::U8;
                let dtype = if masks { DType::U8 } else { logits.dtype() };
                ClassLabels::Shares(plain(labels, dtype)?)
            }
        };
        let weight = weight.map(|weight| plain(weight, logits.dtype())).transpose()?;
        Ok(Self { labels, weight, settings: *settings, shape })
    }
}
