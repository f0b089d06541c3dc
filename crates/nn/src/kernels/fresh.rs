//! Vectors that are written in parallel, without being zeroed on one thread first.

use std::array;
use std::mem::MaybeUninit;

use rayon::prelude::*;

/// A vector of `length` values, of which `fill` writes pieces of `size`, in parallel, given their
/// number; each is zero before.
pub(super) fn in_pieces<T: Copy + Default + Send>(
    length: usize,
    size: usize,
    fill: impl Fn(usize, &mut [T]) + Sync,
) -> Vec<T> {
    let mut values = Vec::with_capacity(length);
    let spare = &mut values.spare_capacity_mut()[..length];
    let pieces = spare.par_chunks_mut(size.max(1)).enumerate();
    pieces.for_each(|(number, piece)| fill(number, zeroed(piece)));
    #[expect(unsafe_code, reason = "no safe way to grow a vector over values already written")]
    // SAFETY: the capacity is at least `length`, and `zeroed` has written each piece of the slice
    // of that length: `par_chunks_mut` leaves none out.
    unsafe {
        values.set_len(length);
    }
    values
}

/// The same, of values that nobody has written yet.
///
/// # Safety
///
/// `fill` writes every value of its piece.
#[expect(unsafe_code, reason = "zeros that are overwritten at once cost a pass over memory")]
pub(super) unsafe fn in_new_pieces<T: Copy + Send>(
    length: usize,
    size: usize,
    fill: impl Fn(usize, &mut [MaybeUninit<T>]) + Sync,
) -> Vec<T> {
    let mut values = Vec::with_capacity(length);
    let spare = spoiled(&mut values.spare_capacity_mut()[..length]);
    let pieces = spare.par_chunks_mut(size.max(1)).enumerate();
    pieces.for_each(|(number, piece)| fill(number, piece));
    // SAFETY: the capacity is at least `length`, `par_chunks_mut` leaves no piece of the slice of that
    // length out, and the caller vouches for each of them.
    unsafe {
        values.set_len(length);
    }
    values
}

/// A vector of values `(samples, rows, length)`, written in parallel, `size` places of all rows of a
/// sample at a time: `fill` is given the number of the sample, its first place, and for each row the
/// values, which nobody has written yet.
///
/// # Safety
///
/// `fill` writes every value that it is given.
#[expect(unsafe_code, reason = "see `in_new_pieces`")]
pub(super) unsafe fn in_new_columns<T: Copy + Send>(
    [samples, rows, length]: [usize; 3],
    size: usize,
    fill: impl Fn(usize, usize, &mut [&mut [MaybeUninit<T>]]) + Sync,
) -> Vec<T> {
    let all = samples * rows * length;
    let mut values = Vec::with_capacity(all);
    let spare = spoiled(&mut values.spare_capacity_mut()[..all]);
    let parts = length.div_ceil(size);
    let mut dealt: Vec<Vec<&mut [MaybeUninit<T>]>> =
        (0..samples * parts).map(|_| Vec::with_capacity(rows)).collect();
    for (row, values) in spare.chunks_exact_mut(length.max(1)).enumerate() {
        for (part, values) in values.chunks_mut(size).enumerate() {
            dealt[row / rows * parts + part].push(values);
        }
    }
    dealt.into_par_iter().enumerate().for_each(|(number, mut columns)| {
        fill(number / parts, number % parts * size, &mut columns);
    });
    // SAFETY: the capacity is at least `all`; that many values were cut into rows, and those into
    // columns, each of which went to one call, and the caller vouches for them.
    unsafe {
        values.set_len(all);
    }
    values
}

/// `N` vectors of `length` values each, written in parallel, a piece of `size` values of each of them
/// at a time: `fill` is given the number of the pieces, which nobody has written yet.
///
/// # Safety
///
/// `fill` writes every value of its pieces.
#[expect(unsafe_code, reason = "see `in_new_pieces`")]
pub(super) unsafe fn in_new_streams<const N: usize>(
    length: usize,
    size: usize,
    fill: impl Fn(usize, [&mut [MaybeUninit<f32>]; N]) + Sync,
) -> [Vec<f32>; N] {
    let mut vectors: [Vec<f32>; N] = array::from_fn(|_| Vec::with_capacity(length));
    let mut pieces: Vec<[&mut [MaybeUninit<f32>]; N]> = Vec::new();
    let mut rests = vectors.each_mut().map(|vector| {
        let spare = &mut vector.spare_capacity_mut()[..length];
        spoiled(spare)
    });
    for from in (0..length).step_by(size) {
        let piece = size.min(length - from);
        pieces.push(rests.each_mut().map(|rest| {
            let (first, others) = std::mem::take(rest).split_at_mut(piece);
            *rest = others;
            first
        }));
    }
    pieces.into_par_iter().enumerate().for_each(|(number, pieces)| fill(number, pieces));
    for vector in &mut vectors {
        // SAFETY: the capacity is at least `length`, the pieces cover that length, and the caller
        // vouches for each of them.
        unsafe {
            vector.set_len(length);
        }
    }
    vectors
}

