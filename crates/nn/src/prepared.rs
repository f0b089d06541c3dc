//! What is made of weights that do not change.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle::TensorId;

use crate::Isa;

/// What convolutions on the CPU make of their weights, kept from one forward pass to the next.
///
/// Each call of a convolution brings its weight into the form that its method needs. Where weights are
/// large and images are small, that takes a noticeable share of the time; who predicts many patches
/// with one network does it once. Kept are forms of weights that ask for no gradient, and only those
/// that take a twentieth of their convolution's time or more: for volumes 3.6 times the memory of
/// these weights, for images 2.7 times.
///
/// Weights must not change while this lives: of a weight whose values are changed in place (a variable
/// seen through [`detach`](candle::Tensor::detach)), the old form would go on being used.
///
/// # Examples
///
/// ```
/// use candle::{DType, Device, Tensor};
/// use sconce_nn::{ConvConfig, PreparedWeights, conv};
///
/// let x = Tensor::ones((1, 6, 6, 16), DType::F32, &Device::Cpu)?;
/// let weight = Tensor::ones((16, 16, 3, 3), DType::F32, &Device::Cpu)?;
/// let config = ConvConfig::same(&[3, 3], &[1, 1]);
/// let prepared = PreparedWeights::default();
/// let first = prepared.within(|| conv(&x, &weight, None, &config))?;
/// let second = prepared.within(|| conv(&x, &weight, None, &config))?;
/// assert_eq!(first.flatten_all()?.to_vec1::<f32>()?, second.flatten_all()?.to_vec1::<f32>()?);
/// # Ok::<(), candle::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct PreparedWeights {
    forms: Arc<Mutex<Forms>>,
}

type Forms = HashMap<(TensorId, Form), Arc<Vec<f32>>>;

/// Which form of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Form {
    pub(crate) isa: Isa,
    /// Voxels that a tile covers along each axis.
    pub(crate) step: [usize; 3],
    pub(crate) adjoint: bool,
}

thread_local! {
    /// Those of the innermost [`PreparedWeights::within`] on this thread.
    static CURRENT: RefCell<Option<PreparedWeights>> = const { RefCell::new(None) };
}

impl PreparedWeights {
    /// What `run` returns, its convolutions on this thread using what is kept here, and adding to it.
    pub fn within<T>(&self, run: impl FnOnce() -> T) -> T {
        struct Restore(Option<PreparedWeights>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        run()
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> usize {
        self.forms().values().map(|form| 4 * form.len()).sum()
    }

    fn forms(&self) -> MutexGuard<'_, Forms> {
        self.forms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PreparedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedWeights").field("forms", &self.forms().len()).finish()
    }
}

/// Those of the innermost [`PreparedWeights::within`] on this thread.
pub(crate) fn current() -> Option<PreparedWeights> {
    CURRENT.with_borrow(Clone::clone)
}

/// The form of weight `id`: the one that is kept, or what `make` gives. Without an `id`, nothing is kept.
pub(crate) fn prepared(
    id: Option<TensorId>,
    form: Form,
    make: impl FnOnce() -> Vec<f32>,
) -> Arc<Vec<f32>> {
    let Some((id, current)) = id.zip(current()) else {
        return Arc::new(make());
    };
    if let Some(kept) = current.forms().get(&(id, form)) {
        return Arc::clone(kept);
    }
    let made = Arc::new(make());
    current.forms().insert((id, form), Arc::clone(&made));
    made
}
