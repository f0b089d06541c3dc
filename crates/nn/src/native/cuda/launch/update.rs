//! Steps of optimizers on many parameters at once.

use candle::{Result, bail};

use super::{Argument, Kind, Machine, Source, Variant, int};

/// Values that a block changes, as the source has it.
const PIECE: usize = 4096;
/// Tensors of a row of the table, as the source has it.
const COLUMNS: usize = 5;

/// A parameter, its gradient and its memory, all in f32, of `count` values each.
pub(crate) struct Row<'a, A> {
    pub(crate) value: &'a A,
    pub(crate) gradient: &'a A,
    pub(crate) memory: Vec<&'a A>,
    pub(crate) count: usize,
}

/// The numbers of a step with momentum, as the kernel has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Descent {
    pub(crate) decay: f32,
    pub(crate) momentum: f32,
    pub(crate) fresh: f32,
    pub(crate) nesterov: bool,
    pub(crate) first: bool,
    pub(crate) rate: f32,
}

/// The numbers of a step by running moments, as the kernel has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Adaption {
    pub(crate) decay: f32,
    pub(crate) shrink: f32,
    pub(crate) keep: [f32; 2],
    pub(crate) take: [f32; 2],
    pub(crate) unit: f32,
    pub(crate) eps: f32,
    pub(crate) amsgrad: bool,
    pub(crate) rate: f32,
}

/// Changes parameters and their memory in place, by gradient descent.
pub(crate) fn descend<M: Machine>(
    machine: &M,
    rows: &[Row<'_, M::Array>],
    step: &Descent,
) -> Result<()> {
    let numbers = vec![
        Argument::Float(step.decay),
        Argument::Float(step.momentum),
        Argument::Float(step.fresh),
        Argument::Int(step.nesterov.into()),
        Argument::Int(step.first.into()),
        Argument::Float(step.rate),
    ];
    change(machine, rows, "descend", numbers)
}

/// Changes parameters and their memory in place, by running moments.
pub(crate) fn adapt<M: Machine>(
    machine: &M,
    rows: &[Row<'_, M::Array>],
    step: &Adaption,
) -> Result<()> {
    let numbers = vec![
        Argument::Float(step.decay),
        Argument::Float(step.shrink),
        Argument::Float(step.keep[0]),
        Argument::Float(step.take[0]),
        Argument::Float(step.keep[1]),
        Argument::Float(step.take[1]),
        Argument::Float(step.unit),
        Argument::Float(step.eps),
        Argument::Int(step.amsgrad.into()),
        Argument::Float(step.rate),
    ];
    change(machine, rows, "adapt", numbers)
}

fn change<M: Machine>(
    machine: &M,
    rows: &[Row<'_, M::Array>],
    kernel: &'static str,
    numbers: Vec<Argument<'_, M::Array>>,
) -> Result<()> {
    let mut addresses = Vec::with_capacity(rows.len() * COLUMNS);
    let (mut counts, mut firsts, mut blocks) = (Vec::new(), Vec::new(), 0);
    for row in rows {
        if row.memory.len() + 2 > COLUMNS {
            bail!("{kernel} of a memory of {} tensors", row.memory.len());
        }
        let memory = row.memory.iter().copied().map(Some).chain([None; COLUMNS]);
        addresses.extend([Some(row.value), Some(row.gradient)]);
        addresses.extend(memory.take(COLUMNS - 2));
        counts.push(int(row.count)?);
        firsts.push(int(blocks)?);
        blocks += row.count.div_ceil(PIECE);
    }
    let table = machine.table(&addresses)?;
    counts.extend(firsts);
    let extents = machine.ints(&counts)?;
    let variant = Variant::of(machine, Source::Update, Kind::F32, 1, &[], 0);
    let mut arguments =
        vec![Argument::Read(&table), Argument::Read(&extents), Argument::int(rows.len())?];
    arguments.extend(numbers);
    machine.launch(variant, kernel, blocks, arguments)
}
