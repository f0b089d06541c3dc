//! Convolutions as products of matrices.
//!
//! A row of columns is what one coarse voxel sees of the fine grid. Columns are made in pieces of at
//! most so many bytes.

use std::ops::Range;

use candle::Result;

use super::layout::{Conversion, Rows, accumulate, copy_rows, narrow, transpose};
use super::{Argument, Factor, Kind, Machine, Source, Variant, blocks_for, ints, split};

/// Bytes of columns that are enough for a product to be fast.
pub(crate) const COLUMN_BYTES: usize = 256 << 20;

/// A convolution from a fine grid to a coarse one, with three axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grid {
    pub(crate) samples: usize,
    pub(crate) fine: [usize; 3],
    pub(crate) coarse: [usize; 3],
    pub(crate) kernel: [usize; 3],
    pub(crate) stride: [usize; 3],
    pub(crate) padding: [usize; 3],
    pub(crate) dilation: [usize; 3],
    pub(crate) fine_channels: usize,
    pub(crate) coarse_channels: usize,
    pub(crate) groups: usize,
}

impl Grid {
    pub(crate) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Voxels of all samples.
    pub(crate) fn fine_rows(&self) -> usize {
        self.samples * self.fine.iter().product::<usize>()
    }

    /// Voxels of all samples.
    pub(crate) fn coarse_rows(&self) -> usize {
        self.samples * self.coarse.iter().product::<usize>()
    }

    /// Fine and coarse channels of a group.
    pub(crate) fn of_group(&self) -> (usize, usize) {
        (self.fine_channels / self.groups, self.coarse_channels / self.groups)
    }

    /// Values of the weight.
    pub(crate) fn weights(&self) -> usize {
        self.coarse_channels * self.row()
    }

    /// Values of a row of columns.
    fn row(&self) -> usize {
        self.taps() * self.of_group().0
    }

    fn ints(&self) -> Result<[i32; 18]> {
        let Self { fine, coarse, kernel, stride, padding, dilation, .. } = self;
        ints(&[fine, coarse, kernel, stride, padding, dilation])
    }

    /// Coarse rows, in pieces whose columns are not too large.
    fn pieces(&self, kind: Kind, most: usize) -> impl Iterator<Item = Range<usize>> {
        let rows = self.coarse_rows();
        let piece = (most / (self.row() * kind.bytes())).clamp(1, rows.max(1));
        (0..rows).step_by(piece).map(move |first| first..(first + piece).min(rows))
    }

    /// The fine voxels that coarse rows may see.
    fn seen(&self, rows: &Range<usize>) -> Range<usize> {
        let sample: usize = self.coarse.iter().product();
        let voxels: usize = self.fine.iter().product();
        let (first, last) = (rows.start / sample, (rows.end - 1) / sample);
        if first != last {
            return first * voxels..(last + 1) * voxels;
        }
        let plane: usize = self.coarse[1..].iter().product();
        let (from, to) = (rows.start % sample / plane, (rows.end - 1) % sample / plane);
        let reach = to * self.stride[0] + (self.kernel[0] - 1) * self.dilation[0] + 1;
        let from = (from * self.stride[0]).saturating_sub(self.padding[0]).min(self.fine[0]);
        let to = reach.saturating_sub(self.padding[0]).clamp(from, self.fine[0]);
        let plane: usize = self.fine[1..].iter().product();
        first * voxels + from * plane..first * voxels + to * plane
    }

    fn variant<M: Machine>(
        &self,
        machine: &M,
        kind: Kind,
        array: &M::Array,
        rows: usize,
    ) -> Variant {
        let count = (self.fine_rows() * self.fine_channels)
            .max(rows * self.row())
            .max(self.coarse_rows() * self.coarse_channels);
        Variant::of(machine, Source::Columns, kind, self.of_group().0, &[array], count)
    }

    /// The arguments packs, first pack and packs of a group.
    fn packs<'a, A>(&self, width: usize, group: usize) -> Result<[Argument<'a, A>; 3]> {
        let channels = self.of_group().0;
        Ok([
            Argument::int(self.fine_channels / width)?,
            Argument::int(group * channels / width)?,
            Argument::int(channels / width)?,
        ])
    }
}

/// What coarse rows see of a group of the fine channels.
fn unfold<M: Machine>(
    machine: &M,
    kind: Kind,
    x: &M::Array,
    grid: &Grid,
    rows: &Range<usize>,
    group: usize,
) -> Result<M::Array> {
    let mut columns = machine.empty(kind, rows.len() * grid.row())?;
    let variant = grid.variant(machine, kind, x, rows.len());
    let setting = grid.ints()?;
    let count = rows.len() * grid.row() / variant.width;
    let mut arguments = vec![
        Argument::Read(x),
        Argument::Write(&mut columns),
        Argument::Ints(&setting),
        Argument::index(rows.start)?,
        Argument::index(count)?,
    ];
    arguments.extend(grid.packs(variant.width, group)?);
    machine.launch(variant, "unfold", blocks_for(count), arguments)?;
    Ok(columns)
}

/// Adds columns of coarse rows to what they were made of, `sums` in f32.
fn fold<M: Machine>(
    machine: &M,
    kind: Kind,
    (columns, sums): (&M::Array, &mut M::Array),
    grid: &Grid,
    rows: &Range<usize>,
    group: usize,
) -> Result<()> {
    let variant = grid.variant(machine, kind, columns, rows.len());
    let (setting, seen) = (grid.ints()?, grid.seen(rows));
    let count = seen.len() * grid.of_group().0 / variant.width;
    let mut arguments = vec![
        Argument::Read(columns),
        Argument::Write(sums),
        Argument::Ints(&setting),
        Argument::index(rows.start)?,
        Argument::index(rows.end)?,
        Argument::index(seen.start)?,
        Argument::index(count)?,
    ];
    arguments.extend(grid.packs(variant.width, group)?);
    machine.launch(variant, "fold", blocks_for(count), arguments)
}

