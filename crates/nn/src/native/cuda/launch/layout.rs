//! The order of values.

use candle::Result;

use super::{Argument, Kind, Machine, Source, Variant, blocks_for};

/// How matrices change their type when they are transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conversion {
    /// Not at all.
    None,
    /// From f32.
    Narrow,
    /// To f32.
    Widen,
}

/// Matrices `(batch, rows, columns)` as `(batch, columns, rows)`.
pub(super) fn transpose<M: Machine>(
    machine: &M,
    kind: Kind,
    from: &M::Array,
    [batch, rows, columns]: [usize; 3],
    conversion: Conversion,
) -> Result<M::Array> {
    let (result, kernel) = match conversion {
        Conversion::None => (kind, "transpose"),
        Conversion::Narrow => (kind, "transpose_narrow"),
        Conversion::Widen => (Kind::F32, "transpose_widen"),
    };
    let count = batch * rows * columns;
    let mut to = machine.empty(result, count)?;
    let variant = Variant::of(machine, Source::Layout, kind, 1, &[], count);
    let arguments = vec![
        Argument::Read(from),
        Argument::Write(&mut to),
        Argument::int(rows)?,
        Argument::int(columns)?,
    ];
    let blocks = batch * rows.div_ceil(32) * columns.div_ceil(32);
    machine.launch(variant, kernel, blocks, arguments)?;
    Ok(to)
}

/// Where rows lie in a matrix: how far apart they are, and where the first begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) stride: usize,
    pub(super) start: usize,
}

/// Copies `rows` rows of `width` values.
pub(super) fn copy_rows<M: Machine>(
    machine: &M,
    kind: Kind,
    (from, here): (&M::Array, Rows),
    (to, there): (&mut M::Array, Rows),
    rows: usize,
    width: usize,
) -> Result<()> {
    let extents = [width, here.stride, here.start, there.stride, there.start];
    let most = 16 / kind.bytes();
    let step = if extents.iter().all(|extent| extent.is_multiple_of(most)) { most } else { 1 };
    let largest = rows * here.stride.max(there.stride) + here.start.max(there.start);
    let variant = Variant::of(machine, Source::Layout, kind, step, &[from, to], largest);
    let [width, from_stride, from_start, to_stride, to_start] =
        extents.map(|extent| extent / variant.width);
    let arguments = vec![
        Argument::Read(from),
        Argument::Write(to),
        Argument::index(rows * width)?,
        Argument::int(width)?,
        Argument::index(from_stride)?,
        Argument::index(from_start)?,
        Argument::index(to_stride)?,
        Argument::index(to_start)?,
    ];
    machine.launch(variant, "copy_rows", blocks_for(rows * width), arguments)
}

/// `rows` rows of two arrays, of so many channels, side by side.
pub(crate) fn concat<M: Machine>(
    machine: &M,
    kind: Kind,
    parts: [(&M::Array, usize); 2],
    rows: usize,
) -> Result<M::Array> {
    let stride = parts[0].1 + parts[1].1;
    let mut joined = machine.empty(kind, rows * stride)?;
    let mut start = 0;
    for (part, channels) in parts {
        let (here, there) = (Rows { stride: channels, start: 0 }, Rows { stride, start });
        copy_rows(machine, kind, (part, here), (&mut joined, there), rows, channels)?;
        start += channels;
    }
    Ok(joined)
}

/// So many channels of `rows` rows of `stride` channels, from channel `start` on.
pub(crate) fn split<M: Machine>(
    machine: &M,
    kind: Kind,
    from: &M::Array,
    rows: usize,
    (stride, start, channels): (usize, usize, usize),
) -> Result<M::Array> {
    let mut part = machine.empty(kind, rows * channels)?;
    let (here, there) = (Rows { stride, start }, Rows { stride: channels, start: 0 });
    copy_rows(machine, kind, (from, here), (&mut part, there), rows, channels)?;
    Ok(part)
}

/// `values` in f32 as another type.
pub(super) fn narrow<M: Machine>(
    machine: &M,
    kind: Kind,
    values: M::Array,
    count: usize,
) -> Result<M::Array> {
    if kind == Kind::F32 {
        return Ok(values);
    }
    let mut to = machine.empty(kind, count)?;
    let variant = Variant::of(machine, Source::Layout, kind, 1, &[], count);
    let arguments =
        vec![Argument::Read(&values), Argument::Write(&mut to), Argument::index(count)?];
    machine.launch(variant, "narrow", blocks_for(count), arguments)?;
    Ok(to)
}

/// Adds `values` to `sums`, which are f32.
pub(super) fn accumulate<M: Machine>(
    machine: &M,
    kind: Kind,
    values: &M::Array,
    sums: &mut M::Array,
    count: usize,
) -> Result<()> {
    let variant = Variant::of(machine, Source::Layout, kind, 1, &[], count);
    let arguments = vec![Argument::Read(values), Argument::Write(sums), Argument::index(count)?];
    machine.launch(variant, "accumulate", blocks_for(count), arguments)
}
