//! What the time of a step goes into.

use std::cell::RefCell;
use std::time::Instant;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Convolutions and their gradients, with the norm of what they read.
    Convolution,
    /// Norms and activations by themselves, and their gradients.
    Normalization,
    /// Losses and their gradients.
    Loss,
    /// Steps of optimizers.
    Optimizer,
    /// Waiting for data.
    Data,
    /// All else.
    Other,
}

impl Work {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Convolution,
        Self::Normalization,
        Self::Loss,
        Self::Optimizer,
        Self::Data,
        Self::Other,
    ];

    /// The kind of an operation's gradient.
    pub(crate) fn of_operation(name: &str) -> Self {
        match name {
            "conv" | "reading convolution" | "transpose" => Self::Convolution,
            "normalization" | "activation" | "enter" | "leave" => Self::Normalization,
            "class sums" | "softmax" => Self::Loss,
            _ => Self::Other,
        }
    }
}

/// Seconds for each kind of work.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent([f64; Work::ALL.len()]);

impl Spent {
    /// Those of one kind.
    pub fn on(&self, work: Work) -> f64 {
        self.0[work as usize]
    }

    /// What has been added since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] - before.0[at]))
    }

    /// Those of all kinds.
    pub fn total(&self) -> f64 {
        self.0.iter().sum()
    }
}

/// What is being worked at, and since when.
struct Clock {
    work: Work,
    since: Instant,
    spent: Spent,
}

impl Clock {
    /// Turns to another work; what it was before.
    fn turn(&mut self, work: Work) -> Work {
        let now = Instant::now();
        self.spent.0[self.work as usize] += now.duration_since(self.since).as_secs_f64();
        self.since = now;
        std::mem::replace(&mut self.work, work)
    }
}

thread_local! {
    static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// What `run` returns, and what this thread's time went into meanwhile: each moment counts for the innermost
/// [`working_at`].
///
/// A device that computes by itself is waited for by whatever asks it first; on such a device the shares mean little.
///
/// # Examples
///
/// ```
/// use sconce_nn::{Work, spent, working_at};
///
/// let (sum, spent) = spent(|| working_at(Work::Loss, || (0..1000).sum::<u64>()));
/// assert_eq!(sum, 499_500);
/// assert!(spent.on(Work::Loss) > 0.0 && spent.on(Work::Data) == 0.0);
/// ```
pub fn spent<T>(run: impl FnOnce() -> T) -> (T, Spent) {
    let clock = Clock { work: Work::Other, since: Instant::now(), spent: Spent::default() };
    let before = CLOCK.replace(Some(clock));
    let result = run();
    let clock = CLOCK.replace(before);
    let spent = clock.map(|mut clock| {
        clock.turn(Work::Other);
        clock.spent
    });
    (result, spent.unwrap_or_default())
}

/// What the time of the [`spent`] that runs has gone into so far; `None` where none runs.
pub fn spent_so_far() -> Option<Spent> {
    CLOCK.with_borrow_mut(|clock| {
        let clock = clock.as_mut()?;
        let work = clock.work;
        clock.turn(work);
        Some(clock.spent)
    })
}

/// What `run` returns, whose time counts as `work` where somebody counts it.
pub fn working_at<T>(work: Work, run: impl FnOnce() -> T) -> T {
    let turn =
        |work: Work| CLOCK.with_borrow_mut(|clock| clock.as_mut().map(|clock| clock.turn(work)));
    let before = turn(work);
    let result = run();
    if let Some(before) = before {
        turn(before);
    }
    result
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_moment_counts_once_for_what_is_innermost() {
        let whole = Instant::now();

        let ((), spent) = spent(|| {
            working_at(Work::Loss, || {
                working_at(Work::Convolution, || sleep(Duration::from_millis(20)));
            });
        });

        assert!(spent.on(Work::Convolution) >= 0.02, "{spent:?}");
        assert!(spent.on(Work::Data) <= 0.0);
        assert!(spent.total() <= whole.elapsed().as_secs_f64(), "{spent:?}");
        // Nobody counts any more.
        working_at(Work::Data, || ());
    }
}
