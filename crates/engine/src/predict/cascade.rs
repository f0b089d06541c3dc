//! Networks that see what others have said before them.

use ndarray::Axis;
use preprocess::{Fusion, Prepared, Truth};
use volume::{Image, Label, LabelMap};

use super::Predictor;
use crate::{Error, Result};

impl Predictor {
    /// As [`Predictor::prepare`], for a network that also sees the labels that another has found, with the values of label files:
    /// turned, cut and resampled as a reference is, then a channel for each.
    pub(super) fn prepare_after(
        &self,
        image: &Image,
        previous: Option<&LabelMap>,
    ) -> Result<Prepared> {
        let expected = self.plan.normalize.len();
        if image.channels() != expected {
            return Err(Error::Settings(format!(
                "the image has {} channels, but the network takes {expected}: {}",
                image.channels(),
                self.config.channels.join(", ")
            )));
        }
        let (Some(labels), seen) = (previous, &self.config.previous_labels) else {
            return Ok(self.plan.prepare(image, None)?);
        };
        let known = labels.data.iter().chain(seen).copied().max().unwrap_or(0);
        let label = Label::Hard(labels.clone());
        // A single label map is not fused with any other.
        let mut random = preprocess::rng(0, 0, "cascade");
        let annotation = (&label, usize::from(known) + 1, &Fusion::Mean, &mut random);
        let mut prepared = self.plan.prepare(image, Some(annotation))?;
        let Some(Truth::Hard(labels)) = prepared.truth.take() else {
            unreachable!("a label map becomes one on the network's grid")
        };
        let channels: Vec<_> = seen
            .iter()
            .map(|&label| labels.mapv(|it| f32::from(u8::from(it == label))).insert_axis(Axis(0)))
            .collect();
        let mut views = vec![prepared.image.view()];
        views.extend(channels.iter().map(|channel| channel.view()));
        prepared.image = ndarray::concatenate(Axis(0), &views).expect("channels of one size");
        Ok(prepared)
    }
}
