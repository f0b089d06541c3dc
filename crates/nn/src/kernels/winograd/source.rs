//! What a convolution reads, normalized as it is read.

use pulp::Simd;

use super::tiling::CHANNELS;
use crate::Act;
use crate::activation::Form;
use crate::kernels::channels::narrow;
use crate::kernels::element::Values;
use crate::kernels::norm::Rows;
use crate::kernels::reading::Part;
use crate::kernels::vectors::load;

/// The channels of one tensor or more, side by side.
pub(crate) struct Source<'a> {
    pub(super) parts: Vec<Reads<'a>>,
}

/// Some of the channels.
pub(super) struct Reads<'a> {
    pub(super) values: Values<'a>,
    pub(super) channels: usize,
    /// The place of the first of them among all.
    pub(super) first: usize,
    /// The normalization of each sample, whose activation is a leaky ReLU with slopes `bends`.
    pub(super) norm: Option<Vec<Rows>>,
}

impl<'a> Source<'a> {
    /// Of `batch` samples; `None` where parts have few channels, or an activation takes more than a
    /// few instructions, which would be spent on each voxel again and again.
    pub(crate) fn new(parts: &[Part<'a>], batch: usize) -> Option<Self> {
        let mut first = 0;
        let read = |part: &Part<'a>| {
            let norm = match part.norm {
                None => None,
                Some(norm) => {
                    let slope = match norm.form {
                        Form::Act(Act::Identity) => Some(1.0),
                        Form::Act(Act::Relu) => Some(0.0),
                        Form::Act(Act::LeakyRelu(slope)) => Some(narrow(slope)),
                        Form::Prelu => None,
                        _ => return None,
                    };
                    let rows = |n| {
                        let mut rows = Rows::new(norm.standard, norm.scaling, part.channels, n, 1);
                        if let Some(slope) = slope {
                            rows.bends.fill(slope);
                        }
                        rows
                    };
                    Some((0..batch).map(rows).collect())
                }
            };
            let reads = Reads { values: part.values, channels: part.channels, first, norm };
            first += part.channels;
            (part.channels >= CHANNELS).then_some(reads)
        };
        let parts = parts.iter().map(read).collect::<Option<_>>()?;
        Some(Self { parts })
    }

    /// As they are.
    pub(crate) fn plain(values: &'a [f32], channels: usize) -> Self {
        let values = Values::F32(values);
        Self { parts: vec![Reads { values, channels, first: 0, norm: None }] }
    }

    /// The fewest channels of a part.
    pub(super) fn least(&self) -> usize {
        self.parts.iter().map(|part| part.channels).min().unwrap_or(0)
    }
}

/// How a vector of channels is read.
pub(super) trait Way<S: Simd> {
    /// What is done to channels from `at` on.
    type At: Copy;
    fn at(&self, simd: S, at: usize) -> Self::At;
    fn apply(&self, simd: S, at: Self::At, x: S::f32s) -> S::f32s;
}

/// As it is.
pub(super) struct Plain;

impl<S: Simd> Way<S> for Plain {
    type At = ();

    #[inline(always)]
    fn at(&self, _: S, _: usize) {}

    #[inline(always)]
    fn apply(&self, _: S, (): (), x: S::f32s) -> S::f32s {
        x
    }
}

/// Normalized.
pub(super) struct Normalized<'a>(pub(super) &'a Rows);

impl<S: Simd> Way<S> for Normalized<'_> {
    type At = [S::f32s; 4];

    #[inline(always)]
    fn at(&self, simd: S, at: usize) -> [S::f32s; 4] {
        let Rows { mean, scale, bias, bends, .. } = self.0;
        [load(simd, mean, at), load(simd, scale, at), load(simd, bias, at), load(simd, bends, at)]
    }

    #[inline(always)]
    fn apply(&self, simd: S, [mean, scale, bias, bend]: Self::At, x: S::f32s) -> S::f32s {
        let y = simd.add_f32s(simd.mul_f32s(simd.sub_f32s(x, mean), scale), bias);
        let positive = simd.less_than_f32s(simd.splat_f32s(0.0), y);
        simd.select_f32s(positive, y, simd.mul_f32s(y, bend))
    }
}
