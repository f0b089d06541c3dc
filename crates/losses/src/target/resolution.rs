use candle::Tensor;

use super::{Components, Labels, Target};
use crate::{Error, Result};

impl Target {
    /// This target at the coarser resolution of a deep head: spatial extents `*S` of `size`.
    ///
    /// See [`Target::downsample`].
    ///
    /// # Errors
    ///
    /// [`Error::Resolution`], where an extent is not a multiple of the coarser one.
    pub fn at_resolution(&self, size: &[usize]) -> Result<Self> {
        let from = self.size();
        let refused = || Error::Resolution { from: from.to_vec(), to: size.to_vec() };
        if from.len() != size.len() {
            return Err(refused());
        }
        let stride = |(&from, &to): (&usize, &usize)| {
            (to > 0 && from.is_multiple_of(to)).then(|| from / to).ok_or_else(refused)
        };
        let strides: Vec<usize> = from.iter().zip(size).map(stride).collect::<Result<_>>()?;
        self.downsample(&strides)
    }

    /// This target with one voxel for each block of `strides` voxels.
    ///
    /// Hard labels and regions take the middle voxel of each block, number `stride / 2` along an
    /// axis, as nnU-Net does: `nearest-exact` interpolation. Of an even number of voxels, that is
    /// the one just above the middle. Soft labels take the block's mean, each voxel times its
    /// weight, so that they still sum to 1 and an ignored voxel still has no say. Either way the
    /// target stays where it is, but for half a voxel where labels are hard and a stride is even.
    /// Weights and distance maps go the way of the labels; components that of hard labels.
    ///
    /// # Source
    ///
    /// `DownsampleSegForDSTransform` of batchgeneratorsv2, as nnU-Net v2 trains with it.
    ///
    /// # Errors
    ///
    /// [`Error::Resolution`], where an extent is not a multiple of its stride.
    pub fn downsample(&self, strides: &[usize]) -> Result<Self> {
        let size = self.size();
        let fits = size.len() == strides.len()
            && size.iter().zip(strides).all(|(&size, &s)| s > 0 && size.is_multiple_of(s));
        if !fits {
            let coarser = |(&size, &s): (&usize, &usize)| size / s.max(1);
            return Err(Error::Resolution {
                from: size.to_vec(),
                to: size.iter().zip(strides).map(coarser).collect(),
            });
        }
        if strides.iter().all(|&s| s == 1) {
            return Ok(self.clone());
        }
        let pick = |tensor: &Tensor| blocks(tensor, strides, middle);
        let mean = |tensor: &Tensor| blocks(tensor, strides, average);
        let components = match &self.components {
            Some(Components { indices, counts }) => {
                Some(Components { indices: pick(indices)?, counts: counts.clone() })
            }
            None => None,
        };
        let coarse = match &self.labels {
            Labels::Hard(indices) => self.map(Labels::Hard(pick(indices)?), pick),
            Labels::Regions(masks) => self.map(Labels::Regions(pick(masks)?), pick),
            Labels::Soft(probabilities) => {
                let plain = mean(probabilities)?;
                let coarse = match &self.weight {
                    None => plain,
                    Some(weight) => {
                        let weight = weight.to_dtype(probabilities.dtype())?.unsqueeze(1)?;
                        let counted = mean(&probabilities.broadcast_mul(&weight)?)?;
                        let count = mean(&weight)?;
                        // Where a whole block is ignored, anything finite will do.
                        let none = count.eq(0f64)?.to_dtype(count.dtype())?;
                        let counted = (counted + plain.broadcast_mul(&none)?)?;
                        counted.broadcast_div(&(count + none)?)?
                    }
                };
                self.map(Labels::Soft(coarse), mean)
            }
        };
        Ok(Self { components, ..coarse? })
    }

    fn map(&self, labels: Labels, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let weight = self.weight.as_ref().map(&change).transpose()?;
        let distance = self.distance.as_ref().map(&change).transpose()?;
        Ok(Self { labels, weight, distance, components: None, labelled: self.labelled.clone() })
    }

