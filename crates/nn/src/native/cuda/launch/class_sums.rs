//! Sums over voxels, for each sample and class, of what losses compare.

use candle::Result;

use super::channels::sum_parts;
use super::{Argument, BLOCK, Kind, Machine, Source, Variant, blocks_for};

/// Voxels of a thread, as the source has it.
const EACH: usize = 8;

/// What is summed, of logits `(samples, classes, voxels)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassSums {
    pub(crate) samples: usize,
    pub(crate) classes: usize,
    pub(crate) voxels: usize,
    /// Whether each class is by itself.
    pub(crate) alone: bool,
    /// How many sums there are.
    pub(crate) count: usize,
    /// The number of what is summed, and its exponents.
    pub(crate) kind: i32,
    pub(crate) exponents: [f32; 2],
    /// Bounds of probabilities and of their logarithms.
    pub(crate) bounds: [f32; 4],
}

/// What is compared.
pub(crate) struct Compared<'a, A> {
    pub(crate) x: &'a A,
    /// f32, as large as the logits, or else indices, i32.
    pub(crate) shares: Option<&'a A>,
    pub(crate) indices: Option<&'a A>,
    /// f32.
    pub(crate) weight: Option<&'a A>,
}

impl<'a, A> Compared<'a, A> {
    fn arguments(&self) -> Vec<Argument<'a, A>> {
        let Self { x, shares, indices, weight } = *self;
        vec![
            Argument::Read(x),
            Argument::optional(shares),
            Argument::optional(indices),
            Argument::optional(weight),
        ]
    }
}

impl ClassSums {
    fn variant<M: Machine>(&self, machine: &M, kind: Kind) -> Variant {
        let count = self.samples * self.classes * self.voxels;
        Variant::of(machine, Source::ClassSums, kind, 1, &[], count)
    }

    fn summand<A>(&self) -> Result<Vec<Argument<'_, A>>> {
        let mut all = vec![
            Argument::Int(self.alone.into()),
            Argument::int(self.count)?,
            Argument::Int(self.kind),
        ];
        all.extend(self.exponents.into_iter().chain(self.bounds).map(Argument::Float));
        Ok(all)
    }
}

/// The sums, `(count, samples, classes)` in f32.
pub(crate) fn class_sums<M: Machine>(
    machine: &M,
    kind: Kind,
    compared: &Compared<'_, M::Array>,
    sums: &ClassSums,
) -> Result<M::Array> {
    let ClassSums { samples, classes, voxels, count, .. } = *sums;
    let slabs = voxels.div_ceil(BLOCK * EACH);
    let mut parts = machine.empty(Kind::F32, count * samples * slabs * classes)?;
    let mut arguments = compared.arguments();
    arguments.extend([
        Argument::Write(&mut parts),
        Argument::index(voxels)?,
        Argument::int(classes)?,
        Argument::int(samples)?,
        Argument::int(slabs)?,
    ]);
    arguments.extend(sums.summand()?);
    machine.launch(sums.variant(machine, kind), "class_sums", samples * slabs, arguments)?;
    sum_parts(machine, &parts, count * samples, slabs, classes)
}

/// The gradient with respect to the logits, of the sums each times its factor, `(count, samples, classes)`
/// in f32.
pub(crate) fn class_sums_gradient<M: Machine>(
    machine: &M,
    kind: Kind,
    compared: &Compared<'_, M::Array>,
    factors: &M::Array,
    sums: &ClassSums,
) -> Result<M::Array> {
    let ClassSums { samples, classes, voxels, .. } = *sums;
    let mut dx = machine.empty(kind, samples * classes * voxels)?;
    let mut arguments = compared.arguments();
    arguments.extend([
        Argument::Read(factors),
        Argument::Write(&mut dx),
        Argument::index(voxels)?,
        Argument::int(classes)?,
        Argument::int(samples)?,
    ]);
    arguments.extend(sums.summand()?);
    let variant = sums.variant(machine, kind);
    machine.launch(variant, "class_sums_gradient", blocks_for(samples * voxels), arguments)?;
    Ok(dx)
}
