//! Where classes are found, so that patches can be taken there.

use ndarray::Axis;

use crate::Truth;
use crate::real::{compact, index};
use crate::rng::{position, rng};

/// Voxels of each class, and of what is not ignored: enough of them to choose from, not all.
///
/// A voxel is given by its index in an array `(D, H, W)` in standard order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locations {
    /// For each class, background included but left empty, some of its voxels.
    pub classes: Vec<Vec<u32>>,
    /// Some of the voxels that are not ignored; `None` where none is.
    pub annotated: Option<Vec<u32>>,
}

impl Locations {
    /// At least this many voxels of a class, where it has as many.
    const SOME: usize = 10_000;
    /// At least this share of the voxels of a class.
    const SHARE: f64 = 0.01;

    /// Looks for the foreground of a truth of `classes` classes.
    ///
    /// A class of a soft truth is found where its probability is at least one half, or, where it
    /// stays below that all over the case, at least half of the most that it reaches: a lesion that
    /// one rater of four saw is found, too.
    pub fn find(truth: &Truth, classes: usize) -> Self {
        let mut found = vec![Vec::new(); classes];
        match truth {
            Truth::Hard(labels) => {
                for (at, &label) in labels.iter().enumerate() {
                    if label > 0
                        && let Some(found) = found.get_mut(usize::from(label))
                    {
                        found.push(compact(at));
                    }
                }
            }
            Truth::Soft(soft) => {
                for (channel, found) in soft.axis_iter(Axis(0)).zip(&mut found).skip(1) {
                    let most = channel.iter().copied().fold(0.0, f32::max);
                    let enough = 0.5f32.min(0.5 * most);
                    if enough > 0.0 {
                        let high = channel.iter().enumerate().filter(|&(_, &p)| p >= enough);
                        found.extend(high.map(|(at, _)| compact(at)));
                    }
                }
            }
        }
        let annotated = truth.weight(classes).map(|weight| {
            let counts = weight.iter().enumerate().filter(|&(_, &weight)| weight > 0.0);
            counts.map(|(at, _)| compact(at)).collect()
        });
        Self {
            classes: found.into_iter().map(Self::thin).collect(),
            annotated: annotated.map(Self::thin),
        }
    }

    /// Keeps some voxels of many, spread over all of them, always the same ones.
    fn thin(voxels: Vec<u32>) -> Vec<u32> {
        let count = voxels.len();
        let kept = Self::SOME.min(count).max(index((count as f64 * Self::SHARE).ceil()));
        if kept == count {
            return voxels;
        }
        let mut rng = rng(1234, 0, "class locations");
        let strata = (0..kept).map(|i| (i * count / kept, (i + 1) * count / kept));
        strata.map(|(start, end)| voxels[start + position(end - start, &mut rng)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4, array};

    use super::*;

    #[test]
    fn doubtful_lesions_are_found_and_background_is_not_listed() {
        let soft = Array4::from_shape_vec((2, 1, 1, 3), vec![1.0, 0.75, 0.9, 0.0, 0.25, 0.1]);

        let locations = Locations::find(&Truth::Soft(soft.unwrap()), 2);

        assert_eq!(locations, Locations { classes: vec![vec![], vec![1]], annotated: None });
    }

    #[test]
    fn ignored_voxels_are_not_annotated() {
        let locations = Locations::find(&Truth::Hard(array![[[0, 2, 1]]]), 2);

        assert_eq!(locations.classes, [vec![], vec![2]]);
        assert_eq!(locations.annotated, Some(vec![0, 2]));
    }

    #[test]
    fn large_classes_are_thinned_to_one_in_a_hundred_or_ten_thousand() {
        let count = |size: usize| {
            let truth = Truth::Hard(Array3::ones((1, 1, size)));
            Locations::find(&truth, 2).classes[1].len()
        };

        assert_eq!([count(9_999), count(20_000), count(1_200_001)], [9_999, 10_000, 12_001]);
    }
}
