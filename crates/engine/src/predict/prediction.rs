use losses::Activation;
use ndarray::{Array2, Array4, ArrayViewMut3, Axis};
use preprocess::Restore;
use rayon::prelude::*;
use volume::{Image, LabelMap, SoftLabelMap};

use crate::calibrate::LogitScaling;
use crate::{Error, Result};

/// What was predicted for an image: logits on the network's grid, and the way back to the image's.
///
/// On the way back it is the logits that are interpolated, as nnU-Net does it; labels and
/// probabilities are those of the interpolated logits, and so agree. What was cropped away before
/// the network saw the image is background, and in no region, for certain.
#[derive(Debug)]
pub struct Prediction {
    pub(super) logits: Array4<f32>,
    pub(super) restore: Restore,
    /// Where regions may overlap, the label that each is painted with.
    pub(super) paint: Option<Vec<u16>>,
    /// What has been done to the network's own logits.
    pub(super) scaling: LogitScaling,
}

impl Prediction {
    /// On the network's grid, before the way back: logits `(C, D, H, W)`, scaled as
    /// [`Prediction::scaling`] says.
    pub fn logits(&self) -> &Array4<f32> {
        &self.logits
    }

    /// The same with other logits on the network's grid, such as the mean of several predictions.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where they have another shape.
    pub fn with_logits(self, logits: Array4<f32>) -> Result<Self> {
        if logits.dim() != self.logits.dim() {
            return Err(Error::Settings(format!(
                "logits of shape {:?} cannot stand for those of shape {:?}",
                logits.shape(),
                self.logits.shape()
            )));
        }
        Ok(Self { logits, ..self })
    }

    /// The same with logits scaled once more.
    #[must_use]
    pub fn scaled(mut self, scaling: &LogitScaling) -> Self {
        scaling.apply(&mut self.logits);
        self.scaling = self.scaling.then(scaling, self.logits.dim().0);
        self
    }

    /// What has been done to the network's own logits; of several networks, to those of the
    /// first.
    pub fn scaling(&self) -> &LogitScaling {
        &self.scaling
    }

    /// How its logits become probabilities.
    pub fn activation(&self) -> Activation {
        if self.paint.is_some() { Activation::Sigmoid } else { Activation::Softmax }
    }

    /// On the image's own grid: the most probable class of each voxel; or, where regions may
    /// overlap, the labels of those that are more probable than not, painted one over the other.
    ///
    /// # Errors
    ///
    /// Where the way back fails.
    pub fn labels(&self) -> Result<LabelMap> {
        Ok(match &self.paint {
            None => self.restore.labels(&self.logits)?,
            Some(paint) => self.restore.regions(&self.logits, 0.0, paint)?,
        })
    }

    /// The probability of each class, `(C, D, H, W)` on the image's own grid; they sum to 1.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where regions may overlap, which [`Prediction::probability_image`] can
    /// say; else where the way back fails.
    pub fn probabilities(&self) -> Result<SoftLabelMap> {
        if self.paint.is_some() {
            return Err(overlapping());
        }
        Ok(SoftLabelMap::new(self.restore.grid().clone(), self.activated()?)?)
    }

    /// The probability of each class or region as a channel of an image, on the image's own grid.
    /// Those of regions need not sum to 1.
    ///
    /// # Errors
    ///
    /// Where the way back fails.
    pub fn probability_image(&self) -> Result<Image> {
        Ok(Image::new(self.restore.grid().clone(), self.activated()?)?)
    }

    /// The probability of each channel, on the image's own grid.
    fn activated(&self) -> Result<Array4<f32>> {
        // Logits of what is background, or in no region, for certain.
        let mut outside = vec![f32::NEG_INFINITY; self.logits.dim().0];
        let activate = match &self.paint {
            None => {
                outside[0] = 0.0;
                softmax
            }
            Some(_) => sigmoid,
        };
        let mut values = self.restore.array(&self.logits, &outside)?;
        values.axis_iter_mut(Axis(1)).into_par_iter().for_each(activate);
        Ok(values)
    }
}

/// Regions are no classes.
pub(super) fn overlapping() -> Error {
    Error::Settings(
        "the regions of this network may overlap, so that their probabilities are no class probabilities; write them \
         as an image"
            .to_owned(),
    )
}

/// Softmax over the first axis.
pub(super) fn softmax(mut slice: ArrayViewMut3<'_, f32>) {
    let mut greatest = slice.index_axis(Axis(0), 0).to_owned();
    for class in slice.outer_iter() {
        greatest.zip_mut_with(&class, |greatest, &logit| *greatest = greatest.max(logit));
    }
    let mut total = Array2::<f32>::zeros(greatest.dim());
    for mut class in slice.outer_iter_mut() {
        class.zip_mut_with(&greatest, |logit, &greatest| *logit = (*logit - greatest).exp());
        total += &class;
    }
    for mut class in slice.outer_iter_mut() {
        class /= &total;
    }
}

pub(super) fn sigmoid(mut slice: ArrayViewMut3<'_, f32>) {
    slice.mapv_inplace(|logit| (1.0 + (-logit).exp()).recip());
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn what_is_certain_gets_no_other_probability_and_no_nan() {
        let none = f32::NEG_INFINITY;
        let mut classes = array![[[0.0, 500.0]], [[none, -500.0]], [[none, 500.0]]];
        softmax(classes.view_mut());
        assert_eq!(classes, array![[[1.0, 0.5]], [[0.0, 0.0]], [[0.0, 0.5]]]);

        let mut regions = array![[[none, -500.0, 0.0, 500.0]]];
        sigmoid(regions.view_mut());
        assert_eq!(regions, array![[[0.0, 0.0, 0.5, 1.0]]]);
    }
}
