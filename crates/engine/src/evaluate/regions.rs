use ndarray::{ArrayView3, Axis, stack};
use volume::{Grid, Label, LabelMap, SoftLabelMap};

use super::Reference;
use crate::Result;

/// A region by itself: two classes, of which the second is the region.
pub(super) struct Alone {
    pub(super) probabilities: SoftLabelMap,
    pub(super) label: Label,
    pub(super) ignore: Option<u16>,
}

/// What ignored voxels are labelled with where there are two classes.
const IGNORED: u16 = 2;

impl Alone {
    /// The region that is a union of the labels `values`, given its probability `(D, H, W)`.
    pub(super) fn new(
        grid: &Grid,
        probability: &ArrayView3<'_, f32>,
        values: &[u16],
        reference: &Reference,
    ) -> Result<Self> {
        let rest = probability.mapv(|p| 1.0 - p);
        let data = stack![Axis(0), rest, *probability];
        let of = |map: &LabelMap| -> Result<LabelMap> {
            let member = |label| {
                if Some(label) == reference.ignore {
                    IGNORED
                } else {
                    u16::from(values.contains(&label))
                }
            };
            Ok(LabelMap::new(map.grid.clone(), map.data.mapv(member))?)
        };
        let label = match &reference.label {
            Label::Hard(map) => Label::Hard(of(map)?),
            Label::Raters(maps) => Label::raters(maps.iter().map(of).collect::<Result<_>>()?)?,
            Label::Soft(soft) => {
                let mut inside = ndarray::Array3::zeros(soft.grid.size);
                for &value in values {
                    inside += &soft.data.index_axis(Axis(0), usize::from(value));
                }
                let data = stack![Axis(0), inside.mapv(|p: f32| 1.0 - p), inside];
                Label::Soft(SoftLabelMap::new(soft.grid.clone(), data)?)
            }
        };
        Ok(Self {
            probabilities: SoftLabelMap::new(grid.clone(), data)?,
            label,
            ignore: reference.ignore.map(|_| IGNORED),
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr3, array};

    use super::*;

    #[test]
    fn a_region_is_a_class_against_the_rest() -> anyhow::Result<()> {
        let grid = Grid::new([1, 1, 4], [1.0; 3])?;
        let label = LabelMap::new(grid.clone(), arr3(&[[[0, 1, 4, 5]]]))?;
        let reference = Reference { ignore: Some(5), ..Reference::hard(label) };
        let probability = array![[[0.25f32, 0.5, 1.0, 0.0]]];

        let alone = Alone::new(&grid, &probability.view(), &[4, 7], &reference)?;

        assert_eq!(alone.probabilities.data.index_axis(Axis(0), 0), array![[[0.75, 0.5, 0., 1.]]]);
        assert_eq!(alone.ignore, Some(2));
        let Label::Hard(label) = alone.label else { anyhow::bail!("hard stays hard") };
        assert_eq!(label.data, arr3(&[[[0, 0, 1, 2]]]));
        Ok(())
    }
}
