use ndarray::{Array3, Array4, Axis, Zip};

use crate::real::label;

/// What is known of the truth on some grid, as losses want it.
///
/// A voxel is *ignored* where a hard truth holds the index `classes`, which comes after all
/// classes, or a larger one, and where all of a soft truth's probabilities are 0. At all other
/// voxels the probabilities of a soft truth sum to 1, after every transform of this crate.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// Class indices, `(D, H, W)`.
    Hard(Array3<u16>),
    /// Class probabilities, `(C, D, H, W)`.
    Soft(Array4<f32>),
}

impl Truth {
    /// The number of voxels along each axis, `(D, H, W)`.
    pub fn size(&self) -> [usize; 3] {
        let shape = match self {
            Self::Hard(labels) => labels.shape(),
            Self::Soft(probabilities) => &probabilities.shape()[1..],
        };
        [shape[0], shape[1], shape[2]]
    }

    /// The truth as probabilities `(C, D, H, W)`: one-hot where it is hard, and 0 in every class
    /// where it is ignored.
    pub fn to_soft(&self, classes: usize) -> Array4<f32> {
        match self {
            Self::Soft(probabilities) => probabilities.clone(),
            Self::Hard(labels) => {
                let [d, h, w] = self.size();
                let mut soft = Array4::zeros((classes, d, h, w));
                for (class, mut channel) in soft.axis_iter_mut(Axis(0)).enumerate() {
                    let class = label(class);
                    Zip::from(&mut channel)
                        .and(labels)
                        .for_each(|p, &l| *p = f32::from(u8::from(l == class)));
                }
                soft
            }
        }
    }

    /// The weight of each voxel, `(D, H, W)`: 0 where it is ignored, else 1. `None` where all
    /// count, so that a loss without weights can be used.
    pub fn weight(&self, classes: usize) -> Option<Array3<f32>> {
        let kept = |kept: bool| f32::from(u8::from(kept));
        let weight = match self {
            Self::Hard(labels) => labels.mapv(|l| kept(usize::from(l) < classes)),
            Self::Soft(probabilities) => {
                probabilities.sum_axis(Axis(0)).mapv(|sum| kept(sum > 0.5))
            }
        };
        weight.iter().any(|&weight| weight < 0.5).then_some(weight)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, array};

    use super::*;

    #[test]
    fn ignored_voxels_have_no_class_and_no_weight() {
        let hard = Truth::Hard(array![[[0, 2, 1]]]);

        let soft = hard.to_soft(2);

        let expected = Array::from_shape_vec((2, 1, 1, 3), vec![1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(Ok(soft.clone()), expected);
        assert_eq!(hard.weight(2), Some(array![[[1.0, 0.0, 1.0]]]));
        assert_eq!(Truth::Soft(soft).weight(2), Some(array![[[1.0, 0.0, 1.0]]]));
        assert_eq!(hard.weight(3), None);
    }
}
