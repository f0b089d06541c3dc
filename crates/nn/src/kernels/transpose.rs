//! Channels from behind the voxels to before them, and back.

use std::mem::MaybeUninit;

use super::fresh::{in_new_columns, in_new_pieces};

/// Values of a block: few enough to stay in the nearest cache while they are read and written.
const BLOCK: usize = 1 << 12;

/// Voxels of a block.
fn block(channels: usize) -> usize {
    (BLOCK / channels.max(1)).max(16)
}

/// `(N, V, C)` as `(N, C, V)`.
pub(crate) fn channels_first<T: Copy + Send + Sync>(
    x: &[T],
    [samples, voxels, channels]: [usize; 3],
) -> Vec<T> {
    let run = |sample: usize, first: usize, columns: &mut [&mut [MaybeUninit<T>]]| {
        let x = &x[(sample * voxels + first) * channels..];
        for (channel, column) in columns.iter_mut().enumerate() {
            for (place, value) in column.iter_mut().zip(x[channel..].iter().step_by(channels)) {
                place.write(*value);
            }
        }
    };
    #[expect(unsafe_code, reason = "see `in_new_columns`")]
    // SAFETY: of each column, which is one of a channel, `run` writes as many values as there are
    // voxels from `first` on, and a column has no more.
    unsafe {
        in_new_columns([samples, channels, voxels], block(channels), run)
    }
}

/// `(N, C, V)` as `(N, V, C)`.
pub(crate) fn channels_last<T: Copy + Send + Sync>(
    x: &[T],
    [samples, voxels, channels]: [usize; 3],
) -> Vec<T> {
    let size = block(channels);
    let run = |number: usize, piece: &mut [MaybeUninit<T>]| {
        // A piece may begin in one sample and end in the next.
        let (mut sample, mut voxel) = (number * size / voxels, number * size % voxels);
        for values in piece.chunks_exact_mut(channels) {
            if voxel == voxels {
                (sample, voxel) = (sample + 1, 0);
            }
            let from = sample * channels * voxels + voxel;
            voxel += 1;
            for (place, value) in values.iter_mut().zip(x[from..].iter().step_by(voxels)) {
                place.write(*value);
            }
        }
    };
    #[expect(unsafe_code, reason = "see `in_new_pieces`")]
    // SAFETY: pieces are whole voxels, as the vector is, and `run` writes each channel of them: there
    // are as many values, one every `voxels`, from the voxel's first on.
    unsafe {
        in_new_pieces(samples * voxels * channels, size * channels.max(1), run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_sample_its_channel_and_its_voxel() {
        for [samples, voxels, channels] in
            [[2, 3, 4], [1, 5000, 3], [3, 1, 2], [2, 700, 1], [2, 40, 300], [0, 3, 2], [2, 0, 3]]
        {
            let of = |sample, voxel, channel| (sample * 7000 + voxel) * 400 + channel;
            let mut last = Vec::new();
            let mut first = Vec::new();
            for sample in 0..samples {
                for voxel in 0..voxels {
                    last.extend((0..channels).map(|channel| of(sample, voxel, channel)));
                }
                for channel in 0..channels {
                    first.extend((0..voxels).map(|voxel| of(sample, voxel, channel)));
                }
            }

            assert_eq!(channels_first(&last, [samples, voxels, channels]), first);
            assert_eq!(channels_last(&first, [samples, voxels, channels]), last);
        }
    }
}
