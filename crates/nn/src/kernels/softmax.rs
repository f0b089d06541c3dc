//! Softmax and its logarithm, over vectors of voxels.

use std::mem::MaybeUninit;

use super::fresh::in_new_columns;
use crate::isa::isa;
use crate::softmax::Along;

/// Values of a tile of classes and voxels: few enough to stay in the nearest cache.
const TILE: usize = 1 << 12;
/// Voxels of a tile, at most and at least.
const MOST: usize = 256;
const FEWEST: usize = 16;

/// The softmax of `x`, or its logarithm.
pub(crate) fn values(x: &[f32], shape: Along) -> Vec<f32> {
    in_tiles([x], shape, |[x], tile, voxels| {
        let mut most = [f32::NEG_INFINITY; MOST];
        let mut sum = [0f32; MOST];
        let (most, sum) = (&mut most[..voxels], &mut sum[..voxels]);
        most.copy_from_slice(&x[..voxels]);
        for row in x.chunks_exact(voxels).skip(1) {
            for (most, &value) in most.iter_mut().zip(row) {
                *most = if value > *most { value } else { *most };
            }
        }
        for (row, made) in x.chunks_exact(voxels).zip(tile.chunks_exact_mut(voxels)) {
            for (((made, &value), &most), sum) in
                made.iter_mut().zip(row).zip(&*most).zip(&mut *sum)
            {
                let shifted = value - most;
                let part = exp(shifted);
                *made = if shape.logarithm { shifted } else { part };
                *sum += part;
            }
        }
        for sum in &mut *sum {
            *sum = if shape.logarithm { ln(*sum) } else { 1.0 / *sum };
        }
        for made in tile.chunks_exact_mut(voxels) {
            for (made, &sum) in made.iter_mut().zip(&*sum) {
                *made = if shape.logarithm { *made - sum } else { *made * sum };
            }
        }
    })
}

/// The gradient with respect to the input, from the result `y` and its gradient: `dy − p Σ dy` of the
/// logarithm, `p (dy − Σ p dy)` of `p` itself.
pub(crate) fn gradient(y: &[f32], dy: &[f32], shape: Along) -> Vec<f32> {
    in_tiles([y, dy], shape, |[y, dy], tile, voxels| {
        let mut sum = [0f32; MOST];
        let sum = &mut sum[..voxels];
        for (y, dy) in y.chunks_exact(voxels).zip(dy.chunks_exact(voxels)) {
            for ((sum, &y), &dy) in sum.iter_mut().zip(y).zip(dy) {
                *sum += if shape.logarithm { dy } else { y * dy };
            }
        }
        let rows = y.chunks_exact(voxels).zip(dy.chunks_exact(voxels));
        for (made, (y, dy)) in tile.chunks_exact_mut(voxels).zip(rows) {
            for (((made, &y), &dy), &sum) in made.iter_mut().zip(y).zip(dy).zip(&*sum) {
                *made = if shape.logarithm { dy - exp(y) * sum } else { y * (dy - sum) };
            }
        }
    })
}

