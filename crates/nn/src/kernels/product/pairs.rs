//! Sums of outer products.

use pulp::Simd;

/// Where a row of the left factor begins, and the row of the right one that meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernels) struct Pair {
    pub(in crate::kernels) left: usize,
    pub(in crate::kernels) right: usize,
}

/// Some pairs.
#[derive(Debug)]
pub(in crate::kernels) struct Pairs {
    list: Vec<Pair>,
    /// The furthest beginnings.
    most: Pair,
}

impl Pairs {
    /// `None` of no pairs.
    pub(in crate::kernels) fn new(list: impl Iterator<Item = Pair>) -> Option<Self> {
        let list: Vec<Pair> = list.collect();
        let left = list.iter().map(|pair| pair.left).max()?;
        let right = list.iter().map(|pair| pair.right).max()?;
        Some(Self { list, most: Pair { left, right } })
    }
}

/// Pairs whose values stay in the first cache while rows of the sum take turns.
const CHUNK: usize = 48;

/// Adds to `sum`, `rows` rows that are `sum_row` apart, the outer products of each pair: `rows` values
/// of `left`, and one or two vectors of `right`.
///
/// # Panics
///
/// Where a slice does not hold its matrix, or one is empty: that is a mistake of this crate.
#[inline(always)]
pub(in crate::kernels) fn add_pairs<S: Simd>(
    simd: S,
    pairs: &Pairs,
    (rows, vectors): (usize, usize),
    left: &[f32],
    right: &[f32],
    (sum, sum_row): (&mut [f32], usize),
) {
    let columns = vectors * S::F32_LANES;
    assert!(rows > 0 && (1..=2).contains(&vectors), "a product of nothing");
    assert!(pairs.most.left + rows <= left.len() && pairs.most.right + columns <= right.len());
    assert!((rows - 1) * sum_row + columns <= sum.len());
    for pairs in pairs.list.chunks(CHUNK) {
        let mut row = 0;
        while row < rows {
            #[expect(unsafe_code, reason = "see `product`")]
            // SAFETY: by the assertions above, `rows` values from the beginning of each pair on, and
            // rows of the sum, lie within their slices; each block takes no more than are left.
            unsafe {
                let part = Outer {
                    pairs,
                    left: left.as_ptr().add(row),
                    right: right.as_ptr(),
                    sum: sum.as_mut_ptr().add(row * sum_row),
                    sum_row,
                };
                row += if vectors == 2 {
                    part.some::<S, 2>(simd, rows - row)
                } else {
                    part.some::<S, 1>(simd, rows - row)
                };
            }
        }
    }
}

/// What is left of a sum of outer products.
struct Outer<'a> {
    pairs: &'a [Pair],
    left: *const f32,
    right: *const f32,
    sum: *mut f32,
    sum_row: usize,
}

impl Outer<'_> {
    /// Computes as many of `rows` rows as the registers hold, and says how many.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see `product`")]
    unsafe fn some<S: Simd, const VECTORS: usize>(&self, simd: S, rows: usize) -> usize {
        // SAFETY: the caller vouches for `rows` rows.
        unsafe {
            if S::REGISTER_COUNT >= 32 && (rows >= 17 || rows == 12) {
                self.block::<S, 12, VECTORS>(simd)
            } else if S::REGISTER_COUNT >= 32 && rows >= 8 {
                self.block::<S, 8, VECTORS>(simd)
            } else if rows >= 6 {
                self.block::<S, 6, VECTORS>(simd)
            } else if rows >= 4 {
                self.block::<S, 4, VECTORS>(simd)
            } else if rows >= 3 {
                self.block::<S, 3, VECTORS>(simd)
            } else {
                self.block::<S, 1, VECTORS>(simd)
            }
        }
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "see `product`")]
    unsafe fn block<S: Simd, const ROWS: usize, const VECTORS: usize>(&self, simd: S) -> usize {
        // SAFETY: the caller vouches for `ROWS` rows and `VECTORS` vectors of columns of each pair and
        // of the sum; vectors of floats may be read and written at any address of a float.
        unsafe {
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
            for pair in self.pairs {
                let (left, right) = (self.left.add(pair.left), self.right.add(pair.right));
                let mut columns = [simd.splat_f32s(0.0); VECTORS];
                for (vector, columns) in columns.iter_mut().enumerate() {
                    *columns = right.add(vector * S::F32_LANES).cast::<S::f32s>().read_unaligned();
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let value = simd.splat_f32s(*left.add(row));
                    for (sum, &columns) in sums.iter_mut().zip(&columns) {
                        *sum = simd.mul_add_e_f32s(value, columns, *sum);
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                for (vector, &value) in sums.iter().enumerate() {
                    let at = self.sum.add(row * self.sum_row + vector * S::F32_LANES);
                    let at = at.cast::<S::f32s>();
                    at.write_unaligned(simd.add_f32s(at.read_unaligned(), value));
                }
            }
        }
        ROWS
    }
}
