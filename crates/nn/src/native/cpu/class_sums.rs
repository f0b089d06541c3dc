use std::sync::{Arc, Mutex, PoisonError};

use candle::{CpuStorage, DType, Result, Storage, Tensor, WithDType};
use rayon::prelude::*;

use super::edge::{Edge, Slot, nothing};
use super::{contiguous, held};
use crate::kernels::channels::narrow;
use crate::kernels::class_sums::{Labels, Real, Task, gradient, sums, sums_and_gradient};
use crate::native::compared::Compared;
use crate::native::node::{Backward, record};
use crate::{ClassLabels, ClassSums};

/// See [`class_sums`](crate::class_sums()), of contiguous logits in f32 or f64.
pub(crate) fn class_sums(logits: &Tensor, compared: Compared) -> Result<Tensor> {
    let (of, shape) = (compared.settings.of, compared.shape);
    let foreseen = compared.settings.foreseen.filter(|_| logits.track_op());
    let mut op = Sums { compared, foreseen: Mutex::default() };
    let sums = if logits.dtype() == DType::F64 {
        CpuStorage::F64(op.with_task::<f64, _>(logits, |task| sums(task, of))?)
    } else {
        let (sums, gradient) = op.with_task::<f32, _>(logits, |task| {
            let factor = foreseen.map(narrow);
            let both = factor.and_then(|factor| {
                let (sums, gradient) = sums_and_gradient(task, of, factor)?;
                Some((sums, Some(Foreseen { factor, gradient })))
            });
            both.unwrap_or_else(|| (sums(task, of), None))
        })?;
        op.foreseen = Mutex::new(gradient);
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

struct Sums {
    compared: Compared,
    foreseen: Mutex<Option<Foreseen>>,
}

/// The gradient of the logits, if that of each first sum is `factor`, and of all others 0.
struct Foreseen {
    factor: f32,
    gradient: Vec<f32>,
}

impl Foreseen {
    /// The gradient, where those of the sums are as they were foreseen, or all so many times as large.
    fn come_true(self, dy: &[f32], firsts: usize) -> Option<Vec<f32>> {
        let Self { factor, mut gradient } = self;
        let (firsts, others) = dy.split_at(firsts);
        let first = *firsts.first()?;
        #[expect(clippy::float_cmp, reason = "or else it did not come true")]
        let is_true = firsts.iter().all(|&it| it == first) && others.iter().all(|&it| it == 0.0);
        let times = first / factor;
        if !is_true || !times.is_finite() {
            return None;
        }
        #[expect(clippy::float_cmp, reason = "exactly as foreseen")]
        if times != 1.0 {
            gradient.par_chunks_mut(SCALED).for_each(|part| {
                for value in part {
                    *value *= times;
                }
            });
        }
        Some(gradient)
    }
}

/// Values that one task scales.
const SCALED: usize = 1 << 14;

impl Sums {
    /// What `run` makes of what is summed over.
    fn with_task<T: Real + WithDType, R>(
        &self,
        logits: &Tensor,
        run: impl FnOnce(&Task<'_, T>) -> R,
    ) -> Result<R> {
        let with = |x: &[T], labels: Labels<'_, T>, weight: Option<&[T]>| {
            let ClassSums { activation, clip, temperature, .. } = self.compared.settings;
            let (shape, scale) = (self.compared.shape, 1.0 / temperature);
            run(&Task { x, labels, weight, shape, activation, clip, scale })
        };
        let with = |x: &[T], labels: Labels<'_, T>| match &self.compared.weight {
            Some(weight) => with_values(weight, |weight| with(x, labels, Some(weight))),
            None => Ok(with(x, labels, None)),
        };
        with_values(logits, |x| match &self.compared.labels {
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
        let of = self.compared.settings.of;
        with_values(dy, |factors: &[T]| self.with_task(logits, |task| gradient(task, of, factors)))?
    }

    fn gradient_in_f32(&self, logits: &Tensor, dy: &Tensor) -> Result<Vec<f32>> {
        let foreseen = self.foreseen.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(foreseen) = foreseen {
            let firsts = self.compared.shape.samples * self.compared.shape.classes;
            if let Some(gradient) = with_values(dy, |dy| foreseen.come_true(dy, firsts))? {
                return Ok(gradient);
            }
        }
        self.gradient(logits, dy)
    }
}

impl Backward for Sums {
    const NAME: &'static str = "class sums";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let logits = inputs[0];
        let gradient = if logits.dtype() == DType::F64 {
            CpuStorage::F64(self.gradient(logits, dy)?)
        } else {
            CpuStorage::F32(self.gradient_in_f32(logits, dy)?)
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
        self.slot.leave(self.sums.gradient_in_f32(&self.logits, dy)?);
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
