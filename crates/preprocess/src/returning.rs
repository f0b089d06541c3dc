//! Values of the network's grid on their way back, slice by slice.

use ndarray::{Array3, Array4, ArrayView4, Axis, CowArray, Ix4, s};
use rayon::prelude::*;

use crate::real::{label, single};
use crate::{Error, Restore, Result};

/// The way back for values that become known slice by slice, such as those of a sliding window: what a slice of the file's
/// grid is mixed from is kept until that slice is made, and no longer.
///
/// Slices are those of the kept region, turned as the network sees it: see [`Restore::region`] and [`Restore::orientation`].
/// However the values are cut into slabs, the results are the same to the bit.
#[derive(Debug)]
pub struct Returning<'a> {
    channels: usize,
    /// Of one slice on the network's grid, and of the kept region.
    network: [usize; 3],
    mixes: [Vec<Mix>; 3],
    /// Whether rows stay as they are.
    plain: bool,
    /// Slices of the network's grid that are still needed, `(C, n, H, W)` in standard layout.
    held: CowArray<'a, f32, Ix4>,
    /// The first of these.
    first: usize,
    /// The next slice to be made.
    next: usize,
}

/// Two samples that an output is mixed from, and the weight of the second.
type Mix = (usize, usize, f32);

impl Restore {
    /// The way back for `channels` values at each voxel, slab by slab.
    pub fn returning(&self, channels: usize) -> Returning<'_> {
        let along = |axis: usize| -> Vec<Mix> {
            let mixes = self.resampling.back(axis, self.separate == Some(axis));
            mixes.into_iter().map(|(low, high, weight)| (low, high, single(weight))).collect()
        };
        let mixes = [along(0), along(1), along(2)];
        let stays = |(at, &(low, _, weight)): (usize, &Mix)| low == at && weight <= 0.0;
        let plain =
            mixes[2].len() == self.resampling.to[2] && mixes[2].iter().enumerate().all(stays);
        Returning {
            channels,
            network: self.resampling.to,
            mixes,
            plain,
            held: Array4::zeros((channels, 0, self.resampling.to[1], self.resampling.to[2])).into(),
            first: 0,
            next: 0,
        }
    }
}

impl<'a> Returning<'a> {
    /// Takes the next slices of the network's grid, `(C, n, H, W)`.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], where they are of another size, or more than there are.
    pub fn push(&mut self, slab: impl Into<CowArray<'a, f32, Ix4>>) -> Result<()> {
        let slab = slab.into();
        let [depth, height, width] = self.network;
        let left = depth - self.first - self.held.len_of(Axis(1));
        let (channels, count, h, w) = slab.dim();
        if (channels, h, w) != (self.channels, height, width) || count > left {
            let expected = vec![self.channels, left, height, width];
            return Err(Error::Shape { expected, actual: slab.shape().to_vec() });
        }
        let slab = if slab.is_standard_layout() {
            slab
        } else {
            slab.as_standard_layout().into_owned().into()
        };
        let needed = self.mixes[0].get(self.next).map_or(depth, |&(low, ..)| low);
        let unneeded = needed.saturating_sub(self.first).min(self.held.len_of(Axis(1)));
        let still = self.held.slice(s![.., unneeded.., .., ..]);
        self.held = if still.is_empty() {
            slab
        } else {
            let kept = still.len_of(Axis(1));
            let mut both = Array4::zeros((channels, kept + count, h, w));
            both.slice_mut(s![.., ..kept, .., ..]).assign(&still);
            both.slice_mut(s![.., kept.., .., ..]).assign(&slab);
            both.into()
        };
        self.first += unneeded;
        Ok(())
    }

    /// How many slices there will be.
    pub fn slices(&self) -> usize {
        self.mixes[0].len()
    }

    /// The next slice to be made.
    pub fn next(&self) -> usize {
        self.next
    }

    /// The slice before which all can be made.
    pub fn ready(&self) -> usize {
        let known = self.first + self.held.len_of(Axis(1));
        // Slices are mixed from later and later ones.
        self.mixes[0].partition_point(|&(low, high, weight)| {
            let last = if weight > 0.0 { high } else { low };
            last < known
        })
    }

