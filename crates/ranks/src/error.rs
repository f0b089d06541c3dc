use std::path::PathBuf;

use crate::Launcher;

/// Why the ranks of a job could not work together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A rank ended before the others did.
    #[error("rank {rank} has ended before the others, which wait for it")]
    Gone {
        /// The rank.
        rank: usize,
    },
    /// A rank has ended the job.
    #[error("rank {rank} has ended the job with code {code}")]
    Aborted {
        /// The rank.
        rank: usize,
        /// The code.
        code: i32,
    },
    /// Ranks are not at the same place.
    #[error("rank {rank} is at {call}, while others are at {others}: all ranks must do the same")]
    OutOfStep {
        /// The rank.
        rank: usize,
        /// What it called.
        call: String,
        /// What others called.
        others: String,
    },
    /// A rank that does not exist.
    #[error("there is no rank {rank} among {size}, which count from 0")]
    NoRank {
        /// The rank.
        rank: usize,
        /// How many there are.
        size: usize,
    },
    /// Something that should be the same on all ranks is not.
    #[error(
        "rank {rank} has another {what} than rank 0: start all ranks with the same files and options"
    )]
    Differs {
        /// What differs.
        what: String,
        /// The first rank where it does.
        rank: usize,
    },
    /// The rank has finished, or has not begun.
    #[error("this process takes no part in the job any more")]
    Finished,
    /// MPI can be started once, and ended where it was started.
    #[error("MPI {0}")]
    Mpi(&'static str),
    /// One of several processes, of a program that cannot speak to the others.
    #[error(
        "{launcher} has started {size} of this program, which is built without MPI: each would do the same work. \
         Build it with --features mpi"
    )]
    NotBuilt {
        /// What started it.
        launcher: Launcher,
        /// How many there are.
        size: usize,
    },
    /// One of several processes, which do not find each other.
    #[error(
        "{launcher} has started {size} of this program, but MPI finds {found}: start them with the mpirun of the MPI that \
         it is built with, or with srun --mpi=pmix"
    )]
    NotConnected {
        /// What started it.
        launcher: Launcher,
        /// How many there are.
        size: usize,
        /// How many MPI finds.
        found: usize,
    },
    /// More ranks than GPUs.
    #[error(
        "{ranks} ranks were started on this machine, which shows them {gpus} GPUs; each rank takes one of its own"
    )]
    Gpus {
        /// Ranks of the machine.
        ranks: usize,
        /// GPUs of the machine.
        gpus: usize,
    },
    /// The file where ranks meet.
    #[error("{}: {reason}", path.display())]
    Meeting {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Not a part of the work.
    #[error("{text:?} is no shard: write 1/4 for the first of four, and 4/4 for the last")]
    Shard {
        /// What was written.
        text: String,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle::Error),
}

/// The result of working together.
pub type Result<T, E = Error> = std::result::Result<T, E>;
