//! How a convolution is cut into rows, strips and tiles.

use std::ops::Range;

use crate::geometry::{Geometry, three};
use crate::isa::{Isa, isa};
use crate::kernels::direct::plan::Side;
use crate::method::{Method, method};

use super::transform::extent;

/// A convolution that this method can compute, from `source` to `target`, and its rows.
///
/// Space has three axes; leading ones stand in for those that are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tiling {
    pub(super) batch: usize,
    pub(super) source: Side,
    pub(super) target: Side,
    pub(super) padding: [usize; 3],
    pub(super) kernel: [usize; 3],
    /// Voxels of the target that a tile covers, along each axis: 2 or 4 under a kernel of 3, else 1.
    pub(super) step: [usize; 3],
    /// Rows along the two slower axes.
    rows: [usize; 2],
    /// Strips that a row is cut into.
    pub(super) strips: usize,
    /// Tiles of a strip.
    pub(super) across: usize,
}

/// Values from one line of sums to the next: its length, and a little, so that lines of a length
/// that is a power of two do not all meet in one set of the cache.
pub(super) fn pitch(line: usize) -> usize {
    line + 16
}

/// Fewest channels on either side: below, sums cost more than the products that they save.
pub(super) const CHANNELS: usize = 8;
/// Most voxels of a strip: what it needs stays in the nearest cache.
const STRIP: usize = 64;
/// How many more tiles could be computed in the time that it takes to make the sums of the weights.
const WEIGHTS: usize = 64;

impl Tiling {
    /// The convolution itself, from the fine side to the coarse one, if the method can compute it.
    pub(crate) fn forward(geometry: &Geometry) -> Option<Self> {
        let fine = Side { space: three(&geometry.fine, 1), channels: geometry.fine_channels };
        let coarse = Side { space: three(&geometry.coarse, 1), channels: geometry.coarse_channels };
        Self::new(geometry, fine, coarse, three(&geometry.padding, 0))
    }

    /// Its adjoint, from the gradient of the coarse side to that of the fine one: a convolution too,
    /// with the kernel reversed.
    pub(crate) fn adjoint(geometry: &Geometry) -> Option<Self> {
        let forward = Self::forward(geometry)?;
        let mut padding = [0; 3];
        for (axis, padding) in padding.iter_mut().enumerate() {
            *padding = (forward.kernel[axis] - 1).checked_sub(forward.padding[axis])?;
        }
        Self::new(geometry, forward.target, forward.source, padding)
    }

    fn new(geometry: &Geometry, source: Side, target: Side, padding: [usize; 3]) -> Option<Self> {
        let ones = |list: &[usize]| list.iter().all(|&entry| entry == 1);
        let kernel = three(&geometry.kernel, 1);
        let method = method();
        let fits = method != Method::Direct
            && geometry.groups == 1
            && ones(&geometry.stride)
            && ones(&geometry.dilation)
            && matches!(kernel, [1 | 3, 3, 3])
            && source.channels.min(target.channels) >= CHANNELS;
        if !fits {
            return None;
        }
        let batch = geometry.batch;
        let step = steps(method, kernel[0], |step| batch * tiles(target.space, step));
        let [deep, high, across] = [0, 1, 2].map(|axis| target.space[axis].div_ceil(step[axis]));
        let strips = across.div_ceil(STRIP / step[2]);
        let across = across.div_ceil(strips);
        let rows = [deep, high];
        Some(Self { batch, source, target, padding, kernel, step, rows, strips, across })
    }

    /// The instructions to use now: those in force, but no vectors longer than the channels of what
    /// is read, `least` at least, or those of the result.
    pub(super) fn isa(&self, least: usize) -> Isa {
        match isa() {
            Isa::Avx512 | Isa::Amx if least.min(self.target.channels) < 16 => Isa::Avx2,
            isa => isa,
        }
    }

    /// Whether the sums of the weights take a twentieth of the time or more.
    pub(super) fn weights_matter(&self) -> bool {
        self.rows() * self.strips * self.across <= 20 * WEIGHTS
    }

    /// Channels of what is read.
    pub(crate) fn channels(&self) -> usize {
        self.source.channels
    }

    /// Rows of the whole batch.
    pub(super) fn rows(&self) -> usize {
        self.batch * self.rows[0] * self.rows[1]
    }

    /// Values of input that a tile sees along each axis, and sums that it makes of them.
    pub(super) fn sums(&self) -> [usize; 3] {
        self.step.map(extent)
    }

    /// Sums over the slower two axes that a row makes.
    pub(super) fn planes(&self) -> usize {
        let [deep, high, _] = self.sums();
        deep * high
    }

