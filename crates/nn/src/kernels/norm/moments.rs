//! Means and mean square deviations.

use rayon::prelude::*;

use super::{BLOCK, Extent, add_lanes};
use crate::isa::isa;
use crate::kernels::element::Element;
use crate::norm::Cells;

/// Mean and sum of squared deviations of `count` values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) count: f64,
    pub(crate) mean: f64,
    pub(crate) squares: f64,
}

impl Moments {
    /// Those of both sets of values together (Chan, Golub and others, 1983).
    fn merge(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let delta = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + delta * other.count / count,
            squares: self.squares
                + other.squares
                + delta * delta * self.count * other.count / count,
        }
    }

    /// The mean square deviation.
    pub(crate) fn variance(&self) -> f64 {
        self.squares / self.count
    }
}

/// The moments of each cell, in the order of their first channels.
pub(crate) fn moments<T: Element>(x: &[T], extent: Extent, cells: Cells) -> Vec<Moments> {
    let channels = extent.channels;
    let single: Vec<Moments> =
        x.par_chunks(extent.sample()).flat_map(|sample| sample_moments(sample, extent)).collect();
    let merge = |of: &mut dyn Iterator<Item = usize>| {
        of.fold(Moments::default(), |merged, at| merged.merge(single[at]))
    };
    match cells {
        Cells::Instance => single,
        Cells::Group(groups) => {
            let size = channels / groups;
            let cell = |cell: usize| merge(&mut (cell * size..(cell + 1) * size));
            (0..extent.batch * groups).map(cell).collect()
        }
        Cells::Batch => {
            let cell =
                |channel: usize| merge(&mut (0..extent.batch).map(|n| n * channels + channel));
            (0..channels).map(cell).collect()
        }
    }
}

/// The moments of each channel of one sample.
fn sample_moments<T: Element>(sample: &[T], extent: Extent) -> Vec<Moments> {
    let (channels, lanes) = (extent.channels, extent.channels * extent.repeats());
    // Distances from the first voxel: so no digits are lost to a mean far from 0.
    let first: Vec<f32> = sample[..channels].iter().map(|value| value.widen()).collect();
    let shift = first.repeat(extent.repeats());
    let isa = isa();
    let sums: Vec<Vec<f64>> = sample
        .par_chunks(extent.task())
        .map(|task| {
            let mut total = vec![0.0; 2 * channels];
            let (mut sum, mut square) = (vec![0f32; lanes], vec![0f32; lanes]);
            isa.run(|| {
                for block in task.chunks(BLOCK * lanes) {
                    sum.fill(0.0);
                    square.fill(0.0);
                    for row in block.chunks(lanes) {
                        let state = sum.iter_mut().zip(&mut square);
                        for ((&value, &shift), (sum, square)) in row.iter().zip(&shift).zip(state) {
                            let distance = value.widen() - shift;
                            *sum += distance;
                            *square += distance * distance;
                        }
                    }
                    add_lanes(&mut total[..channels], &sum);
                    add_lanes(&mut total[channels..], &square);
                }
            });
            total
        })
        .collect();
    let total = |at: usize| sums.iter().map(|sums| sums[at]).sum::<f64>();
    let count = extent.voxels as f64;
    (0..channels)
        .map(|channel| {
            let (sum, square) = (total(channel), total(channels + channel));
            let mean = f64::from(first[channel]) + sum / count;
            Moments { count, mean, squares: (square - sum * sum / count).max(0.0) }
        })
        .collect()
}
