//! Softmax and its logarithm.

use candle::Result;

use super::{Argument, Kind, Machine, Source, Variant, blocks_for};

/// Over the middle axis of a tensor `(outer, classes, inner)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Along {
    pub(crate) outer: usize,
    pub(crate) classes: usize,
    pub(crate) inner: usize,
    /// Whether the logarithm is asked for.
    pub(crate) logarithm: bool,
}

impl Along {
    fn launch<M: Machine>(
        self,
        machine: &M,
        kind: Kind,
        kernel: &'static str,
        mut arguments: Vec<Argument<'_, M::Array>>,
    ) -> Result<()> {
        let count = self.outer * self.inner;
        let variant = Variant::of(machine, Source::Softmax, kind, 1, &[], count * self.classes);
        arguments.extend([
            Argument::index(count)?,
            Argument::int(self.classes)?,
            Argument::index(self.inner)?,
            Argument::Int(self.logarithm.into()),
        ]);
        machine.launch(variant, kernel, blocks_for(count), arguments)
    }
}

/// The softmax of `x`, or its logarithm.
pub(crate) fn softmax<M: Machine>(
    machine: &M,
    kind: Kind,
    x: &M::Array,
    along: Along,
) -> Result<M::Array> {
    let mut y = machine.empty(kind, along.outer * along.classes * along.inner)?;
    let arguments = vec![Argument::Read(x), Argument::Write(&mut y)];
    along.launch(machine, kind, "softmax", arguments)?;
    Ok(y)
}

/// The gradient with respect to the input, from the result and its gradient.
pub(crate) fn softmax_gradient<M: Machine>(
    machine: &M,
    kind: Kind,
    (y, dy): (&M::Array, &M::Array),
    along: Along,
) -> Result<M::Array> {
    let mut dx = machine.empty(kind, along.outer * along.classes * along.inner)?;
    let arguments = vec![Argument::Read(y), Argument::Read(dy), Argument::Write(&mut dx)];
    along.launch(machine, kind, "softmax_gradient", arguments)?;
    Ok(dx)
}
