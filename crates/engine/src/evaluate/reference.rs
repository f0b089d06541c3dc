use data::Description;
use ndarray::{Array3, Axis};
use preprocess::{Fusion, Truth, fuse};
use volume::{Label, LabelMap, SoftLabelMap};

use crate::{Error, Result};

/// What predictions of a case are held against.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// For scores of masks, one class for each voxel: the label; of several raters, their strict
    /// majority, with background where none has one; of probabilities, the most probable class.
    pub hard: LabelMap,
    /// For scores of probabilities, the label as it is: several raters, or probabilities, leave
    /// doubt that a prediction should share.
    pub label: Label,
    /// The index that stands for "do not look here", where there is one.
    pub ignore: Option<u16>,
    /// Which classes it says something of, as [`data::Dataset::labelled`] has them: others are not scored. `None` for all.
    pub labelled: Option<Vec<usize>>,
}

impl Reference {
    /// One opinion, without doubt.
    pub fn hard(hard: LabelMap) -> Self {
        Self { label: Label::Hard(hard.clone()), hard, ignore: None, labelled: None }
    }

    /// The same, which says something of these classes alone, as [`data::Dataset::labelled`] has them.
    #[must_use]
    pub fn labelling(self, labelled: Option<&[usize]>) -> Self {
        Self { labelled: labelled.map(<[usize]>::to_vec), ..self }
    }

    /// Whether it says something of a class, the foreground counted from 0.
    pub(super) fn labels(&self, class: usize) -> bool {
        self.labelled.as_ref().is_none_or(|labelled| labelled.contains(&(class + 1)))
    }

    /// Of what a data set knows of a case with `classes` classes; where regions overlap, of as many
    /// labels as [`LabelSpace::labels`](crate::LabelSpace::labels) says.
    ///
    /// # Errors
    ///
    /// Where a label is no class, or raters cannot be fused.
    pub fn of(label: &Label, classes: usize, ignore: Option<u16>) -> Result<Self> {
        let hard = match label {
            Label::Hard(hard) => hard.clone(),
            Label::Soft(soft) => most_probable(soft)?,
            Label::Raters(masks) => {
                let grid = masks[0].grid.clone();
                // A majority draws nothing.
                let mut rng = preprocess::rng(0, 0, "reference");
                match fuse(label, classes, &Fusion::Majority, &mut rng)? {
                    Truth::Hard(indices) => LabelMap::new(grid, indices)?,
                    Truth::Soft(soft) => most_probable(&SoftLabelMap::new(grid, soft)?)?,
                }
            }
        };
        Ok(Self { hard, label: label.clone(), ignore, labelled: None })
    }
}

/// The labels of a file in the indices of a data set's classes; of regions that may overlap, as they are.
///
/// # Errors
///
/// [`Error::Settings`], where a value is none of the data set's.
pub fn class_indices(mut labels: LabelMap, description: &Description) -> Result<LabelMap> {
    if description.has_regions() {
        return Ok(labels);
    }
    let mut index_of = vec![None; 1 << 16];
    for (class, index) in description.classes.iter().zip(0u16..) {
        for &value in &class.values {
            index_of[usize::from(value)] = Some(index);
        }
    }
    if let Some(&unknown) =
        labels.data.iter().find(|&&label| index_of[usize::from(label)].is_none())
    {
        return Err(Error::Settings(format!(
            "it has the label {unknown}, which is no class of {}",
            description.name
        )));
    }
    labels.data.mapv_inplace(|label| index_of[usize::from(label)].unwrap_or(label));
    Ok(labels)
}

/// The first of the most probable classes of each voxel.
///
/// # Errors
///
/// Where the labels cannot be held.
pub fn most_probable(soft: &SoftLabelMap) -> Result<LabelMap> {
    let mut best = soft.data.index_axis(Axis(0), 0).to_owned();
    let mut labels = Array3::<u16>::zeros(best.dim());
    for (class, probabilities) in (0u16..).zip(soft.data.outer_iter()).skip(1) {
        ndarray::Zip::from(&mut labels).and(&mut best).and(&probabilities).for_each(
            |label, best, &probability| {
                if probability > *best {
                    (*label, *best) = (class, probability);
                }
            },
        );
    }
    Ok(LabelMap::new(soft.grid.clone(), labels)?)
}

#[cfg(test)]
mod tests {
    use ndarray::arr3;
    use volume::Grid;

    use super::*;

    #[test]
    fn raters_become_their_majority() -> anyhow::Result<()> {
        let grid = Grid::new([1, 1, 3], [1.0; 3])?;
        let rater = |labels: [u16; 3]| LabelMap::new(grid.clone(), arr3(&[[labels]]));
        let label = Label::raters(vec![rater([1, 1, 0])?, rater([1, 0, 0])?, rater([1, 1, 0])?])?;

        let reference = Reference::of(&label, 2, None)?;

        assert_eq!(reference.hard.data, arr3(&[[[1, 1, 0]]]));
        assert_eq!(reference.label, label);
        Ok(())
    }
}
