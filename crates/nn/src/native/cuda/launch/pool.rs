//! The largest value of each window.

use candle::Result;

use super::{Argument, Kind, Machine, Source, Variant, blocks_for, ints};

/// A pooling with three axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) samples: usize,
    pub(crate) channels: usize,
    pub(crate) input: [usize; 3],
    pub(crate) output: [usize; 3],
    pub(crate) kernel: [usize; 3],
    pub(crate) stride: [usize; 3],
    pub(crate) padding: [usize; 3],
}

impl Windows {
    fn ints(&self) -> Result<[i32; 15]> {
        ints(&[&self.input, &self.output, &self.kernel, &self.stride, &self.padding])
    }

    fn inputs(&self) -> usize {
        self.samples * self.input.iter().product::<usize>() * self.channels
    }

    fn outputs(&self) -> usize {
        self.samples * self.output.iter().product::<usize>() * self.channels
    }

    fn variant<M: Machine>(&self, machine: &M, kind: Kind, array: &M::Array) -> Variant {
        let count = self.inputs().max(self.outputs());
        Variant::of(machine, Source::Pool, kind, self.channels, &[array], count)
    }
}

/// The largest values.
pub(crate) fn max_pool<M: Machine>(
    machine: &M,
    kind: Kind,
    x: &M::Array,
    windows: &Windows,
) -> Result<M::Array> {
    let mut y = machine.empty(kind, windows.outputs())?;
    pool(machine, kind, x, windows, [Argument::Write(&mut y), Argument::Null])?;
    Ok(y)
}

fn pool<M: Machine>(
    machine: &M,
    kind: Kind,
    x: &M::Array,
    windows: &Windows,
    results: [Argument<'_, M::Array>; 2],
) -> Result<()> {
    let variant = windows.variant(machine, kind, x);
    let (setting, count) = (windows.ints()?, windows.outputs() / variant.width);
    let mut arguments = vec![Argument::Read(x)];
    arguments.extend(results);
    arguments.push(Argument::Ints(&setting));
    arguments.push(Argument::index(count)?);
    arguments.push(Argument::int(windows.channels / variant.width)?);
    machine.launch(variant, "max_pool", blocks_for(count), arguments)
}

/// The gradient with respect to the input.
pub(crate) fn max_pool_gradient<M: Machine>(
    machine: &M,
    kind: Kind,
    (x, dy): (&M::Array, &M::Array),
    windows: &Windows,
) -> Result<M::Array> {
    let mut taps = machine.empty(Kind::I32, windows.outputs())?;
    pool(machine, kind, x, windows, [Argument::Null, Argument::Write(&mut taps)])?;
    let mut dx = machine.empty(kind, windows.inputs())?;
    let variant = windows.variant(machine, kind, dy);
    let (setting, count) = (windows.ints()?, windows.inputs() / variant.width);
    let arguments = vec![
        Argument::Read(&taps),
        Argument::Read(dy),
        Argument::Write(&mut dx),
        Argument::Ints(&setting),
        Argument::index(count)?,
        Argument::int(windows.channels / variant.width)?,
    ];
    machine.launch(variant, "max_pool_gradient", blocks_for(count), arguments)?;
    Ok(dx)
}
