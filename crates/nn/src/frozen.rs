//! Parameters for inference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use crate::Error;
use crate::parameters::check_shape;

/// Plain tensors that a network is built from, for inference: no gradient, no graph.
///
/// Loading is strict in both directions: a parameter that is missing is an error of the builder; one
/// that is not used is found by [`Self::finish`], after the network has been built.
#[derive(Clone)]
pub struct Frozen {
    store: Arc<Store>,
}

struct Store {
    tensors: BTreeMap<String, Tensor>,
    used: Mutex<BTreeSet<String>>,
}

/// Parameters of these values, for inference.
pub fn frozen(tensors: BTreeMap<String, Tensor>) -> Frozen {
    Frozen { store: Arc::new(Store { tensors, used: Mutex::default() }) }
}

impl Frozen {
    /// A builder that hands them out as they are, in the type and on the device of the first.
    pub fn builder(&self) -> VarBuilder<'static> {
        let first = self.store.tensors.values().next();
        let (dtype, device) = first.map_or((DType::F32, &Device::Cpu), |t| (t.dtype(), t.device()));
        self.builder_on(dtype, device)
    }

    /// A builder that hands them out as `dtype` on `device`.
    pub fn builder_on(&self, dtype: DType, device: &Device) -> VarBuilder<'static> {
        let backend = Box::new(Lending(Arc::clone(&self.store)));
        VarBuilder::from_backend(backend, dtype, device.clone())
    }

    /// The names that no builder has handed out yet.
    pub fn unused(&self) -> BTreeSet<String> {
        let used = self.store.used();
        self.store.tensors.keys().filter(|name| !used.contains(*name)).cloned().collect()
    }

    /// Checks that every parameter has been used.
    ///
    /// # Errors
    ///
    /// Names those that have not.
    pub fn finish(&self) -> Result<()> {
        let surplus = self.unused();
        if surplus.is_empty() {
            return Ok(());
        }
        Err(Error::Names { what: "parameters", missing: BTreeSet::new(), surplus }.into())
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frozen")
            .field("parameters", &self.store.tensors.len())
            .field("unused", &self.unused())
            .finish()
    }
}

impl Store {
    fn used(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The backend of [`Frozen::builder`].
struct Lending(Arc<Store>);

impl SimpleBackend for Lending {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        check_shape(name, tensor.dims(), shape.dims())?;
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let found = self.0.tensors.get(name);
        let tensor = found.ok_or_else(|| Error::Missing { name: name.to_owned() })?;
        self.0.used().insert(name.to_owned());
        // The graph that a parameter in training belongs to ends here.
        tensor.detach().to_dtype(dtype)?.to_device(device)?.contiguous()
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.tensors.contains_key(name)
    }
}
