//! Products whose rows may begin anywhere, and be in pieces.

use pulp::Simd;

use super::{Part, Row, Segment};

/// Rows that are made of the same segments.
#[derive(Debug)]
pub(in crate::kernels) struct Rows {
    list: Vec<Row>,
    segments: Vec<Segment>,
    /// The furthest beginnings of rows, and ends of segments; the right ones in rows.
    most: Row,
    ends: Segment,
}

impl Rows {
    /// `None` of no rows. Rows of the right factor are `step` apart.
    pub(in crate::kernels) fn new(
        list: Vec<Row>,
        segments: Vec<Segment>,
        step: usize,
    ) -> Option<Self> {
        let left = list.iter().map(|row| row.left).max()?;
        let sum = list.iter().map(|row| row.sum).max()?;
        assert!(segments.iter().all(|segment| segment.length > 0), "a run of nothing");
        let end = |of: fn(&Segment, usize) -> usize| segments.iter().map(|s| of(s, step)).max();
        let ends = Segment {
            left: end(|segment, _| segment.left + segment.length)?,
            right: end(|segment, step| segment.right + (segment.length - 1) * step)?,
            length: step,
        };
        Some(Self { list, segments, most: Row { left, sum }, ends })
    }
}

/// Adds to rows of `sum` the products of the segments of rows of `left` and one panel `right` of one
/// or two vectors of columns.
///
/// # Panics
///
/// Where a slice does not hold its matrix: that is a mistake of this crate.
#[inline(always)]
pub(in crate::kernels) fn add_rows<S: Simd>(
    simd: S,
    rows: &Rows,
    vectors: usize,
    left: &[f32],
    right: &[f32],
    sum: &mut [f32],
) {
    let columns = vectors * S::F32_LANES;
    assert!((1..=2).contains(&vectors), "a product of nothing");
    assert!(rows.most.left + rows.ends.left <= left.len());
    assert!(rows.ends.right + columns <= right.len());
    assert!(rows.most.sum + columns <= sum.len());
    let part = Part {
        segments: &rows.segments,
        left: left.as_ptr(),
        left_step: 1,
        right: right.as_ptr(),
        right_step: rows.ends.length,
        sum: sum.as_mut_ptr(),
        add: true,
    };
    #[expect(unsafe_code, reason = "see `product`")]
    // SAFETY: by the assertions above, every segment of every row that is read, the rows of the panel
    // that they meet, and every row that is written lie within their slices.
    unsafe {
        if vectors == 2 {
            part.all::<S, 2>(simd, rows.list.len(), |row| rows.list[row]);
        } else {
            part.all::<S, 1>(simd, rows.list.len(), |row| rows.list[row]);
        }
    }
}
