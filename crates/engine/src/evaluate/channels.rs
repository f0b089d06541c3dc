//! Which channel of probabilities is whose.

use std::borrow::Cow;

use volume::{Label, LabelMap, SoftLabelMap};

use super::most_probable;
use super::score::Evaluator;
use super::scored::Scored;
use crate::{Error, Result};

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
