//! Normalization.

use candle::Result;

use super::{Argument, BLOCK, Curve, Kind, Machine, Source, Variant};

/// Blocks that a tensor is divided into, where it is large enough.
const BLOCKS: usize = 2048;
/// Voxels that a thread reads at least, as long as there are that many.
const VOXELS: usize = 8;

/// Extents of a tensor `(N, *S, C)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) samples: usize,
    pub(crate) voxels: usize,
    pub(crate) channels: usize,
}

impl Extent {
    pub(crate) fn count(&self) -> usize {
        self.samples * self.voxels * self.channels
    }
}

/// Samples and channels whose values share one mean and one variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cells {
    pub(crate) samples: usize,
    pub(crate) channels: usize,
}

impl Cells {
    fn count(&self, extent: Extent) -> usize {
        extent.samples / self.samples * (extent.channels / self.channels)
    }
}

/// What standardizes the channels of each sample, `(N, C)` each, or `(C)` where samples share it.
#[derive(Debug)]
pub(crate) struct Standard<A> {
    pub(crate) mean: A,
    pub(crate) factor: A,
    pub(crate) shared: bool,
}

/// Statistics of a tensor: what standardizes it, and for each cell the mean and the mean square
/// deviation.
#[derive(Debug)]
pub(crate) struct Statistics<A> {
    pub(crate) standard: Standard<A>,
    pub(crate) mean: A,
    pub(crate) variance: A,
}

/// Scale and offset, `(C)` each, in f32; after the offsets, the slopes of curves that learn them.
#[derive(Debug)]
pub(crate) struct Scaling<'a, A> {
    pub(crate) weight: Option<&'a A>,
    pub(crate) bias: Option<&'a A>,
}

impl<A> Clone for Scaling<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Scaling<'_, A> {}

/// How the voxels of each sample are divided among blocks; it depends on extents alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Division {
    packs: usize,
    pub(super) slabs: usize,
    slab: usize,
    pub(super) blocks: usize,
}

impl Division {
    pub(super) fn new(extent: Extent, width: usize) -> Self {
        let packs = extent.channels / width;
        let lanes = packs.min(BLOCK);
        let (tiles, rows) = (packs.div_ceil(lanes), BLOCK / lanes);
        let wanted = (BLOCKS / (extent.samples * tiles)).max(1);
        let slab = extent.voxels.div_ceil(wanted).max(rows * VOXELS).next_multiple_of(rows);
        let slabs = extent.voxels.div_ceil(slab);
        Self { packs, slabs, slab, blocks: extent.samples * slabs * tiles }
    }

    /// The arguments voxels, packs, slabs and slab.
    pub(super) fn arguments<'a, A>(&self, extent: Extent) -> Result<[Argument<'a, A>; 4]> {
        Ok([
            Argument::index(extent.voxels)?,
            Argument::int(self.packs)?,
            Argument::int(self.slabs)?,
            Argument::int(self.slab)?,
        ])
    }
}

fn variant<M: Machine>(
    machine: &M,
    kind: Kind,
    extent: Extent,
    arrays: &[&M::Array],
    curve: u32,
) -> Variant {
    let count = extent.count();
    let variant = Variant::of(machine, Source::Norm, kind, extent.channels, arrays, count);
    Variant { curve, ..variant }
}

/// The statistics of `x`.
pub(crate) fn statistics<M: Machine>(
    machine: &M,
    kind: Kind,
    x: &M::Array,
    extent: Extent,
    cells: Cells,
    eps: f64,
) -> Result<Statistics<M::Array>> {
    let variant = variant(machine, kind, extent, &[x], 0);
    let division = Division::new(extent, variant.width);
    let parts = extent.samples * division.slabs * extent.channels;
    let mut means = machine.empty(Kind::F32, parts)?;
    let mut squares = machine.empty(Kind::F32, parts)?;
    let mut arguments =
        vec![Argument::Read(x), Argument::Write(&mut means), Argument::Write(&mut squares)];
    arguments.extend(division.arguments(extent)?);
    machine.launch(variant, "moments", division.blocks, arguments)?;

    let blocks = cells.count(extent);
    let mut cell_mean = machine.empty(Kind::F32, blocks)?;
    let mut cell_variance = machine.empty(Kind::F32, blocks)?;
    let mut mean = machine.empty(Kind::F32, extent.samples * extent.channels)?;
    let mut factor = machine.empty(Kind::F32, extent.samples * extent.channels)?;
    let arguments = vec![
        Argument::Read(&means),
        Argument::Read(&squares),
        Argument::Write(&mut cell_mean),
        Argument::Write(&mut cell_variance),
        Argument::Write(&mut mean),
        Argument::Write(&mut factor),
        Argument::index(extent.voxels)?,
        Argument::int(extent.channels)?,
        Argument::int(division.slabs)?,
        Argument::int(division.slab)?,
        Argument::int(cells.samples)?,
        Argument::int(cells.channels)?,
        Argument::Double(eps),
    ];
    machine.launch(variant, "cell_moments", blocks, arguments)?;
    let standard = Standard { mean, factor, shared: false };
    Ok(Statistics { standard, mean: cell_mean, variance: cell_variance })
}

impl<A> Standard<A> {
    /// How far apart the statistics of samples lie.
    fn stride(&self, extent: Extent) -> usize {
        if self.shared { 0 } else { extent.channels }
    }

