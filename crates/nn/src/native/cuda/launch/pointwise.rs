//! Activations, and maps along one axis.

use candle::Result;

use super::{Argument, Kind, Machine, Source, Variant, blocks_for};

/// An activation: its number in the source, and its slope or factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) code: u32,
    pub(crate) setting: f32,
}

fn variant<M: Machine>(machine: &M, kind: Kind, arrays: &[&M::Array], curve: Curve) -> Variant {
    // Whatever is left of whole packs is taken one by one.
    let whole = 16 / kind.bytes();
    let variant = Variant::of(machine, Source::Act, kind, whole, arrays, 0);
    Variant { curve: curve.code, ..variant }
}

/// The activation of `count` values.
pub(crate) fn activate<M: Machine>(
    machine: &M,
    kind: Kind,
    x: &M::Array,
    count: usize,
    curve: Curve,
) -> Result<M::Array> {
    let mut y = machine.empty(kind, count)?;
    let variant = Variant { wide: count > super::NARROW, ..variant(machine, kind, &[x], curve) };
    let arguments = vec![
        Argument::Read(x),
        Argument::Write(&mut y),
        Argument::index(count)?,
        Argument::Float(curve.setting),
    ];
    machine.launch(variant, "activate", blocks_for(count.div_ceil(variant.width)), arguments)?;
    Ok(y)
}

/// The gradient of an activation of `count` values.
pub(crate) fn activate_gradient<M: Machine>(
    machine: &M,
    kind: Kind,
    (x, dy): (&M::Array, &M::Array),
    count: usize,
    curve: Curve,
) -> Result<M::Array> {
    let mut dx = machine.empty(kind, count)?;
    let variant =
        Variant { wide: count > super::NARROW, ..variant(machine, kind, &[x, dy], curve) };
    let arguments = vec![
        Argument::Read(x),
        Argument::Read(dy),
        Argument::Write(&mut dx),
        Argument::index(count)?,
        Argument::Float(curve.setting),
    ];
    let blocks = blocks_for(count.div_ceil(variant.width));
    machine.launch(variant, "activate_gradient", blocks, arguments)?;
    Ok(dx)
}

/// A sparse matrix: output `o` has the terms from `starts[o]` to `starts[o + 1]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Terms {
    pub(crate) starts: Vec<i32>,
    pub(crate) inputs: Vec<i32>,
    pub(crate) weights: Vec<f32>,
}

/// The map along the middle axis of `x`, `(outer, extent, inner)`.
pub(crate) fn map_axis<M: Machine>(
    machine: &M,
    kind: Kind,
    x: &M::Array,
    [outer, extent, inner]: [usize; 3],
    terms: &Terms,
) -> Result<M::Array> {
    let outputs = terms.starts.len() - 1;
    let mut y = machine.empty(kind, outer * outputs * inner)?;
    let largest = outer * inner * outputs.max(extent);
    let variant = Variant::of(machine, Source::Axis, kind, inner, &[x], largest);
    let (starts, inputs) = (machine.ints(&terms.starts)?, machine.ints(&terms.inputs)?);
    let weights = machine.floats(&terms.weights)?;
    let packs = inner / variant.width;
    let count = outer * outputs * packs;
    let arguments = vec![
        Argument::Read(x),
        Argument::Write(&mut y),
        Argument::Read(&starts),
        Argument::Read(&inputs),
        Argument::Read(&weights),
        Argument::int(extent)?,
        Argument::int(outputs)?,
        Argument::index(packs)?,
        Argument::index(count)?,
    ];
    machine.launch(variant, "map_axis", blocks_for(count), arguments)?;
    Ok(y)
}
