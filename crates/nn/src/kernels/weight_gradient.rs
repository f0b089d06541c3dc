//! The gradient of the weight of a convolution.
//!
//! For each tap, it is the product of the fine side, shifted, and the coarse side, summed over
//! voxels. Copies of a tile's lines, with zeros between them, let one matrix product cover all
//! lines of a plane.

use rayon::prelude::*;

use super::gemm::{Strides, add_product};
use super::pack::unpack;
use super::plan::{Side, three};
use super::scratch::with_scratch;
use super::tile::{Cut, Halo, Tile};
use crate::geometry::Geometry;

/// Bytes that partial sums may take in all.
const PARTIAL_BYTES: usize = 16 << 20;
/// Parts of space that are summed by themselves, where that is cheap.
const PARTS: usize = 16;

/// The gradient with respect to the weight, `(coarse, fine / groups, *K)`, of the convolution from
/// `fine` to `coarse`, where `coarse` is the gradient of its result; or of its transpose, with the
/// roles of input and gradient exchanged.
pub(crate) fn weight_gradient(geometry: &Geometry, fine: &[f32], coarse: &[f32]) -> Vec<f32> {
    let setting = Setting::new(geometry);
    let tiles = setting.cut().tiles(geometry.batch);
    let [deep, high, wide] = setting.kernel;
    let rows = deep * high;
    let row = wide * setting.fine.channels / setting.groups * setting.coarse.channels;
    let all = rows * row;

    // Where the weight is small, each task sums all taps over one part of space; where it is large,
    // a few taps, so that partial sums do not outgrow the weight.
    let small = 4 * all * PARTS <= PARTIAL_BYTES;
    let parts = if small { PARTS } else { (PARTIAL_BYTES / (4 * all)).clamp(1, 4) };
    let parts = parts.min(tiles.len());
    let taps = if small { rows } else { 1 };
    let mut partial = vec![0.0; parts * all];
    partial.par_chunks_mut(taps * row).enumerate().for_each(|(task, sum)| {
        let (part, first) = (task / (rows / taps), task % (rows / taps) * taps);
        let range = part * tiles.len() / parts..(part + 1) * tiles.len() / parts;
        for tile in &tiles[range] {
            setting.add_tile(*tile, first..first + taps, fine, coarse, sum);
        }
    });
    let (sum, rest) = partial.split_at_mut(all);
    for part in rest.chunks_exact(all) {
        for (sum, value) in sum.iter_mut().zip(part) {
            *sum += value;
        }
    }
    partial.truncate(all);
    unpack(geometry, &partial)
}

/// A geometry with three axes, and how lines are laid out in a patch.
struct Setting {
    fine: Side,
    coarse: Side,
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: [usize; 3],
    dilation: [usize; 3],
    groups: usize,
    /// Matrix rows from one line of a patch to the next: voxels of a coarse line, and zeros.
    pitch: usize,
}

impl Setting {
    fn new(geometry: &Geometry) -> Self {
        let fine = Side { space: three(&geometry.fine, 1), channels: geometry.fine_channels };
        let coarse = Side { space: three(&geometry.coarse, 1), channels: geometry.coarse_channels };
        let (kernel, stride) = (three(&geometry.kernel, 1), three(&geometry.stride, 1));
        let (padding, dilation) = (three(&geometry.padding, 0), three(&geometry.dilation, 1));
        // Voxels that the last coarse voxel of a line reaches.
        let seen = (coarse.space[2] - 1) * stride[2] + (kernel[2] - 1) * dilation[2] + 1;
        let pitch = seen.div_ceil(stride[2]);
        Self { fine, coarse, kernel, stride, padding, dilation, groups: geometry.groups, pitch }
    }

    /// Values of a fine line in a patch.
    fn fine_line(&self) -> usize {
        self.pitch * self.stride[2] * self.fine.channels
    }

    /// Values of a coarse line in a patch.
    fn coarse_line(&self) -> usize {
        self.pitch * self.coarse.channels
    }

    fn cut(&self) -> Cut {
        let reach = |axis: usize| (self.kernel[axis] - 1) * self.dilation[axis] + 1;
        let halo = Halo {
            step: [self.stride[0], self.stride[1]],
            scale: [1, 1],
            reach: [reach(0), reach(1)],
            line: 4 * self.fine_line(),
        };
        let [depth, height, _] = self.coarse.space;
        Cut::new(1, [depth, height], 4 * self.coarse_line(), &halo)
    }

