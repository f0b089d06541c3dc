//! Means and mean square deviations.

use rayon::prelude::*;

use super::{BLOCK, Extent, LANES, add_lanes};
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

/// The moments of each channel of each sample, `(N, C)`.
pub(crate) fn moments<T: Element>(x: &[T], extent: Extent) -> Vec<Moments> {
    x.par_chunks(extent.sample()).flat_map(|sample| sample_moments(sample, extent)).collect()
}

/// The moments of each cell, in the order of their first channels, from those of each channel of each
/// sample.
pub(crate) fn merged(single: &[Moments], extent: Extent, cells: Cells) -> Vec<Moments> {
    let channels = extent.channels;
    let merge = |of: &mut dyn Iterator<Item = usize>| {
        of.fold(Moments::default(), |merged, at| merged.merge(single[at]))
    };
    match cells {
        Cells::Instance => single.to_vec(),
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

/// The moments of each channel of each sample, from those of as many parts of each, `(N, parts, C)`.
pub(crate) fn of_parts(parts: &[Vec<Moments>], batch: usize) -> Vec<Moments> {
    let of_sample = |parts: &[Vec<Moments>]| {
        let channels = parts.first().map_or(0, Vec::len);
        let merge = |channel| {
            let all = parts.iter().map(|part: &Vec<Moments>| part[channel]);
            all.fold(Moments::default(), Moments::merge)
        };
        (0..channels).into_par_iter().map(merge).collect::<Vec<_>>()
    };
    parts.chunks((parts.len() / batch).max(1)).flat_map(of_sample).collect()
}

/// The moments of each channel of some lines of voxels, which somebody has just written.
#[inline(always)]
pub(crate) fn of_lines<'a>(
    lines: impl IntoIterator<Item = &'a [f32]>,
    channels: usize,
) -> Vec<Moments> {
    let mut lines = lines.into_iter().peekable();
    let repeats = LANES.div_ceil(channels);
    let first = lines.peek().map_or(&[][..], |line| &line[..channels]).to_vec();
    let mut sums = Sums::new(&first, repeats);
    let mut voxels = 0;
    for line in lines {
        voxels += line.len() / channels;
        sums.add(line);
    }
    sums.moments(voxels as f64)
}

/// Sums of distances from the first voxel, so that no digits are lost to a mean far from 0, and of
/// their squares.
struct Sums {
    shift: Vec<f32>,
    lanes: [Vec<f32>; 2],
    total: Vec<f64>,
    channels: usize,
}

impl Sums {
    fn new(first: &[f32], repeats: usize) -> Self {
        let (shift, channels) = (first.repeat(repeats), first.len());
        let lanes = [vec![0.0; shift.len()], vec![0.0; shift.len()]];
        Self { shift, lanes, total: vec![0.0; 2 * channels], channels }
    }

    /// Adds voxels.
    #[inline(always)]
    fn add<T: Element>(&mut self, values: &[T]) {
        let [sum, square] = &mut self.lanes;
        let length = self.shift.len();
        for block in values.chunks(BLOCK * length) {
            sum.fill(0.0);
            square.fill(0.0);
            for row in block.chunks(length) {
                let state = sum.iter_mut().zip(&mut *square);
                for ((&value, &shift), (sum, square)) in row.iter().zip(&self.shift).zip(state) {
                    let distance = value.widen() - shift;
                    *sum += distance;
                    *square += distance * distance;
                }
            }
            add_lanes(&mut self.total[..self.channels], sum);
            add_lanes(&mut self.total[self.channels..], square);
        }
    }

    /// What the sums of `count` voxels say.
    fn moments(&self, count: f64) -> Vec<Moments> {
        let of = |channel: usize| {
            let (sum, square) = (self.total[channel], self.total[self.channels + channel]);
            let mean = f64::from(self.shift[channel]) + sum / count;
            Moments { count, mean, squares: (square - sum * sum / count).max(0.0) }
        };
        (0..self.channels).map(of).collect()
    }
}

/// The moments of each channel of one sample.
fn sample_moments<T: Element>(sample: &[T], extent: Extent) -> Vec<Moments> {
    let first: Vec<f32> = sample[..extent.channels].iter().map(|value| value.widen()).collect();
    let isa = isa();
    let parts: Vec<Sums> = sample
        .par_chunks(extent.task())
        .map(|task| {
            let mut sums = Sums::new(&first, extent.repeats());
            isa.run(|| sums.add(task));
            sums
        })
        .collect();
    let mut all = Sums::new(&first, extent.repeats());
    for part in &parts {
        for (all, part) in all.total.iter_mut().zip(&part.total) {
            *all += part;
        }
    }
    all.moments(extent.voxels as f64)
}
