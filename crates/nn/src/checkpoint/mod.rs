//! Memory for time: what a block computes on the way is not kept, but computed again for the gradient.

mod tensors;

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use candle::backprop::GradStore;
use candle::{Result, Tensor};

use crate::native::node::{Backward, blank, record};
use crate::{
    Backend, Isa, Method, Pending, backend, isa, method, native, pending, with_backend, with_isa,
    with_method,
};

/// What `block` makes of `inputs`, without keeping what it computes on the way: the backward pass runs
/// it once more, and goes back through that.
///
/// Of the block, its inputs and its result are kept alone. Gradients reach the inputs and every
/// variable that the block makes use of, with the bits that they have without this, as long as no more
/// than two places make use of the same: the parts of a gradient that come from within a block are added up
/// first. Blocks may be nested. Where no gradient is asked for, `block` just runs.
///
/// A block is given its inputs without their graph, and makes use of no other tensor that has one, but of
/// variables. It runs twice and does the same both times: one that draws random numbers, such as dropout,
/// makes its generator inside, from the same seed. What a layer remembers of a batch it remembers the
/// first time ([`is_repetition`]), as [`BatchNorm`](crate::BatchNorm) does.
///
/// # Errors
///
/// Where `block` fails. In the backward pass, where the second run gives a result of another shape or
/// type than the first, or makes use of other variables.
///
/// # Source
///
/// Chen, Xu, Zhang, Guestrin: *Training Deep Nets with Sublinear Memory Cost*,
/// [arXiv:1604.06174](https://arxiv.org/abs/1604.06174).
///
/// # Examples
///
/// ```
/// use candle::{DType, Device, Tensor, Var};
/// use sconce_nn::{Act, checkpoint};
///
/// let x = Var::ones((1, 4, 4, 2), DType::F32, &Device::Cpu)?;
/// let scale = Var::new(&[2f32, 3.], &Device::Cpu)?;
/// let of_block = scale.as_tensor().clone();
/// let y = checkpoint(&[&x], move |x| Act::Gelu.forward(&x[0].broadcast_mul(&of_block)?))?;
/// let gradients = y.sum_all()?.backward()?;
/// assert_eq!(gradients.get(&x).map(Tensor::dims), Some(&[1, 4, 4, 2][..]));
/// assert_eq!(gradients.get(&scale).map(Tensor::dims), Some(&[2][..]));
/// # Ok::<(), candle::Error>(())
/// ```
pub fn checkpoint(
    inputs: &[&Tensor],
    block: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    tensors::checkpoint(inputs, Box::new(block))
}

/// The same for a block of convolutions, which pass on what is yet to be normalized ([`Pending`]): so do
/// blocks to each other, without a copy.
///
/// # Errors
///
/// As [`checkpoint`](fn@checkpoint).
pub fn checkpoint_of(
    inputs: &[&Pending],
    block: impl Fn(&[&Pending]) -> Result<Pending> + Send + Sync + 'static,
) -> Result<Pending> {
    let is_native = |input: &&Pending| pending::is_native("checkpoint", input.values());
    if !inputs.is_empty()
        && inputs.iter().map(is_native).collect::<Result<Vec<_>>>()?.iter().all(|&is| is)
    {
        return native::checkpoint_of(inputs, Box::new(block));
    }
    let tensors = inputs.iter().map(|input| input.resolve()).collect::<Result<Vec<_>>>()?;
    let block = move |tensors: &[Tensor]| {
        let inputs: Vec<Pending> = tensors.iter().map(Pending::from).collect();
        block(&inputs.iter().collect::<Vec<_>>())?.resolve()
    };
    Ok(checkpoint(&tensors.iter().collect::<Vec<_>>(), block)?.into())
}

/// Whether the block of a [`checkpoint`](fn@checkpoint) runs again, on this thread.
///
/// A layer that remembers something of each batch has remembered it already.
pub fn is_repetition() -> bool {
    REPETITION.get()
}

thread_local! {
    static REPETITION: Cell<bool> = const { Cell::new(false) };
}

/// What the first run of a block was computed by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices(Backend, Isa, Method);

impl Choices {
    /// Those of this thread, now.
    pub(crate) fn now() -> Self {
        Self(backend(), isa(), method())
    }

    /// What `run` returns, computed so.
    pub(crate) fn with<T>(self, run: impl FnOnce() -> T) -> T {
        with_backend(self.0, || with_isa(self.1, || with_method(self.2, run)))
    }
}

/// What `run` returns, as part of a repetition.
pub(crate) fn repeat<T>(run: impl FnOnce() -> T) -> T {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            REPETITION.set(self.0);
        }
    }
    let _before = Before(REPETITION.replace(true));
    run()
}

/// The variables that `y` is a function of.
fn variables_of(y: &Tensor) -> impl Iterator<Item = &Tensor> {
    y.sorted_nodes().into_iter().filter(|node| node.is_variable())
}

/// The variables that a block makes use of, and where their gradients go.
pub(crate) struct Variables(Vec<(Tensor, Slot)>);

impl Variables {
    /// Those that `y` is a function of, each of which `tickets` are given one for.
    pub(crate) fn of(y: &Tensor, tickets: &mut Vec<Tensor>) -> Result<Self> {
        let each = variables_of(y).map(|variable| {
            let slot = Slot::default();
            tickets.push(enter(variable, slot.clone())?);
            Ok((variable.clone(), slot))
        });
        Ok(Self(each.collect::<Result<_>>()?))
    }

    /// The gradients by which a second run comes to `end`, which all go where they belong but those of
    /// `leaves`, its inputs.
    pub(crate) fn back_from(&self, end: &Tensor, leaves: &[&Tensor]) -> Result<GradStore> {
        let known = || self.0.iter().map(|(variable, _)| variable).chain(leaves.iter().copied());
        if variables_of(end).any(|found| known().all(|known| known.id() != found.id())) {
            candle::bail!("a checkpointed block made use of other variables when it ran again");
        }
        let gradients = end.backward()?;
        for (variable, slot) in &self.0 {
            if let Some(gradient) = gradients.get(variable) {
                put(slot, gradient.detach());
            }
        }
        Ok(gradients)
    }
}

/// A gradient, on its way from one graph into another.
pub(crate) type Slot = Arc<Mutex<Option<Tensor>>>;

pub(crate) fn put(slot: &Slot, gradient: Tensor) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradient);
}

/// Stands for `x` in a graph, at the size of one value; the gradient of `x` lies in the slot.
pub(crate) fn enter(x: &Tensor, slot: Slot) -> Result<Tensor> {
    record(&[x], blank(x.device())?, 1, Entrance(slot))
}

struct Entrance(Slot);

impl Backward for Entrance {
    const NAME: &'static str = "entrance of a checkpoint";

    fn gradients(&self, inputs: &[&Tensor], _: &Tensor) -> Result<Vec<Option<Tensor>>> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(gradient) => Ok(vec![Some(gradient)]),
            // The block made no use of it.
            None => Ok(vec![Some(inputs[0].zeros_like()?)]),
        }
    }
}
