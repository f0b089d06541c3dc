//! Vectors that are written in parallel, without being zeroed on one thread first.

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

/// A vector of `lines` lines of `line` values each, which as many tasks as `tasks` says write in
/// parallel: `run` is given the number of a task and its lines, which are zero before. Line `i`
/// belongs to task `task_of(i)`.
pub(super) fn in_tasks(
    (lines, line): (usize, usize),
    tasks: usize,
    task_of: impl Fn(usize) -> usize,
    run: impl Fn(usize, &mut [&mut [f32]]) + Sync,
) -> Vec<f32> {
    let mut values = Vec::with_capacity(lines * line);
    let spare = &mut values.spare_capacity_mut()[..lines * line];
    let mut dealt: Vec<Vec<&mut [MaybeUninit<f32>]>> = (0..tasks).map(|_| Vec::new()).collect();
    for (number, line) in spare.chunks_exact_mut(line).enumerate() {
        dealt[task_of(number)].push(line);
    }
    dealt.into_par_iter().enumerate().for_each(|(task, lines)| {
        let mut lines: Vec<&mut [f32]> = lines.into_iter().map(zeroed).collect();
        run(task, &mut lines);
    });
    #[expect(unsafe_code, reason = "no safe way to grow a vector over values already written")]
    // SAFETY: the capacity is at least `lines · line`; that many values were cut into lines, each
    // of which went to one task, and `zeroed` has written all lines of all tasks.
    unsafe {
        values.set_len(lines * line);
    }
    values
}

/// A vector of `lines` lines of `line` values each, written in parallel by blocks of `block` of
/// `rows` rows: `run` is given the number of its first row, and for each row its lines, which are
/// zero before. Line `i` belongs to row `row_of(i)`.
pub(super) fn in_rows(
    (lines, line): (usize, usize),
    (rows, block): (usize, usize),
    row_of: impl Fn(usize) -> usize,
    run: impl Fn(usize, &mut [Vec<&mut [f32]>]) + Sync,
) -> Vec<f32> {
    let mut values = Vec::with_capacity(lines * line);
    let spare = &mut values.spare_capacity_mut()[..lines * line];
    let mut dealt: Vec<Vec<&mut [MaybeUninit<f32>]>> = (0..rows).map(|_| Vec::new()).collect();
    for (number, line) in spare.chunks_exact_mut(line).enumerate() {
        dealt[row_of(number)].push(line);
    }
    dealt.par_chunks_mut(block).enumerate().for_each(|(index, rows)| {
        let mut rows: Vec<Vec<&mut [f32]>> = rows
            .iter_mut()
            .map(|row| std::mem::take(row).into_iter().map(zeroed).collect())
            .collect();
        run(index * block, &mut rows);
    });
    #[expect(unsafe_code, reason = "no safe way to grow a vector over values already written")]
    // SAFETY: the capacity is at least `lines · line`; that many values were cut into lines, each
    // of which went to one row, and `zeroed` has written all lines of all rows.
    unsafe {
        values.set_len(lines * line);
    }
    values
}

/// The piece, all zeros.
fn zeroed<T: Copy + Default>(piece: &mut [MaybeUninit<T>]) -> &mut [T] {
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
        let values = in_tasks(
            (4, 2),
            3,
            |line| line % 2,
            |task, lines| {
                for (at, line) in lines.iter_mut().enumerate() {
                    line[1] = (10 * task + at) as f32;
                }
            },
        );

        assert_eq!(values, [0.0, 0.0, 0.0, 10.0, 0.0, 1.0, 0.0, 11.0]);
    }
}
