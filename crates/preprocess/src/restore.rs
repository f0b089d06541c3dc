//! From the network's grid back to the file's.

use ndarray::{Array3, Array4, ArrayView4, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use volume::{Grid, LabelMap, SoftLabelMap};

use crate::crop::{Region, cut_channels_mut, cut_mut};
use crate::orient::Orientation;
use crate::real::{label, single};
use crate::resample::Resampling;
use crate::resize::mixes;
use crate::{Error, Result};

/// The way back from a prepared case to the voxels of its file: resampling undone, what was
/// cropped away put back as background, axes turned back.
///
/// Values between voxels are linear, and those of the nearest slice across thick ones, as nnU-Net
/// exports its predictions. Results do not depend on the number of threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    pub(crate) grid: Grid,
    pub(crate) orientation: Orientation,
    /// The part of the turned image that was kept.
    pub(crate) region: Region,
    /// From that part to the network's grid.
    pub(crate) resampling: Resampling,
    /// The axis across thick slices on the way back, where the network's grid is asked first whether
    /// it has any: perhaps another than on the way there.
    pub(crate) separate: Option<usize>,
}

impl Restore {
    /// The grid of the file.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The size of the network's grid, `(D, H, W)`.
    pub fn network_size(&self) -> [usize; 3] {
        self.resampling.to
    }

    /// How the file's axes were turned.
    pub fn orientation(&self) -> Orientation {
        self.orientation
    }

    /// The part of the turned image that was kept.
    pub fn region(&self) -> Region {
        self.region
    }

    /// Brings class probabilities `(C, D, H, W)` of the network's grid back to the file's. They sum
    /// to 1 over the classes; what was cropped away is background, class 0, for certain.
    ///
    /// Needs memory for all classes at the file's size; [`Restore::labels`] does not.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], where they have another size; [`Error::Volume`], where they are no
    /// probabilities.
    pub fn probabilities(&self, probabilities: &Array4<f32>) -> Result<SoftLabelMap> {
        self.check(probabilities)?;
        let classes = probabilities.shape()[0];
        let [d, h, w] = self.grid.size;
        let mut data = Array4::zeros((classes, d, h, w));
        data.index_axis_mut(Axis(0), 0).fill(1.0);
        let turned = self.orientation.view_channels_mut(data.view_mut());
        let mut kept = cut_channels_mut(turned, self.region);
        let back = Back::new(self, probabilities.view());
        kept.axis_iter_mut(Axis(1)).into_par_iter().enumerate().for_each_init(
            Buffers::default,
            |buffers, (z, mut slice)| {
                let [_, height, width] = self.region.size;
                let mut sums = vec![0.0; height * width];
                for class in 0..classes {
                    let mut target = slice.index_axis_mut(Axis(0), class);
                    back.slice(class, z, buffers, |y, row| {
                        let sums = &mut sums[y * width..][..width];
                        let target = target.row_mut(y);
                        for ((&p, sum), target) in row.iter().zip(sums).zip(target) {
                            *sum += p;
                            *target = p;
                        }
                    });
                }
                for mut class in slice.axis_iter_mut(Axis(0)) {
                    // Off by rounding; what is further off is refused below.
                    class.iter_mut().zip(&sums).for_each(|(p, &sum)| {
                        if (sum - 1.0).abs() < SoftLabelMap::TOLERANCE {
                            *p /= sum;
                        }
                    });
                }
            },
        );
        Ok(SoftLabelMap::new(self.grid.clone(), data)?)
    }

    /// Brings any values `(C, D, H, W)` of the network's grid, such as logits, back to the file's,
    /// `(C, D', H', W')`; what was cropped away gets `fill`, one value for each channel.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], where the array has another size; [`Error::Settings`], where there is not
    /// one value for each channel.
    pub fn array(&self, values: &Array4<f32>, fill: &[f32]) -> Result<Array4<f32>> {
        let back = self.back(values)?;
        let channels = values.shape()[0];
        if fill.len() != channels {
            let text = format!("{channels} channels, but {} values to fill them with", fill.len());
            return Err(Error::Settings(text));
        }
        let [d, h, w] = self.grid.size;
        let mut data = Array4::zeros((channels, d, h, w));
        if self.region.size != self.grid.size {
            for (mut channel, &fill) in data.axis_iter_mut(Axis(0)).zip(fill) {
                channel.fill(fill);
            }
        }
        let turned = self.orientation.view_channels_mut(data.view_mut());
        let mut kept = cut_channels_mut(turned, self.region);
        kept.axis_iter_mut(Axis(1)).into_par_iter().enumerate().for_each_init(
            Buffers::default,
            |buffers, (z, mut slice)| {
                for (channel, mut target) in slice.axis_iter_mut(Axis(0)).enumerate() {
                    back.slice(channel, z, buffers, |y, row| {
                        for (target, &value) in target.row_mut(y).iter_mut().zip(row) {
                            *target = value;
                        }
                    });
                }
            },
        );
        Ok(data)
    }

