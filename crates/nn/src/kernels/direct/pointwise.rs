//! Convolutions of single voxels: one matrix product.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use crate::isa::isa;
use crate::kernels::fresh::in_new_pieces;
use crate::kernels::product::{Left, Right, Sum, product};
use crate::kernels::scratch::with_scratch;

use super::panels::Panels;
use super::plan::Plan;
use super::tiles::write;

/// Voxels of a task: a multiple of every block of rows of a product.
const VOXELS: usize = 192;

pub(super) fn convolve(
    plan: &Plan,
    source: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let isa = isa();
    let panels = Panels::new(isa, plan, weight, bias);
    let voxels = source.len() / plan.source.channels;
    let piece = VOXELS * panels.channels;
    let run = |index: usize, target: &mut [MaybeUninit<f32>]| {
        let source = &source[index * VOXELS * plan.source.channels..];
        with_scratch(VOXELS * panels.width, |sums| {
            isa.run(Piece { plan, panels: &panels, source, sums, target });
        });
    };
    #[expect(unsafe_code, reason = "see `in_new_pieces`")]
    // SAFETY: `write` writes all channels of a panel, for each panel.
    unsafe {
        in_new_pieces(voxels * panels.channels, piece, run)
    }
}

struct Piece<'a> {
    plan: &'a Plan,
    panels: &'a Panels,
    source: &'a [f32],
    sums: &'a mut [f32],
    target: &'a mut [MaybeUninit<f32>],
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, panels, source, sums, target } = self;
        let (inputs, outputs) = (plan.source.channels, panels.channels);
        let voxels = target.len() / outputs;
        for panel in 0..panels.count() {
            let vectors = panels.columns(panel).div_ceil(S::F32_LANES);
            let sums = &mut sums[..voxels * panels.width];
            for voxel in sums.chunks_exact_mut(panels.width) {
                voxel.copy_from_slice(panels.bias(panel));
            }
            product(
                simd,
                (voxels, inputs, vectors),
                Left { values: source, row: inputs, step: 1 },
                Right { values: panels.weights(panel), panel: 0, step: panels.width },
                &mut Sum { values: sums, row: panels.width, add: true },
            );
            write(simd, panels, panel, sums, target);
        }
    }
}
