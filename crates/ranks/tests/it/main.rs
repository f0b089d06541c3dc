//! Several ranks do together what one does alone; where one fails, none waits for it.

mod gradients;
mod local;
#[cfg(feature = "mpi")]
mod mpi;
mod starting;

use std::thread;

use sconce_ranks::{Local, Result};

/// What each of `size` ranks makes of `work`.
fn each<T: Send>(size: usize, work: impl Fn(Local) -> Result<T> + Sync) -> Vec<Result<T>> {
    let work = &work;
    thread::scope(|scope| {
        let ranks: Vec<_> =
            Local::group(size).into_iter().map(|group| scope.spawn(move || work(group))).collect();
        ranks.into_iter().map(|rank| rank.join().expect("no rank panics")).collect()
    })
}
