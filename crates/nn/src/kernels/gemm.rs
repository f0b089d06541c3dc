//! Products of small matrices, on the thread that asks.

/// Where the elements of a matrix lie in a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strides {
    /// Elements from one row to the next.
    pub(super) row: usize,
    /// Elements from one column to the next.
    pub(super) column: usize,
}

impl Strides {
    /// Rows that are contiguous, `row` elements apart.
    pub(super) fn rows(row: usize) -> Self {
        Self { row, column: 1 }
    }

    /// One past the last element of a matrix of this extent.
    fn end(self, rows: usize, columns: usize) -> usize {
        if rows == 0 || columns == 0 {
            return 0;
        }
        (rows - 1) * self.row + (columns - 1) * self.column + 1
    }
}

/// Adds the product of `left`, `(rows, inner)`, and `right`, `(inner, columns)`, to `sum`, whose
/// rows are contiguous.
///
/// # Panics
///
/// Where a slice does not hold its matrix: that is a mistake of this crate.
pub(super) fn add_product(
    (rows, inner, columns): (usize, usize, usize),
    (sum, sum_row): (&mut [f32], usize),
    (left, left_strides): (&[f32], Strides),
    (right, right_strides): (&[f32], Strides),
) {
    assert!(sum_row >= columns || rows <= 1, "the rows of a sum overlap");
    assert!(Strides::rows(sum_row).end(rows, columns) <= sum.len(), "a sum beyond its slice");
    assert!(left_strides.end(rows, inner) <= left.len(), "a left factor beyond its slice");
    assert!(right_strides.end(inner, columns) <= right.len(), "a right factor beyond its slice");
    let signed = usize::cast_signed;
    #[expect(unsafe_code, reason = "the crate gemm takes pointers")]
    // SAFETY: the assertions above keep every element of the three matrices inside its slice, and
    // the rows of `sum`, which alone is written and cannot alias the others, apart.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            sum.as_mut_ptr(),
            1,
            signed(sum_row),
            true,
            left.as_ptr(),
            signed(left_strides.column),
            signed(left_strides.row),
            right.as_ptr(),
            signed(right_strides.column),
            signed(right_strides.row),
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_added_to_spaced_rows() {
        let mut sum = vec![1.0; 7];

        // [1 2; 3 4] · [5 6; 7 8], the right factor stored by columns.
        add_product(
            (2, 2, 2),
            (&mut sum, 5),
            (&[1.0, 2.0, 3.0, 4.0], Strides::rows(2)),
            (&[5.0, 7.0, 6.0, 8.0], Strides { row: 1, column: 2 }),
        );

        assert_eq!(sum, [20.0, 23.0, 1.0, 1.0, 1.0, 44.0, 51.0]);
    }

    #[test]
    #[should_panic(expected = "a left factor beyond its slice")]
    fn a_slice_that_is_too_short_is_refused() {
        add_product(
            (2, 2, 1),
            (&mut [0.0; 2], 1),
            (&[0.0; 3], Strides::rows(2)),
            (&[0.0; 2], Strides::rows(1)),
        );
    }
}
