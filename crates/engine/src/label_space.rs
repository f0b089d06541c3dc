use std::collections::BTreeSet;

use data::{Class, Description};
use losses::Activation;
use ndarray::{Array4, Axis, Zip};
use preprocess::Truth;

use crate::{Error, Result};

/// What the channels of a network stand for, and how the labels of a data set become them.
///
/// Classes of which each voxel has one get a channel each, background included, and softmax: two
/// classes are two channels, which is one channel and a sigmoid in other words. Regions that may
/// overlap get a channel each, background left out, and a sigmoid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelSpace {
    /// A voxel has one class; labels are class indices.
    Classes {
        /// The number of classes, background included.
        count: usize,
    },
    /// A voxel is in any number of regions; labels are those of the files.
    Regions {
        /// The labels that each region is a union of.
        members: Vec<Vec<u16>>,
        /// The label that each region is painted with; later ones cover earlier ones.
        paint: Vec<u16>,
        /// Labels are smaller than this, but for the one that says "do not look here".
        labels: usize,
    },
}

impl LabelSpace {
    /// That of a data set.
    ///
    /// Where its regions overlap and it does not say how they are painted, each gets the first of
    /// its labels that no later region has.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where regions cannot be told apart once they are painted, or the label
    /// to be ignored does not come after all others.
    pub fn of(description: &Description) -> Result<Self> {
        if !description.has_regions() {
            return Ok(Self::Classes { count: description.classes.len() });
        }
        let regions = description.classes.get(1..).unwrap_or_default();
        let largest = description.classes.iter().flat_map(|class| &class.values).max();
        let after = usize::from(largest.copied().unwrap_or(0)) + 1;
        let labels = description.ignore.map_or(after, usize::from);
        if labels < after {
            return Err(Error::Settings(format!(
                "label {labels} is to be ignored, but regions have labels up to {}; give ignored \
                 voxels a larger label than all regions",
                after - 1
            )));
        }
        let given = &description.regions_class_order;
        let mut paint = Vec::new();
        for (at, region) in regions.iter().enumerate() {
            let later = || regions[at + 1..].iter().flat_map(|region| &region.values);
            let own = region.values.iter().find(|&value| !later().any(|other| other == value));
            match given.get(at).or(own) {
                Some(&value) => paint.push(value),
                None => {
                    return Err(Error::Settings(format!(
                        "region {} has no label that no later region has, so that nothing of it \
                         is left where they are painted; list inner regions after outer ones",
                        region.name
                    )));
                }
            }
        }
        let members = regions.iter().map(|region| region.values.clone()).collect();
        Ok(Self::Regions { members, paint, labels })
    }

    /// The channels of a network's logits, `C`.
    pub fn channels(&self) -> usize {
        match self {
            Self::Classes { count } => *count,
            Self::Regions { members, .. } => members.len(),
        }
    }

    /// Labels below this number are classes or values; it is what `preprocess` calls classes.
    pub fn labels(&self) -> usize {
        match self {
            Self::Classes { count } => *count,
            Self::Regions { labels, .. } => *labels,
        }
    }

    /// How logits become probabilities.
    pub fn activation(&self) -> Activation {
        match self {
            Self::Classes { .. } => Activation::Softmax,
            Self::Regions { .. } => Activation::Sigmoid,
        }
    }

    /// The label that each channel is painted with where regions overlap; else empty.
    pub fn paint(&self) -> &[u16] {
        match self {
            Self::Classes { .. } => &[],
            Self::Regions { paint, .. } => paint,
        }
    }

    /// The channels that are no background.
    pub fn foreground(&self) -> std::ops::Range<usize> {
        match self {
            Self::Classes { count } => 1..*count,
            Self::Regions { members, .. } => 0..members.len(),
        }
    }

    /// Which channels a case says something of, whose label speaks of the classes `labelled`, as
    /// [`data::Dataset::labelled`] has them; `None` for all.
    pub fn labelled(&self, labelled: Option<&[usize]>) -> Option<Vec<bool>> {
        let labelled = labelled?;
        // Of regions, the background has no channel.
        let first = self.foreground().start;
        let says = |channel: usize| channel < first || labelled.contains(&(channel + 1 - first));
        Some((0..self.channels()).map(says).collect())
    }

    /// The probability of each channel, `(C, D, H, W)`; 0 in all of them where a voxel is ignored.
    /// Those of classes sum to 1 elsewhere, those of regions to anything.
    pub fn probabilities(&self, truth: &Truth) -> Array4<f32> {
        let Self::Regions { members, .. } = self else { return truth.to_soft(self.channels()) };
        let [d, h, w] = truth.size();
        let mut regions = Array4::zeros((members.len(), d, h, w));
        for (mut region, members) in regions.outer_iter_mut().zip(members) {
            match truth {
                Truth::Hard(labels) => Zip::from(&mut region)
                    .and(labels)
                    .for_each(|p, label| *p = f32::from(u8::from(members.contains(label)))),
                Truth::Soft(soft) => {
                    for &member in members {
                        region += &soft.index_axis(Axis(0), usize::from(member));
                    }
                }
            }
        }
        regions
    }
}

