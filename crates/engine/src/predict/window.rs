//! A window that slides over an image.

use std::ops::Range;

use ndarray::{Array3, Array4, Axis, CowArray, Ix4, Zip, s};
use nn::Setting;
use rayon::prelude::*;

use super::{Predictor, tiles};
use crate::Result;

/// Logits of an image on the network's grid, slab by slab: tiles are asked from the first slices to the last, and what no
/// further tile will change is handed out, so that only as many slices are kept as a tile has.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    predictor: &'a Predictor,
    /// Whether each network's own logits are handed out as well.
    apart: bool,
    /// At least a tile, with slices before and after where the network looks at some.
    padded: CowArray<'a, f32, Ix4>,
    /// Where the image lies in it, without these slices.
    inner: [Range<usize>; 3],
    /// The first voxels of the tiles along each axis.
    along: [Vec<usize>; 3],
    /// The next of the first axis.
    next: usize,
    importance: Array3<f32>,
    /// Of the slices from that of the next tiles on: logits times weights `(C, n, H, W)`, and weights.
    sums: Array4<f32>,
    weights: Array3<f32>,
}

impl<'a> Window<'a> {
    /// Over an image `(C_in, D, H, W)`; with `apart`, the logits of each network come after their mean.
    pub(crate) fn new(predictor: &'a Predictor, image: &'a Array4<f32>, apart: bool) -> Self {
        let (plan, settings) = (&predictor.plan, &predictor.settings);
        let patch = plan.patch_size;
        let (_, d, h, w) = image.dim();
        let (padded, offset) = pad(image, patch);
        let size = [padded.dim().1, padded.dim().2, padded.dim().3];
        let along: [Vec<usize>; 3] = std::array::from_fn(|axis| match axis {
            0 if plan.rank == 2 => (0..size[0]).collect(),
            _ => tiles::positions(size[axis], patch[axis], settings.step_size),
        });
        let inner = [d, h, w];
        let inner = std::array::from_fn(|axis| offset[axis]..offset[axis] + inner[axis]);
        let channels = predictor.outputs(apart);
        Self {
            predictor,
            apart,
            padded: with_slices(padded, plan.context),
            inner,
            along,
            next: 0,
            importance: tiles::importance(patch, settings.gaussian),
            sums: Array4::zeros((channels, patch[0], size[1], size[2])),
            weights: Array3::zeros([patch[0], size[1], size[2]]),
        }
    }

    /// How many tiles there are.
    pub(crate) fn tiles(&self) -> usize {
        self.along.iter().map(Vec::len).product()
    }

