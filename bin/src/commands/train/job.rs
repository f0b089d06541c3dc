//! The processes that train a network together, where a launcher has started several.

use std::sync::Arc;

use sconce::engine::{DeviceChoice, device};
use sconce::ranks::{self, Group, Launch};

use super::open;
use crate::output::{exit_number, one_line};
use crate::progress::{be_quiet, note};

/// This process, and what it computes on.
pub(super) struct Job {
    pub(super) group: Arc<dyn Group>,
    pub(super) device: sconce::Device,
}

impl Job {
    /// Joins the others, where there are any; only the first one speaks from then on, but for errors.
    pub(super) fn join(choice: DeviceChoice) -> anyhow::Result<Self> {
        let launch = Launch::detect(|name| std::env::var(name).ok());
        let device = open(own(choice, launch.as_ref())?)?;
        let group = ranks::start(launch.as_ref())?;
        if group.rank() > 0 {
            be_quiet();
        }
        #[cfg(feature = "nccl")]
        let group: Arc<dyn Group> = if device.is_cuda() && group.size() > 1 {
            Arc::new(ranks::Nccl::within(group, &device)?)
        } else {
            group
        };
        Ok(Self { group, device })
    }

    /// Whether this is the process that writes and speaks.
    pub(super) fn is_first(&self) -> bool {
        self.group.rank() == 0
    }

    /// The error of one process is the end of all: they would wait for it.
    pub(super) fn failed(&self, error: anyhow::Error) -> anyhow::Error {
        if self.group.size() > 1 {
            // Now: nothing is printed any more once the job is ended.
            note(&format!("error: process {}: {}", self.group.rank(), one_line(&error)));
            self.group.abort(exit_number(&error));
        }
        error
    }
}

/// Each process of a machine takes a GPU of its own, where it was not told which.
fn own(choice: DeviceChoice, launch: Option<&Launch>) -> anyhow::Result<DeviceChoice> {
    let gpus = device::cuda_count();
    match (choice, launch) {
        (DeviceChoice::Auto | DeviceChoice::Cuda(0), Some(launch))
            if launch.local_size > 1 && gpus > 0 =>
        {
            Ok(DeviceChoice::Cuda(launch.gpu(gpus)?))
        }
        _ => Ok(choice),
    }
}