    /// Values of the part of a source line that a strip sees.
    pub(super) fn source_line(&self) -> usize {
        (self.step[2] * self.across + 2) * self.source.channels
    }

    /// Values of the part of a target line that a strip covers.
    pub(super) fn target_line(&self) -> usize {
        self.step[2] * self.across * self.target.channels
    }

    /// Matrices of products: sums over all three axes.
    pub(super) fn matrices(&self) -> usize {
        self.planes() * self.sums()[2]
    }

    /// Values from one matrix of weights with so many columns to the next: its own, and a little, for
    /// the same reason as in [`pitch`].
    pub(super) fn matrix(&self, columns: usize) -> usize {
        pitch(self.source.channels * columns)
    }

    /// Sample, and the first target line along either axis, of a row.
    fn start(&self, row: usize) -> (usize, [usize; 2]) {
        let (y, rest) = (row % self.rows[1], row / self.rows[1]);
        let (z, n) = (rest % self.rows[0], rest / self.rows[0]);
        (n, [z * self.step[0], y * self.step[1]])
    }

    /// The sample that a row belongs to.
    pub(super) fn sample(&self, row: usize) -> usize {
        self.start(row).0
    }

    /// Source line `(z, y)` of those that a row sees, if there is one.
    pub(super) fn source_at(&self, row: usize, z: usize, y: usize) -> Option<usize> {
        let (n, start) = self.start(row);
        let z = (start[0] + z).checked_sub(self.padding[0])?;
        let y = (start[1] + y).checked_sub(self.padding[1])?;
        let inside = z < self.source.space[0] && y < self.source.space[1];
        inside.then(|| self.source.line_at(n, z, y))
    }

    /// The voxels of a source line that a strip sees, and how many it sees before the line begins.
    pub(super) fn source_voxels(&self, strip: usize) -> (Range<usize>, usize) {
        let (step, padding, all) = (self.step[2], self.padding[2], self.source.space[2]);
        let start = strip * self.across * step;
        let end = (start + step * self.across + 2).saturating_sub(padding).min(all);
        let first = start.saturating_sub(padding).min(end);
        (first..end, padding.saturating_sub(start).min(step * self.across + 2))
    }

    /// The voxels of a target line that a strip covers.
    pub(super) fn target_voxels(&self, strip: usize) -> Range<usize> {
        let step = self.across * self.step[2];
        let all = self.target.space[2];
        (strip * step).min(all)..((strip + 1) * step).min(all)
    }

    /// Target lines of a row that there are, along the two slower axes.
    pub(super) fn lines_of(&self, row: usize) -> [usize; 2] {
        let (_, start) = self.start(row);
        [0, 1].map(|axis| self.step[axis].min(self.target.space[axis] - start[axis]))
    }

    /// Target line `(z, y)` of those of a row, if there is one.
    pub(super) fn target_at(&self, row: usize, z: usize, y: usize) -> Option<usize> {
        let (n, start) = self.start(row);
        let (z, y) = (start[0] + z, start[1] + y);
        let inside = z < self.target.space[0] && y < self.target.space[1];
        inside.then(|| self.target.line_at(n, z, y))
    }

    /// The row that a target line belongs to.
    pub(super) fn row_of(&self, line: usize) -> usize {
        let [depth, height, _] = self.target.space;
        let (y, rest) = (line % height, line / height);
        let (z, n) = (rest % depth, rest / depth);
        (n * self.rows[0] + z / self.step[0]) * self.rows[1] + y / self.step[1]
    }
}

/// Tiles that cover `space`.
fn tiles(space: [usize; 3], step: [usize; 3]) -> usize {
    space.iter().zip(step).map(|(extent, step)| extent.div_ceil(step)).product()
}

/// Voxels that a tile covers along each axis, under a kernel of `depth` along the slowest, where
/// `tiles` says how many of them there are: what needs the fewest products, of those that the method
/// allows. F(4, 3) along one axis of several has the rounding errors of a plain convolution, along
/// two it has twice those.
fn steps(method: Method, depth: usize, tiles: impl Fn([usize; 3]) -> usize) -> [usize; 3] {
    let deep = if depth == 3 { 2 } else { 1 };
    let allowed: &[[usize; 2]] = match method {
        Method::Fast => &[[2, 2], [2, 4], [4, 4]],
        _ => &[[2, 2], [2, 4]],
    };
    let products =
        |step: &[usize; 3]| step.map(extent).iter().product::<usize>() * (tiles(*step) + WEIGHTS);
    let choices = allowed.iter().map(|&[high, across]| [deep, high, across]);
    choices.min_by_key(products).unwrap_or([deep, 2, 2])
}
