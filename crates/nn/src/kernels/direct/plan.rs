//! Which source voxels a destination voxel is made of.

use crate::geometry::{Geometry, three};
use crate::kernels::tile::Tile;

/// A convolution or its transpose, as seen from the destination: a sum over taps of source voxels.
///
/// Space has three axes here; leading ones stand in for those that are missing.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) batch: usize,
    pub(crate) groups: usize,
    pub(crate) source: Side,
    pub(crate) target: Side,
    pub(crate) kernel: [usize; 3],
    /// Whether the source is the coarse side, whose channels the weight lists first.
    pub(crate) source_is_coarse: bool,
    /// For the two slower axes: the source index of each (target index, tap), if there is one.
    reach: [Vec<Option<usize>>; 2],
    /// The last axis, in parts that are one matrix product each.
    pub(crate) strips: Vec<Strip>,
    /// The taps of the last axis, in the order in which strips use them.
    pub(crate) order: Vec<usize>,
    /// Zeros that the strips see before and after a source line.
    pub(crate) margin: (usize, usize),
}

/// One side of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) space: [usize; 3],
    pub(crate) channels: usize,
}

impl Side {
    /// Values of one line along the last axis.
    pub(crate) fn line(&self) -> usize {
        self.space[2] * self.channels
    }

    /// The number of the line at `(n, z, y)`.
    pub(crate) fn line_at(&self, n: usize, z: usize, y: usize) -> usize {
        (n * self.space[0] + z) * self.space[1] + y
    }
}

/// Voxels of a target line that see source voxels the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Strip {
    /// Target voxels: `start + step · i` for `i` below `count`.
    pub(crate) start: usize,
    pub(crate) step: usize,
    pub(crate) count: usize,
    /// Voxel `i` sees source voxels `source + source_step · i + t` for its taps `t`.
    pub(crate) source: isize,
    pub(crate) source_step: usize,
    /// The first tap, in [`Plan::order`], and how many follow each other.
    pub(crate) tap: usize,
    pub(crate) taps: usize,
}

impl Plan {
    /// The convolution: from the fine side to the coarse one.
    pub(crate) fn gather(geometry: &Geometry) -> Self {
        let axes = Axes::new(geometry);
        let reach = |axis: usize| {
            axes.table(axes.coarse[axis], axis, |target, tap| {
                let at = (target * axes.stride[axis] + tap * axes.dilation[axis])
                    .checked_sub(axes.padding[axis])?;
                (at < axes.fine[axis]).then_some(at)
            })
        };
        let strips = (0..axes.kernel[2])
            .map(|tap| Strip {
                start: 0,
                step: 1,
                count: axes.coarse[2],
                source: (tap * axes.dilation[2]).cast_signed() - axes.padding[2].cast_signed(),
                source_step: axes.stride[2],
                tap,
                taps: 1,
            })
            .collect();
        let source = Side { space: axes.fine, channels: geometry.fine_channels };
        let target = Side { space: axes.coarse, channels: geometry.coarse_channels };
        let reach = [reach(0), reach(1)];
        Self {
            source_is_coarse: false,
            ..Self::new(geometry, &axes, (source, target), reach, strips)
        }
    }

    /// The transposed convolution: from the coarse side to the fine one.
    pub(crate) fn scatter(geometry: &Geometry) -> Self {
        let axes = Axes::new(geometry);
        let reach = |axis: usize| {
            axes.table(axes.fine[axis], axis, |target, tap| {
                let at = (target + axes.padding[axis]).checked_sub(tap * axes.dilation[axis])?;
                let at = at.is_multiple_of(axes.stride[axis]).then(|| at / axes.stride[axis])?;
                (at < axes.coarse[axis]).then_some(at)
            })
        };
        let stride = axes.stride[2];
        let mut strips: Vec<Strip> = (0..axes.kernel[2])
            .filter_map(|tap| {
                // Target voxel `start + stride · i` sees source voxel `source + i` by this tap.
                let shift = (tap * axes.dilation[2]).cast_signed() - axes.padding[2].cast_signed();
                let start = shift.rem_euclid(stride.cast_signed()).cast_unsigned();
                let count = axes.fine[2].checked_sub(start)?.div_ceil(stride);
                let source = (start.cast_signed() - shift) / stride.cast_signed();
                let strip =
                    Strip { start, step: stride, count, source, source_step: 1, tap, taps: 1 };
                (count > 0).then_some(strip)
            })
            .collect();
        strips.sort_by_key(|strip| (strip.start, strip.source));
        let source = Side { space: axes.coarse, channels: geometry.coarse_channels };
        let target = Side { space: axes.fine, channels: geometry.fine_channels };
        let reach = [reach(0), reach(1)];
        Self {
            source_is_coarse: true,
            ..Self::new(geometry, &axes, (source, target), reach, strips)
        }
    }

