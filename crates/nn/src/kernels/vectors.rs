//! Vectors of floats in slices.

use std::mem::MaybeUninit;

use pulp::Simd;

/// The vector at `at`.
///
/// # Panics
///
/// Where it does not lie in the slice.
#[inline(always)]
pub(super) fn load<S: Simd>(_: S, values: &[f32], at: usize) -> S::f32s {
    assert!(at <= values.len() && S::F32_LANES <= values.len() - at);
    #[expect(unsafe_code, reason = "a slice of vectors would have to start where the slice does")]
    // SAFETY: the vector lies in the slice; it may be read at any address of a float.
    unsafe {
        values.as_ptr().add(at).cast::<S::f32s>().read_unaligned()
    }
}

/// Writes the vector at `at`.
///
/// # Panics
///
/// Where it does not lie in the slice.
#[inline(always)]
pub(super) fn store<S: Simd>(_: S, values: &mut [f32], at: usize, vector: S::f32s) {
    assert!(at <= values.len() && S::F32_LANES <= values.len() - at);
    #[expect(unsafe_code, reason = "a slice of vectors would have to start where the slice does")]
    // SAFETY: the vector lies in the slice; it may be written at any address of a float.
    unsafe {
        values.as_mut_ptr().add(at).cast::<S::f32s>().write_unaligned(vector);
    }
}

/// The same, of values that nobody has written yet.
#[inline(always)]
pub(super) fn store_new<S: Simd>(
    _: S,
    values: &mut [MaybeUninit<f32>],
    at: usize,
    vector: S::f32s,
) {
    assert!(at <= values.len() && S::F32_LANES <= values.len() - at);
    #[expect(unsafe_code, reason = "a slice of vectors would have to start where the slice does")]
    // SAFETY: the vector lies in the slice; it may be written at any address of a float.
    unsafe {
        values.as_mut_ptr().add(at).cast::<S::f32s>().write_unaligned(vector);
    }
}

/// Where vectors start that cover `length` values, at least one vector of them: the last one overlaps
/// the one before where `length` is no multiple.
#[inline(always)]
pub(super) fn starts<S: Simd>(_: S, length: usize) -> impl Iterator<Item = usize> {
    let last = length - S::F32_LANES;
    (0..length.div_ceil(S::F32_LANES)).map(move |vector| (vector * S::F32_LANES).min(last))
}
