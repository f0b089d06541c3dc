//! Products of matrices that lie in the cache, without copies.

mod pairs;
mod rows;

use pulp::Simd;

pub(super) use self::pairs::{Pair, Pairs, add_pairs};
pub(super) use self::rows::{Rows, add_rows};

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
    let segments = [Segment { left: 0, right: 0, length: inner }];
    let first = Part {
        segments: &segments,
        left: left.values.as_ptr(),
        left_step: left.step,
        right: right.values.as_ptr(),
        right_step: right.step,
        sum: sum.values.as_mut_ptr(),
        add: sum.add,
    };
    let at = |row: usize| Row { left: row * left.row, sum: row * sum.row };
    for panel in 0..=last {
        #[expect(unsafe_code, reason = "the loop below is the heart of every convolution")]
        // SAFETY: by the assertions above, the three matrices lie within their slices: each block
        // reads rows below `rows`, `inner` steps, and the columns of its panel, and writes columns
        // below `columns` of its rows.
        unsafe {
            let part = Part {
                right: first.right.add(panel * right.panel),
                sum: first.sum.add(panel * 2 * S::F32_LANES),
                ..first
            };
            if 2 * panel + 1 < vectors {
                part.all::<S, 2>(simd, rows, at);
            } else {
                part.all::<S, 1>(simd, rows, at);
            }
        }
    }
}

/// Where a row of the left factor, and the row of the product that it belongs to, begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) left: usize,
    pub(super) sum: usize,
}

/// A run of values of each row of the left factor, from `left` after its beginning on, and the rows of
/// the right factor, from `right` on, that they meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) length: usize,
}

/// One panel of a product.
#[derive(Clone, Copy)]
struct Part<'a> {
    segments: &'a [Segment],
    left: *const f32,
    left_step: usize,
    right: *const f32,
    right_step: usize,
    sum: *mut f32,
    add: bool,
}

impl Part<'_> {
    /// Computes `rows` rows, which begin where `at` says.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see `product`")]
    unsafe fn all<S: Simd, const VECTORS: usize>(
        &self,
        simd: S,
        rows: usize,
        at: impl Fn(usize) -> Row,
    ) {
        let mut row = 0;
        while row < rows {
            let at = |next: usize| at(row + next);
            let left = rows - row;
            // SAFETY: the caller vouches for `rows` rows, and each block takes no more.
            row += unsafe {
                // Two blocks of eight do better than one of twelve and one of four.
                if S::REGISTER_COUNT >= 32 && (left >= 17 || left == 12) {
                    self.block::<S, 12, VECTORS>(simd, at)
                } else if S::REGISTER_COUNT >= 32 && left >= 8 {
                    self.block::<S, 8, VECTORS>(simd, at)
                } else if left >= 6 {
                    self.block::<S, 6, VECTORS>(simd, at)
                } else if left >= 4 {
                    self.block::<S, 4, VECTORS>(simd, at)
                } else if left >= 2 {
                    self.block::<S, 2, VECTORS>(simd, at)
                } else {
                    self.block::<S, 1, VECTORS>(simd, at)
                }
            };
        }
    }

    /// Computes as many rows as the registers hold, and says how many.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see `product`")]
    unsafe fn block<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        at: impl Fn(usize) -> Row,
    ) -> usize {
        let rows: [Row; ROWS] = std::array::from_fn(at);
        // SAFETY: the caller vouches for the segments of these rows, and for `VECTORS` vectors of
        // columns; vectors of floats may be read and written at any address of a float.
        unsafe {
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
            for segment in self.segments {
                let mut left = rows.map(|row| self.left.add(row.left + segment.left));
                let mut right = self.right.add(segment.right);
                for _ in 0..segment.length {
                    let mut columns = [simd.splat_f32s(0.0); VECTORS];
                    for (vector, columns) in columns.iter_mut().enumerate() {
                        *columns =
                            right.add(vector * S::F32_LANES).cast::<S::f32s>().read_unaligned();
                    }
                    for (left, sums) in left.iter_mut().zip(&mut sums) {
                        let value = simd.splat_f32s(**left);
                        *left = left.wrapping_add(self.left_step);
                        for (sum, &columns) in sums.iter_mut().zip(&columns) {
                            *sum = simd.mul_add_e_f32s(value, columns, *sum);
                        }
                    }
                    right = right.wrapping_add(self.right_step);
                }
            }
            for (row, sums) in rows.iter().zip(&sums) {
                for (vector, &value) in sums.iter().enumerate() {
                    let at = self.sum.add(row.sum + vector * S::F32_LANES).cast::<S::f32s>();
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
    use pulp::WithSimd;

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