    /// The spatial extents, `*S`.
    fn size(&self) -> &[usize] {
        match &self.labels {
            Labels::Hard(indices) => indices.dims().get(1..).unwrap_or_default(),
            Labels::Regions(labels) | Labels::Soft(labels) => {
                labels.dims().get(2..).unwrap_or_default()
            }
        }
    }
}

/// Reduces the last axes of `tensor` by `strides`, one axis after the other. `reduce` sees
/// `(before, blocks, stride, after)` and drops the third axis.
fn blocks(
    tensor: &Tensor,
    strides: &[usize],
    reduce: fn(&Tensor) -> candle::Result<Tensor>,
) -> Result<Tensor> {
    let mut dims = tensor.dims().to_vec();
    let first_axis = dims.len() - strides.len();
    let mut tensor = tensor.clone();
    for (axis, &stride) in (first_axis..).zip(strides) {
        if stride > 1 {
            let before: usize = dims[..axis].iter().product();
            let after: usize = dims[axis + 1..].iter().product();
            dims[axis] /= stride;
            let split = tensor.reshape((before, dims[axis], stride, after))?;
            tensor = reduce(&split)?.reshape(dims.as_slice())?;
        }
    }
    Ok(tensor)
}

fn middle(blocks: &Tensor) -> candle::Result<Tensor> {
    blocks.narrow(2, blocks.dim(2)? / 2, 1)?.squeeze(2)?.contiguous()
}

fn average(blocks: &Tensor) -> candle::Result<Tensor> {
    blocks.mean(2)
}

#[cfg(test)]
mod tests {
    use candle::Device;

    use super::*;

    #[test]
    fn hard_labels_keep_the_middle_voxel_of_each_block() -> anyhow::Result<()> {
        let indices = Tensor::arange(0u32, 36, &Device::Cpu)?.reshape((1, 6, 6))?;

        let coarse = Target::hard(indices).downsample(&[2, 3])?;

        let Labels::Hard(coarse) = coarse.labels() else { panic!("hard stays hard") };
        // Rows 1, 3 and 5 of 6 voxels, columns 1 and 4: as nearest-exact interpolation has it.
        assert_eq!(coarse.to_vec3::<u32>()?, [[[7, 10], [19, 22], [31, 34]]]);
        Ok(())
    }

    #[test]
    fn soft_labels_are_averaged_without_what_is_ignored() -> anyhow::Result<()> {
        let device = &Device::Cpu;
        let labels = Tensor::new(&[[[0.2f64, 0.6, 0.5, 9.], [0.8, 0.4, 0.5, 9.]]], device)?;
        let weight = Tensor::new(&[[1f64, 1., 1., 0.]], device)?;

        let coarse = Target::soft(labels).with_weight(weight).at_resolution(&[2])?;

        let Labels::Soft(labels) = coarse.labels() else { panic!("soft stays soft") };
        for (actual, expected) in
            labels.flatten_all()?.to_vec1::<f64>()?.into_iter().zip([0.4, 0.5, 0.6, 0.5])
        {
            approx::assert_abs_diff_eq!(actual, expected, epsilon = 1e-15);
        }
        let weight = coarse.weight().map(Tensor::to_vec2::<f64>).transpose()?;
        assert_eq!(weight, Some(vec![vec![1., 0.5]]));
        Ok(())
    }

    #[test]
    fn an_extent_that_does_not_divide_is_refused() -> anyhow::Result<()> {
        let target = Target::hard(Tensor::zeros((1, 5, 4), candle::DType::U32, &Device::Cpu)?);

        let error = target.at_resolution(&[2, 2]).unwrap_err();

        assert_eq!(
            error.to_string(),
            "a target of [5, 4] voxels cannot be brought to [2, 2]: each extent must be a \
             multiple of the coarser one",
        );
        Ok(())
    }
}
