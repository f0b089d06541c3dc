mod components;
mod labelled;
mod partial;
mod resolution;

use candle::{DType, Device, Shape, Tensor};
use nn::{ClassLabels, ClassSums, Summand};

use self::components::Components;
use crate::batch_sums::{of_whole_batch, weighted_sums};
use crate::{Activation, Error, Result};

/// What logits `(N, C, *S)` are compared with: labels, how much each voxel counts, and distance
/// maps for the losses that need them.
///
/// Every loss reduces through [`Target::sum`] and [`Target::mean`], so that an ignored voxel, one
/// of weight 0, takes part in no numerator, no denominator, no top-k and no true-negative count.
#[derive(Clone, Debug)]
pub struct Target {
    labels: Labels,
    weight: Option<Tensor>,
    distance: Option<Tensor>,
    components: Option<Components>,
    /// Which classes each sample labels, by sample and class, where some do not label all.
    labelled: Option<Vec<Vec<bool>>>,
}

/// The truth of a batch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Labels {
    /// Class indices: `u32`, `(N, *S)`, each below `C` unless its voxel has weight 0. A loss does
    /// not look for larger ones, which would mean waiting for the device: whoever reads labels does.
    Hard(Tensor),
    /// Masks: 0 or 1, `u8` or float, `(N, C, *S)`; classes may overlap, as regions do under
    /// [`Activation::Sigmoid`](crate::Activation::Sigmoid). As certain as [`Labels::Hard`]: any
    /// loss takes them.
    Regions(Tensor),
    /// Probabilities: float, `(N, C, *S)`. Under softmax they sum to 1 over `C`; under sigmoid
    /// each class is by itself, and classes may overlap.
    Soft(Tensor),
}

impl Target {
    /// Class indices, `u32`, `(N, *S)`.
    pub fn hard(indices: Tensor) -> Self {
        Self::of(Labels::Hard(indices))
    }

    /// Masks of classes that may overlap, 0 or 1, `(N, C, *S)`.
    pub fn regions(masks: Tensor) -> Self {
        Self::of(Labels::Regions(masks))
    }

    /// Class probabilities, float, `(N, C, *S)`.
    pub fn soft(probabilities: Tensor) -> Self {
        Self::of(Labels::Soft(probabilities))
    }

    fn of(labels: Labels) -> Self {
        Self { labels, weight: None, distance: None, components: None, labelled: None }
    }

    /// With a weight for each voxel, float, `(N, *S)`; 0 ignores it.
    #[must_use]
    pub fn with_weight(self, weight: Tensor) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// With signed distances to each class's boundary, mm, negative inside, `(N, C, *S)`.
    #[must_use]
    pub fn with_distance(self, distance: Tensor) -> Self {
        Self { distance: Some(distance), ..self }
    }

    /// With the connected component that each voxel belongs to, for each class: `u32`, `(N, C, *S)`, 0
    /// where it is not of the class, else from 1 to `counts[n][c]`.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where `counts` is not of as many samples and classes.
    pub fn with_components(self, indices: Tensor, counts: Vec<Vec<u32>>) -> Result<Self> {
        let [n, classes, ..] = indices.dims() else {
            return Err(Error::LogitsShape(indices.shape().clone()));
        };
        if counts.len() != *n || counts.iter().any(|counts| counts.len() != *classes) {
            return Err(Error::Settings(format!(
                "counts of components are to be of {n} samples and {classes} classes"
            )));
        }
        Ok(Self { components: Some(Components { indices, counts }), ..self })
    }