/// What `of` writes into tiles, `(classes, voxels)`, given those of the inputs and how many voxels they
/// have.
fn in_tiles<const N: usize>(
    inputs: [&[f32]; N],
    Along { outer, classes, inner, .. }: Along,
    of: impl Fn([&[f32]; N], &mut [f32], usize) + Sync,
) -> Vec<f32> {
    let isa = isa();
    // Where classes lie side by side, all voxels are as one sample.
    let side_by_side = inner == 1;
    let (samples, voxels) = if side_by_side { (1, outer) } else { (outer, inner) };
    let most = (TILE / classes).clamp(FEWEST, MOST);
    let run = |sample: usize, first: usize, columns: &mut [&mut [MaybeUninit<f32>]]| {
        isa.run(|| {
            let values: usize = columns.iter().map(|column| column.len()).sum();
            let count = values / classes;
            let mut read = inputs.map(|_| vec![0f32; values]);
            for (tile, input) in read.iter_mut().zip(inputs) {
                let rows = tile.chunks_exact_mut(count).enumerate();
                if side_by_side {
                    let input = &input[first * classes..][..values];
                    for (class, row) in rows {
                        for (value, voxel) in row.iter_mut().zip(input.chunks_exact(classes)) {
                            *value = voxel[class];
                        }
                    }
                } else {
                    for (class, row) in rows {
                        let from = (sample * classes + class) * inner + first;
                        row.copy_from_slice(&input[from..][..count]);
                    }
                }
            }
            let mut tile = vec![0f32; values];
            of(read.each_ref().map(|tile| &**tile), &mut tile, count);
            match columns {
                [all] if side_by_side => {
                    for (voxel, made) in all.chunks_exact_mut(classes).enumerate() {
                        for (class, made) in made.iter_mut().enumerate() {
                            made.write(tile[class * count + voxel]);
                        }
                    }
                }
                _ => {
                    for (column, row) in columns.iter_mut().zip(tile.chunks_exact(count)) {
                        column.write_copy_of_slice(row);
                    }
                }
            }
        });
    };
    // A column is what a tile has of a row.
    let (rows, unit) = if side_by_side { (1, classes) } else { (classes, 1) };
    #[expect(unsafe_code, reason = "see `in_new_columns`")]
    // SAFETY: a tile has as many values as its columns, each of which is written whole: one of all
    // classes of its voxels, or one for each class.
    unsafe {
        in_new_columns([samples, rows, voxels * unit], most * unit, |sample, first, columns| {
            run(sample, first / unit, columns);
        })
    }
}

/// `eˣ` for `x` of at most 0, to two units in the last place; 0 where it would be subnormal. NaN stays NaN.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Its last bits are the nearest integer to `x log₂ e`.
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    // The rest, by a logarithm of 2 in two parts, of which the first has few digits.
    let rest = x - power * 0.693_359_4 - power * -2.121_944_4e-4;
    let mut sum = 1.987_569_1e-4;
    for factor in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
        sum = sum * rest + factor;
    }
    let near = sum * rest * rest + rest + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1f32.to_bits()));
    if x < -87.0 { 0.0 } else { near * scale }
}

/// Rounds what is added to it to an integer.
const ROUND: f32 = 12_582_912.0;

/// Has small integers in its last bits.
const COUNT: f32 = 8_388_608.0;

/// `ln x` for `x` of at least 1, to two units in the last place; NaN and infinity stay what they are.
#[inline(always)]
pub(super) fn ln(x: f32) -> f32 {
    // `x` is 2 to a power, times what is nearest to 1.
    let bits = x.to_bits().wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits());
    let power = f32::from_bits(bits >> 23 | COUNT.to_bits()) - COUNT;
    let near = f32::from_bits((bits & 0x7f_ffff) + std::f32::consts::FRAC_1_SQRT_2.to_bits()) - 1.0;
    let square = near * near;
    let mut sum = 7.037_683_6e-2;
    for factor in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        sum = sum * near + factor;
    }
    let tail = sum * near * square + power * -2.121_944_4e-4 - 0.5 * square;
    let sum = near + tail + power * 0.693_359_4;
    if x < f32::INFINITY { sum } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_and_logarithms_are_right_to_the_last_digits() {
        let mut x = 0f32;
        while x > -87.0 {
            let exact = f64::from(x).exp();
            assert!(
                (f64::from(exp(x)) - exact).abs() <= 2.0 * f64::from(f32::EPSILON) * exact,
                "{x}"
            );
            let above = 1.0 + exp(x) * 3.0;
            let exact = f64::from(above).ln();
            let found = f64::from(ln(above));
            assert!(
                (found - exact).abs() <= 2.0 * f64::from(f32::EPSILON) * exact,
                "{above} {found}"
            );
            x -= 0.003_7;
        }
        for whole in 1..5000 {
            let x = whole as f32 * 1.37;
            let exact = f64::from(x).ln();
            assert!((f64::from(ln(x)) - exact).abs() <= 2e-7 * exact.max(0.1), "{x}");
        }
        assert_eq!((exp(0.0), exp(-0.0), exp(-90.0), exp(f32::NEG_INFINITY)), (1.0, 1.0, 0.0, 0.0));
        assert_eq!((ln(1.0), ln(f32::INFINITY)), (0.0, f32::INFINITY));
        assert!(exp(f32::NAN).is_nan() && ln(f32::NAN).is_nan());
    }
}