    /// The most probable class at each voxel of the file, from probabilities or logits
    /// `(C, D, H, W)` of the network's grid; of equally probable ones, the first. What was cropped
    /// away is background, class 0.
    ///
    /// Slice by slice: beyond the result, it needs memory for a few slices, however many classes
    /// there are.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], where the array has another size.
    pub fn labels(&self, probabilities_or_logits: &Array4<f32>) -> Result<LabelMap> {
        let back = self.back(probabilities_or_logits)?;
        let classes = probabilities_or_logits.shape()[0];
        let [_, height, width] = self.region.size;
        self.paint(|z, labels, buffers| {
            let mut best = std::mem::take(&mut buffers.best);
            best.clear();
            best.resize(height * width, f32::NEG_INFINITY);
            for class in 0..classes {
                let index = label(class);
                back.slice(class, z, buffers, |y, row| {
                    let best = &mut best[y * width..][..width];
                    let labels = &mut labels[y * width..][..width];
                    for ((&value, best), label) in row.iter().zip(best).zip(labels) {
                        let larger = value > *best;
                        *best = if larger { value } else { *best };
                        *label = if larger { index } else { *label };
                    }
                });
            }
            buffers.best = best;
        })
    }

    /// Regions that may overlap, painted one over the other: channel `i` of `values`,
    /// `(C, D, H, W)` on the network's grid, paints the label `paint[i]` where it exceeds
    /// `threshold`, 0 for logits and 0.5 for probabilities. Later channels win.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], where the array has another size; [`Error::Settings`], where there is not
    /// one label for each channel.
    pub fn regions(&self, values: &Array4<f32>, threshold: f32, paint: &[u16]) -> Result<LabelMap> {
        let back = self.back(values)?;
        let channels = values.shape()[0];
        if channels != paint.len() {
            let labels = paint.len();
            return Err(Error::Settings(format!(
                "{channels} regions, but {labels} labels for them"
            )));
        }
        let width = self.region.size[2];
        self.paint(|z, labels, buffers| {
            for (channel, &index) in paint.iter().enumerate() {
                back.slice(channel, z, buffers, |y, row| {
                    let labels = &mut labels[y * width..][..width];
                    for (&value, label) in row.iter().zip(labels) {
                        *label = if value > threshold { index } else { *label };
                    }
                });
            }
        })
    }

    /// Lets `slice` fill the labels of each slice of the kept region, which start as 0, and puts
    /// them at their place in the file.
    fn paint(&self, slice: impl Fn(usize, &mut [u16], &mut Buffers) + Sync) -> Result<LabelMap> {
        let mut kept = Array3::zeros(self.region.size);
        kept.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each_init(
            Buffers::default,
            |buffers, (z, mut labels)| {
                let labels = labels.as_slice_mut().expect("a slice of an array in standard layout");
                slice(z, labels, buffers);
            },
        );
        if self.orientation == Orientation::IDENTITY && self.region.size == self.grid.size {
            return Ok(LabelMap::new(self.grid.clone(), kept)?);
        }
        let mut data = Array3::zeros(self.grid.size);
        let turned = self.orientation.view_mut(data.view_mut());
        cut_mut(turned, self.region).assign(&kept);
        Ok(LabelMap::new(self.grid.clone(), data)?)
    }

    fn back<'a>(&self, values: &'a Array4<f32>) -> Result<Back<'a>> {
        self.check(values)?;
        Ok(Back::new(self, values.view()))
    }

    fn check(&self, values: &Array4<f32>) -> Result<()> {
        let (actual, [d, h, w]) = (values.shape(), self.resampling.to);
        if actual[0] > 0 && actual[1..] == self.resampling.to {
            return Ok(());
        }
        Err(Error::Shape { expected: vec![actual[0].max(1), d, h, w], actual: actual.to_vec() })
    }
}

/// Memory that a thread uses again for each slice.
#[derive(Default)]
struct Buffers {
    plane: Vec<f32>,
    row: Vec<f32>,
    output: Vec<f32>,
    best: Vec<f32>,
}

/// Two samples that an output is mixed from, and the weight of the second.
type Mix = (usize, usize, f32);

/// Values on the network's grid, and where to look for those of the kept region.
struct Back<'a> {
    values: ndarray::CowArray<'a, f32, ndarray::Ix4>,
    mixes: [Vec<Mix>; 3],
}

impl<'a> Back<'a> {
    fn new(restore: &Restore, values: ArrayView4<'a, f32>) -> Self {
        let Resampling { from, to, .. } = restore.resampling;
        let along = |axis: usize| {
            let mixes = mixes(to[axis], from[axis], restore.separate == Some(axis));
            mixes.into_iter().map(|(low, high, weight)| (low, high, single(weight))).collect()
        };
        let values = if values.is_standard_layout() {
            values.into()
        } else {
            values.as_standard_layout().into_owned().into()
        };
        Self { values, mixes: [along(0), along(1), along(2)] }
    }

    /// Gives `row` the values of one channel, row by row of slice `z` of the kept region.
    fn slice(
        &self,
        channel: usize,
        z: usize,
        buffers: &mut Buffers,
        mut row: impl FnMut(usize, &[f32]),
    ) {
        let [_, depth, height, width] =
            <[usize; 4]>::try_from(self.values.shape()).expect("an array of four axes");
        let area = height * width;
        let values = self.values.as_slice().expect("in standard layout");
        let volume = &values[channel * depth * area..][..depth * area];
        let (low, high, weight) = self.mixes[0][z];
        let plane = mix(volume, area, low, high, weight, &mut buffers.plane);
        for (y, &(low, high, weight)) in self.mixes[1].iter().enumerate() {
            let line = mix(plane, width, low, high, weight, &mut buffers.row);
            if self.mixes[2].len() == width {
                row(y, line);
                continue;
            }
            let values = self.mixes[2].iter().map(|&(low, high, weight)| {
                let (low, high) = (line[low], line[high]);
                low + (high - low) * weight
            });
            buffers.output.clear();
            buffers.output.extend(values);
            row(y, &buffers.output);
        }
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
