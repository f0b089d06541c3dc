//! The instructions that this folder is about.

use half::bf16;

/// Rows of a tile.
pub(super) const ROWS: usize = 16;
/// Values of bf16 in a row of a tile.
pub(super) const VALUES: usize = 32;

/// A row of a tile in memory, where a row of the cache begins.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [bf16; VALUES]);

impl Default for Line {
    fn default() -> Self {
        Self([bf16::ZERO; VALUES])
    }
}

/// The values of all lines, one after the other.
pub(super) fn flat(lines: &[Line]) -> &[bf16] {
    #[expect(unsafe_code, reason = "no safe way from a slice of wrapped arrays to one of values")]
    // SAFETY: a line is its values, `repr(C)`, as many as fill its alignment: there is nothing between.
    unsafe {
        std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * VALUES)
    }
}

/// Sums of a tile.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [[f32; ROWS]; ROWS]);

impl Sums {
    pub(super) const ZERO: Self = Self([[0.0; ROWS]; ROWS]);
}

/// Eight tiles of 16 rows of 64 bytes. Dropped, they are given back.
pub(super) trait Tiles {
    /// What one must have to use them.
    type Grant: Copy + Send + Sync;

    /// Tiles for this thread, all zeros.
    fn configure(grant: Self::Grant) -> Self;

    /// Sets a tile to zero.
    fn zero<const TILE: usize>(&mut self);

    /// Reads a tile of bf16, whose first row is at `at` and whose rows are `step` values apart.
    ///
    /// # Panics
    ///
    /// Where it does not lie in `values`.
    fn load<const TILE: usize>(&mut self, values: &[bf16], at: usize, step: usize);

    /// Writes a tile of single precision.
    fn store<const TILE: usize>(&self, sums: &mut Sums);

    /// Adds the product of `LEFT`, 16 × 32, and `RIGHT`, 32 × 16, to `SUM`, all three different; in
    /// `RIGHT`, two values that follow each other belong to the same column.
    fn multiply<const SUM: usize, const LEFT: usize, const RIGHT: usize>(&mut self);
}

/// Checks that a tile lies in so many values.
#[cfg(any(test, all(target_arch = "x86_64", target_os = "linux")))]
#[inline(always)]
pub(super) fn check(length: usize, at: usize, step: usize) {
    let rows = (ROWS - 1).checked_mul(step).and_then(|rows| rows.checked_add(at + VALUES));
    assert!(at <= length && rows.is_some_and(|end| end <= length), "a tile beyond its slice");
}
