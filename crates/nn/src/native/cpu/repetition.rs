//! A block of convolutions that runs again for its gradients.

use std::sync::Arc;

use candle::backprop::GradStore;
use candle::{DType, Device, Result, Tensor, Var};

use super::edge::{Edge, Slot, nothing, ticket};
use super::norm::Known;
use super::tensor_like;
use crate::checkpoint::{self, Choices, Variables, enter, put, repeat};
use crate::native::node::{Backward, record};
use crate::pending::{Deferred, Pending};

pub(crate) type Block = dyn Fn(&[&Pending]) -> Result<Pending> + Send + Sync;

/// See [`checkpoint_of`](crate::checkpoint_of()).
pub(crate) fn checkpoint_of(inputs: &[&Pending], block: Box<Block>) -> Result<Pending> {
    let mut tickets = Vec::new();
    let inputs = inputs.iter().map(|input| Input::new(input, &mut tickets));
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let first: Vec<Pending> = inputs.iter().map(|input| input.with(&Leaf::default())).collect();
    let y = block(&first.iter().collect::<Vec<_>>())?;
    let end = y.edge().map_or(y.values(), |edge| &edge.ticket);
    let variables = Variables::of(end, &mut tickets)?;
    // With these alone the graph goes, and all that it has kept.
    let (values, known, norm) = (y.values().detach(), y.known(), y.norm().cloned());
    drop(y);
    if tickets.is_empty() {
        return Ok(Pending::of_parts(values, None, known, norm));
    }
    let slot = Arc::new(Slot::default());
    let choices = Choices::now();
    let op = Repetition { block, inputs, variables, choices, slot: slot.clone() };
    let ticket = record(&[&Tensor::cat(&tickets, 0)?], ticket(), 1, op)?;
    Ok(Pending::of_parts(values, Some(Edge { ticket, slot }), known, norm))
}

/// What a block is given, without a graph.
struct Input {
    values: Tensor,
    /// Where the gradient of the values goes, if there is one.
    edge: Option<Edge>,
    known: Known,
    norm: Option<Deferred>,
    /// Where those of scale and offset of the norm go.
    vectors: [Option<checkpoint::Slot>; 2],
}

/// What stands for an input in the graph of a second run: the end of what goes back through it.
#[derive(Default)]
struct Leaf {
    edge: Option<Edge>,
    /// Scale and offset of the norm.
    vectors: [Option<Tensor>; 2],
}

impl Input {
    fn new(input: &Pending, tickets: &mut Vec<Tensor>) -> Result<Self> {
        let values = input.values();
        let edge = match input.edge() {
            Some(edge) => Some(edge.clone()),
            None if values.track_op() => Some(Edge::into_graph(values)?),
            None => None,
        };
        tickets.extend(edge.as_ref().map(|edge| edge.ticket.clone()));
        let mut vectors = [None, None];
        let mut norm = input.norm().cloned();
        if let Some(Deferred { weight, bias, .. }) = &mut norm {
            for (vector, slot) in [weight, bias].into_iter().zip(&mut vectors) {
                let Some(vector) = vector.as_mut() else { continue };
                if vector.track_op() {
                    tickets.push(enter(vector, slot.insert(checkpoint::Slot::default()).clone())?);
                }
                *vector = vector.detach();
            }
        }
        Ok(Self { values: values.detach(), edge, known: input.known(), norm, vectors })
    }

    /// As a block sees it.
    fn with(&self, leaf: &Leaf) -> Pending {
        let mut norm = self.norm.clone();
        if let Some(Deferred { weight, bias, .. }) = &mut norm {
            for (vector, leaf) in [weight, bias].into_iter().zip(&leaf.vectors) {
                *vector = leaf.clone().or(vector.take());
            }
        }
        Pending::of_parts(self.values.clone(), leaf.edge.clone(), self.known.clone(), norm)
    }

    fn leaf(&self) -> Result<Leaf> {
        let mut leaf = Leaf::default();
        if self.edge.is_some() {
            let ticket = Var::zeros(1, DType::F32, &Device::Cpu)?.into_inner();
            leaf.edge = Some(Edge { ticket, slot: Arc::new(Slot::default()) });
        }
        if let Some(Deferred { weight, bias, .. }) = &self.norm {
            let vectors = [weight, bias].into_iter().zip(&self.vectors);
            for ((vector, slot), leaf) in vectors.zip(&mut leaf.vectors) {
                if let (Some(vector), Some(_)) = (vector, slot) {
                    *leaf = Some(Var::from_tensor(vector)?.into_inner());
                }
            }
        }
        Ok(leaf)
    }

    /// Passes on the gradients that have come to `leaf`.
    fn pass_on(&self, leaf: &Leaf, gradients: &GradStore) {
        if let (Some(edge), Some(leaf)) = (&self.edge, &leaf.edge) {
            // Nothing, where the block made no use of it.
            let part = leaf.slot.try_take();
            edge.slot.leave(part.unwrap_or_else(|| vec![0.0; self.values.elem_count()]));
        }
        for (slot, leaf) in self.vectors.iter().zip(&leaf.vectors) {
            let gradient = leaf.as_ref().and_then(|leaf| gradients.get(leaf));
            if let (Some(slot), Some(gradient)) = (slot, gradient) {
                put(slot, gradient.detach());
            }
        }
    }
}

impl Leaf {
    /// The variables that it is made of.
    fn variables(&self) -> impl Iterator<Item = &Tensor> {
        self.edge.as_ref().map(|edge| &edge.ticket).into_iter().chain(self.vectors.iter().flatten())
    }
}

/// A block that runs again, as an operation on the tickets of its inputs, and of its variables.
struct Repetition {
    block: Box<Block>,
    inputs: Vec<Input>,
    variables: Variables,
    choices: Choices,
    /// Where the gradient of the result comes from.
    slot: Arc<Slot>,
}

impl Backward for Repetition {
    const NAME: &'static str = "checkpoint of convolutions";

    fn gradients(&self, tickets: &[&Tensor], _: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let dy = self.slot.take()?;
        repeat(|| {
            let leaves = self.inputs.iter().map(Input::leaf).collect::<Result<Vec<_>>>()?;
            let inputs = self.inputs.iter().zip(&leaves);
            let inputs: Vec<Pending> = inputs.map(|(input, leaf)| input.with(leaf)).collect();
            let y = self.choices.with(|| (self.block)(&inputs.iter().collect::<Vec<_>>()))?;
            drop(inputs);
            let (first, second) = (dy.len(), y.values().elem_count());
            if first != second {
                candle::bail!("a checkpointed block gave {first} values at first, then {second}");
            }
            let end = if let Some(edge) = y.edge() {
                edge.slot.leave(dy);
                edge.ticket.clone()
            } else {
                let end = checkpoint::Slot::default();
                put(&end, tensor_like(dy, y.values()));
                enter(y.values(), end)?
            };
            drop(y);
            let variables: Vec<&Tensor> = leaves.iter().flat_map(Leaf::variables).collect();
            let gradients = self.variables.back_from(&end, &variables)?;
            for (input, leaf) in self.inputs.iter().zip(&leaves) {
                input.pass_on(leaf, &gradients);
            }
            Ok(vec![Some(nothing(tickets[0])?)])
        })
    }
}
