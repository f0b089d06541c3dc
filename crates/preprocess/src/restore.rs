//! From the network's grid back to the file's.

use ndarray::{Array3, Array4, ArrayViewMut3, ArrayViewMut4, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use volume::{Grid, LabelMap, SoftLabelMap};

use crate::crop::{Region, cut_channels_mut, cut_mut};
use crate::orient::Orientation;
use crate::resample::Resampling;
use crate::returning::{ReturnedSlice, whole};
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
    /// Of a network's grid that is the file's.
    pub fn unchanged(grid: Grid) -> Self {
        let size = grid.size;
        Self::resampled(grid, size)
    }

    /// Of a network's grid with other voxels, in the place and the order of the file's; no slices are apart.
    pub fn resampled(grid: Grid, network_size: [usize; 3]) -> Self {
        let (orientation, region) = (Orientation::IDENTITY, Region::whole(grid.size));
        let resampling =
            Resampling { from: grid.size, to: network_size, separate: None, steps: None };
        Self { grid, orientation, region, resampling, separate: None }
    }

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

    /// The part of an array of the file's grid, `(D, H, W)`, that was kept, turned as the network sees it.
    ///
    /// # Panics
    ///
    /// Where the array has another size.
    pub fn kept_mut<'a, T>(&self, array: ArrayViewMut3<'a, T>) -> ArrayViewMut3<'a, T> {
        cut_mut(self.orientation.view_mut(array), self.region)
    }

    /// As [`Restore::kept_mut`], of an array `(C, D, H, W)`.
    ///
    /// # Panics
    ///
    /// Where the array has another size.
    pub fn kept_channels_mut<'a, T>(&self, array: ArrayViewMut4<'a, T>) -> ArrayViewMut4<'a, T> {
        cut_channels_mut(self.orientation.view_channels_mut(array), self.region)
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
        let mut kept = self.kept_channels_mut(data.view_mut());
        let mut back = whole(self, probabilities.view())?;
        let slices = kept.axis_iter_mut(Axis(1)).into_par_iter();
        back.each(self.region.size[0], slices, |mut slice, returned| {
            let [height, width] = returned.size();
            let mut sums = vec![0.0; height * width];
            for class in 0..classes {
                let mut target = slice.index_axis_mut(Axis(0), class);
                returned.rows(class, |y, row| {
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
        });
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
        self.check(values)?;
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
        let mut kept = self.kept_channels_mut(data.view_mut());
        let mut back = whole(self, values.view())?;
        let slices = kept.axis_iter_mut(Axis(1)).into_par_iter();
        back.each(self.region.size[0], slices, |mut slice, returned| {
            for (channel, mut target) in slice.axis_iter_mut(Axis(0)).enumerate() {
                returned.rows(channel, |y, row| {
                    for (target, &value) in target.row_mut(y).iter_mut().zip(row) {
                        *target = value;
                    }
                });
            }
        });
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
        self.check(probabilities_or_logits)?;
        let classes = probabilities_or_logits.len_of(Axis(0));
        self.paint(probabilities_or_logits, |slice| slice.labels_of(classes))
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
        self.check(values)?;
        let channels = values.shape()[0];
        if channels != paint.len() {
            let labels = paint.len();
            return Err(Error::Settings(format!(
                "{channels} regions, but {labels} labels for them"
            )));
        }
        self.paint(values, |slice| slice.regions(threshold, paint))
    }

    /// Puts the labels of each slice of the kept region at their place in the file.
    fn paint(
        &self,
        values: &Array4<f32>,
        labels: impl Fn(&mut ReturnedSlice<'_>) -> Vec<u16> + Sync,
    ) -> Result<LabelMap> {
        let mut data = Array3::zeros(self.grid.size);
        let mut kept = self.kept_mut(data.view_mut());
        let slices = kept.axis_iter_mut(Axis(0)).into_par_iter();
        let mut back = whole(self, values.view())?;
        back.each(self.region.size[0], slices, |mut target, slice| {
            let labels = labels(slice);
            target.iter_mut().zip(labels).for_each(|(target, label)| *target = label);
        });
        Ok(LabelMap::new(self.grid.clone(), data)?)
    }

    fn check(&self, values: &Array4<f32>) -> Result<()> {
        let (actual, [d, h, w]) = (values.shape(), self.resampling.to);
        if actual[0] > 0 && actual[1..] == self.resampling.to {
            return Ok(());
        }
        Err(Error::Shape { expected: vec![actual[0].max(1), d, h, w], actual: actual.to_vec() })
    }
}
