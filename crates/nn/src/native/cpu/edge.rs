//! Gradients that go from one operation to the next by themselves.
//!
//! Candle adds up the gradients of a tensor into zeros, even where there is but one, and keeps each in
//! the type of the tensor: for what goes through a network that is two more passes over memory for
//! each layer. Here the graph is made of *tickets*, single values, one for each tensor; the gradient of
//! the tensor itself lies in a slot, in single precision, where its readers leave their parts of it and
//! its maker takes the sum. Candle's order of the tickets is the order of the tensors.

use std::sync::{Arc, Mutex, PoisonError};

use candle::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{Held, tensor_like};

/// The gradient of a tensor, so far.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Option<Vec<f32>>>);

/// Values that one task adds.
const TASK: usize = 1 << 14;

impl Slot {
    /// Adds a part.
    pub(super) fn leave(&self, part: Vec<f32>) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match sum.as_mut() {
            None => *sum = Some(part),
            Some(sum) => {
                let pieces = sum.par_chunks_mut(TASK).zip(part.par_chunks(TASK));
                pieces.for_each(|(sum, part)| {
                    for (sum, part) in sum.iter_mut().zip(part) {
                        *sum += part;
                    }
                });
            }
        }
    }

    /// The sum of the parts; the slot is empty again.
    pub(super) fn take(&self) -> Result<Vec<f32>> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(sum) => Ok(sum),
            None => candle::bail!("no reader of a tensor left its gradient"),
        }
    }
}

/// Who a tensor comes from.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(super) ticket: Tensor,
    pub(super) slot: Arc<Slot>,
}

impl Edge {
    /// The way into `x`, a tensor of candle's graph.
    pub(super) fn into_graph(x: &Tensor) -> Result<Self> {
        let slot = Arc::new(Slot::default());
        let ticket = x.apply_op1(Enter(slot.clone()))?;
        Ok(Self { ticket, slot })
    }

    /// `values`, which it belongs to, as a tensor of candle's graph.
    pub(crate) fn out_of(&self, values: &Tensor) -> Result<Tensor> {
        self.ticket.apply_op1(Leave { values: values.clone(), slot: self.slot.clone() })
    }
}

/// The ticket of a result.
pub(super) fn ticket() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.0]), Shape::from(1))
}

/// From a tensor to its ticket.
struct Enter(Arc<Slot>);

impl CustomOp1 for Enter {
    fn name(&self) -> &'static str {
        "enter"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(ticket())
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        let gradient = self.0.take()?;
        Ok(x.track_op().then(|| tensor_like(gradient, x)))
    }
}

/// From a ticket to its tensor.
struct Leave {
    values: Tensor,
    slot: Arc<Slot>,
}

impl CustomOp1 for Leave {
    fn name(&self) -> &'static str {
        "leave"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = Held::of(&self.values)?;
        Ok((values.copied(), self.values.shape().clone()))
    }

    fn bwd(&self, ticket: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !ticket.track_op() {
            return Ok(None);
        }
        let dy = dy.contiguous()?;
        self.slot.leave(Held::of(&dy)?.wide().into_owned());
        ticket.zeros_like().map(Some)
    }
}
