//! Which channel of probabilities is whose.

use std::borrow::Cow;

use ndarray::ArrayView4;
use volume::{Image, Label, LabelMap, SoftLabelMap};

use super::most_probable;
use super::score::Evaluator;
use super::scored::Scored;
use crate::{Error, Result};

/// The probabilities that a prediction gives each class.
#[derive(Clone, Copy, Debug)]
pub enum Predicted<'a> {
    /// None are known.
    Unknown,
    /// Of classes that exclude each other, the background first.
    Classes(&'a SoftLabelMap),
    /// Of regions that may overlap, a channel each.
    Regions(&'a Image),
}

impl Predicted<'_> {
    pub(super) fn channels(&self) -> Option<ArrayView4<'_, f32>> {
        match self {
            Self::Unknown => None,
            Self::Classes(map) => Some(map.data.view()),
            Self::Regions(image) => Some(image.data.view()),
        }
    }
}

impl Evaluator {
    /// The most probable class of each voxel, as the label value that it has among those scored.
    ///
    /// # Errors
    ///
    /// Where the probabilities are of other classes than those scored.
    pub fn most_probable(&mut self, soft: &SoftLabelMap) -> Result<LabelMap> {
        self.expect_channels(soft.classes())?;
        let mut labels = most_probable(soft)?;
        let value_of = |label: u16| {
            let class = self.classes.iter().find(|class| class.channel == usize::from(label));
            class.and_then(|class| class.values.first()).copied().unwrap_or(label)
        };
        let values: Vec<u16> = (0u16..).take(soft.classes()).map(value_of).collect();
        labels.data.mapv_inplace(|label| values[usize::from(label)]);
        Ok(labels)
    }

    /// Checks that each class has a channel of so many, and that there are as many in each case.
    pub(super) fn expect_channels(&mut self, found: usize) -> Result<()> {
        let before = *self.channels.get_or_insert(found);
        if before != found {
            return Err(Error::Settings(format!(
                "there are probabilities of {found} classes, but other cases have {before}; score \
                 those of one model at a time"
            )));
        }
        let Some(class) = self.classes.iter().find(|class| class.channel >= found) else {
            return Ok(());
        };
        if self.regions || found != self.classes.len() + 1 {
            return Err(Error::Settings(format!(
                "there are probabilities of {found} classes, and {} would be number {}; name each \
                 class that they are of",
                class.name,
                class.channel + 1
            )));
        }
        for (class, channel) in self.classes.iter_mut().zip(1..) {
            class.channel = channel;
        }
        Ok(())
    }
}

/// A label whose values are the channels of probabilities, but for what is ignored.
pub(super) fn in_channels<'a>(
    classes: &[Scored],
    label: &'a Label,
    ignore: Option<u16>,
) -> Result<Cow<'a, Label>> {
    let same = |class: &Scored| class.values.iter().all(|&it| usize::from(it) == class.channel);
    if classes.iter().all(same) {
        return Ok(Cow::Borrowed(label));
    }
    let mut channel_of = vec![0u16; 1 << 16];
    for class in classes {
        for &value in &class.values {
            channel_of[usize::from(value)] = u16::try_from(class.channel).unwrap_or(value);
        }
    }
    if let Some(ignore) = ignore {
        channel_of[usize::from(ignore)] = ignore;
    }
    let turned = |map: &LabelMap| {
        LabelMap::new(map.grid.clone(), map.data.mapv(|value| channel_of[usize::from(value)]))
    };
    Ok(match label {
        Label::Hard(map) => Cow::Owned(Label::Hard(turned(map)?)),
        Label::Raters(maps) => {
            Cow::Owned(Label::raters(maps.iter().map(turned).collect::<Result<_, _>>()?)?)
        }
        Label::Soft(_) => Cow::Borrowed(label),
    })
}

#[cfg(test)]
mod tests {
    use ndarray::arr3;
    use volume::Grid;

    use super::*;
    use crate::evaluate::{EvaluateConfig, Reference};

    #[test]
    fn channels_are_label_values_or_the_classes_in_their_order_and_of_one_number()
    -> anyhow::Result<()> {
        let grid = Grid::new([1, 1, 2], [1.0; 3])?;
        let map = |labels: [u16; 2]| LabelMap::new(grid.clone(), arr3(&[[labels]]));
        let soft = |channels: usize, right: usize| {
            let mut data = ndarray::Array4::zeros((channels, 1, 1, 2));
            data[[0, 0, 0, 0]] = 1.0;
            data[[right, 0, 0, 1]] = 1.0;
            SoftLabelMap::new(grid.clone(), data)
        };
        let evaluator = |values: &[u16]| {
            let classes: Vec<_> = values.iter().map(|&it| (it, format!("label {it}"))).collect();
            Evaluator::of_values("run", "data", &classes, &EvaluateConfig::default())
        };
        // Values, the channel of the last of them, and how many channels there are.
        for (values, right, channels) in [(&[255][..], 1, 2), (&[7, 3], 2, 3), (&[3], 3, 5)] {
            let last = values[values.len() - 1];
            let (mut evaluator, soft) = (evaluator(values), soft(channels, right)?);
            let labels = evaluator.most_probable(&soft)?;
            assert_eq!(labels, map([0, last])?);
            let reference = Reference::hard(map([0, last])?);
            evaluator.add("a", &labels, Predicted::Classes(&soft), &reference)?;
            assert_eq!(evaluator.cases[0].probabilities["brier"], Some(0.0), "{values:?}");
        }
        let error = |values: &[u16]| evaluator(values).expect_channels(3).unwrap_err().to_string();
        assert!(error(&[255]).contains("label 255 would be number 256"), "{}", error(&[255]));
        let mut one = evaluator(&[1]);
        one.expect_channels(2)?;
        let other = one.expect_channels(3).unwrap_err().to_string();
        assert!(other.contains("of 3 classes, but other cases have 2"), "{other}");
        Ok(())
    }
}
