use std::sync::mpsc::sync_channel;
use std::thread;

use crate::Result;
use crate::guard::panicked;

/// How many items wait for their use at most.
const AHEAD: usize = 2;

/// Makes `count` items on a thread of their own, a few ahead of their use, and uses them in order.
///
/// Whatever fails first, making or using, ends both; a panic of the thread becomes an error.
///
/// # Errors
///
/// The first error of `make` or `each`.
pub(crate) fn produce<T: Send>(
    count: usize,
    make: impl Fn(usize) -> Result<T> + Send,
    mut each: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(AHEAD);
        let thread = scope.spawn(move || {
            for index in 0..count {
                let item = make(index);
                let failed = item.is_err();
                // Nobody listens once a use has failed.
                if sender.send(item).is_err() || failed {
                    return;
                }
            }
        });
        // The receiver is gone after this: the thread cannot wait for someone who listens no more.
        let mut items = receiver.into_iter().enumerate();
        let outcome = items.try_for_each(|(index, item)| each(index, item?));
        drop(items);
        match thread.join() {
            Err(payload) => outcome.and(Err(panicked(payload.as_ref()))),
            Ok(()) => outcome,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn refusal() -> Error {
        Error::Settings("no".to_owned())
    }

    #[test]
    fn items_are_used_in_order() -> anyhow::Result<()> {
        let mut seen = Vec::new();

        produce(
            20,
            |index| Ok(10 * index),
            |index, item| {
                seen.push((index, item));
                Ok(())
            },
        )?;

        let expected: Vec<_> = (0..20).map(|index| (index, 10 * index)).collect();
        assert_eq!(seen, expected);
        Ok(())
    }

    #[test]
    fn an_error_on_either_side_ends_both() {
        let mut used = 0;
        let count = |used: &mut i32| {
            *used += 1;
            Ok(())
        };

        let made = |index| if index == 3 { Err(refusal()) } else { Ok(()) };
        assert!(produce(1000, made, |_, ()| count(&mut used)).is_err());
        assert_eq!(used, 3);

        let result =
            produce(1000, |_| Ok(()), |index, ()| if index == 5 { Err(refusal()) } else { Ok(()) });
        assert_eq!(result.unwrap_err().to_string(), "no");
    }

    #[test]
    fn a_panic_of_the_thread_is_an_error_and_does_not_pass_for_the_end() {
        let make = |index| {
            assert!(index < 2, "item 2 is broken");
            Ok(())
        };

        let error = produce(4, make, |_, ()| Ok(())).unwrap_err().to_string();

        assert!(error.contains("item 2 is broken"), "{error}");
    }
}
