//! What a prediction measures.

use data::Class;
use serde::Serialize;
use volume::{Image, LabelMap};

/// Volumes and intensities of what was found in an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// The volume of a voxel, mm³.
    pub voxel_mm3: f64,
    /// Each class but the background, in the order of the classes.
    pub classes: Vec<ClassStatistics>,
}

/// One class of an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassStatistics {
    /// Its name.
    pub name: String,
    /// Its values in the label file: of regions that overlap several, else one.
    pub values: Vec<u16>,
    /// How many voxels it has.
    pub voxels: usize,
    /// Its volume, mm³.
    pub volume_mm3: f64,
    /// The mean intensity of each channel within it; absent where it has no voxel.
    pub mean: Option<Vec<f64>>,
    /// The standard deviation of each channel within it, of all its voxels (divided by their number); absent where it has none.
    pub std: Option<Vec<f64>>,
}

impl Statistics {
    /// Of labels as they are written, and the image that they were found in; `values` are those of the classes, the background
    /// first, as [`NetworkConfig::label_members`](crate::NetworkConfig::label_members) gives them.
    ///
    /// # Panics
    ///
    /// Where labels and image are not of one size.
    pub fn of(labels: &LabelMap, image: &Image, classes: &[Class], values: &[Vec<u16>]) -> Self {
        let (_, d, h, w) = image.data.dim();
        assert_eq!(labels.data.dim(), (d, h, w), "labels and image are of one size");
        let voxel_mm3 = labels.grid.voxel_volume();
        let of_class = |(class, values): (&Class, &Vec<u16>)| {
            let voxels = labels.data.iter().filter(|label| values.contains(label)).count();
            let channels = image.data.outer_iter();
            let moments: Vec<(f64, f64)> = channels
                .map(|channel| {
                    let pairs = || labels.data.iter().zip(channel.iter());
                    let within = || {
                        pairs()
                            .filter(|(label, _)| values.contains(label))
                            .map(|(_, &it)| f64::from(it))
                    };
                    let mean = within().sum::<f64>() / voxels as f64;
                    let square =
                        within().map(|it| (it - mean).powi(2)).sum::<f64>() / voxels as f64;
                    (mean, square.sqrt())
                })
                .collect();
            let (mean, std): (Vec<f64>, Vec<f64>) = moments.into_iter().unzip();
            ClassStatistics {
                name: class.name.clone(),
                values: values.clone(),
                voxels,
                volume_mm3: voxels as f64 * voxel_mm3,
                mean: (voxels > 0).then_some(mean),
                std: (voxels > 0).then_some(std),
            }
        };
        Self { voxel_mm3, classes: classes.iter().zip(values).skip(1).map(of_class).collect() }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use volume::Grid;

    use super::*;

    #[test]
    fn volumes_and_intensities_are_those_within_each_class() -> anyhow::Result<()> {
        let grid = Grid::new([1, 2, 2], [2.0, 1.0, 0.5])?;
        let labels = LabelMap::new(grid.clone(), array![[[0, 7], [7, 0]]])?;
        let image =
            Image::new(grid, array![[[[9.0, 1.0], [3.0, 9.0]]], [[[0.0, -1.0], [-1.0, 0.0]]]])?;
        let classes =
            [Class::new("background", [0]), Class::new("organ", [7]), Class::new("lesion", [2])];

        let found = Statistics::of(&labels, &image, &classes, &[vec![0], vec![7], vec![2]]);

        approx::assert_relative_eq!(found.voxel_mm3, 1.0);
        let [organ, lesion] = found.classes.as_slice() else { panic!("two classes") };
        assert_eq!((organ.name.as_str(), organ.values[0], organ.voxels), ("organ", 7, 2));
        assert_eq!(organ.mean, Some(vec![2.0, -1.0]));
        assert_eq!(organ.std, Some(vec![1.0, 0.0]));
        assert_eq!((lesion.voxels, &lesion.mean, &lesion.std), (0, &None, &None));
        Ok(())
    }
}
