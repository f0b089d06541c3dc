//! How undecided a network is, voxel by voxel.

use ndarray::{Array3, ArrayView4, Axis, Zip};

/// The entropy of each voxel's classes, as a share of the greatest possible: 0 where one class is certain, 1 where all are
/// equally probable.
///
/// Classes `(C, D, H, W)` are channels that exclude each other, or, where `regions` may overlap, each a choice of its own. A
/// single class that excludes all others is certain.
pub fn entropy(probabilities: &ArrayView4<'_, f32>, regions: bool) -> Array3<f64> {
    let term = |p: f32| if p > 0.0 { f64::from(-p * p.ln()) } else { 0.0 };
    let of_voxel = |p: f32| if regions { term(p) + term(1.0 - p) } else { term(p) };
    let mut sum = Array3::<f64>::zeros(probabilities.index_axis(Axis(0), 0).raw_dim());
    for channel in probabilities.outer_iter() {
        Zip::from(&mut sum).and(&channel).par_for_each(|sum, &p| *sum += of_voxel(p));
    }
    let channels = probabilities.dim().0 as f64;
    let greatest = if regions { channels * 2f64.ln() } else { channels.ln() };
    if greatest > 0.0 {
        sum.par_mapv_inplace(|sum| sum / greatest);
    }
    sum
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn what_is_certain_has_none_and_what_is_open_has_all() {
        let classes = array![
            [[[1.0, 0.25, 0.5]]],
            [[[0.0, 0.25, 0.5]]],
            [[[0.0, 0.25, 0.0]]],
            [[[0.0, 0.25, 0.0]]]
        ];
        let found = entropy(&classes.view(), false);
        for (found, expected) in found.iter().zip([0.0, 1.0, 0.5]) {
            approx::assert_relative_eq!(*found, expected, epsilon = 1e-6);
        }
        let regions = array![[[[1.0, 0.5, 1.0]]], [[[0.0, 0.5, 0.5]]]];
        let found = entropy(&regions.view(), true);
        for (found, expected) in found.iter().zip([0.0, 1.0, 0.5]) {
            approx::assert_relative_eq!(*found, expected, epsilon = 1e-6);
        }
        assert_eq!(entropy(&array![[[[1.0f32]]]].view(), false), array![[[0.0]]]);
    }
}
