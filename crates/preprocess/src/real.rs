//! Numbers: the two float types that kernels are written for, and the casts that lints watch.

/// `f32`, which data come in, or `f64`, which shows that a formula is right beyond rounding.
pub trait Real: ndarray::NdFloat + Default + sealed::Sealed {
    /// The nearest such number.
    fn of(value: f64) -> Self;

    /// The number itself, as `f64`.
    fn wide(self) -> f64;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        single(value)
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn wide(self) -> f64 {
        self
    }
}

/// The nearest `f32`.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is asked for")]
pub(crate) const fn single(value: f64) -> f32 {
    value as f32
}

/// A voxel index from a coordinate that is known to be whole; negative ones become 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast saturates, and voxel counts are far below 2^52"
)]
pub(crate) const fn index(value: f64) -> usize {
    value as usize
}

/// A signed voxel index from a coordinate that is known to be whole.
#[expect(clippy::cast_possible_truncation, reason = "a cast saturates")]
pub(crate) const fn signed(value: f64) -> isize {
    value as isize
}

/// A number of voxels as a signed offset.
#[expect(clippy::cast_possible_wrap, reason = "a grid has at most isize::MAX / 8 voxels")]
pub(crate) const fn offset(voxels: usize) -> isize {
    voxels as isize
}

/// A voxel's flat index, or one of a few patterns, in four bytes.
pub(crate) fn compact(index: usize) -> u32 {
    u32::try_from(index).expect("a case has fewer than 2^32 voxels")
}

/// A class index as labels hold it.
pub(crate) fn label(class: usize) -> u16 {
    u16::try_from(class).expect("classes are checked to be fewer than 2^16")
}

/// Kahan-free mean and population standard deviation, in two passes of `f64`.
pub(crate) fn mean_and_deviation<T: Real>(values: impl Iterator<Item = T> + Clone) -> (f64, f64) {
    let (mut count, mut sum) = (0usize, 0.0);
    for value in values.clone() {
        count += 1;
        sum += value.wide();
    }
    if count == 0 {
        return (0.0, 0.0);
    }
    let mean = sum / count as f64;
    let squares: f64 = values.map(|value| (value.wide() - mean).powi(2)).sum();
    (mean, (squares / count as f64).sqrt())
}
