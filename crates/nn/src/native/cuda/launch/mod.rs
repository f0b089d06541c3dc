//! What is launched for each operation: kernels with their grids and arguments, whatever runs them.
//!
//! Nothing here knows of a device. A [`Machine`] is one, or it runs the sources of the kernels on the
//! CPU, which is how a test proves them together with this code where there is no device; for that
//! test's sake, these files know of no other either.

mod channels;
mod class_sums;
mod columns;
mod layout;
mod norm;
mod pointwise;
mod pool;
mod softmax;
mod update;

use candle::{Result, bail};

pub(crate) use self::channels::{add_bias, channel_sums};
pub(crate) use self::class_sums::{ClassSums, Compared, class_sums, class_sums_gradient};
pub(crate) use self::columns::{
    COLUMN_BYTES, Grid, gather, of_weight, pack_weight, scatter, unpack_gradient,
};
pub(crate) use self::layout::{concat, split};
pub(crate) use self::norm::{
    Cells, Extent, Scaling, Standard, Statistics, cell_gradients, gradient_sums, input_gradient,
    normalize, over_samples, statistics,
};
pub(crate) use self::pointwise::{Curve, Terms, activate, activate_gradient, map_axis};
pub(crate) use self::pool::{Windows, max_pool, max_pool_gradient};
pub(crate) use self::softmax::{Along, softmax, softmax_gradient};
pub(crate) use self::update::{Adaption, Descent, Row, adapt, descend};

/// Threads of a block, as the sources have it.
const BLOCK: usize = 256;
/// Blocks that share values one by one; more would have too little to do.
const MOST_BLOCKS: usize = 1 << 14;
/// Values that a 32-bit index reaches, with room for the step past the end.
const NARROW: usize = 1 << 30;

/// Types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    F32,
    Bf16,
    F16,
    I32,
}

impl Kind {
    /// Bytes of a value.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }
}

/// A file of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Act,
    Axis,
    Channels,
    ClassSums,
    Columns,
    Layout,
    Norm,
    Pool,
    Softmax,
    Update,
}

impl Source {
    /// The name of the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Act => "act.cu",
            Self::Axis => "axis.cu",
            Self::Channels => "channels.cu",
            Self::ClassSums => "class_sums.cu",
            Self::Columns => "columns.cu",
            Self::Layout => "layout.cu",
            Self::Norm => "norm.cu",
            Self::Pool => "pool.cu",
            Self::Softmax => "softmax.cu",
            Self::Update => "update.cu",
        }
    }

    /// What the file says.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Act => include_str!("../sources/act.cu"),
            Self::Axis => include_str!("../sources/axis.cu"),
            Self::Channels => include_str!("../sources/channels.cu"),
            Self::ClassSums => concat!(
                "#define FUNCTION DEVICE\n#define EXP expf\n#define LOG logf\n",
                include_str!("../../class_terms.inc"),
                include_str!("../sources/class_sums.cu"),
            ),
            Self::Columns => include_str!("../sources/columns.cu"),
            Self::Layout => include_str!("../sources/layout.cu"),
            Self::Norm => include_str!("../sources/norm.cu"),
            Self::Pool => include_str!("../sources/pool.cu"),
            Self::Softmax => include_str!("../sources/softmax.cu"),
            Self::Update => include_str!("../sources/update.cu"),
        }
    }
}

/// What comes before each file: the name of its own file, and what that says.
pub(crate) const PRELUDE: [(&str, &str); 2] = [
    ("prelude.cu", include_str!("../sources/prelude.cu")),
    ("curve.cu", include_str!("../sources/curve.cu")),
];

/// A file of kernels, and what it is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Variant {
    pub(crate) source: Source,
    /// The type of activations.
    pub(crate) kind: Kind,
    /// Activations that a thread loads at once.
    pub(crate) width: usize,
    /// Whether indices have 64 bits.
    pub(crate) wide: bool,
    /// The number of the activation.
    pub(crate) curve: u32,
}

