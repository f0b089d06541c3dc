//! Gradients that go from one operation to the next by themselves.
//!
//! Candle adds up the gradients of a tensor into zeros, even where there is but one, and keeps each in
//! the type of the tensor: for what goes through a network that is two more passes over memory for
//! each layer. Here the graph is made of *tickets*, single values, one for each tensor; the gradient of
//! the tensor itself lies in a slot, in single precision, where its readers leave their parts of it and
//! its maker takes the sum. Candle's order of the tickets is the order of the tensors.
//!
//! Where a tensor of candle's graph is needed, [`Edge::out_of`] makes one. An operation of ours that
//! reads such a tensor finds its ticket again by [`Edge::behind`], and leaves its gradient in the slot
//! like any other: so a loss hands its gradient to the network.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use candle::{CpuStorage, Result, Shape, Storage, Tensor, TensorId};
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

    /// An edge that begins at `ticket`, a variable.
    pub(crate) fn from_ticket(ticket: Tensor) -> Self {
        Self { ticket, slot: Arc::new(Slot::default()) }
    }

    /// What readers of `values`, which came out of it, have left.
    pub(crate) fn take_gradient_like(&self, values: &Tensor) -> Option<Tensor> {
        Some(tensor_like(self.slot.try_take()?, values))
    }

    /// `values`, which it belongs to, as a tensor of candle's graph.
    pub(crate) fn out_of(&self, values: &Tensor) -> Result<Tensor> {
        self.leading_to(Held::of(values)?.copied(), values.shape())
    }

    /// The same, of values that nobody else has.
    pub(super) fn leading_to(&self, values: CpuStorage, shape: &Shape) -> Result<Tensor> {
        let exit = Arc::new(OnceLock::new());
        let leave = Leave { slot: self.slot.clone(), exit: exit.clone() };
        let tensor = record(&[&self.ticket], Storage::Cpu(values), shape, leave)?;
        if tensor.track_op() {
            exits().insert(tensor.id(), self.clone());
            exit.set(tensor.id()).expect("an exit is registered once");
        }
        Ok(tensor)
    }

    /// The way that `x` came out of, if it did.
    pub(super) fn behind(x: &Tensor) -> Option<Self> {
        exits().get(&x.id()).cloned()
    }
}

/// Tensors of candle's graph that came out of an edge, as long as they live.
fn exits() -> MutexGuard<'static, HashMap<TensorId, Edge>> {
    static EXITS: LazyLock<Mutex<HashMap<TensorId, Edge>>> = LazyLock::new(Mutex::default);
    EXITS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The ticket of a result.
pub(super) fn ticket() -> Storage {
    Storage::Cpu(CpuStorage::F32(vec![0.0]))
}

/// What candle is told of the gradient of a ticket: what there is lies in its slot.
pub(super) fn nothing(ticket: &Tensor) -> Result<Tensor> {
    ticket.zeros_like()
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
struct Leave {
    slot: Arc<Slot>,
    /// The tensor, which owns this.
    exit: Arc<OnceLock<TensorId>>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        // What goes with the edge may be an exit itself: not while the list is held.
        let edge = self.exit.get().and_then(|exit| exits().remove(exit));
        drop(edge);
    }
}

impl Backward for Leave {
    const NAME: &'static str = "leave";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        self.slot.leave(Held::of(dy)?.wide().into_owned());
        Ok(vec![Some(nothing(inputs[0])?)])
    }
}
