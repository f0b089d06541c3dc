//! How a convolution is cut into rows and tiles.

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
    /// Voxels of the target that a tile covers, along each axis: 2 under a kernel of 3, else 1.
    pub(super) step: [usize; 3],
    /// Tiles along each axis.
    pub(super) tiles: [usize; 3],
}

/// Values from one line of sums to the next: its length, and a little, so that lines of a length
/// that is a power of two do not all meet in one set of the cache.
pub(super) fn pitch(line: usize) -> usize {
    line + 16
}

/// Fewest channels on either side: below, sums cost more than the products that they save.
const CHANNELS: usize = 8;

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
        let fits = method() == Method::Auto
            && geometry.groups == 1
            && ones(&geometry.stride)
            && ones(&geometry.dilation)
            && matches!(kernel, [1 | 3, 3, 3])
            && source.channels.min(target.channels) >= CHANNELS;
        if !fits {
            return None;
        }
        let step = kernel.map(|extent| if extent == 3 { 2 } else { 1 });
        let mut tiles = [0; 3];
        for (axis, tiles) in tiles.iter_mut().enumerate() {
            *tiles = target.space[axis].div_ceil(step[axis]);
        }
        Some(Self { batch: geometry.batch, source, target, padding, kernel, step, tiles })
    }

    /// The instructions to use now: those in force, but no vectors longer than the channels.
    pub(super) fn isa(&self) -> Isa {
        match isa() {
            Isa::Avx512 | Isa::Amx if self.source.channels.min(self.target.channels) < 16 => {
                Isa::Avx2
            }
            isa => isa,
        }
    }

    /// Rows of the whole batch.
    pub(super) fn rows(&self) -> usize {
        self.batch * self.tiles[0] * self.tiles[1]
    }

    /// Sums over the slower two axes that a row makes.
    pub(super) fn planes(&self) -> usize {
        extent(self.step[0]) * extent(self.step[1])
    }

    /// Values of a source line with zeros around it, up to what the last tile sees.
    pub(super) fn source_line(&self) -> usize {
        (2 * self.tiles[2] + 2) * self.source.channels
    }

    /// Values of a target line, up to what the last tile covers.
    pub(super) fn target_line(&self) -> usize {
        2 * self.tiles[2] * self.target.channels
    }

    /// Matrices of products: sums over all three axes.
    pub(super) fn matrices(&self) -> usize {
        4 * self.planes()
    }

    /// Values from one matrix of weights with so many columns to the next: its own, and a little, for
    /// the same reason as in [`pitch`].
    pub(super) fn matrix(&self, columns: usize) -> usize {
        pitch(self.source.channels * columns)
    }

    /// Sample, and the first target line along either axis, of a row.
    fn start(&self, row: usize) -> (usize, [usize; 2]) {
        let (y, rest) = (row % self.tiles[1], row / self.tiles[1]);
        let (z, n) = (rest % self.tiles[0], rest / self.tiles[0]);
        (n, [z * self.step[0], y * self.step[1]])
    }

    /// Source line `(z, y)` of those that a row sees, if there is one.
    pub(super) fn source_at(&self, row: usize, z: usize, y: usize) -> Option<usize> {
        let (n, start) = self.start(row);
        let z = (start[0] + z).checked_sub(self.padding[0])?;
        let y = (start[1] + y).checked_sub(self.padding[1])?;
        let inside = z < self.source.space[0] && y < self.source.space[1];
        inside.then(|| self.source.line_at(n, z, y))
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
        (n * self.tiles[0] + z / self.step[0]) * self.tiles[1] + y / self.step[1]
    }
}