    /// Adds what `tile`, lines of the coarse side, contributes to the taps `rows` (of the two slower
    /// axes).
    fn add_tile(
        &self,
        tile: Tile,
        rows: std::ops::Range<usize>,
        fine: &[f32],
        coarse: &[f32],
        sum: &mut [f32],
    ) {
        let high = self.kernel[1];
        let lines = tile.y.1 - tile.y.0;
        // Lines of a fine plane, by their remainder modulo the stride, so that neighboring coarse
        // lines see neighboring lines of the patch.
        let each = lines + (high - 1) * self.dilation[1] / self.stride[1];
        let plane = self.stride[1] * each * self.fine_line();
        let plane_of = |z: usize, tap: usize| {
            let at = (z * self.stride[0] + tap * self.dilation[0]).checked_sub(self.padding[0])?;
            (at < self.fine.space[0]).then_some(at)
        };
        let taps_z = rows.start / high..(rows.end - 1) / high + 1;
        let seen = (tile.z.0..tile.z.1)
            .flat_map(|z| taps_z.clone().filter_map(move |tap| plane_of(z, tap)));
        let Some((first, last)) = seen.fold(None, |range: Option<(usize, usize)>, at| {
            Some(range.map_or((at, at), |(low, up)| (low.min(at), up.max(at))))
        }) else {
            return;
        };
        let coarse_plane = lines * self.coarse_line();
        let planes = last - first + 1;
        let length = planes * plane + (tile.z.1 - tile.z.0) * coarse_plane;
        with_scratch(length, |scratch| {
            let (fines, coarses) = scratch.split_at_mut(planes * plane);
            for (z, copy) in (first..=last).zip(fines.chunks_exact_mut(plane)) {
                self.copy_fine(tile, z, each, fine, copy);
            }
            for (z, copy) in (tile.z.0..tile.z.1).zip(coarses.chunks_exact_mut(coarse_plane)) {
                self.copy_coarse(tile, z, coarse, copy);
            }
            let row = sum.len() / rows.len();
            for (tap, sum) in rows.zip(sum.chunks_exact_mut(row)) {
                let shift = tap % high * self.dilation[1];
                let line = shift % self.stride[1] * each + shift / self.stride[1];
                for z in tile.z.0..tile.z.1 {
                    if let Some(at) = plane_of(z, tap / high) {
                        let fine = &fines[(at - first) * plane + line * self.fine_line()..];
                        let coarse = &coarses[(z - tile.z.0) * coarse_plane..][..coarse_plane];
                        self.add_taps(lines, fine, coarse, sum);
                    }
                }
            }
        });
    }

    /// Copies the fine lines of plane `z` that `tile` sees, zeros where there are none.
    fn copy_fine(&self, tile: Tile, z: usize, each: usize, fine: &[f32], copy: &mut [f32]) {
        let channels = self.fine.channels;
        let before = (self.padding[2] * channels).min(self.fine_line());
        let kept = self.fine.line().min(self.fine_line() - before);
        for (index, copy) in copy.chunks_exact_mut(self.fine_line()).enumerate() {
            let (remainder, at) = (index / each, index % each);
            let y = ((tile.y.0 + at) * self.stride[1] + remainder).checked_sub(self.padding[1]);
            match y.filter(|&y| y < self.fine.space[1]) {
                Some(y) => {
                    let from = self.fine.line_at(tile.n, z, y) * self.fine.line();
                    copy[..before].fill(0.0);
                    copy[before..before + kept].copy_from_slice(&fine[from..from + kept]);
                    copy[before + kept..].fill(0.0);
                }
                None => copy.fill(0.0),
            }
        }
    }

    /// Copies the coarse lines of `tile` in plane `z`, with zeros between them.
    fn copy_coarse(&self, tile: Tile, z: usize, coarse: &[f32], copy: &mut [f32]) {
        let line = self.coarse.line();
        for (y, copy) in (tile.y.0..tile.y.1).zip(copy.chunks_exact_mut(self.coarse_line())) {
            let from = self.coarse.line_at(tile.n, z, y) * line;
            copy[..line].copy_from_slice(&coarse[from..from + line]);
            copy[line..].fill(0.0);
        }
    }

    /// Adds the products of all taps of the last axis, over `lines` lines of one plane.
    fn add_taps(&self, lines: usize, fine: &[f32], coarse: &[f32], sum: &mut [f32]) {
        let (inputs, outputs) = (self.fine.channels, self.coarse.channels);
        let voxels = (lines - 1) * self.pitch + self.coarse.space[2];
        let shifted = Strides { row: 1, column: self.stride[2] * inputs };
        let step = self.dilation[2] * inputs;
        if self.groups == 1 && self.dilation[2] == 1 {
            // The channels of neighboring taps lie side by side: one product for all.
            let rows = self.kernel[2] * inputs;
            let factors = ((fine, shifted), (coarse, Strides::rows(outputs)));
            add_product((rows, voxels, outputs), (sum, outputs), factors.0, factors.1);
            return;
        }
        let (group_inputs, group_outputs) = (inputs / self.groups, outputs / self.groups);
        let blocks = sum.chunks_exact_mut(group_inputs * group_outputs);
        for (block, sum) in blocks.enumerate() {
            let (tap, group) = (block / self.groups, block % self.groups);
            add_product(
                (group_inputs, voxels, group_outputs),
                (sum, group_outputs),
                (&fine[tap * step + group * group_inputs..], shifted),
                (&coarse[group * group_outputs..], Strides::rows(outputs)),
            );
        }
    }
}
