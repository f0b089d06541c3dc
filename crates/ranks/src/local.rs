use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::group::check;
use crate::{Error, Group, Result};

/// Ranks that are threads of one process: to try what is meant for several processes.
///
/// Each handle belongs to one rank; a handle that is dropped before [`Group::finish`] makes the others' calls fail. So
/// does a rank that calls something else than the others: nobody waits for ever.
pub struct Local {
    rank: usize,
    meeting: Arc<Meeting>,
}

struct Meeting {
    size: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// How many calls all ranks have made together.
    round: u64,
    /// What the first rank that came to this round called.
    call: Option<Call>,
    /// What each rank brought to this round.
    parts: Vec<Option<Part>>,
    /// What all brought to the last round. It stays until all have come to the next.
    all: Arc<Vec<Part>>,
    failure: Option<Failure>,
    finished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    SumF32(usize),
    SumF64(usize),
    Broadcast(usize),
    Gather(usize),
    Barrier,
    Finish,
}

#[derive(Clone, Debug)]
enum Part {
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bytes(Vec<u8>),
}

#[derive(Clone, Copy)]
enum Failure {
    Gone(usize),
    Aborted(usize, i32),
    OutOfStep(usize, Call, Call),
}

impl Local {
    /// As many ranks as `size`, in order; none for 0.
    pub fn group(size: usize) -> Vec<Self> {
        let state = State { parts: (0..size).map(|_| None).collect(), ..State::default() };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let meeting = Arc::new(Meeting { size, state, changed });
        (0..size).map(|rank| Self { rank, meeting: Arc::clone(&meeting) }).collect()
    }

    /// Brings `part`, and takes what all have brought, once they have.
    fn exchange(&self, call: Call, part: Part) -> Result<Arc<Vec<Part>>> {
        let mut state = self.meeting.lock();
        state.check()?;
        let first = *state.call.get_or_insert(call);
        if first != call {
            self.fail(&mut state, Failure::OutOfStep(self.rank, call, first));
            return state.check().map(|()| Arc::default());
        }
        state.parts[self.rank] = Some(part);
        if state.parts.iter().all(Option::is_some) {
            let parts: Vec<Part> = state.parts.iter_mut().filter_map(Option::take).collect();
            state.all = Arc::new(parts);
            state.call = None;
            state.round += 1;
            state.finished = call == Call::Finish;
            self.meeting.changed.notify_all();
            return Ok(Arc::clone(&state.all));
        }
        let round = state.round;
        while state.round == round {
            state.failure.map_or(Ok(()), Failure::error)?;
            state = self.meeting.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(Arc::clone(&state.all))
    }

    /// The first failure is the one that is told.
    fn fail(&self, state: &mut State, failure: Failure) {
        state.failure.get_or_insert(failure);
        self.meeting.changed.notify_all();
    }
}

impl Meeting {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is never left half changed: a panic elsewhere does no harm to it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self) -> Result<()> {
        self.failure.map_or(Ok(()), Failure::error)?;
        if self.finished { Err(Error::Finished) } else { Ok(()) }
    }
}

impl Failure {
    fn error(self) -> Result<()> {
        Err(match self {
            Self::Gone(rank) => Error::Gone { rank },
            Self::Aborted(rank, code) => Error::Aborted { rank, code },
            Self::OutOfStep(rank, call, others) => {
                Error::OutOfStep { rank, call: call.to_string(), others: others.to_string() }
            }
        })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SumF32(count) => write!(f, "a sum of {count} f32"),
            Self::SumF64(count) => write!(f, "a sum of {count} f64"),
            Self::Broadcast(root) => write!(f, "a broadcast of rank {root}"),
            Self::Gather(root) => write!(f, "what rank {root} gathers"),
            Self::Barrier => write!(f, "a barrier"),
            Self::Finish => write!(f, "the end"),
        }
    }
}

/// Adds up what the ranks brought, in their order.
fn add<'a, T: Copy + std::ops::AddAssign + 'a>(
    values: &mut [T],
    parts: impl Iterator<Item = &'a [T]>,
) {
    for (rank, part) in parts.enumerate() {
        if rank == 0 {
            values.copy_from_slice(part);
        } else {
            values.iter_mut().zip(part).for_each(|(sum, &value)| *sum += value);
        }
    }
}

impl Group for Local {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.meeting.size
    }

    fn sum_f32(&self, values: &mut [f32]) -> Result<()> {
        let all = self.exchange(Call::SumF32(values.len()), Part::F32(values.to_vec()))?;
        add(values, all.iter().filter_map(|part| part.f32()));
        Ok(())
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<()> {
        let all = self.exchange(Call::SumF64(values.len()), Part::F64(values.to_vec()))?;
        add(values, all.iter().filter_map(|part| part.f64()));
        Ok(())
    }

    fn broadcast(&self, root: usize, bytes: &mut Vec<u8>) -> Result<()> {
        check(root, self.size())?;
        let own = if self.rank == root { bytes.clone() } else { Vec::new() };
        let all = self.exchange(Call::Broadcast(root), Part::Bytes(own))?;
        all[root].bytes().clone_into(bytes);
        Ok(())
    }

    fn gather(&self, root: usize, bytes: &[u8]) -> Result<Option<Vec<Vec<u8>>>> {
        check(root, self.size())?;
        let all = self.exchange(Call::Gather(root), Part::Bytes(bytes.to_vec()))?;
        Ok((self.rank == root).then(|| all.iter().map(|part| part.bytes().to_vec()).collect()))
    }

    fn barrier(&self) -> Result<()> {
        self.exchange(Call::Barrier, Part::Bytes(Vec::new())).map(drop)
    }

    fn abort(&self, code: i32) {
        let mut state = self.meeting.lock();
        self.fail(&mut state, Failure::Aborted(self.rank, code));
    }

    fn finish(&self) -> Result<()> {
        self.exchange(Call::Finish, Part::Bytes(Vec::new())).map(drop)
    }
}

impl Part {
    fn f32(&self) -> Option<&[f32]> {
        if let Self::F32(values) = self { Some(values) } else { None }
    }

    fn f64(&self) -> Option<&[f64]> {
        if let Self::F64(values) = self { Some(values) } else { None }
    }

    /// Empty for what is no bytes.
    fn bytes(&self) -> &[u8] {
        if let Self::Bytes(bytes) = self { bytes } else { &[] }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let mut state = self.meeting.lock();
        if !state.finished {
            self.fail(&mut state, Failure::Gone(self.rank));
        }
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("rank", &self.rank)
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}