    /// The same target on another device.
    ///
    /// # Errors
    ///
    /// Where the device refuses.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let labels = match &self.labels {
            Labels::Hard(indices) => Labels::Hard(indices.to_device(device)?),
            Labels::Regions(masks) => Labels::Regions(masks.to_device(device)?),
            Labels::Soft(probabilities) => Labels::Soft(probabilities.to_device(device)?),
        };
        let moved = |tensor: &Option<Tensor>| {
            tensor.as_ref().map(|tensor| tensor.to_device(device)).transpose()
        };
        let components = self.components.as_ref().map(|it| it.to_device(device)).transpose()?;
        let (weight, distance) = (moved(&self.weight)?, moved(&self.distance)?);
        Ok(Self { labels, weight, distance, components, labelled: self.labelled.clone() })
    }

    /// The labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The weight of each voxel, `(N, *S)`; `None` where all count alike.
    pub fn weight(&self) -> Option<&Tensor> {
        self.weight.as_ref()
    }

    /// The signed distance maps, `(N, C, *S)`, where there are any.
    pub fn distance(&self) -> Option<&Tensor> {
        self.distance.as_ref()
    }

    /// The distance maps in the dtype of `logits`, for a loss of that name.
    pub(crate) fn distance_like(&self, loss: &str, logits: &Tensor) -> Result<Tensor> {
        let Some(distance) = &self.distance else {
            return Err(Error::Settings(format!(
                "{loss} needs distance maps with the target (Target::with_distance)"
            )));
        };
        expect_shape(distance, logits, logits.shape().clone())?;
        Ok(distance.to_dtype(logits.dtype())?)
    }

    /// The component of each voxel and class, and how many there are, for a loss of that name.
    pub(crate) fn components_like(
        &self,
        loss: &str,
        logits: &Tensor,
    ) -> Result<(&Tensor, &[Vec<u32>])> {
        let Some(Components { indices, counts }) = &self.components else {
            return Err(Error::Settings(format!(
                "{loss} needs connected components with the target (Target::with_components)"
            )));
        };
        expect_shape(indices, logits, logits.shape().clone())?;
        Ok((indices, counts))
    }

    /// Whether the labels are probabilities.
    pub fn is_soft(&self) -> bool {
        matches!(self.labels, Labels::Soft(_))
    }

    /// Refuses soft labels, unless `allowed`.
    pub(crate) fn refuse_soft(
        &self,
        allowed: bool,
        loss: &'static str,
        instead: &'static str,
    ) -> Result<()> {
        if self.is_soft() && !allowed { Err(Error::SoftTarget { loss, instead }) } else { Ok(()) }
    }

    /// The labels as probabilities `(N, C, *S)`, in the dtype of `logits`: one-hot where indices.
    /// A hard index of `C` or more, at an ignored voxel, is 0 in every class.
    ///
    /// # Errors
    ///
    /// [`Error::LogitsShape`] and [`Error::TargetShape`], where the shapes do not fit.
    pub fn probabilities(&self, logits: &Tensor) -> Result<Tensor> {
        let (n, classes, space) = split(logits)?;
        match &self.labels {
            Labels::Regions(labels) | Labels::Soft(labels) => {
                expect_shape(labels, logits, logits.shape().clone())?;
                Ok(labels.to_dtype(logits.dtype())?)
            }
            Labels::Hard(indices) => {
                let expected: Vec<usize> = [&[n], space].concat();
                expect_shape(indices, logits, Shape::from(expected))?;
                let mut range = vec![1; logits.rank()];
                range[1] = classes;
                #[expect(clippy::cast_possible_truncation, reason = "classes are few")]
                let class = Tensor::arange(0, classes as u32, logits.device())?;
                let one_hot = indices.unsqueeze(1)?.broadcast_eq(&class.reshape(range)?)?;
                Ok(one_hot.to_dtype(logits.dtype())?)
            }
        }
    }

    /// The weight of each voxel as `(N, 1, *S)` in the dtype of `logits`; `None` where all count
    /// alike.
    ///
    /// # Errors
    ///
    /// [`Error::TargetShape`], where it does not fit the logits.
    pub fn weight_like(&self, logits: &Tensor) -> Result<Option<Tensor>> {
        let Some(weight) = &self.weight else { return Ok(None) };
        let (n, _, space) = split(logits)?;
        expect_shape(weight, logits, Shape::from([&[n], space].concat()))?;
        Ok(Some(weight.to_dtype(logits.dtype())?.unsqueeze(1)?))
    }

    /// The sum of `values`, `(N, K, *S)` for any `K`, over the spatial axes, each voxel times its
    /// weight: `(N, K)`. With `pool_batch`, over the batch as well: `(1, K)`.
    ///
    /// # Errors
    ///
    /// Where shapes do not fit, or a tensor operation fails.
    pub fn sum(&self, values: &Tensor, pool_batch: bool) -> Result<Tensor> {
        self.expect_whole()?;
        let values = values.to_dtype(wide(values.dtype()))?;
        let values = match self.weight_like(&values)? {
            Some(weight) => values.broadcast_mul(&weight)?,
            None => values,
        };
        // One trailing axis: the shape for which candle's sum is fast.
        let sums = values.flatten_from(2)?.sum(2)?;
        if pool_batch { of_whole_batch(&sums.sum_keepdim(0)?) } else { Ok(sums) }
    }

    /// The weighted mean of `values`, `(N, K, *S)`, over the batch and the voxels: `(K)`.
    ///
    /// Where every voxel is ignored, 0 with a gradient of 0, not NaN.
    ///
    /// # Errors
    ///
    /// Where shapes do not fit, or a tensor operation fails.
    pub fn mean(&self, values: &Tensor) -> Result<Tensor> {
        self.mean_of(&self.sum(values, false)?, values)
    }

    /// The same, of sums `(N, K)` over the voxels of `logits`.
    pub(crate) fn mean_of(&self, sums: &Tensor, logits: &Tensor) -> Result<Tensor> {
        let (total, count) = (sums.sum(0)?, self.count(logits)?);
        let (total, count) = weighted_sums(self.weight.is_some(), total, count)?;
        // Where the weights sum to 0, so does the numerator: divide by 1 instead.
        let none = count.eq(0f64)?.to_dtype(total.dtype())?;
        Ok(total.broadcast_div(&(count + none)?)?)
    }

    /// The sum of the weights of all voxels of `logits`, a scalar.
    pub(crate) fn count(&self, logits: &Tensor) -> Result<Tensor> {
        let (n, _, space) = split(logits)?;
        let dtype = wide(logits.dtype());
        match &self.weight {
            None => {
                let count = n * space.iter().product::<usize>();
                Ok(Tensor::full(count as f64, (), logits.device())?.to_dtype(dtype)?)
            }
            Some(weight) => {
                expect_shape(weight, logits, Shape::from([&[n], space].concat()))?;
                Ok(weight.to_dtype(dtype)?.flatten_all()?.sum(0)?)
            }
        }
    }

    /// What each voxel of `logits` counts in a mean, where all count alike.
    pub(crate) fn share_of_a_voxel(&self, logits: &Tensor) -> Option<f64> {
        let classes = logits.dim(1).ok()?;
        let voxels = logits.elem_count().checked_div(classes).filter(|&voxels| voxels > 0)?;
        self.weight.is_none().then(|| 1.0 / voxels as f64)
    }

    /// The `K` sums `(N, C)` of `of`, of probabilities kept `clip` away from 0 and 1.
    pub(crate) fn class_sums<const K: usize>(
        &self,
        logits: &Tensor,
        activation: Activation,
        clip: f64,
        of: Summand,
    ) -> Result<[Tensor; K]> {
        let activation = activation.of_logits(logits)?;
        self.sums(logits, &ClassSums { clip, ..ClassSums::new(activation, of) })
    }

    /// The same, of sums as `settings` ask for.
    pub(crate) fn sums<const K: usize>(
        &self,
        logits: &Tensor,
        settings: &ClassSums,
    ) -> Result<[Tensor; K]> {
        self.expect_whole()?;
        let (n, _, space) = split(logits)?;
        let labels = match &self.labels {
            Labels::Regions(labels) | Labels::Soft(labels) => {
                expect_shape(labels, logits, logits.shape().clone())?;
                ClassLabels::Shares(labels.clone())
            }
            Labels::Hard(indices) => {
                expect_shape(indices, logits, Shape::from([&[n], space].concat()))?;
                ClassLabels::Indices(indices.clone())
            }
        };
        if let Some(weight) = &self.weight {
            expect_shape(weight, logits, Shape::from([&[n], space].concat()))?;
        }
        let sums = nn::class_sums(logits, &labels, self.weight.as_ref(), settings)?;
        let mut list = Vec::with_capacity(K);
        for number in 0..K {
            list.push(sums.get(number)?);
        }
        Ok(list.try_into().expect("there are K of them"))
    }
}

