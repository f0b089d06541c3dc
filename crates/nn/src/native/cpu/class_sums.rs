use std::sync::Arc;

use candle::{CpuStorage, DType, Result, Storage, Tensor, WithDType};

use super::edge::{Edge, Slot, nothing};
use super::{contiguous, held};
use crate::kernels::channels::narrow;
use crate::kernels::class_sums::{Labels, Real, Task, gradient, sums};
use crate::native::compared::Compared;
use crate::native::node::{Backward, record};
use crate::{ClassLabels, ClassSums};

/// See [`class_sums`](crate::class_sums()), of contiguous logits in f32 or f64.
pub(crate) fn class_sums(logits: &Tensor, compared: Compared) -> Result<Tensor> {
    let (of, shape, op) = (compared.settings.of, compared.shape, Sums(compared));
    let sums = if logits.dtype() == DType::F64 {
        CpuStorage::F64(op.with_task::<f64, _>(logits, |task| sums(task, of))?)
    } else {
        let sums = op.with_task::<f32, _>(logits, |task| sums(task, of))?;
        CpuStorage::F32(sums.into_iter().map(narrow).collect())
    };
    let (sums, result) = (Storage::Cpu(sums), (of.count(), shape.samples, shape.classes));
    match Edge::behind(logits) {
        Some(Edge { ticket, slot }) => {
            let op = SumsBehind { sums: op, logits: logits.detach(), slot };
            record(&[&ticket], sums, result, op)
        }
        None => record(&[logits], sums, result, op),
    }
}

struct Sums(Compared);

impl Sums {
    /// What `run` makes of what is summed over.
    fn with_task<T: Real + WithDType, R>(
        &self,
        logits: &Tensor,
        run: impl FnOnce(&Task<'_, T>) -> R,
    ) -> Result<R> {
        let with = |x: &[T], labels: Labels<'_, T>, weight: Option<&[T]>| {
            let ClassSums { activation, clip, temperature, .. } = self.0.settings;
            let (shape, scale) = (self.0.shape, 1.0 / temperature);
            run(&Task { x, labels, weight, shape, activation, clip, scale })
        };
        let with = |x: &[T], labels: Labels<'_, T>| match &self.0.weight {
            Some(weight) => with_values(weight, |weight| with(x, labels, Some(weight))),
            None => Ok(with(x, labels, None)),
        };
        with_values(logits, |x| match &self.0.labels {
            ClassLabels::Indices(labels) => {
                with_values(labels, |labels| with(x, Labels::Indices(labels)))
            }
            ClassLabels::Shares(labels) if labels.dtype() == DType::U8 => {
                with_values(labels, |labels| with(x, Labels::Masks(labels)))
            }
            ClassLabels::Shares(labels) => {
                with_values(labels, |labels| with(x, Labels::Shares(labels)))
            }
        })??
    }

    fn gradient<T: Real + WithDType>(&self, logits: &Tensor, dy: &Tensor) -> Result<Vec<T>> {
        let of = self.0.settings.of;
        with_values(dy, |factors: &[T]| self.with_task(logits, |task| gradient(task, of, factors)))?
    }
}

impl Backward for Sums {
    const NAME: &'static str = "class sums";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let logits = inputs[0];
        let gradient = if logits.dtype() == DType::F64 {
            CpuStorage::F64(self.gradient(logits, dy)?)
        } else {
            CpuStorage::F32(self.gradient(logits, dy)?)
        };
        Ok(vec![Some(held(gradient, logits.shape()))])
    }
}

/// The same, of logits that came out of an edge.
struct SumsBehind {
    sums: Sums,
    logits: Tensor,
    slot: Arc<Slot>,
}

impl Backward for SumsBehind {
    const NAME: &'static str = "class sums";

    fn gradients(&self, tickets: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        self.slot.leave(self.sums.gradient(&self.logits, dy)?);
        Ok(vec![Some(nothing(tickets[0])?)])
    }
}

/// What `run` makes of the values of a contiguous tensor on the CPU.
fn with_values<T: WithDType, R>(x: &Tensor, run: impl FnOnce(&[T]) -> R) -> Result<R> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        candle::bail!("a native kernel takes tensors on the CPU");
    };
    Ok(run(&storage.as_slice::<T>()?[contiguous(layout)?]))
}