/// A vector of `lines` lines of `line` values each, which as many tasks as `tasks` says write in
/// parallel: `run` is given the number of a task and its lines, which nobody has written yet. Line `i`
/// belongs to task `task_of(i)`.
///
/// # Safety
///
/// `run` writes every value of its lines.
#[expect(unsafe_code, reason = "see `in_new_pieces`")]
pub(super) unsafe fn in_tasks<T: Copy + Send>(
    (lines, line): (usize, usize),
    tasks: usize,
    task_of: impl Fn(usize) -> usize,
    run: impl Fn(usize, &mut [&mut [MaybeUninit<T>]]) + Sync,
) -> Vec<T> {
    let mut values = Vec::with_capacity(lines * line);
    let spare = spoiled(&mut values.spare_capacity_mut()[..lines * line]);
    let mut dealt: Vec<Vec<&mut [MaybeUninit<T>]>> = (0..tasks).map(|_| Vec::new()).collect();
    for (number, line) in spare.chunks_exact_mut(line).enumerate() {
        dealt[task_of(number)].push(line);
    }
    dealt.into_par_iter().enumerate().for_each(|(task, mut lines)| run(task, &mut lines));
    // SAFETY: the capacity is at least `lines · line`; that many values were cut into lines, each
    // of which went to one task, and the caller vouches for the lines of all tasks.
    unsafe {
        values.set_len(lines * line);
    }
    values
}

/// A vector of `lines` lines of `line` values each, written in parallel by blocks of `block` of
/// `rows` rows: `run` is given the number of its first row, and for each row its lines, which nobody
/// has written yet. Line `i` belongs to row `row_of(i)`. Also, what `run` says of each row.
///
/// # Safety
///
/// `run` writes every value of its lines.
#[expect(unsafe_code, reason = "see `in_new_pieces`")]
pub(super) unsafe fn in_rows<T: Send>(
    (lines, line): (usize, usize),
    (rows, block): (usize, usize),
    row_of: impl Fn(usize) -> usize,
    run: impl Fn(usize, &mut [Vec<&mut [MaybeUninit<f32>]>]) -> Vec<T> + Sync,
) -> (Vec<f32>, Vec<T>) {
    let mut values = Vec::with_capacity(lines * line);
    let spare = spoiled(&mut values.spare_capacity_mut()[..lines * line]);
    let mut dealt: Vec<Vec<&mut [MaybeUninit<f32>]>> = (0..rows).map(|_| Vec::new()).collect();
    for (number, line) in spare.chunks_exact_mut(line).enumerate() {
        dealt[row_of(number)].push(line);
    }
    let blocks = dealt.par_chunks_mut(block).enumerate();
    let said: Vec<Vec<T>> = blocks.map(|(index, rows)| run(index * block, rows)).collect();
    // SAFETY: the capacity is at least `lines · line`; that many values were cut into lines, each
    // of which went to one row, and the caller vouches for the lines of all rows.
    unsafe {
        values.set_len(lines * line);
    }
    (values, said.into_iter().flatten().collect())
}

/// Memory that nobody has written yet; where debug assertions are on, full of NaN, so that tests see
/// what stays unwritten.
fn spoiled<T>(spare: &mut [MaybeUninit<T>]) -> &mut [MaybeUninit<T>] {
    if cfg!(debug_assertions) {
        #[expect(unsafe_code, reason = "see above")]
        // SAFETY: the bytes are those of the slice, which may hold anything.
        unsafe {
            spare.as_mut_ptr().write_bytes(0xff, spare.len());
        }
    }
    spare
}

/// The piece, all zeros.
pub(super) fn zeroed<T: Copy + Default>(piece: &mut [MaybeUninit<T>]) -> &mut [T] {
    piece.fill(MaybeUninit::new(T::default()));
    #[expect(unsafe_code, reason = "no safe way to read memory that has been written")]
    // SAFETY: every value of the piece has just been written.
    unsafe {
        piece.assume_init_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_zero_and_end_with_the_vector() {
        let values = in_pieces(7, 3, |number, piece: &mut [f32]| piece[0] += number as f32 + 1.0);

        assert_eq!(values, [1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 3.0]);
    }

    #[test]
    fn a_task_gets_its_lines_in_order() {
        let run = |task: usize, lines: &mut [&mut [MaybeUninit<f32>]]| {
            for (at, line) in lines.iter_mut().enumerate() {
                zeroed(line)[1] = (10 * task + at) as f32;
            }
        };

        #[expect(unsafe_code, reason = "see `in_tasks`")]
        // SAFETY: each line is filled with zeros.
        let values = unsafe { in_tasks((4, 2), 3, |line| line % 2, run) };

        assert_eq!(values, [0.0, 0.0, 0.0, 10.0, 0.0, 1.0, 0.0, 11.0]);
    }
}
