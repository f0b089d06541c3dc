//! Memory for time: what a block computes on the way is not kept, but computed again for the gradient.

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use candle::{Result, Tensor, Var};

use crate::native::node::{Backward, blank, copied, record};
use crate::{Backend, Isa, Method, backend, isa, method, with_backend, with_isa, with_method};

/// What `block` makes of `inputs`, without keeping what it computes on the way: the backward pass runs
/// it once more, and goes back through that.
///
/// Of the block, its inputs and its result are kept alone. Gradients reach the inputs and every
/// variable that the block makes use of, with the bits that they have without this; blocks may be
/// nested. Where no gradient is asked for, `block` just runs.
///
/// A block is given its inputs without their graph, and must take tensors that have one from nowhere
/// else: a gradient that leaves it by another way is computed within. It runs twice, so
/// that it must do the same twice: one that draws random numbers, such as dropout, draws
/// the same again, from a generator that is made inside. What a layer remembers of a batch it remembers
/// the first time ([`is_repetition`]), as [`BatchNorm`](crate::BatchNorm) does.
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
    let detached: Vec<Tensor> = inputs.iter().map(|input| input.detach()).collect();
    let y = block(&detached)?;
    let variables: Vec<Tensor> = variables(&y).cloned().collect();
    // With this the graph goes, and all that it has kept.
    let y = y.detach();

    let mut tickets = Vec::new();
    let mut leave = |x: &Tensor| -> Result<Slot> {
        let slot = Slot::default();
        tickets.push(enter(x, slot.clone())?);
        Ok(slot)
    };
    let of_inputs = inputs.iter().map(|&x| x.track_op().then(|| leave(x)).transpose());
    let of_inputs = of_inputs.collect::<Result<Vec<_>>>()?;
    let of_variables = variables.into_iter().map(|variable| {
        let slot = leave(&variable)?;
        Ok((variable, slot))
    });
    let of_variables = of_variables.collect::<Result<Vec<_>>>()?;
    if tickets.is_empty() {
        return Ok(y);
    }
    let op = Repetition {
        block: Box::new(block),
        inputs: detached.into_iter().zip(of_inputs).collect(),
        variables: of_variables,
        choices: (backend(), isa(), method()),
    };
    record(&[&Tensor::cat(&tickets, 0)?], copied(&y)?, y.shape(), op)
}

/// Whether the block of a [`checkpoint`] runs again, on this thread.
///
/// A layer that remembers something of each batch has remembered it already.
pub fn is_repetition() -> bool {
    REPETITION.get()
}

thread_local! {
    static REPETITION: Cell<bool> = const { Cell::new(false) };
}

/// What `run` returns, as part of a repetition.
fn repeat<T>(run: impl FnOnce() -> T) -> T {
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
fn variables(y: &Tensor) -> impl Iterator<Item = &Tensor> {
    y.sorted_nodes().into_iter().filter(|node| node.is_variable())
}

/// A gradient, on its way from one graph into another.
type Slot = Arc<Mutex<Option<Tensor>>>;

fn put(slot: &Slot, gradient: Tensor) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradient);
}

/// Stands for `x` in a graph, at the size of one value; the gradient of `x` lies in the slot.
fn enter(x: &Tensor, slot: Slot) -> Result<Tensor> {
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

/// A block that runs again, as an operation on what stands for its inputs and variables.
struct Repetition {
    block: Box<Block>,
    /// Each without its graph; a slot for those that had one.
    inputs: Vec<(Tensor, Option<Slot>)>,
    variables: Vec<(Tensor, Slot)>,
    /// What the first run was computed by.
    choices: (Backend, Isa, Method),
}

type Block = dyn Fn(&[Tensor]) -> Result<Tensor> + Send + Sync;

impl fmt::Debug for Repetition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repetition").finish_non_exhaustive()
    }
}

impl Repetition {
    /// The second run, given its inputs.
    fn run(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (backend, isa, method) = self.choices;
        let run = || (self.block)(inputs);
        with_backend(backend, || with_isa(isa, || with_method(method, run)))
    }

    /// Refuses a second run that is not the first one, as far as that can be seen.
    fn check(&self, y: &Tensor, inputs: &[Tensor], dy: &Tensor) -> Result<()> {
        if y.dims() != dy.dims() || y.dtype() != dy.dtype() {
            let (first, second) = ((dy.dtype(), dy.dims()), (y.dtype(), y.dims()));
            candle::bail!("a checkpointed block gave {first:?} at first, and then {second:?}");
        }
        let is_known = |found: &Tensor| {
            let known = self.variables.iter().map(|(variable, _)| variable).chain(inputs);
            known.into_iter().any(|known| known.id() == found.id())
        };
        if !variables(y).all(is_known) {
            candle::bail!("a checkpointed block made use of other variables when it ran again");
        }
        Ok(())
    }
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
            let y = self.run(&inputs)?;
            self.check(&y, &inputs, dy)?;
            let end = Slot::default();
            put(&end, dy.detach());
            let end = enter(&y, end)?;
            drop(y);
            let gradients = end.backward()?;
            drop(end);
            let of_inputs = self.inputs.iter().zip(&inputs);
            let of_inputs = of_inputs.filter_map(|((_, slot), leaf)| Some((leaf, slot.as_ref()?)));
            let of_variables = self.variables.iter().map(|(variable, slot)| (variable, slot));
            for (of, slot) in of_inputs.chain(of_variables) {
                if let Some(gradient) = gradients.get(of) {
                    put(slot, gradient.detach());
                }
            }
            Ok(vec![Some(tickets[0].zeros_like()?)])
        })
    }
}
