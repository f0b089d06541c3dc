//! Sums over all but channels, and what is added to each channel.

use candle::Result;

use super::norm::Division;
use super::{Argument, Extent, Kind, Machine, Source, Variant, blocks_for};

/// The sums of each channel over `rows` rows of `x`, `(C)`, in f32.
pub(crate) fn channel_sums<M: Machine>(
    machine: &M,
    kind: Kind,
    x: &M::Array,
    rows: usize,
    channels: usize,
) -> Result<M::Array> {
    let extent = Extent { samples: 1, voxels: rows, channels };
    let count = extent.count();
    let variant = Variant::of(machine, Source::Channels, kind, channels, &[x], count);
    let division = Division::new(extent, variant.width);
    let mut sums = machine.empty(Kind::F32, division.slabs * channels)?;
    let mut arguments = vec![Argument::Read(x), Argument::Write(&mut sums)];
    arguments.extend(division.arguments(extent)?);
    machine.launch(variant, "slab_sums", division.blocks, arguments)?;
    sum_parts(machine, &sums, 1, division.slabs, channels)
}

/// The sums over the parts of `(outer, parts, channels)`.
pub(super) fn sum_parts<M: Machine>(
    machine: &M,
    values: &M::Array,
    outer: usize,
    parts: usize,
    channels: usize,
) -> Result<M::Array> {
    let mut sums = machine.empty(Kind::F32, outer * channels)?;
    let count = outer * parts * channels;
    let variant = Variant::of(machine, Source::Channels, Kind::F32, 1, &[], count);
    let arguments = vec![
        Argument::Read(values),
        Argument::Write(&mut sums),
        Argument::int(parts)?,
        Argument::int(channels)?,
    ];
    machine.launch(variant, "sum_parts", outer * channels.div_ceil(32), arguments)?;
    Ok(sums)
}

/// Adds `bias`, `(C)` in f32, to each of `rows` rows of `y`.
pub(crate) fn add_bias<M: Machine>(
    machine: &M,
    kind: Kind,
    y: &mut M::Array,
    bias: &M::Array,
    rows: usize,
    channels: usize,
) -> Result<()> {
    let count = rows * channels;
    let variant = Variant::of(machine, Source::Channels, kind, channels, &[y], count);
    let packs = channels / variant.width;
    let arguments = vec![
        Argument::Write(y),
        Argument::Read(bias),
        Argument::index(rows * packs)?,
        Argument::int(packs)?,
    ];
    machine.launch(variant, "add_bias", blocks_for(rows * packs), arguments)
}
