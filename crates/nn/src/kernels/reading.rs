//! What a convolution reads: the channels of one or more tensors side by side, each normalized on the
//! way where it is to be.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use super::act::{Curve as _, with_curve};
use super::element::{Element, Values, with_values};
use super::fresh::in_new_pieces;
use super::norm::{Extent, Rows, Scaling, Standard, normalize};
use crate::activation::Form;
use crate::isa::isa;

/// A tensor `(N, *S, C)`, and what is done to it as it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) values: Values<'a>,
    pub(crate) channels: usize,
    pub(crate) norm: Option<Norm<'a>>,
}

/// A normalization whose statistics are known, and the activation after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm<'a> {
    pub(crate) standard: &'a Standard,
    pub(crate) scaling: Scaling<'a>,
    pub(crate) form: Form,
}

/// The parts side by side, of `batch` samples of `voxels` voxels.
pub(crate) fn read<'a>(parts: &[Part<'a>], batch: usize, voxels: usize) -> Cow<'a, [f32]> {
    if let [part] = parts {
        let Some(Norm { standard, scaling, form }) = part.norm else {
            return part.values.widened();
        };
        let extent = Extent { batch, voxels, channels: part.channels };
        return Cow::Owned(
            with_values!(part.values, x => normalize(x, extent, standard, scaling, form)),
        );
    }
    let channels = parts.iter().map(|part| part.channels).sum();
    let extent = Extent { batch, voxels, channels };
    let rows: Vec<Vec<Rows>> = parts.iter().map(|part| rows_of(part, batch)).collect();
    let run = |task: usize, joined: &mut [MaybeUninit<f32>]| {
        let from = task * extent.task();
        for (n, range) in extent.parts(task, joined.len()) {
            let voxels = range.start / channels..range.end / channels;
            let joined = &mut joined[range.start - from..range.end - from];
            let mut first = 0;
            for (part, rows) in parts.iter().zip(&rows) {
                let from = voxels.start * part.channels;
                let to = (first, channels);
                with_values!(part.values, x => beside(part, rows.get(n), &x[from..], joined, to));
                first += part.channels;
            }
        }
    };
    #[expect(unsafe_code, reason = "see `in_new_pieces`")]
    // SAFETY: the ranges of a task are all of its values, whole voxels, and the parts have all of the
    // channels, each of which `beside` writes.
    Cow::Owned(unsafe { in_new_pieces(batch * voxels * channels, extent.task(), run) })
}

fn rows_of(part: &Part<'_>, batch: usize) -> Vec<Rows> {
    let Some(norm) = part.norm else { return Vec::new() };
    (0..batch).map(|n| Rows::new(norm.standard, norm.scaling, part.channels, n, 1)).collect()
}

/// Writes the channels of `part` into those of `joined` from `first` on, of `all` channels.
fn beside<T: Element>(
    part: &Part<'_>,
    rows: Option<&Rows>,
    values: &[T],
    joined: &mut [MaybeUninit<f32>],
    (first, all): (usize, usize),
) {
    let to = joined.chunks_exact_mut(all).map(|voxel| &mut voxel[first..first + part.channels]);
    let voxels = to.zip(values.chunks_exact(part.channels));
    let (Some(rows), Some(norm)) = (rows, part.norm) else {
        return voxels.for_each(|(to, from)| {
            for (to, from) in to.iter_mut().zip(from) {
                to.write(from.widen());
            }
        });
    };
    with_curve!(norm.form, curve => isa().run(|| {
        for (to, from) in voxels {
            let affine = rows.mean.iter().zip(&rows.scale).zip(&rows.bias).zip(&rows.bends);
            for ((to, &x), (((&mean, &scale), &bias), &bend)) in
                to.iter_mut().zip(from).zip(affine)
            {
                to.write(curve.value((x.widen() - mean) * scale + bias, bend));
            }
        }
    }));
}
