use candle::{Result, Tensor, Var};

use super::{Choices, Slot, Variables, enter, put, repeat};
use crate::native::node::{Backward, copied, record};

type Block = dyn Fn(&[Tensor]) -> Result<Tensor> + Send + Sync;

/// See [`checkpoint`](crate::checkpoint()).
pub(super) fn checkpoint(inputs: &[&Tensor], block: Box<Block>) -> Result<Tensor> {
    let detached: Vec<Tensor> = inputs.iter().map(|input| input.detach()).collect();
    let y = block(&detached)?;
    let mut tickets = Vec::new();
    let mut leave = |x: &Tensor| -> Result<Slot> {
        let slot = Slot::default();
        tickets.push(enter(x, slot.clone())?);
        Ok(slot)
    };
    let slots = inputs.iter().map(|&x| x.track_op().then(|| leave(x)).transpose());
    let slots = slots.collect::<Result<Vec<_>>>()?;
    let variables = Variables::of(&y, &mut tickets)?;
    // With this the graph goes, and all that it has kept.
    let y = y.detach();
    if tickets.is_empty() {
        return Ok(y);
    }
    let inputs = detached.into_iter().zip(slots).collect();
    let op = Repetition { block, inputs, variables, choices: Choices::now() };
    record(&[&Tensor::cat(&tickets, 0)?], copied(&y)?, y.shape(), op)
}

/// A block that runs again, as an operation on what stands for its inputs and variables.
struct Repetition {
    block: Box<Block>,
    /// Each without its graph; a slot for those that had one.
    inputs: Vec<(Tensor, Option<Slot>)>,
    variables: Variables,
    choices: Choices,
}

impl Backward for Repetition {
    const NAME: &'static str = "checkpoint";

    fn gradients(&self, tickets: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        repeat(|| {
            let leaf = |(input, slot): &(Tensor, Option<Slot>)| match slot {
                Some(_) => Ok(Var::from_tensor(input)?.into_inner()),
                None => Ok(input.clone()),
            };
            let inputs = self.inputs.iter().map(leaf).collect::<Result<Vec<_>>>()?;
            let y = self.choices.with(|| (self.block)(&inputs))?;
            if y.dims() != dy.dims() || y.dtype() != dy.dtype() {
                let (first, second) = ((dy.dtype(), dy.dims()), (y.dtype(), y.dims()));
                candle::bail!("a checkpointed block gave {first:?} at first, and then {second:?}");
            }
            let end = Slot::default();
            put(&end, dy.detach());
            let end = enter(&y, end)?;
            drop(y);
            let leaves: Vec<&Tensor> = inputs.iter().collect();
            let gradients = self.variables.back_from(&end, &leaves)?;
            for ((_, slot), leaf) in self.inputs.iter().zip(&inputs) {
                if let (Some(slot), Some(gradient)) = (slot, gradients.get(leaf)) {
                    put(slot, gradient.detach());
                }
            }
            Ok(vec![Some(tickets[0].zeros_like()?)])
        })
    }
}
