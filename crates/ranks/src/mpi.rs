use std::fmt;
use std::ops::AddAssign;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use mpi::Threading;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator as _, CommunicatorCollectives as _, Equivalence, Root as _};

use crate::group::check;
use crate::{Error, Group, Result};

/// Values that are summed at once: beside them, memory for twice as many is needed.
const BLOCK: usize = 1 << 20;

/// Bytes that are sent at once. MPI counts in 32 bits, over all ranks where it gathers.
const MOST_BYTES: usize = 1 << 24;

/// The processes that `mpirun` or `srun` has started.
///
/// A process that drops this before [`Group::finish`], because of an error or a panic, ends the job: MPI would let
/// the others wait for ever. Errors within MPI, such as a broken connection, end the job as well, by MPI itself.
///
/// # Sums
///
/// MPI recommends that a sum over the same values be the same each time, and promises nothing. Here MPI only carries values:
/// each rank gets its share of the values of all others (`MPI_Alltoall`), adds them in the order of ranks, and hands the
/// sums to all (`MPI_Allgather`). Every rank sends and receives about twice as much as it has, as it does with any
/// all-reduce that is good for large buffers.
pub struct Mpi {
    /// Held during a call; `None` once finished.
    universe: Mutex<Option<Universe>>,
    home: ThreadId,
    rank: usize,
    size: usize,
}

impl Mpi {
    /// Starts MPI, which can be done once in a process. The thread that does it has to call [`Group::finish`].
    ///
    /// Without a launcher this is a job of one rank.
    ///
    /// # Errors
    ///
    /// [`Error::Mpi`], where it has been started, or cannot be called from another thread. MPI itself ends the process where it
    /// cannot start.
    pub fn start() -> Result<Self> {
        let (universe, threading) = mpi::initialize_with_threading(Threading::Multiple)
            .ok_or(Error::Mpi("was started before"))?;
        let world = universe.world();
        let number = |value: i32| usize::try_from(value).map_err(|_| Error::Mpi("has lost count"));
        let (rank, size) = (number(world.rank())?, number(world.size())?);
        let own =
            Self { universe: Mutex::new(Some(universe)), home: thread::current().id(), rank, size };
        if matches!(threading, Threading::Single | Threading::Funneled) {
            return Err(Error::Mpi("is built without threads"));
        }
        Ok(own)
    }

    /// The ranks, while no other thread of this one calls them.
    fn call<T>(&self, work: impl FnOnce(&SimpleCommunicator) -> T) -> Result<T> {
        let universe = self.lock();
        Ok(work(&universe.as_ref().ok_or(Error::Finished)?.world()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Universe>> {
        self.universe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sum<T: Equivalence + AddAssign + Copy + Default>(&self, values: &mut [T]) -> Result<()> {
        self.call(|world| {
            let (mut all, mut shares) = (Vec::new(), Vec::new());
            for block in values.chunks_mut(BLOCK) {
                let share = block.len().div_ceil(self.size);
                all.clear();
                all.extend_from_slice(block);
                all.resize(share * self.size, T::default());
                shares.resize(share * self.size, T::default());
                world.all_to_all_into(&all[..], &mut shares[..]);
                let (sum, others) = shares.split_at_mut(share);
                for other in others.chunks(share) {
                    sum.iter_mut().zip(other).for_each(|(sum, &value)| *sum += value);
                }
                world.all_gather_into(&*sum, &mut all[..]);
                block.copy_from_slice(&all[..block.len()]);
            }
        })
    }

    /// How many bytes each rank has.
    fn lengths(&self, world: &SimpleCommunicator, own: usize) -> Vec<usize> {
        let mut lengths = vec![0_u64; self.size];
        world.all_gather_into(&(own as u64), &mut lengths[..]);
        #[expect(clippy::cast_possible_truncation, reason = "lengths of what is in memory")]
        lengths.into_iter().map(|length| length as usize).collect()
    }
}

/// A rank as MPI has it.
fn raw(rank: usize) -> Result<i32> {
    i32::try_from(rank).map_err(|_| Error::Mpi("has no such rank"))
}

impl Group for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum_f32(&self, values: &mut [f32]) -> Result<()> {
        self.sum(values)
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<()> {
        self.sum(values)
    }

    fn broadcast(&self, root: usize, bytes: &mut Vec<u8>) -> Result<()> {
        check(root, self.size)?;
        let root_raw = raw(root)?;
        self.call(|world| {
            let root = world.process_at_rank(root_raw);
            let mut length = bytes.len() as u64;
            root.broadcast_into(&mut length);
            #[expect(clippy::cast_possible_truncation, reason = "it fits into memory")]
            bytes.resize(length as usize, 0);
            for part in bytes.chunks_mut(MOST_BYTES) {
                root.broadcast_into(part);
            }
        })
    }

    fn gather(&self, root: usize, bytes: &[u8]) -> Result<Option<Vec<Vec<u8>>>> {
        check(root, self.size)?;
        let root_raw = raw(root)?;
        self.call(|world| {
            let lengths = self.lengths(world, bytes.len());
            let longest = lengths.iter().copied().max().unwrap_or(0);
            let most = MOST_BYTES.min((1 << 30) / self.size).max(1);
            let process = world.process_at_rank(root_raw);
            let mut all = vec![Vec::new(); self.size];
            for start in (0..longest).step_by(most) {
                let count = most.min(longest - start);
                let rest = bytes.get(start..).unwrap_or(&[]);
                let mut part = rest[..count.min(rest.len())].to_vec();
                part.resize(count, 0);
                if self.rank == root {
                    let mut parts = vec![0_u8; count * self.size];
                    process.gather_into_root(&part[..], &mut parts[..]);
                    for ((own, part), &length) in
                        all.iter_mut().zip(parts.chunks(count)).zip(&lengths)
                    {
                        let left: usize = length - Vec::len(own);
                        own.extend_from_slice(&part[..count.min(left)]);
                    }
                } else {
                    process.gather_into(&part[..]);
                }
            }
            (self.rank == root).then_some(all)
        })
    }

    fn barrier(&self) -> Result<()> {
        self.call(SimpleCommunicator::barrier)
    }

    fn abort(&self, code: i32) {
        // Not by `call`: another thread may be waiting in one.
        SimpleCommunicator::world().abort(code)
    }

    fn finish(&self) -> Result<()> {
        if thread::current().id() != self.home {
            return Err(Error::Mpi("has to be ended by the thread that started it"));
        }
        self.barrier()?;
        drop(self.lock().take());
        Ok(())
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        let finished = self.lock().is_none();
        if !finished {
            self.abort(1);
        }
    }
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mpi")
            .field("rank", &self.rank)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
