//! Items that are made ahead of their use, in parallel, and used in order.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use nn::{Work, working_at};

use crate::Result;
use crate::guard::panicked;

/// How many finished items wait for their use at most.
pub(crate) const AHEAD: usize = 2;

/// More are not made at a time: each takes memory until it is used.
const MOST: usize = 8;

/// How many batches of so many patches are made at a time: as many as give every thread a patch, but not many.
pub(crate) fn makers(batch_size: usize) -> usize {
    rayon::current_num_threads().div_ceil(batch_size.max(1)).min(MOST)
}

/// What makers and user share.
struct State<T> {
    /// The next item that nobody makes yet.
    next: usize,
    /// The first item that has not been used.
    used: usize,
    /// Those that have been made, and not been used.
    made: BTreeMap<usize, Result<T>>,
    /// Whether no more items are wanted.
    ended: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Something has changed.
    changed: Condvar,
}

impl<T> Shared<T> {
    /// The state is whole between any two of its changes: a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }
}

/// Makes items of these numbers on `makers` threads, a few ahead of their use, and uses them in order, one after the
/// other, until `each` breaks.
///
/// What fails first in that order, making or using, ends all; a panic of a maker becomes an error.
///
/// # Errors
///
/// The first error of `make` or `each`.
pub(crate) fn produce<T: Send>(
    numbers: Range<usize>,
    makers: usize,
    make: impl Fn(usize) -> Result<T> + Sync,
    mut each: impl FnMut(usize, T) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let Range { start, end } = numbers;
    let makers = makers.clamp(1, numbers.len().max(1));
    let window = makers + AHEAD;
    let state = State { next: start, used: start, made: BTreeMap::new(), ended: false };
    let shared = &Shared { state: Mutex::new(state), changed: Condvar::new() };
    let make = &make;
    let run = move || {
        let mut state = shared.lock();
        loop {
            if state.ended || state.next >= end {
                return;
            }
            if state.next >= state.used + window {
                state = shared.wait(state);
                continue;
            }
            let index = state.next;
            state.next += 1;
            drop(state);
            let item = catch_unwind(AssertUnwindSafe(|| make(index)));
            let item = item.unwrap_or_else(|payload| Err(panicked(payload.as_ref())));
            state = shared.lock();
            state.made.insert(index, item);
            shared.changed.notify_all();
        }
    };
    thread::scope(|scope| {
        // Before the first of them: should another not begin, those that have must end.
        let _ending = Ending(shared);
        for _ in 0..makers {
            scope.spawn(run);
        }
        for index in numbers {
            let mut state = shared.lock();
            let (item, mut state) = working_at(Work::Data, || {
                loop {
                    match state.made.remove(&index) {
                        Some(item) => break (item, state),
                        None => state = shared.wait(state),
                    }
                }
            });
            state.used = index + 1;
            drop(state);
            shared.changed.notify_all();
            if each(index, item?)?.is_break() {
                break;
            }
        }
        Ok(())
    })
}

/// Lets makers end, however their user ends.
struct Ending<'a, T>(&'a Shared<T>);

impl<T> Drop for Ending<'_, T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::Error;

    const GO_ON: Result<ControlFlow<()>> = Ok(ControlFlow::Continue(()));

    fn refusal() -> Error {
        Error::Settings("no".to_owned())
    }

    #[test]
    fn items_are_used_in_order_whoever_is_faster() -> anyhow::Result<()> {
        for makers in [1, 2, 7] {
            let mut seen = Vec::new();

            produce(
                0..20,
                makers,
                |index| {
                    thread::sleep(Duration::from_millis(if index % 3 == 0 { 3 } else { 0 }));
                    Ok(10 * index)
                },
                |index, item| {
                    seen.push((index, item));
                    GO_ON
                },
            )?;

            let expected: Vec<_> = (0..20).map(|index| (index, 10 * index)).collect();
            assert_eq!(seen, expected);
        }
        Ok(())
    }

    #[test]
    fn no_more_are_made_than_a_few_ahead() -> anyhow::Result<()> {
        let made = AtomicUsize::new(0);
        let mut most = 0;

        produce(
            0..50,
            3,
            |_| {
                made.fetch_add(1, Ordering::SeqCst);
                Ok(())
            },
            |index, ()| {
                thread::sleep(Duration::from_millis(1));
                most = most.max(made.load(Ordering::SeqCst) - index);
                GO_ON
            },
        )?;

        // That which is used, and the window.
        assert!(most <= 1 + 3 + AHEAD, "{most}");
        Ok(())
    }

    #[test]
    fn numbers_begin_where_they_are_to_and_end_where_their_user_breaks() -> anyhow::Result<()> {
        for makers in [1, 4] {
            let mut seen = Vec::new();

            produce(5..1000, makers, Ok, |index, item| {
                seen.push((index, item));
                Ok(if index == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;

            assert_eq!(seen, [(5, 5), (6, 6), (7, 7)]);
            produce(3..3, makers, Ok, |_, _| Err(refusal()))?;
        }
        Ok(())
    }

    #[test]
    fn an_error_on_either_side_ends_both() {
        for makers in [1, 4] {
            let mut used = 0;
            let count = |used: &mut i32| {
                *used += 1;
                GO_ON
            };

            let made = |index| if index == 3 { Err(refusal()) } else { Ok(()) };
            assert!(produce(0..1000, makers, made, |_, ()| count(&mut used)).is_err());
            assert_eq!(used, 3);

            let using = |index, ()| if index == 5 { Err(refusal()) } else { GO_ON };
            let result = produce(0..1000, makers, |_| Ok(()), using);
            assert_eq!(result.unwrap_err().to_string(), "no");
        }
    }

    #[test]
    fn a_panic_of_a_maker_is_an_error_and_does_not_pass_for_the_end() {
        let make = |index| {
            assert!(index != 2, "item 2 is broken");
            Ok(())
        };

        let error = produce(0..4, 2, make, |_, ()| GO_ON).unwrap_err().to_string();

        assert!(error.contains("item 2 is broken"), "{error}");
    }

    #[test]
    fn a_panic_of_the_user_ends_the_makers() {
        let run = || {
            produce(
                0..1000,
                2,
                |_| Ok(()),
                |index, ()| {
                    assert!(index < 3, "the user is broken");
                    GO_ON
                },
            )
        };

        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    }
}