/// The convolution of `x`, from the fine side to the coarse one; `weight` is packed.
pub(crate) fn gather<M: Machine>(
    machine: &M,
    kind: Kind,
    x: &M::Array,
    weight: &M::Array,
    grid: &Grid,
    most: usize,
) -> Result<M::Array> {
    let (stride, outputs) = (grid.coarse_channels, grid.of_group().1);
    let mut y = machine.empty(kind, grid.coarse_rows() * stride)?;
    for rows in grid.pieces(kind, most) {
        for group in 0..grid.groups {
            let columns = unfold(machine, kind, x, grid, &rows, group)?;
            let start = group * outputs * grid.row();
            let first = Factor { array: &columns, start: 0, transposed: false };
            let second = Factor { array: weight, start, transposed: true };
            let part = machine.product(first, second, [rows.len(), outputs, grid.row()])?;
            let here = Rows { stride: outputs, start: 0 };
            let there = Rows { stride, start: rows.start * stride + group * outputs };
            copy_rows(machine, kind, (&part, here), (&mut y, there), rows.len(), outputs)?;
        }
    }
    Ok(y)
}

/// The transposed convolution of `x`, from the coarse side to the fine one; `weight` is packed.
pub(crate) fn scatter<M: Machine>(
    machine: &M,
    kind: Kind,
    x: &M::Array,
    weight: &M::Array,
    grid: &Grid,
    most: usize,
) -> Result<M::Array> {
    let count = grid.fine_rows() * grid.fine_channels;
    let outputs = grid.of_group().1;
    let mut sums = machine.zeros(Kind::F32, count)?;
    for rows in grid.pieces(kind, most) {
        for group in 0..grid.groups {
            let part = group_of(machine, kind, x, grid, &rows, group)?;
            let start = group * outputs * grid.row();
            let second = Factor { array: weight, start, transposed: false };
            let columns = machine.product(
                part.factor(x, false),
                second,
                [rows.len(), grid.row(), outputs],
            )?;
            fold(machine, kind, (&columns, &mut sums), grid, &rows, group)?;
        }
    }
    narrow(machine, kind, sums, count)
}

/// The gradient of the packed weight, in f32.
pub(crate) fn of_weight<M: Machine>(
    machine: &M,
    kind: Kind,
    fine: &M::Array,
    coarse: &M::Array,
    grid: &Grid,
    most: usize,
) -> Result<M::Array> {
    let outputs = grid.of_group().1;
    let mut sums = machine.zeros(Kind::F32, grid.weights())?;
    for group in 0..grid.groups {
        let mut of_group = machine.zeros(Kind::F32, outputs * grid.row())?;
        for rows in grid.pieces(kind, most) {
            let part = group_of(machine, kind, coarse, grid, &rows, group)?;
            let columns = unfold(machine, kind, fine, grid, &rows, group)?;
            let second = Factor { array: &columns, start: 0, transposed: false };
            let extents = [outputs, grid.row(), rows.len()];
            let product = machine.product(part.factor(coarse, true), second, extents)?;
            accumulate(machine, kind, &product, &mut of_group, outputs * grid.row())?;
        }
        let there = Rows { stride: outputs * grid.row(), start: group * outputs * grid.row() };
        let here = Rows { start: 0, ..there };
        copy_rows(machine, Kind::F32, (&of_group, here), (&mut sums, there), 1, there.stride)?;
    }
    Ok(sums)
}

/// A group of the coarse channels of some rows: where they lie, or copied from there.
enum Group<A> {
    At(usize),
    Copied(A),
}

impl<A> Group<A> {
    fn factor<'a>(&'a self, all: &'a A, transposed: bool) -> Factor<'a, A> {
        match self {
            Self::At(start) => Factor { array: all, start: *start, transposed },
            Self::Copied(array) => Factor { array, start: 0, transposed },
        }
    }
}

fn group_of<M: Machine>(
    machine: &M,
    kind: Kind,
    coarse: &M::Array,
    grid: &Grid,
    rows: &Range<usize>,
    group: usize,
) -> Result<Group<M::Array>> {
    let (stride, channels) = (grid.coarse_channels, grid.of_group().1);
    if grid.groups == 1 {
        return Ok(Group::At(rows.start * stride));
    }
    let start = rows.start * stride + group * channels;
    split(machine, kind, coarse, rows.len(), (stride, start, channels)).map(Group::Copied)
}

/// A weight `(coarse channels, fine channels / groups, *K)`, in f32 or `kind`, as `kind` in the order
/// `(coarse channels, *K, fine channels / groups)`.
pub(crate) fn pack_weight<M: Machine>(
    machine: &M,
    kind: Kind,
    weight: &M::Array,
    of: Kind,
    grid: &Grid,
) -> Result<M::Array> {
    let conversion = if of == kind { Conversion::None } else { Conversion::Narrow };
    let extents = [grid.coarse_channels, grid.of_group().0, grid.taps()];
    transpose(machine, kind, weight, extents, conversion)
}

/// The gradient of a packed weight, in `kind`, as that of the weight, in f32.
pub(crate) fn unpack_gradient<M: Machine>(
    machine: &M,
    kind: Kind,
    gradient: &M::Array,
    grid: &Grid,
) -> Result<M::Array> {
    let extents = [grid.coarse_channels, grid.taps(), grid.of_group().0];
    transpose(machine, kind, gradient, extents, Conversion::Widen)
}