    /// Numbers the taps in the order of their strips, and joins strips whose taps follow each other.
    fn new(
        geometry: &Geometry,
        axes: &Axes,
        (source, target): (Side, Side),
        reach: [Vec<Option<usize>>; 2],
        single: Vec<Strip>,
    ) -> Self {
        let order = single.iter().map(|strip| strip.tap).collect();
        let mut strips: Vec<Strip> = Vec::new();
        for (tap, strip) in single.into_iter().enumerate() {
            match strips.last_mut() {
                Some(last)
                    if last.start == strip.start
                        && strip.source == last.source + last.taps.cast_signed() =>
                {
                    last.taps += 1;
                }
                _ => strips.push(Strip { tap, ..strip }),
            }
        }
        let before = strips.iter().map(|strip| -strip.source).max().unwrap_or(0).max(0);
        let after = strips.iter().map(|strip| {
            let last = (strip.count - 1) * strip.source_step + strip.taps;
            strip.source + last.cast_signed() - source.space[2].cast_signed()
        });
        let after = after.max().unwrap_or(0).max(0);
        Self {
            batch: geometry.batch,
            groups: geometry.groups,
            source,
            target,
            kernel: axes.kernel,
            source_is_coarse: false,
            reach,
            strips,
            order,
            margin: (before.cast_unsigned(), after.cast_unsigned()),
        }
    }

    /// Whether each target voxel sees the source voxel of its own place, and no other.
    pub(crate) fn is_pointwise(&self) -> bool {
        let own = |axis: usize| {
            (0..self.target.space[axis]).all(|at| self.source_at(axis, at, 0) == Some(at))
        };
        let same = Strip {
            start: 0,
            step: 1,
            count: self.source.space[2],
            source: 0,
            source_step: 1,
            tap: 0,
            taps: 1,
        };
        self.kernel == [1; 3]
            && self.source.space == self.target.space
            && own(0)
            && own(1)
            && self.strips == [same]
    }

    /// The source index that `target` sees by `tap` along `axis`, 0 or 1.
    pub(crate) fn source_at(&self, axis: usize, target: usize, tap: usize) -> Option<usize> {
        self.reach[axis][target * self.kernel[axis] + tap]
    }

    /// The place of the source line that the target line at `(z, y)` sees by line `tap` of the taps.
    pub(super) fn sees(&self, [z, y]: [usize; 2], tap: usize) -> Option<[usize; 2]> {
        let taps = [tap / self.kernel[1], tap % self.kernel[1]];
        Some([self.source_at(0, z, taps[0])?, self.source_at(1, y, taps[1])?])
    }

    /// For each line of `tile` that sees a source line by line `tap` of the taps: its number in the
    /// tile, and the place of that source line.
    pub(super) fn seen(&self, tile: Tile, tap: usize) -> impl Iterator<Item = (usize, [usize; 2])> {
        let lines = tile.lines().enumerate();
        lines.filter_map(move |(line, at)| Some((line, self.sees(at, tap)?)))
    }

    /// The range of source indices that targets `from..to` see along `axis`, 0 or 1; empty where
    /// they see none.
    pub(crate) fn sources(&self, axis: usize, from: usize, to: usize) -> std::ops::Range<usize> {
        let taps = self.kernel[axis];
        let seen = self.reach[axis][from * taps..to * taps].iter().flatten();
        seen.fold(0..0, |range, &at| {
            if range.is_empty() { at..at + 1 } else { range.start.min(at)..range.end.max(at + 1) }
        })
    }
}

/// A geometry with three axes.
struct Axes {
    fine: [usize; 3],
    coarse: [usize; 3],
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: [usize; 3],
    dilation: [usize; 3],
}

impl Axes {
    fn new(geometry: &Geometry) -> Self {
        Self {
            fine: three(&geometry.fine, 1),
            coarse: three(&geometry.coarse, 1),
            kernel: three(&geometry.kernel, 1),
            stride: three(&geometry.stride, 1),
            padding: three(&geometry.padding, 0),
            dilation: three(&geometry.dilation, 1),
        }
    }

    /// What `of` says of each (target index, tap) along `axis`.
    fn table(
        &self,
        targets: usize,
        axis: usize,
        of: impl Fn(usize, usize) -> Option<usize>,
    ) -> Vec<Option<usize>> {
        let taps = self.kernel[axis];
        (0..targets * taps).map(|at| of(at / taps, at % taps)).collect()
    }
}