    fn arguments<'a>(&'a self, scaling: Scaling<'a, A>) -> [Argument<'a, A>; 4] {
        [
            Argument::Read(&self.mean),
            Argument::Read(&self.factor),
            Argument::optional(scaling.weight),
            Argument::optional(scaling.bias),
        ]
    }
}

/// `act((x − mean) · factor · weight + bias)`.
pub(crate) fn normalize<M: Machine>(
    machine: &M,
    kind: Kind,
    x: &M::Array,
    extent: Extent,
    standard: &Standard<M::Array>,
    scaling: Scaling<'_, M::Array>,
    curve: Curve,
) -> Result<M::Array> {
    let mut y = machine.empty(kind, extent.count())?;
    let variant = variant(machine, kind, extent, &[x], curve.code);
    let division = Division::new(extent, variant.width);
    let mut arguments = vec![Argument::Read(x), Argument::Write(&mut y)];
    arguments.extend(standard.arguments(scaling));
    arguments.extend(division.arguments(extent)?);
    arguments.push(Argument::int(standard.stride(extent))?);
    arguments.push(Argument::Float(curve.setting));
    machine.launch(variant, "normalize", division.blocks, arguments)?;
    Ok(y)
}

/// For each channel of each sample, `(2, N, C)`: the sums over voxels of `δ` and of `δ · x̂`, where
/// `δ` is the gradient before the activation, and `x̂` the standardized input.
pub(crate) fn gradient_sums<M: Machine>(
    machine: &M,
    kind: Kind,
    (x, dy): (&M::Array, &M::Array),
    extent: Extent,
    standard: &Standard<M::Array>,
    scaling: Scaling<'_, M::Array>,
    curve: Curve,
) -> Result<M::Array> {
    let variant = variant(machine, kind, extent, &[x, dy], curve.code);
    let division = Division::new(extent, variant.width);
    let parts = 2 * extent.samples * division.slabs * extent.channels;
    let mut sums = machine.empty(Kind::F32, parts)?;
    let mut arguments = vec![Argument::Read(x), Argument::Read(dy), Argument::Write(&mut sums)];
    arguments.extend(standard.arguments(scaling));
    arguments.extend(division.arguments(extent)?);
    arguments.push(Argument::int(standard.stride(extent))?);
    arguments.push(Argument::int(extent.samples)?);
    arguments.push(Argument::Float(curve.setting));
    machine.launch(variant, "gradient_sums", division.blocks, arguments)?;
    super::channels::sum_parts(machine, &sums, 2 * extent.samples, division.slabs, extent.channels)
}

/// Sums `(2, N, C)` over the samples: `(2, C)`, the gradients of bias and weight.
pub(crate) fn over_samples<M: Machine>(
    machine: &M,
    sums: &M::Array,
    extent: Extent,
) -> Result<M::Array> {
    super::channels::sum_parts(machine, sums, 2, extent.samples, extent.channels)
}

/// What is subtracted from the gradient for mean and deviation being functions of the input,
/// `(2, N, C)`: from the sums, the means over cells of `δ · weight` and of `δ · weight · x̂`.
pub(crate) fn cell_gradients<M: Machine>(
    machine: &M,
    sums: &M::Array,
    weight: Option<&M::Array>,
    extent: Extent,
    cells: Cells,
) -> Result<M::Array> {
    let mut means = machine.empty(Kind::F32, 2 * extent.samples * extent.channels)?;
    let variant = variant(machine, Kind::F32, extent, &[], 0);
    let count = (cells.samples * cells.channels * extent.voxels) as f64;
    let arguments = vec![
        Argument::Read(sums),
        Argument::optional(weight),
        Argument::Write(&mut means),
        Argument::int(extent.samples)?,
        Argument::int(extent.channels)?,
        Argument::int(cells.samples)?,
        Argument::int(cells.channels)?,
        Argument::Double(count),
    ];
    machine.launch(variant, "cell_gradients", cells.count(extent), arguments)?;
    Ok(means)
}

/// The gradient with respect to the input: `factor · (δ · weight − mean₁ − x̂ · mean₂)`, where
/// `means` are those of [`cell_gradients`], or `None` where the statistics were given.
#[expect(clippy::too_many_arguments, reason = "those of the formula")]
pub(crate) fn input_gradient<M: Machine>(
    machine: &M,
    kind: Kind,
    (x, dy): (&M::Array, &M::Array),
    extent: Extent,
    standard: &Standard<M::Array>,
    scaling: Scaling<'_, M::Array>,
    means: Option<&M::Array>,
    curve: Curve,
) -> Result<M::Array> {
    let mut dx = machine.empty(kind, extent.count())?;
    let variant = variant(machine, kind, extent, &[x, dy], curve.code);
    let division = Division::new(extent, variant.width);
    let mut arguments = vec![
        Argument::Read(x),
        Argument::Read(dy),
        Argument::Write(&mut dx),
        Argument::optional(means),
    ];
    arguments.extend(standard.arguments(scaling));
    arguments.extend(division.arguments(extent)?);
    arguments.push(Argument::int(standard.stride(extent))?);
    arguments.push(Argument::int(extent.samples)?);
    arguments.push(Argument::Float(curve.setting));
    machine.launch(variant, "input_gradient", division.blocks, arguments)?;
    Ok(dx)
}
