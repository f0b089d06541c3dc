//! Labels on a finer or coarser grid.

use ndarray::{Array3, ArrayView3, Axis};
use rayon::prelude::*;

use crate::real::index;
use crate::resize::{mixes, positions};

/// How far two weights may differ and yet be equal: not at all, as nnU-Net has it. Weights are multiplied and added in scipy's
/// order, so that they round as they do there, and what is a tie there is one here.
const ROUNDING: f64 = 0.0;

/// See [`Resampling::labels`](crate::Resampling::labels). Across the `separate` axis, labels are
/// those of the nearest slice.
pub(crate) fn resample_labels(
    input: ArrayView3<'_, u16>,
    size: [usize; 3],
    separate: Option<usize>,
) -> Array3<u16> {
    if input.shape() == size {
        return input.to_owned();
    }
    let input = input.as_standard_layout();
    let labels = input.as_slice().expect("in standard layout");
    let shape = [input.shape()[0], input.shape()[1], input.shape()[2]];
    let axis = |axis: usize| mixes(shape[axis], size[axis], separate == Some(axis));
    let (along_z, along_y, along_x) = (axis(0), axis(1), axis(2));
    let near: [Vec<usize>; 3] = std::array::from_fn(|axis| {
        let end = shape[axis] - 1;
        let nearest = |p: f64| index((p.max(0.0) + 0.5).floor()).min(end);
        positions(shape[axis], size[axis]).map(nearest).collect()
    });

    let mut output = Array3::zeros(size);
    output.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        let (z0, z1, wz) = along_z[z];
        for (y, mut row) in plane.axis_iter_mut(Axis(0)).enumerate() {
            let (y0, y1, wy) = along_y[y];
            let line = |z: usize, y: usize| &labels[(z * shape[1] + y) * shape[2]..][..shape[2]];
            let lines = [line(z0, y0), line(z0, y1), line(z1, y0), line(z1, y1)];
            let weights = [(1.0 - wz) * (1.0 - wy), (1.0 - wz) * wy, wz * (1.0 - wy), wz * wy];
            let nearest = line(near[0][z], near[1][y]);
            for ((to, &(x0, x1, wx)), &x) in row.iter_mut().zip(&along_x).zip(&near[2]) {
                let first = lines[0][x0];
                if lines.iter().all(|line| line[x0] == first && line[x1] == first) {
                    *to = first;
                    continue;
                }
                let mut votes = Votes::default();
                for (line, weight) in lines.iter().zip(weights) {
                    votes.add(line[x0], weight * (1.0 - wx));
                    votes.add(line[x1], weight * wx);
                }
                *to = votes.winner(nearest[x], ROUNDING);
            }
        }
    });
    output
}

/// The weights of the labels around a position: at most eight.
#[derive(Default)]
pub(crate) struct Votes {
    labels: [u16; 8],
    weights: [f64; 8],
    count: usize,
}

impl Votes {
    #[inline]
    pub(crate) fn add(&mut self, label: u16, weight: f64) {
        for i in 0..self.count {
            if self.labels[i] == label {
                self.weights[i] += weight;
                return;
            }
        }
        self.labels[self.count] = label;
        self.weights[self.count] = weight;
        self.count += 1;
    }

    /// The label of the largest weight. Where several share it, that of the nearest voxel if it is
    /// among them, else the smallest.
    #[inline]
    pub(crate) fn winner(&self, nearest: u16, rounding: f64) -> u16 {
        let weights = &self.weights[..self.count];
        let most = weights.iter().copied().fold(0.0, f64::max);
        let mut winner = u16::MAX;
        for (&label, &weight) in self.labels.iter().zip(weights) {
            if weight >= most - rounding {
                if label == nearest {
                    return nearest;
                }
                winner = winner.min(label);
            }
        }
        winner
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn no_label_is_invented_between_two_others() {
        let labels = resample_labels(array![[[0, 2]]].view(), [1, 1, 5], None);

        // The middle of the two is as far from both: the nearest voxel, rounded up, is the second.
        assert_eq!(labels, array![[[0, 0, 2, 2, 2]]]);
    }

    #[test]
    fn across_thick_slices_labels_are_those_of_the_nearest() {
        let labels = resample_labels(array![[[1]], [[0]], [[3]]].view(), [6, 1, 1], Some(0));

        assert_eq!(labels, array![[[1]], [[1]], [[0]], [[0]], [[3]], [[3]]]);
    }

    #[test]
    fn where_three_labels_meet_the_heaviest_wins() {
        let mut votes = Votes::default();
        for (label, weight) in [(4, 0.3), (2, 0.3), (7, 0.2), (2, 0.15), (4, 0.05)] {
            votes.add(label, weight);
        }

        assert_eq!(votes.winner(7, ROUNDING), 2);
    }
}
