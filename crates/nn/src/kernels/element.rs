//! What values are stored as: single precision, or its upper half. Arithmetic is in single precision.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use candle::{CpuStorage, DType};
use half::bf16;
use pulp::Simd;

use super::fresh::in_new_pieces;
use super::vectors::load;
use crate::isa::isa;

/// A type that values are stored as.
pub(crate) trait Element: Copy + Send + Sync {
    fn widen(self) -> f32;

    /// The nearest value of this type.
    fn of(value: f32) -> Self;

    /// The nearest bf16.
    fn halved(self) -> bf16;

    /// The vector at `at`, in single precision.
    #[inline(always)]
    fn load<S: Simd>(simd: S, values: &[Self], at: usize) -> S::f32s {
        let mut wide = [0.0; 16];
        for (wide, value) in wide.iter_mut().zip(&values[at..at + S::F32_LANES]) {
            *wide = value.widen();
        }
        load(simd, &wide, 0)
    }
}

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, values: &[Self], at: usize) -> S::f32s {
        load(simd, values, at)
    }

    #[inline(always)]
    fn of(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn halved(self) -> bf16 {
        narrow(self)
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn of(value: f32) -> Self {
        narrow(value)
    }

    #[inline(always)]
    fn halved(self) -> bf16 {
        self
    }
}

/// The nearest of the fewer values, ties to even; NaN stays NaN.
#[inline(always)]
fn narrow(value: f32) -> bf16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    // Without a branch, so that loops become vector operations.
    let kept = if value.is_nan() { bits | 0x40_0000 } else { rounded };
    bf16::from_bits((kept >> 16) as u16)
}

/// Values as they are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

/// Calls `$run` with the slice that `$values` is.
macro_rules! with_values {
    ($values:expr, $x:ident => $run:expr) => {
        match $values {
            $crate::kernels::element::Values::F32($x) => $run,
            $crate::kernels::element::Values::Bf16($x) => $run,
        }
    };
}
pub(crate) use with_values;

/// Values that one task converts.
const TASK: usize = 1 << 14;

impl<'a> Values<'a> {
    /// In single precision.
    pub(crate) fn widened(self) -> Cow<'a, [f32]> {
        match self {
            Self::F32(values) => Cow::Borrowed(values),
            Self::Bf16(values) => Cow::Owned(map(values, Element::widen)),
        }
    }
}

/// The values, stored as `dtype`: single precision, unless it is the upper half.
pub(crate) fn stored(values: Vec<f32>, dtype: DType) -> CpuStorage {
    if dtype != DType::BF16 {
        return CpuStorage::F32(values);
    }
    CpuStorage::BF16(map(&values, narrow))
}

/// What `of` makes of each value.
fn map<T: Copy + Sync, U: Copy + Send>(values: &[T], of: impl Fn(T) -> U + Sync) -> Vec<U> {
    let isa = isa();
    let run = |task: usize, made: &mut [MaybeUninit<U>]| {
        isa.run(|| {
            for (made, &value) in made.iter_mut().zip(&values[task * TASK..]) {
                made.write(of(value));
            }
        });
    };
    #[expect(unsafe_code, reason = "see `in_new_pieces`")]
    // SAFETY: a piece has no more values than are left.
    unsafe {
        in_new_pieces(values.len(), TASK, run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_as_the_crate_half_does() {
        let mut bits = 1u32;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = f32::from_bits(bits);
            let (ours, theirs) = (narrow(value), bf16::from_f32(value));
            assert!(ours == theirs || (ours.is_nan() && theirs.is_nan()), "{value}");
        }
        for value in [0.0, -0.0, 1.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            assert_eq!(narrow(value), bf16::from_f32(value));
        }
        assert!(narrow(f32::from_bits(0x7f80_0001)).is_nan());
    }

    #[test]
    fn stored_values_are_widened_back() {
        let values: Vec<f32> = (0..40_000).map(|at| at as f32 / 256.0 - 60.0).collect();
        let CpuStorage::BF16(kept) = stored(values.clone(), DType::BF16) else { panic!("type") };

        let wide = Values::Bf16(&kept).widened();

        for (value, wide) in values.iter().zip(&*wide) {
            assert!((value - wide).abs() <= value.abs() / 256.0, "{value} {wide}");
        }
    }
}