    /// The next slices of the image that are known, `(C, n, H, W)`; `None` after the last. `seen` is called after each tile.
    pub(crate) fn advance(&mut self, seen: &mut dyn FnMut()) -> Result<Option<Array4<f32>>> {
        while let Some(&z) = self.along[0].get(self.next) {
            self.tiles_from(z, seen)?;
            self.next += 1;
            let height = self.importance.len_of(Axis(0));
            let end = self.along[0].get(self.next).map_or(z + height, |&next| next);
            let known = self.take(z, end - z);
            if !known.is_empty() {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    /// Asks the network about all tiles that begin with slice `z`.
    fn tiles_from(&mut self, z: usize, seen: &mut dyn FnMut()) -> Result<()> {
        let [_, ys, xs] = &self.along;
        let all: Vec<[usize; 2]> =
            ys.iter().flat_map(|&y| xs.iter().map(move |&x| [y, x])).collect();
        for few in all.chunks(self.predictor.tiles_at_once()) {
            let answers = self.answers(z, few);
            for (&[y, x], logits) in few.iter().zip(answers) {
                self.add(y, x, &logits?);
                seen();
            }
        }
        Ok(())
    }

    /// What the network says of tiles that begin with slice `z`, each computed as by itself.
    fn answers(&self, z: usize, tiles: &[[usize; 2]]) -> Vec<Result<Array4<f32>>> {
        let Self { predictor, padded, apart, .. } = self;
        let (depth, height, width) = self.importance.dim();
        let deep = depth + 2 * predictor.plan.context;
        let answer = |&[y, x]: &[usize; 2]| {
            let tile = padded.slice(s![.., z..z + deep, y..y + height, x..x + width]);
            let run = || predictor.settings.precision.run(|| predictor.tile(&tile, *apart));
            let run = || predictor.weights.within(run);
            nn::step_scope(&predictor.device, run)
        };
        if !predictor.device.is_cpu() {
            return tiles.iter().map(answer).collect();
        }
        // On a thread of the pool, layers need not wake another for each of their loops.
        let setting = Setting::of_this_thread();
        let answer = |tile: &[usize; 2]| setting.within(|| answer(tile));
        rayon::scope(|_| match tiles {
            [tile] => vec![answer(tile)],
            tiles => tiles.par_iter().map(answer).collect(),
        })
    }

    /// Adds what the network says of the tile at a row and column.
    fn add(&mut self, y: usize, x: usize, logits: &Array4<f32>) {
        let Self { importance, sums, weights, .. } = self;
        let (_, height, width) = importance.dim();
        let (ys, xs) = (y..y + height, x..x + width);
        let mut sum = sums.slice_mut(s![.., .., ys.clone(), xs.clone()]);
        let channels = sum.axis_iter_mut(Axis(0)).into_par_iter();
        channels.zip(logits.axis_iter(Axis(0))).for_each(|(mut sum, logits)| {
            Zip::from(&mut sum)
                .and(&logits)
                .and(&*importance)
                .for_each(|sum, logit, weight| *sum += logit * weight);
        });
        let mut weight = weights.slice_mut(s![.., ys, xs]);
        weight += &*importance;
    }

    /// Takes the first slices out, which begin with slice `z`; those of the image.
    fn take(&mut self, z: usize, count: usize) -> Array4<f32> {
        let [zs, ys, xs] = self.inner.clone();
        let within = zs.start.clamp(z, z + count) - z..zs.end.clamp(z, z + count) - z;
        let of_image = s![.., within.clone(), ys.clone(), xs.clone()];
        let mut known = self.sums.slice(of_image).to_owned();
        let weights = self.weights.slice(s![within, ys, xs]);
        for mut channel in known.outer_iter_mut() {
            channel /= &weights;
        }
        let kept = self.weights.len_of(Axis(0)) - count;
        for mut array in self.sums.outer_iter_mut().chain([self.weights.view_mut()]) {
            for slice in 0..kept {
                let (mut to, from) =
                    array.multi_slice_mut((s![slice, .., ..], s![slice + count, .., ..]));
                to.assign(&from);
            }
            array.slice_mut(s![kept.., .., ..]).fill(0.0);
        }
        known
    }
}

/// Pads an image with zeros to at least `patch`, an odd voxel at the end; also where it begins.
fn pad(image: &Array4<f32>, patch: [usize; 3]) -> (CowArray<'_, f32, Ix4>, [usize; 3]) {
    let (c, d, h, w) = image.dim();
    let size = [d, h, w];
    let padded: [usize; 3] = std::array::from_fn(|axis| size[axis].max(patch[axis]));
    let offset: [usize; 3] = std::array::from_fn(|axis| (padded[axis] - size[axis]) / 2);
    if padded == size {
        return (image.view().into(), offset);
    }
    let mut result = Array4::zeros((c, padded[0], padded[1], padded[2]));
    let [z, y, x] = offset;
    result.slice_mut(s![.., z..z + d, y..y + h, x..x + w]).assign(image);
    (result.into(), offset)
}

/// An image with so many slices of zeros before and after.
fn with_slices(image: CowArray<'_, f32, Ix4>, count: usize) -> CowArray<'_, f32, Ix4> {
    if count == 0 {
        return image;
    }
    let (c, d, h, w) = image.dim();
    let mut result = Array4::zeros((c, d + 2 * count, h, w));
    result.slice_mut(s![.., count..count + d, .., ..]).assign(&image);
    result.into()
}
