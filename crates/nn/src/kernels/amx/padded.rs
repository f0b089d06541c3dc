//! Where source voxels lie, with zeros around them, so that all targets see all taps.

use super::sweep::Sweep;
use crate::kernels::direct::plan::Side;

/// Planes of voxels along the two faster axes, one for each place along the slowest.
///
/// Under a stride, lines are sorted by their remainder, and so are the voxels of a line: what neighboring
/// targets see by a tap then lies side by side. Target `(y, x)` of a plane is at `y · width + x` from what
/// the first one sees.
#[derive(Clone, Debug)]
pub(super) struct Padded {
    side: Side,
    /// The first source voxel along each axis, which may be before the first that there is.
    first: [isize; 3],
    stride: [usize; 3],
    pub(super) depth: usize,
    /// Lines of each remainder, and voxels of a line of each remainder.
    height: usize,
    pub(super) width: usize,
}

/// A line of voxels of one remainder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strip {
    /// The number of the source line, counted over the whole batch.
    pub(super) line: usize,
    /// The source voxel that comes first, those after it being [`Padded::step`] apart.
    pub(super) voxel: usize,
    /// Which of the places of the strip have voxels.
    pub(super) places: std::ops::Range<usize>,
}

impl Padded {
    pub(super) fn new(sweep: &Sweep) -> Self {
        let mut first = [0; 3];
        let mut extent = [1; 3];
        for axis in 0..3 {
            let seen = |class: &super::sweep::Class| {
                let reach = ((class.count - 1) * sweep.stride[axis]).cast_signed();
                class.taps.iter().map(move |&(_, at)| (at, at + reach)).collect::<Vec<_>>()
            };
            let seen: Vec<(isize, isize)> = sweep.axes[axis].iter().flat_map(seen).collect();
            let from = seen.iter().map(|&(from, _)| from).min().unwrap_or(0);
            let to = seen.iter().map(|&(_, to)| to).max().unwrap_or(0);
            first[axis] = from;
            extent[axis] = (to - from).unsigned_abs() + 1;
        }
        Self {
            side: sweep.source,
            first,
            stride: sweep.stride,
            depth: extent[0],
            height: extent[1].div_ceil(sweep.stride[1]),
            width: extent[2].div_ceil(sweep.stride[2]),
        }
    }

    /// Source voxels from one place of a strip to the next.
    pub(super) fn step(&self) -> usize {
        self.stride[2]
    }

    /// Strips of a plane.
    pub(super) fn strips(&self) -> usize {
        self.stride[1] * self.stride[2] * self.height
    }

    /// Places of a plane.
    pub(super) fn plane(&self) -> usize {
        self.strips() * self.width
    }

    /// Where the first target sees its source voxel by a tap: the plane, and the place in it.
    pub(super) fn place(&self, [z, y, x]: [isize; 3]) -> (usize, usize) {
        let [z, y, x] =
            [z - self.first[0], y - self.first[1], x - self.first[2]].map(isize::unsigned_abs);
        let ([_, high, wide], line) = (self.stride, self.height);
        let strip = (x % wide * high + y % high) * line + y / high;
        (z, strip * self.width + x / wide)
    }

    /// Strip number `strip` of plane `z` of sample `n`, if it has voxels.
    pub(super) fn strip(&self, n: usize, z: usize, strip: usize) -> Option<Strip> {
        let (line, rest) = (strip % self.height, strip / self.height);
        let (high, wide) = (rest % self.stride[1], rest / self.stride[1]);
        let [depth, height, width] = self.side.space;
        let inside = |at: isize, extent: usize| usize::try_from(at).ok().filter(|&at| at < extent);
        let z = inside(z.cast_signed() + self.first[0], depth)?;
        let y = (line * self.stride[1] + high).cast_signed() + self.first[1];
        let y = inside(y, height)?;
        // Place `i` has source voxel `from + step · i`.
        let (from, step) = (wide.cast_signed() + self.first[2], self.step());
        let skipped = (-from).max(0).unsigned_abs().div_ceil(step);
        let voxel = (from + (skipped * step).cast_signed()).unsigned_abs();
        let count = width.checked_sub(voxel)?.div_ceil(step);
        let places = skipped..(skipped + count).min(self.width);
        let line = self.side.line_at(n, z, y);
        (!places.is_empty()).then_some(Strip { line, voxel, places })
    }
}

/// Places next to each other, no more than a tile has: where they begin, and how many count.
pub(super) type Run = (usize, usize);

/// The places of `lines` lines of `count` targets, `width` places apart, in runs of `size`, whichever is
/// fewer: line by line, or across the ends of lines, where places without a target do not count.
pub(super) fn runs(lines: usize, count: usize, width: usize, size: usize) -> Vec<Run> {
    let all = (lines - 1) * width + count;
    let cut = |from: usize, length: usize| {
        (0..length).step_by(size).map(move |at| (from + at, size.min(length - at)))
    };
    if all.div_ceil(size) < lines * count.div_ceil(size) {
        return cut(0, all).collect();
    }
    (0..lines).flat_map(|line| cut(line * width, count)).collect()
}

/// The line and the target that a place belongs to, if there is one.
#[inline(always)]
pub(super) fn target(place: usize, count: usize, width: usize) -> Option<(usize, usize)> {
    let (line, at) = (place / width, place % width);
    (at < count).then_some((line, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lines_are_joined_and_long_ones_are_not() {
        assert_eq!(runs(2, 32, 34, 16), [(0, 16), (16, 16), (34, 16), (50, 16)]);
        assert_eq!(runs(4, 4, 6, 16), [(0, 16), (16, 6)]);
        assert_eq!(target(7, 4, 6), Some((1, 1)));
        assert_eq!(target(5, 4, 6), None);
    }
}
