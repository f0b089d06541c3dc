//! Sums over voxels, and channels side by side.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::fresh::in_new_pieces;

/// Values that one task adds up.
const TASK: usize = 1 << 16;

/// The sum over all voxels of each of `channels` channels.
pub(crate) fn sums(values: &[f32], channels: usize) -> Vec<f32> {
    let rows = (TASK / channels).max(1);
    let partial: Vec<Vec<f64>> = values
        .par_chunks(rows * channels)
        .map(|chunk| {
            let mut total = vec![0.0; channels];
            // Few enough rows that single precision loses nothing that matters.
            for block in chunk.chunks(64 * channels) {
                let mut sum = vec![0f32; channels];
                for voxel in block.chunks_exact(channels) {
                    for (sum, value) in sum.iter_mut().zip(voxel) {
                        *sum += value;
                    }
                }
                for (total, sum) in total.iter_mut().zip(sum) {
                    *total += f64::from(sum);
                }
            }
            total
        })
        .collect();
    (0..channels).map(|channel| narrow(partial.iter().map(|sum| sum[channel]).sum())).collect()
}

/// The nearest f32.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is asked for")]
pub(crate) fn narrow(value: f64) -> f32 {
    value as f32
}

/// The channels of two tensors side by side.
pub(crate) fn join(parts: [&[f32]; 2], channels: [usize; 2]) -> Vec<f32> {
    let both = channels[0] + channels[1];
    let rows = (TASK / both).max(1);
    let run = |task: usize, joined: &mut [MaybeUninit<f32>]| {
        let from =
            |part: usize| parts[part][task * rows * channels[part]..].chunks_exact(channels[part]);
        for ((voxel, first), second) in joined.chunks_exact_mut(both).zip(from(0)).zip(from(1)) {
            voxel[..channels[0]].write_copy_of_slice(first);
            voxel[channels[0]..].write_copy_of_slice(second);
        }
    };
    #[expect(unsafe_code, reason = "see `in_new_pieces`")]
    // SAFETY: a piece is whole voxels, and both parts have as many.
    unsafe {
        in_new_pieces(parts[0].len() + parts[1].len(), rows * both, run)
    }
}

/// `count` of the channels of a tensor, from `start` on.
pub(crate) fn slice(values: &[f32], channels: usize, start: usize, count: usize) -> Vec<f32> {
    let rows = (TASK / channels).max(1);
    let run = |task: usize, sliced: &mut [MaybeUninit<f32>]| {
        let from = values[task * rows * channels..].chunks_exact(channels);
        for (voxel, from) in sliced.chunks_exact_mut(count).zip(from) {
            voxel.write_copy_of_slice(&from[start..start + count]);
        }
    };
    #[expect(unsafe_code, reason = "see `in_new_pieces`")]
    // SAFETY: a piece is whole voxels, and there are as many as in `values`.
    unsafe {
        in_new_pieces(values.len() / channels * count, rows * count, run)
    }
}
