//! What a convolution reads, normalized as it is read.

use pulp::Simd;

use super::tiling::CHANNELS;
use crate::Act;
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
    pub(super) norm: Option<Normalizing>,
}

/// A normalization of each sample, and the slope of its activation where that is negative.
pub(super) struct Normalizing {
    pub(super) samples: Vec<Rows>,
    pub(super) slope: f32,
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
                    let slope = match norm.act {
                        Act::Identity => 1.0,
                        Act::Relu => 0.0,
                        Act::LeakyRelu(slope) => narrow(slope),
                        _ => return None,
                    };
                    let rows = |n| Rows::new(norm.standard, norm.scaling, part.channels, n, 1);
                    Some(Normalizing { samples: (0..batch).map(rows).collect(), slope })
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
pub(super) struct Normalized<'a> {
    pub(super) rows: &'a Rows,
    pub(super) slope: f32,
}

impl<S: Simd> Way<S> for Normalized<'_> {
    type At = [S::f32s; 3];

    #[inline(always)]
    fn at(&self, simd: S, at: usize) -> [S::f32s; 3] {
        let rows = self.rows;
        [load(simd, &rows.mean, at), load(simd, &rows.scale, at), load(simd, &rows.bias, at)]
    }

    #[inline(always)]
    fn apply(&self, simd: S, [mean, scale, bias]: [S::f32s; 3], x: S::f32s) -> S::f32s {
        let y = simd.add_f32s(simd.mul_f32s(simd.sub_f32s(x, mean), scale), bias);
        let sloped = simd.mul_f32s(y, simd.splat_f32s(self.slope));
        let positive = simd.less_than_f32s(simd.splat_f32s(0.0), y);
        simd.select_f32s(positive, y, sloped)
    }
}