    /// Makes the next slices, up to `end`, in parallel: one for each of `targets`.
    ///
    /// # Panics
    ///
    /// Where `end` is beyond those that are ready, or there are not so many targets.
    pub fn each<T: Send>(
        &mut self,
        end: usize,
        targets: impl IndexedParallelIterator<Item = T>,
        make: impl Fn(T, &mut ReturnedSlice<'_>) + Sync,
    ) {
        assert!((self.next..=self.ready()).contains(&end), "slices that are ready");
        assert_eq!(targets.len(), end - self.next, "a target for each slice");
        let Self { held, first, mixes, plain, next, .. } = self;
        let shape = <[usize; 4]>::try_from(held.shape()).expect("an array of four axes");
        let values = held.as_slice().expect("in standard layout");
        targets.enumerate().for_each_init(Buffers::default, |buffers, (at, target)| {
            let z = *next + at;
            let (first, plain) = (*first, *plain);
            make(target, &mut ReturnedSlice { values, shape, first, mixes, plain, z, buffers });
        });
        self.next = end;
    }
}

/// Memory that a thread uses again for each slice.
#[derive(Debug, Default)]
struct Buffers {
    plane: Vec<f32>,
    row: Vec<f32>,
    output: Vec<f32>,
}

/// One slice of the kept region.
#[derive(Debug)]
pub struct ReturnedSlice<'a> {
    /// Slices of the network's grid, `(C, n, H, W)`.
    values: &'a [f32],
    shape: [usize; 4],
    /// The first of these.
    first: usize,
    mixes: &'a [Vec<Mix>; 3],
    plain: bool,
    z: usize,
    buffers: &'a mut Buffers,
}

impl ReturnedSlice<'_> {
    /// Its height and width.
    pub fn size(&self) -> [usize; 2] {
        [self.mixes[1].len(), self.mixes[2].len()]
    }

    /// Gives `each` the values of one channel, row by row.
    pub fn rows(&mut self, channel: usize, mut each: impl FnMut(usize, &[f32])) {
        let Self { values, first, mixes, plain, .. } = *self;
        let [_, depth, height, width] = self.shape;
        let area = height * width;
        let volume = &values[channel * depth * area..][..depth * area];
        let (low, high, weight) = mixes[0][self.z];
        let Buffers { plane, row, output } = &mut *self.buffers;
        // Where the second counts nothing, it may not be there.
        let high = if weight > 0.0 { high } else { low };
        let plane = mix(volume, area, low - first, high - first, weight, plane);
        for (y, &(low, high, weight)) in mixes[1].iter().enumerate() {
            let line = mix(plane, width, low, high, weight, row);
            if plain {
                each(y, line);
                continue;
            }
            let values = mixes[2].iter().map(|&(low, high, weight)| {
                let (low, high) = (line[low], line[high]);
                low + (high - low) * weight
            });
            output.clear();
            output.extend(values);
            each(y, output);
        }
    }

    /// Of the first `classes` channels, that with the greatest value at each voxel, of equal ones the first; row by row.
    pub fn labels_of(&mut self, classes: usize) -> Vec<u16> {
        let [height, width] = self.size();
        let mut labels = vec![0; height * width];
        let mut best = vec![f32::NEG_INFINITY; height * width];
        for class in 0..classes {
            let index = label(class);
            self.rows(class, |y, row| {
                let best = &mut best[y * width..][..width];
                let labels = &mut labels[y * width..][..width];
                for ((&value, best), label) in row.iter().zip(best).zip(labels) {
                    let larger = value > *best;
                    *best = if larger { value } else { *best };
                    *label = if larger { index } else { *label };
                }
            });
        }
        labels
    }

    /// The label `paint[i]` where channel `i` exceeds `threshold`, else 0; later channels win; row by row.
    pub fn regions(&mut self, threshold: f32, paint: &[u16]) -> Vec<u16> {
        let [height, width] = self.size();
        let mut labels = vec![0; height * width];
        for (channel, &index) in paint.iter().enumerate() {
            self.rows(channel, |y, row| {
                let labels = &mut labels[y * width..][..width];
                for (&value, label) in row.iter().zip(labels) {
                    *label = if value > threshold { index } else { *label };
                }
            });
        }
        labels
    }

    /// All channels `(C, H, W)`.
    pub fn values(&mut self) -> Array3<f32> {
        let [height, width] = self.size();
        let mut values = Array3::zeros((self.shape[0], height, width));
        for (channel, mut plane) in values.axis_iter_mut(Axis(0)).enumerate() {
            self.rows(channel, |y, row| {
                plane.row_mut(y).iter_mut().zip(row).for_each(|(to, &value)| *to = value);
            });
        }
        values
    }
}

/// A part of `values` of `length`, mixed from the parts `low` and `high`.
fn mix<'a>(
    values: &'a [f32],
    length: usize,
    low: usize,
    high: usize,
    weight: f32,
    buffer: &'a mut Vec<f32>,
) -> &'a [f32] {
    let (low, high) = (&values[low * length..][..length], &values[high * length..][..length]);
    if weight <= 0.0 {
        return low;
    }
    buffer.clear();
    buffer.extend(low.iter().zip(high).map(|(&low, &high)| low + (high - low) * weight));
    buffer
}

/// All of the values at once.
pub(crate) fn whole<'a>(
    restore: &'a Restore,
    values: ArrayView4<'a, f32>,
) -> Result<Returning<'a>> {
    let mut back = restore.returning(values.len_of(Axis(0)));
    back.push(values)?;
    Ok(back)
}
