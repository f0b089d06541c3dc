//! Gradients that go from one operation to the next by themselves.
//!
//! Candle adds up the gradients of a tensor into zeros, even where there is but one, and keeps each in
//! the type of the tensor: for what goes through a network that is two more passes over memory for
//! each layer. Here the graph is made of *tickets*, single values, one for each tensor; the gradient of
//! the tensor itself lies in a slot, in single precision, where its readers leave their parts of it and
//! its maker takes the sum. Candle's order of the tickets is the order of the tensors.

use std::sync::{Arc, Mutex, PoisonError};

use candle::{CpuStorage, Result, Storage, Tensor};
use rayon::prelude::*;

use super::{Held, tensor_like};
use crate::native::node::{Backward, record};

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
        match self.try_take() {
            Some(sum) => Ok(sum),
            None => candle::bail!("no reader of a tensor left its gradient"),
        }
    }

    /// The same, where there are parts.
    pub(super) fn try_take(&self) -> Option<Vec<f32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
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
        let ticket = record(&[x], ticket(), 1, Enter(slot.clone()))?;
        Ok(Self { ticket, slot })
    }

    /// `values`, which it belongs to, as a tensor of candle's graph.
    pub(crate) fn out_of(&self, values: &Tensor) -> Result<Tensor> {
        let copy = Storage::Cpu(Held::of(values)?.copied());
        record(&[&self.ticket], copy, values.shape(), Leave(self.slot.clone()))
    }
}

/// The ticket of a result.
pub(super) fn ticket() -> Storage {
    Storage::Cpu(CpuStorage::F32(vec![0.0]))
}

/// From a tensor to its ticket.
struct Enter(Arc<Slot>);

impl Backward for Enter {
    const NAME: &'static str = "enter";

    fn gradients(&self, inputs: &[&Tensor], _: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(tensor_like(self.0.take()?, inputs[0]))])
    }
}

/// From a ticket to its tensor.
struct Leave(Arc<Slot>);

impl Backward for Leave {
    const NAME: &'static str = "leave";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        self.0.leave(Held::of(dy)?.wide().into_owned());
        Ok(vec![Some(inputs[0].zeros_like()?)])
    }
}
