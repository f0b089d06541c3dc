use std::sync::Arc;

use crate::{Alone, Group, Launch, Result};

/// Joins the job that a launcher has started this process for; without one, or for one process, [`Alone`].
///
/// MPI is started only where there are several processes: it takes a second, and listens to the network. Call this from the
/// thread that will call [`Group::finish`].
///
/// # Errors
///
/// `Error::NotBuilt`, where there are several processes and no feature `mpi`: what each of them would do alone is the same
/// work, unless it is given a [`Shard`](crate::Shard) by itself. `Error::NotConnected`, where MPI does not find the
/// processes that there are.
pub fn start(launch: Option<&Launch>) -> Result<Arc<dyn Group>> {
    match launch {
        Some(launch) if launch.size > 1 => several(launch),
        _ => Ok(Arc::new(Alone)),
    }
}

#[cfg(not(feature = "mpi"))]
fn several(launch: &Launch) -> Result<Arc<dyn Group>> {
    Err(crate::Error::NotBuilt { launcher: launch.launcher, size: launch.size })
}

#[cfg(feature = "mpi")]
fn several(launch: &Launch) -> Result<Arc<dyn Group>> {
    let apart = |found| {
        let (launcher, size) = (launch.launcher, launch.size);
        Err(crate::Error::NotConnected { launcher, size, found })
    };
    // MPI would end the process, and say why in its own way.
    if !launch.connected {
        return apart(1);
    }
    let group = crate::Mpi::start()?;
    if group.size() == launch.size {
        return Ok(Arc::new(group));
    }
    // Such as an mpirun of another MPI: each process is a job of its own.
    let found = group.size();
    group.finish()?;
    apart(found)
}
