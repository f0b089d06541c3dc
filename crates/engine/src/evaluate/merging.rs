use data::Class;
use ndarray::{Array4, Axis};
use volume::{Label, LabelMap, SoftLabelMap};

use crate::Result;

/// How the classes of a data set become those of a network that tells fewer apart, such as lesions
/// that are part of their organ: by the label values that they stand for.
#[derive(Debug)]
pub(super) struct Merging {
    /// The network's class for each of the data set's.
    of: Vec<u16>,
    /// Classes of the network.
    classes: u16,
}

impl Merging {
    /// `None`, unless each class of the network is a union of classes of the data set.
    pub(super) fn find(network: &[Class], dataset: &[Class]) -> Option<Self> {
        let whole = |class: &Class| {
            let within = |whole: &Class| class.values.iter().all(|it| whole.values.contains(it));
            (0u16..).zip(network).find(|(_, whole)| within(whole)).map(|(at, _)| at)
        };
        let parts = dataset.iter().filter(|class| !class.values.is_empty());
        let of: Vec<u16> = parts.map(whole).collect::<Option<_>>()?;
        let known = |value: &u16| dataset.iter().any(|class| class.values.contains(value));
        let complete = network.iter().all(|class| class.values.iter().all(known));
        let classes = u16::try_from(network.len()).ok()?;
        (complete && of.len() == dataset.len()).then_some(Self { of, classes })
    }

    /// The number of classes that are left.
    pub(super) fn classes(&self) -> usize {
        usize::from(self.classes)
    }

    /// The label of ignored voxels, where there are any: it comes after all classes.
    pub(super) fn ignore(&self, ignore: Option<u16>) -> Option<u16> {
        ignore.map(|_| self.classes)
    }

    /// A label in the network's classes: of probabilities, those of what becomes one class are added.
    pub(super) fn label(&self, label: &Label) -> Result<Label> {
        let hard = |map: &LabelMap| -> Result<LabelMap> {
            // What comes after the classes does so still.
            let class = |label| self.of.get(usize::from(label)).copied().unwrap_or(self.classes);
            Ok(LabelMap::new(map.grid.clone(), map.data.mapv(class))?)
        };
        Ok(match label {
            Label::Hard(map) => Label::Hard(hard(map)?),
            Label::Raters(maps) => Label::raters(maps.iter().map(hard).collect::<Result<_>>()?)?,
            Label::Soft(soft) => {
                let [d, h, w] = soft.grid.size;
                let mut data = Array4::zeros((self.classes(), d, h, w));
                for (&class, part) in self.of.iter().zip(soft.data.outer_iter()) {
                    let mut whole = data.index_axis_mut(Axis(0), usize::from(class));
                    whole += &part;
                }
                Label::Soft(SoftLabelMap::new(soft.grid.clone(), data)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, arr3};
    use volume::Grid;

    use super::*;

    fn classes(values: &[&[u16]]) -> Vec<Class> {
        values.iter().map(|&values| Class::new("class", values)).collect()
    }

    #[test]
    fn classes_that_are_parts_of_one_become_one() -> anyhow::Result<()> {
        let merging =
            Merging::find(&classes(&[&[0], &[1, 2]]), &classes(&[&[0], &[1], &[2]])).unwrap();
        let grid = Grid::new([1, 1, 4], [1.0; 3])?;
        let hard = LabelMap::new(grid.clone(), arr3(&[[[0, 1, 2, 3]]]))?;
        let soft = Array::from_shape_vec(
            (3, 1, 1, 4),
            vec![1., 0.5, 0., 0.25, 0., 0.25, 0., 0.75, 0., 0.25, 1., 0.],
        )?;

        let merged = merging.label(&Label::Hard(hard.clone()))?;
        let Label::Hard(merged) = merged else { anyhow::bail!("hard stays hard") };
        // The last voxel is ignored.
        assert_eq!(merged.data, arr3(&[[[0, 1, 1, 2]]]));
        assert_eq!((merging.classes(), merging.ignore(Some(3))), (2, Some(2)));
        assert_eq!(merging.ignore(None), None);
        let Label::Raters(masks) = merging.label(&Label::raters(vec![hard.clone(), hard])?)? else {
            anyhow::bail!("raters stay raters")
        };
        assert_eq!([&masks[0].data, &masks[1].data], [&merged.data; 2]);
        let merged = merging.label(&Label::Soft(SoftLabelMap::new(grid, soft)?))?;
        let Label::Soft(merged) = merged else { anyhow::bail!("soft stays soft") };
        let expected = vec![1., 0.5, 0., 0.25, 0., 0.5, 1., 0.75];
        assert_eq!(merged.data, Array::from_shape_vec((2, 1, 1, 4), expected)?);
        Ok(())
    }

    #[test]
    fn classes_are_merged_only_where_nothing_is_left_over() {
        let network = classes(&[&[0], &[1, 2]]);
        let merges = |values: &[&[u16]]| Merging::find(&network, &classes(values)).is_some();

        assert!(merges(&[&[0], &[2], &[1]]));
        assert!(!merges(&[&[0], &[1], &[3]]), "3 is no class of the network");
        assert!(!merges(&[&[0], &[1]]), "what the network calls 2 may be background here");
        assert!(!merges(&[&[0, 1], &[2]]), "one class lies in two of the network");
        assert!(!merges(&[&[0], &[1], &[2], &[]]), "nobody knows what a class without value is");
    }
}