impl Variant {
    /// For rows of `row` values of `arrays`, of which the largest has `count`.
    fn of<M: Machine>(
        machine: &M,
        source: Source,
        kind: Kind,
        row: usize,
        arrays: &[&M::Array],
        count: usize,
    ) -> Self {
        let most = 16 / kind.bytes();
        let fits = row.is_multiple_of(most) && arrays.iter().all(|array| machine.is_aligned(array));
        let width = if fits { most } else { 1 };
        Self { source, kind, width, wide: count > NARROW, curve: 0 }
    }
}

/// An argument of a kernel.
pub(crate) enum Argument<'a, A> {
    /// Values that are read.
    Read(&'a A),
    /// Values that are written.
    Write(&'a mut A),
    /// No values.
    Null,
    Int(i32),
    /// An int, or 64 bits where indices are wide.
    Index(i64),
    Float(f32),
    Double(f64),
    /// A structure of ints.
    Ints(&'a [i32]),
}

impl<'a, A> Argument<'a, A> {
    fn int(value: usize) -> Result<Self> {
        int(value).map(Self::Int)
    }

    fn index(value: usize) -> Result<Self> {
        match i64::try_from(value) {
            Ok(value) => Ok(Self::Index(value)),
            Err(_) => bail!("{value} values are too many"),
        }
    }

    fn optional(array: Option<&'a A>) -> Self {
        array.map_or(Self::Null, Self::Read)
    }
}

/// Part of a matrix product: values from `start` on, row by row, or column by column.
pub(crate) struct Factor<'a, A> {
    pub(crate) array: &'a A,
    pub(crate) start: usize,
    pub(crate) transposed: bool,
}

/// Whatever has arrays and runs kernels on them, one after the other.
pub(crate) trait Machine {
    /// Values of one type.
    type Array;

    /// `count` values, whatever they are.
    fn empty(&self, kind: Kind, count: usize) -> Result<Self::Array>;

    /// `count` zeros.
    fn zeros(&self, kind: Kind, count: usize) -> Result<Self::Array>;

    /// These ints.
    fn ints(&self, values: &[i32]) -> Result<Self::Array>;

    /// These floats.
    fn floats(&self, values: &[f32]) -> Result<Self::Array>;

    /// Where these arrays begin, nowhere for none. A kernel may read and write them: whoever has a table
    /// made vouches that they live until the kernel is launched, and that nothing else uses what it writes
    /// but in launches before and after.
    fn table(&self, arrays: &[Option<&Self::Array>]) -> Result<Self::Array>;

    /// Whether 16 bytes can be loaded at once from where `array` begins.
    fn is_aligned(&self, array: &Self::Array) -> bool;

    /// Runs `kernel` of `variant` on `blocks` blocks.
    fn launch(
        &self,
        variant: Variant,
        kernel: &'static str,
        blocks: usize,
        arguments: Vec<Argument<'_, Self::Array>>,
    ) -> Result<()>;

    /// The product `(m, n)` of two matrices `(m, k)` and `(k, n)`, of the type that they have.
    fn product(
        &self,
        first: Factor<'_, Self::Array>,
        second: Factor<'_, Self::Array>,
        extents: [usize; 3],
    ) -> Result<Self::Array>;
}

fn int(value: usize) -> Result<i32> {
    match i32::try_from(value) {
        Ok(value) => Ok(value),
        Err(_) => bail!("{value} is more than a kernel counts"),
    }
}

fn ints<const N: usize>(values: &[&[usize]]) -> Result<[i32; N]> {
    let mut all = [0; N];
    for (to, &value) in all.iter_mut().zip(values.iter().copied().flatten()) {
        *to = int(value)?;
    }
    Ok(all)
}

/// Blocks for `count` threads, each of which may take several turns.
fn blocks_for(count: usize) -> usize {
    count.div_ceil(BLOCK).clamp(1, MOST_BLOCKS)
}