/// Logits in the dtype that losses are computed in.
pub(crate) fn widen(logits: &Tensor) -> Result<Tensor> {
    Ok(logits.to_dtype(wide(logits.dtype()))?)
}

/// The dtype that sums are made in: half precision cannot hold a sum of a million voxels.
fn wide(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}

/// `(N, C, *S)` of logits, or of values like them.
fn split(logits: &Tensor) -> Result<(usize, usize, &[usize])> {
    match logits.dims() {
        [n, classes, space @ ..] if *classes > 0 && !space.is_empty() && space.len() <= 3 => {
            Ok((*n, *classes, space))
        }
        _ => Err(Error::LogitsShape(logits.shape().clone())),
    }
}

fn expect_shape(target: &Tensor, logits: &Tensor, expected: Shape) -> Result<()> {
    if target.shape() == &expected {
        return Ok(());
    }
    Err(Error::TargetShape {
        logits: logits.shape().clone(),
        expected,
        actual: target.shape().clone(),
    })
}

#[cfg(test)]
mod tests {
    use candle::Device;

    use super::*;

    #[test]
    fn an_index_beyond_the_classes_is_no_class() -> anyhow::Result<()> {
        let logits = Tensor::zeros((1, 2, 3), DType::F64, &Device::Cpu)?;
        let target = Target::hard(Tensor::new(&[[0u32, 1, 255]], &Device::Cpu)?);

        let labels = target.probabilities(&logits)?.to_vec3::<f64>()?;

        assert_eq!(labels, [[[1., 0., 0.], [0., 1., 0.]]]);
        Ok(())
    }

