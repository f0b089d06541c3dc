//! Products of matrices that lie in the cache, without copies.

use pulp::{Simd, WithSimd};

/// The left factor: element `(row, k)` lies at `row · self.row + k · self.step`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left<'a> {
    pub(super) values: &'a [f32],
    pub(super) row: usize,
    pub(super) step: usize,
}

/// The right factor, in panels of two vectors of columns: element `(k, column)` of panel `p` lies at
/// `p · self.panel + k · self.step + column`. An odd last vector is a panel of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Right<'a> {
    pub(super) values: &'a [f32],
    pub(super) panel: usize,
    pub(super) step: usize,
}

/// The product: element `(row, column)` lies at `row · self.row + column`.
#[derive(Debug)]
pub(super) struct Sum<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) row: usize,
    /// Whether the product is added to what is there.
    pub(super) add: bool,
}

/// The product of `(rows, inner)` and `(inner, vectors · lanes)`.
///
/// # Panics
///
/// Where a slice does not hold its matrix, or one is empty: that is a mistake of this crate.
#[inline(always)]
pub(super) fn product<S: Simd>(
    simd: S,
    (rows, inner, vectors): (usize, usize, usize),
    left: Left<'_>,
    right: Right<'_>,
    sum: &mut Sum<'_>,
) {
    let columns = vectors * S::F32_LANES;
    assert!(rows * inner * vectors > 0, "a product of nothing");
    assert!((rows - 1) * left.row + (inner - 1) * left.step < left.values.len());
    let last = (vectors - 1) / 2;
    let width = columns - last * 2 * S::F32_LANES;
    assert!(last * right.panel + (inner - 1) * right.step + width <= right.values.len());
    assert!(last == 0 || (inner - 1) * right.step + 2 * S::F32_LANES <= right.values.len());
    assert!((rows - 1) * sum.row + columns <= sum.values.len());
    let mut part = Part {
        inner,
        left: left.values.as_ptr(),
        left_row: left.row,
        left_step: left.step,
        right: right.values.as_ptr(),
        right_step: right.step,
        sum: sum.values.as_mut_ptr(),
        sum_row: sum.row,
        add: sum.add,
    };
    let sum_start = part.sum;
    for panel in 0..=last {
        let is_pair = 2 * panel + 1 < vectors;
        #[expect(unsafe_code, reason = "the loop below is the heart of every convolution")]
        // SAFETY: by the assertions above, the three matrices lie within their slices: each block
        // reads rows below `rows`, `inner` steps, and the columns of its panel, and writes columns
        // below `columns` of its rows.
        unsafe {
            part.right = right.values.as_ptr().add(panel * right.panel);
            let mut row = 0;
            while row < rows {
                part.left = left.values.as_ptr().add(row * left.row);
                part.sum = sum_start.add(row * sum.row + panel * 2 * S::F32_LANES);
                row += if is_pair {
                    part.block::<S, 2>(simd, rows - row)
                } else {
                    part.block::<S, 1>(simd, rows - row)
                };
            }
        }
    }
}

/// A product by itself, for [`Isa::run`](crate::Isa).
pub(super) struct Product<'a> {
    pub(super) rows: usize,
    pub(super) inner: usize,
    /// A multiple of the vectors of the instructions in use.
    pub(super) columns: usize,
    pub(super) left: Left<'a>,
    pub(super) right: Right<'a>,
    pub(super) sum: Sum<'a>,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let vectors = self.columns / S::F32_LANES;
        product(simd, (self.rows, self.inner, vectors), self.left, self.right, &mut self.sum);
    }
}

/// What is left of a product.
struct Part {
    inner: usize,
    left: *const f32,
    left_row: usize,
    left_step: usize,
    right: *const f32,
    right_step: usize,
    sum: *mut f32,
    sum_row: usize,
    add: bool,
}

impl Part {
    /// Computes the block of as many of `rows` rows as the registers hold, and says how many.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see `product`")]
    unsafe fn block<S: Simd, const VECTORS: usize>(&self, simd: S, rows: usize) -> usize {
        // SAFETY: the caller vouches for `rows` rows, and each call takes no more.
        unsafe {
            if S::REGISTER_COUNT >= 32 && rows >= 12 {
                self.rows::<S, 12, VECTORS>(simd)
            } else if S::REGISTER_COUNT >= 32 && rows >= 8 {
                self.rows::<S, 8, VECTORS>(simd)
            } else if rows >= 6 {
                self.rows::<S, 6, VECTORS>(simd)
            } else if rows >= 4 {
                self.rows::<S, 4, VECTORS>(simd)
            } else if rows >= 2 {
                self.rows::<S, 2, VECTORS>(simd)
            } else {
                self.rows::<S, 1, VECTORS>(simd)
            }
        }
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "see `product`")]
    unsafe fn rows<S: Simd, const ROWS: usize, const VECTORS: usize>(&self, simd: S) -> usize {
        // SAFETY: the caller vouches for `ROWS` rows and `VECTORS` vectors of columns of the three
        // matrices; vectors of floats may be read and written at any address of a float.
        unsafe {
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
            let (mut left, mut right) = (self.left, self.right);
            for _ in 0..self.inner {
                let mut columns = [simd.splat_f32s(0.0); VECTORS];
                for (vector, columns) in columns.iter_mut().enumerate() {
                    *columns = right.add(vector * S::F32_LANES).cast::<S::f32s>().read_unaligned();
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let value = simd.splat_f32s(*left.add(row * self.left_row));
                    for (sum, &columns) in sums.iter_mut().zip(&columns) {
                        *sum = simd.mul_add_e_f32s(value, columns, *sum);
                    }
                }
                left = left.wrapping_add(self.left_step);
                right = right.wrapping_add(self.right_step);
            }
            for (row, sums) in sums.iter().enumerate() {
                for (vector, &value) in sums.iter().enumerate() {
                    let at = self.sum.add(row * self.sum_row + vector * S::F32_LANES);
                    let at = at.cast::<S::f32s>();
                    let value =
                        if self.add { simd.add_f32s(at.read_unaligned(), value) } else { value };
                    at.write_unaligned(value);
                }
            }
        }
        ROWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    /// `left · right` for every number of rows and vectors that takes another path.
    struct Check;

    impl WithSimd for Check {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let lanes = S::F32_LANES;
            for rows in 1..26 {
                for vectors in 1..5 {
                    let (inner, columns) = (5, vectors * lanes);
                    let left: Vec<f32> = (0..rows * inner).map(|at| (at % 7) as f32).collect();
                    let panel = inner * 2 * lanes;
                    let right: Vec<f32> =
                        (0..panel * vectors.div_ceil(2)).map(|at| (at % 5) as f32).collect();
                    let mut sum = vec![1.0; rows * columns];
                    product(
                        simd,
                        (rows, inner, vectors),
                        Left { values: &left, row: inner, step: 1 },
                        Right { values: &right, panel, step: 2 * lanes },
                        &mut Sum { values: &mut sum, row: columns, add: true },
                    );
                    for row in 0..rows {
                        for column in 0..columns {
                            let (p, at) = (column / (2 * lanes), column % (2 * lanes));
                            let exact: f32 = (0..inner)
                                .map(|k| {
                                    left[row * inner + k] * right[p * panel + k * 2 * lanes + at]
                                })
                                .sum();
                            let value = sum[row * columns + column];
                            assert!((value - exact - 1.0).abs() < 1e-4, "{rows} {vectors}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn products_of_every_extent_are_right() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            isa.run(Check);
        }
    }
}
