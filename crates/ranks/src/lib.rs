//! The processes of a job, of which each is a *rank*: sums over all of them, and shares of the work.
//!
//! | to do | use |
//! |---|---|
//! | learn from the environment what a launcher says | [`Launch`], [`Launcher`] |
//! | join the job | [`start`](fn@start) |
//! | sum, tell and collect | [`Group`] |
//! | work by oneself | [`Alone`] |
//! | try several ranks in one process, as threads | [`Local`] |
//! | work with what `mpirun` starts | `Mpi`, with feature `mpi` |
//! | sum gradients on GPUs | `Nccl`, with feature `nccl` |
//! | train with the gradients of all ranks | [`mean_gradients`] |
//! | pool the sums of a loss over all ranks | [`pooled`](fn@pooled) |
//! | do one part of many cases | [`Shard`] |
//! | tell what went wrong | [`Error`], [`Result`] |
//!
//! # What all ranks must do
//!
//! The same calls in the same order: each call of a [`Group`] ends when all ranks have made it. A rank that
//! cannot go on calls [`Group::abort`], or the others wait for it for ever. A rank that is done calls
//! [`Group::finish`].
//!
//! # The same bits
//!
//! Sums are taken in the order of ranks, rank 0 first: every rank gets the same bits, and so does every run with as
//! many ranks, with [`Local`] as with `Mpi`. Another number of ranks rounds differently. `Nccl` sums in an order of its
//! own: see there.
//!
//! # Example
//!
//! ```
//! use sconce_ranks::{Group as _, Local, Shard};
//!
//! let sums: Vec<f64> = std::thread::scope(|scope| {
//!     let work = |group: Local| {
//!         let cases = Shard::of(&group).take(&[1.0, 2.0, 3.0]);
//!         let mut sum = [cases.iter().sum()];
//!         group.sum_f64(&mut sum).map(|()| sum[0])
//!     };
//!     let ranks: Vec<_> =
//!         Local::group(2).into_iter().map(|group| scope.spawn(move || work(group))).collect();
//!     ranks.into_iter().map(|rank| rank.join().expect("no panic")).collect::<Result<_, _>>()
//! })?;
//! assert_eq!(sums, [6.0, 6.0]);
//! # Ok::<(), sconce_ranks::Error>(())
//! ```

mod alone;
mod error;
mod gradients;
mod group;
mod launch;
mod local;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;
mod pooled;
mod shard;
mod start;

pub use crate::alone::Alone;
pub use crate::error::{Error, Result};
pub use crate::gradients::mean_gradients;
pub use crate::group::Group;
pub use crate::launch::{Launch, Launcher};
pub use crate::local::Local;
#[cfg(feature = "mpi")]
pub use crate::mpi::Mpi;
#[cfg(feature = "nccl")]
pub use crate::nccl::Nccl;
pub use crate::pooled::pooled;
pub use crate::shard::Shard;
pub use crate::start::start;
