//! How much memory steps will take, found out with patches that are smaller.

use std::fmt;

use candle::Device;
use nn::{Gradients, Parameters};

use crate::learner::Learner;
use crate::loader::Loader;
use crate::producer::{AHEAD, makers};
use crate::spare_memory::spare_memory;
use crate::supervise::{Progress, Supervision};
use crate::{Result, Run, device, resident_memory};

/// Counts the memory that a program holds: its allocator can.
pub trait MemoryMeter: fmt::Debug + Sync {
    /// Bytes that are held now.
    fn held(&self) -> u64;

    /// The most since the meter was set back.
    fn most(&self) -> u64;

    /// From now on, the most is counted anew.
    fn set_back(&self);
}

/// How much memory a run will take at its height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// Bytes, with all that the program holds already: of the machine, or of the device that computes.
    pub needed: u64,
    /// Bytes that there are for it.
    pub available: u64,
}

/// What the program takes beside what it holds, bytes: its code, and what is too small to be counted.
pub(crate) const PROGRAM: u64 = 54 << 20;

/// How much the system gives for each byte that is held: blocks of many sizes leave gaps, which are kept for others. Measured for
/// 0.3 to 1 GB of 2D and 3D networks: 1.25 to 1.45.
pub(crate) const TAKEN: f64 = 1.38;

/// Runs the network forward and back on small patches, twice, and concludes from these two what it takes for a whole batch;
/// `None` where nobody counts.
///
/// What layers keep and work with grows with the voxels of a batch, and what parameters, their gradients and the memory
/// of an optimizer take does not.
pub(crate) fn estimate(
    run: &Run<'_>,
    learner: &Learner,
    supervision: &dyn Supervision,
    loader: &Loader<'_>,
) -> Result<Option<MemoryEstimate>> {
    let meter: &dyn MemoryMeter = match run.meter {
        _ if device::memory(run.device).is_some() => &OfDevice(run.device),
        Some(meter) if run.device.is_cpu() => meter,
        _ => return Ok(None),
    };
    let (plan, stride) = (loader.plan(), learner.model.stride());
    let whole_count = loader.own_part().len();
    let whole = (whole_count, plan.patch_size);
    let [small, large] = probes(whole, stride);
    // A norm remembers something of each batch that it sees in training, and is not to remember these.
    let values = learner.parameters.tensors()?;
    let before = meter.held();
    let mut found = [0; 2];
    for ((count, size), found) in [small, large].into_iter().zip(&mut found) {
        let batch = loader.probe(count, size)?.to_device(run.device)?;
        meter.set_back();
        let progress = Progress { epoch: 0, step: 0, steps: 1 };
        nn::step_scope(run.device, || learner.probe(supervision, &batch, progress))?;
        // With the batch itself, which grows as layers do.
        *found = meter.most().saturating_sub(before);
    }
    learner.parameters.load(&values)?;
    drop(values);
    meter.set_back();
    let held = meter.held();
    let batch = loader.training(0, 0, &Device::Cpu)?;
    let loading = meter.most().saturating_sub(held) as f64;
    drop(batch);

    let [small, large, whole] = [small, large, whole].map(voxels);
    let of_voxel = found[1].saturating_sub(found[0]) as f64 / (large - small).max(1.0);
    let step = found[1] as f64 + of_voxel * (whole - large);
    let parameters: usize = learner.parameters.vars().iter().map(|(_, var)| var.elem_count()).sum();
    let kept = (4 * parameters * memories(learner)?) as f64;
    if !run.device.is_cpu() {
        let total = device::memory(run.device).map_or(u64::MAX, |memory| memory.total);
        return Ok(Some(MemoryEstimate { needed: before + bytes(step + kept), available: total }));
    }
    // Batches that wait, in single precision with their labels.
    let batch = 4.0 * whole * (learner.model.interface().channels + 1) as f64;
    let waiting = batch * (makers(whole_count) + AHEAD) as f64;
    let held = before as f64 + step + kept + loading + waiting;
    let resident = resident_memory().unwrap_or(0);
    let needed = (PROGRAM + bytes(TAKEN * held)).max(resident);
    Ok(Some(MemoryEstimate { needed, available: spare_memory() + resident }))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes")]
pub(crate) fn bytes(count: f64) -> u64 {
    count as u64
}

/// Two smaller batches, of patches and their size: of about a quarter and a half of each extent, or of fewer patches where a
/// patch cannot be smaller.
pub(crate) fn probes(
    (count, size): (usize, [usize; 3]),
    stride: &[usize],
) -> [(usize, [usize; 3]); 2] {
    let part = |parts: usize| -> [usize; 3] {
        std::array::from_fn(|axis| {
            let Some(stride) = (axis + stride.len()).checked_sub(3).map(|at| stride[at]) else {
                return size[axis];
            };
            (size[axis] / parts).next_multiple_of(stride).clamp(stride.min(size[axis]), size[axis])
        })
    };
    let (quarter, half) = (part(4), part(2));
    if quarter != half {
        return [(count, quarter), (count, half)];
    }
    [(1, half), (2, half)]
}

#[expect(clippy::cast_precision_loss, reason = "few enough")]
fn voxels((count, size): (usize, [usize; 3])) -> f64 {
    (count * size.iter().product::<usize>()) as f64
}

/// How many numbers an optimizer remembers of each parameter, and an average keeps.
fn memories(learner: &Learner) -> Result<usize> {
    let one = Parameters::new(0, &Device::Cpu);
    let value = one.builder().get(64, "one")?;
    let gradient = Some(value.detach().zeros_like()?);
    let gradients = Gradients::new([("one".to_owned(), gradient)].into());
    let mut optimizer = learner.fresh_optimizer();
    optimizer.step(&one, &gradients, &0.0.into())?;
    let state = optimizer.state()?;
    let remembered = state.values().filter(|tensor| tensor.elem_count() == 64).count();
    Ok(remembered + usize::from(learner.averages()))
}

/// The memory of a device, of which only what is taken now is known: its driver keeps what was freed.
#[derive(Debug)]
struct OfDevice<'a>(&'a Device);

impl MemoryMeter for OfDevice<'_> {
    fn held(&self) -> u64 {
        device::memory(self.0).map_or(0, |memory| memory.used)
    }

    fn most(&self) -> u64 {
        self.held()
    }

    fn set_back(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_smaller_and_fit_the_network() {
        assert_eq!(probes((2, [128; 3]), &[16; 3]), [(2, [32; 3]), (2, [64; 3])]);
        let [small, large] = probes((2, [40, 56, 40]), &[8; 3]);
        assert_eq!((small, large), ((2, [16; 3]), (2, [24, 32, 24])));
        assert_eq!(probes((4, [1, 256, 256]), &[16; 2]), [(4, [1, 64, 64]), (4, [1, 128, 128])]);
        // A patch that is as small as the network allows.
        assert_eq!(probes((8, [16; 3]), &[16; 3]), [(1, [16; 3]), (2, [16; 3])]);
    }
}
