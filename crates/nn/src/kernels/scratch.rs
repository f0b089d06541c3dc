//! Memory for one task, kept by its thread for the next.

use std::cell::Cell;

thread_local! {
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// What `run` makes of a slice of `length` values, whatever they are.
///
/// A task inside a task gets memory of its own.
pub(super) fn with_scratch<T>(length: usize, run: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut scratch = SCRATCH.take();
    if scratch.len() < length {
        scratch.resize(length, 0.0);
    }
    let result = run(&mut scratch[..length]);
    SCRATCH.set(scratch);
    result
}
