//! The processes of a command, where a launcher such as `mpirun` has started several.

use std::sync::Arc;

use anyhow::Context as _;
use sconce::engine::{DeviceChoice, device};
use sconce::ranks::{self, Alone, Group, Launch};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::output::{Output, exit_number, one_line};
use crate::progress::{be_quiet, note};
use crate::shard::Shard;

/// This process among the others.
#[derive(Debug)]
pub(crate) struct Job {
    group: Arc<dyn Group>,
    /// The part that the command line asks for.
    shard: Option<Shard>,
}

impl Job {
    /// Joins the others, where there are any; only the first one speaks from then on, but for errors.
    pub(crate) fn join() -> anyhow::Result<Self> {
        let group = ranks::start(launch().as_ref())?;
        if group.rank() > 0 {
            be_quiet();
        }
        Ok(Self { group, shard: None })
    }

    /// For a command whose cases are divided: a process that was given its part works by itself, whoever started it.
    pub(crate) fn sharing(shard: Option<Shard>) -> anyhow::Result<Self> {
        match shard {
            Some(_) => Ok(Self { group: Arc::new(Alone), shard }),
            None => Self::join(),
        }
    }

    /// The part of this process; `None` where it has all cases.
    pub(crate) fn shard(&self) -> Option<Shard> {
        let one_of_several = || (self.group.size() > 1).then(|| Shard::of(self.group.as_ref()));
        self.shard.or_else(one_of_several)
    }

    /// Whether this is the process that writes and speaks for all.
    pub(crate) fn is_first(&self) -> bool {
        self.group.rank() == 0
    }

    /// The group to sum gradients with, on the device where it can.
    #[cfg_attr(not(feature = "nccl"), expect(clippy::unnecessary_wraps, reason = "NCCL may fail"))]
    pub(crate) fn group_on(&self, device: &sconce::Device) -> anyhow::Result<Arc<dyn Group>> {
        #[cfg(feature = "nccl")]
        if device.is_cuda() && self.group.size() > 1 {
            return Ok(Arc::new(ranks::Nccl::within(Arc::clone(&self.group), device)?));
        }
        let _ = device;
        Ok(Arc::clone(&self.group))
    }

    /// Does the work of this process. The error of one process is the end of all: they would wait for it.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        work().map_err(|error| self.failed(error))
    }

    /// The same, for an error that is at hand.
    pub(crate) fn failed(&self, error: anyhow::Error) -> anyhow::Error {
        if self.group.size() > 1 {
            // Now: nothing is printed any more once the job is ended.
            note(&format!("error: process {}: {}", self.group.rank(), one_line(&error)));
            self.group.abort(exit_number(&error));
        }
        error
    }

    /// What every process found, by rank, for the first one; `None` for the others.
    pub(crate) fn gather<T>(&self, found: T) -> anyhow::Result<Option<Vec<T>>>
    where
        T: Serialize + DeserializeOwned,
    {
        if self.group.size() == 1 {
            return Ok(Some(vec![found]));
        }
        let all = self.group.gather(0, &serde_json::to_vec(&found)?)?;
        let read = |bytes: &Vec<u8>| serde_json::from_slice(bytes);
        let all = all.map(|all| all.iter().map(read).collect::<Result<Vec<T>, _>>()).transpose();
        all.context("cannot read what another process found")
    }

    /// Says that this process is done, and waits for the others to say so.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        Ok(self.group.finish()?)
    }

    /// What a process has to say that is not the first.
    pub(crate) fn silent(failed: bool) -> Output {
        Output::nothing().failing_if(failed)
    }
}

fn launch() -> Option<Launch> {
    Launch::detect(|name| std::env::var(name).ok())
}

/// Each process of a machine takes a GPU of its own, where it was not told which.
pub(crate) fn own(choice: DeviceChoice) -> anyhow::Result<DeviceChoice> {
    let gpus = device::cuda_count();
    match (choice, launch()) {
        (DeviceChoice::Auto | DeviceChoice::Cuda(0), Some(launch))
            if launch.local_size > 1 && gpus > 0 =>
        {
            Ok(DeviceChoice::Cuda(launch.gpu(gpus)?))
        }
        _ => Ok(choice),
    }
}