    #[test]
    fn the_mean_counts_each_voxel_by_its_weight_and_is_zero_where_all_are_ignored()
    -> anyhow::Result<()> {
        let values = Tensor::new(&[[[1f64, 2., 6.]]], &Device::Cpu)?;
        let target = Target::hard(Tensor::new(&[[0u32, 0, 0]], &Device::Cpu)?);
        let weighted = |weight: [f64; 3]| -> anyhow::Result<Vec<f64>> {
            let weight = Tensor::new(&[weight], &Device::Cpu)?;
            Ok(target.clone().with_weight(weight).mean(&values)?.to_vec1()?)
        };

        assert_eq!(target.mean(&values)?.to_vec1::<f64>()?, [3.]);
        // (1 · 1 + 3 · 2) / (1 + 3)
        assert_eq!(weighted([1., 3., 0.])?, [1.75]);
        assert_eq!(weighted([0., 0., 0.])?, [0.]);
        Ok(())
    }

    #[test]
    fn a_target_of_another_size_is_refused() -> anyhow::Result<()> {
        let logits = Tensor::zeros((1, 2, 4), DType::F64, &Device::Cpu)?;
        let target = Target::hard(Tensor::new(&[[0u32, 1]], &Device::Cpu)?);

        let error = target.probabilities(&logits).unwrap_err();

        assert_eq!(
            error.to_string(),
            "target has shape [1, 2], but logits of shape [1, 2, 4] ask for [1, 4]",
        );
        Ok(())
    }
}