/// The labels that stand for each class but the background: its index, or, where `regions` may
/// overlap, the labels that it is a union of.
pub(crate) fn foreground_labels(classes: &[Class], regions: bool) -> Vec<Vec<u16>> {
    let foreground = (0u16..).zip(classes).skip(1);
    foreground.map(|(at, class)| if regions { class.values.clone() } else { vec![at] }).collect()
}

/// The value that each of some classes that exclude each other has in label files: see
/// [`NetworkConfig::label_values`](crate::NetworkConfig::label_values). No two have the same.
pub(crate) fn label_values(classes: &[Class]) -> Vec<u16> {
    let own = |class: &Class| match class.values[..] {
        [value] => Some(value),
        _ => None,
    };
    let mut taken: BTreeSet<u16> = classes.iter().filter_map(own).collect();
    let mut values = Vec::with_capacity(classes.len());
    for (index, class) in (0u16..).zip(classes) {
        let free = || {
            let wanted = std::iter::once(index).chain(class.values.iter().copied());
            wanted.chain(0..=u16::MAX).find(|value| !taken.contains(value)).unwrap_or(index)
        };
        let value = own(class).unwrap_or_else(free);
        taken.insert(value);
        values.push(value);
    }
    values
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, array};

    use super::*;

    fn description(classes: &[(&str, &[u16])]) -> Description {
        Description {
            name: "set".to_owned(),
            channels: vec!["MR".to_owned()],
            classes: classes.iter().map(|&(name, values)| Class::new(name, values)).collect(),
            raters: Vec::new(),
            ignore: None,
            regions_class_order: Vec::new(),
            independent: false,
        }
    }

    #[test]
    fn a_voxel_is_in_each_region_that_lists_its_label() -> anyhow::Result<()> {
        let space = LabelSpace::of(&description(&[
            ("background", &[0]),
            ("whole", &[1, 2, 4]),
            ("core", &[2, 4]),
            ("enhancing", &[4]),
        ]))?;

        assert_eq!((space.channels(), space.labels(), space.foreground()), (3, 5, 0..3));
        assert_eq!(space.paint(), [1, 2, 4]);
        assert_eq!(space.activation(), Activation::Sigmoid);
        let found = space.probabilities(&Truth::Hard(array![[[0, 1, 2, 4, 5]]]));
        #[rustfmt::skip]
        let expected = vec![
            0., 1., 1., 1., 0.,
            0., 0., 1., 1., 0.,
            0., 0., 0., 1., 0.,
        ];
        assert_eq!(found, Array::from_shape_vec((3, 1, 1, 5), expected)?);
        Ok(())
    }

    #[test]
    fn doubt_about_labels_is_doubt_about_their_union() -> anyhow::Result<()> {
        let space = LabelSpace::of(&description(&[
            ("background", &[0]),
            ("whole", &[1, 2]),
            ("core", &[2]),
        ]))?;
        let soft = Array::from_shape_vec((3, 1, 1, 1), vec![0.25, 0.5, 0.25])?;

        let found = space.probabilities(&Truth::Soft(soft));

        assert_eq!(found.into_raw_vec_and_offset().0, [0.75, 0.25]);
        Ok(())
    }

    #[test]
    fn regions_that_painting_would_hide_are_refused() {
        let inside_out = description(&[("background", &[0]), ("core", &[2]), ("whole", &[1, 2])]);
        let error = LabelSpace::of(&inside_out).unwrap_err().to_string();
        assert!(error.contains("region core") && error.contains("after outer ones"), "{error}");

        let mut ordered = inside_out;
        ordered.regions_class_order = vec![2, 1];
        assert!(LabelSpace::of(&ordered).is_ok());
        ordered.ignore = Some(1);
        let error = LabelSpace::of(&ordered).unwrap_err().to_string();
        assert!(error.contains("label 1 is to be ignored"), "{error}");
    }

    #[test]
    fn files_have_the_values_of_the_data_set_where_a_class_has_one() {
        let values = |classes: &[(&str, &[u16])]| label_values(&description(classes).classes);

        assert_eq!(values(&[("background", &[0]), ("nodule", &[255])]), [0, 255]);
        assert_eq!(values(&[("background", &[0]), ("organ", &[1, 2])]), [0, 1]);
        assert_eq!(values(&[("background", &[0]), ("organ", &[5, 6]), ("cyst", &[9])]), [0, 1, 9]);
        // The index of one is the value of another.
        assert_eq!(values(&[("background", &[0]), ("organ", &[5, 6]), ("cyst", &[1])]), [0, 5, 1]);
        assert_eq!(
            values(&[("background", &[]), ("a", &[]), ("b", &[1]), ("c", &[0])]),
            [2, 3, 1, 0]
        );
    }

    #[test]
    fn classes_that_exclude_each_other_keep_their_background() -> anyhow::Result<()> {
        let space = LabelSpace::of(&description(&[("background", &[0]), ("organ", &[1, 2])]))?;

        assert_eq!(space, LabelSpace::Classes { count: 2 });
        assert_eq!((space.activation(), space.foreground()), (Activation::Softmax, 1..2));
        Ok(())
    }
}
