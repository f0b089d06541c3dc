//! The parameters of a network: seeded, ordered, strictly loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use crate::{Error, Gradients, init};

/// The parameters of a network in training, by name.
///
/// Unlike candle's `VarMap`, parameters are ordered by name; fresh ones are reproducible, on the
/// CPU too: each is drawn from a stream that the seed and its name determine, whatever else is
/// created before it.
///
/// # Examples
///
/// ```
/// use candle::Device;
/// use sconce_nn::{Conv, ConvConfig, Parameters};
///
/// let parameters = Parameters::new(7, &Device::Cpu);
/// let vb = parameters.builder().pp("stem");
/// let conv = Conv::new(1, 8, &[3, 3], ConvConfig::same(&[3, 3], &[1, 1]), true, vb)?;
/// let names: Vec<String> = parameters.vars().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["stem.bias", "stem.weight"]);
/// # Ok::<(), candle::Error>(())
/// ```
#[derive(Clone)]
pub struct Parameters {
    store: Arc<Store>,
}

struct Store {
    seed: u64,
    dtype: DType,
    device: Device,
    vars: Mutex<BTreeMap<String, Var>>,
}

impl Parameters {
    /// No parameters yet: a network creates them, in f32, as it is built with [`Self::builder`].
    pub fn new(seed: u64, device: &Device) -> Self {
        Self::with_dtype(seed, DType::F32, device)
    }

    /// As [`Self::new`], with another element type.
    pub fn with_dtype(seed: u64, dtype: DType, device: &Device) -> Self {
        let (device, vars) = (device.clone(), Mutex::default());
        Self { store: Arc::new(Store { seed, dtype, device, vars }) }
    }

    /// A builder that hands out these parameters, and creates those that do not exist yet.
    pub fn builder(&self) -> VarBuilder<'static> {
        let (dtype, device) = (self.store.dtype, self.store.device.clone());
        VarBuilder::from_backend(Box::new(Creating(Arc::clone(&self.store))), dtype, device)
    }

    /// All parameters, by name.
    pub fn vars(&self) -> Vec<(String, Var)> {
        self.store.lock().iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// The values of all parameters, by name: copies, which later steps leave as they are.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let copy = |(name, var): (&String, &Var)| {
            Ok((name.clone(), var.as_detached_tensor().force_contiguous()?))
        };
        self.store.lock().iter().map(copy).collect()
    }

    /// Gives every parameter the value that `tensors` has for its name.
    ///
    /// # Errors
    ///
    /// Where the two sets of names or a pair of shapes differ; then no parameter is changed.
    pub fn load(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let vars = self.store.lock();
        let own: BTreeSet<&String> = vars.keys().collect();
        let given: BTreeSet<&String> = tensors.keys().collect();
        if own != given {
            let names = |a: &BTreeSet<&String>, b: &BTreeSet<&String>| {
                a.difference(b).map(|name| (*name).clone()).collect()
            };
            let (missing, surplus) = (names(&own, &given), names(&given, &own));
            return Err(Error::Names { what: "parameters", missing, surplus }.into());
        }
        for (name, var) in vars.iter() {
            check_shape(name, tensors[name].dims(), var.dims())?;
        }
        for (name, var) in vars.iter() {
            let tensor = tensors[name].to_dtype(var.dtype())?.to_device(var.device())?;
            // A tensor that a parameter was read from may share its memory.
            var.set(&if tensor.dtype() == tensors[name].dtype() {
                tensor.copy()?
            } else {
                tensor
            })?;
        }
        Ok(())
    }

    /// The gradient of `loss`, a scalar, with respect to every parameter.
    ///
    /// They are detached: candle's carry a graph that would keep every activation alive.
    ///
    /// # Errors
    ///
    /// Where the backward pass fails.
    pub fn gradients(&self, loss: &Tensor) -> Result<Gradients> {
        let mut store = loss.backward()?;
        let vars = self.store.lock();
        let gradient = |(name, var): (&String, &Var)| {
            let gradient = store.remove(var.as_tensor());
            let gradient = gradient.map(|gradient| gradient.detach().contiguous()).transpose()?;
            Ok((name.clone(), gradient))
        };
        Ok(Gradients::new(vars.iter().map(gradient).collect::<Result<_>>()?))
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shapes: BTreeMap<String, Vec<usize>> =
            self.vars().into_iter().map(|(name, var)| (name, var.dims().to_vec())).collect();
        f.debug_struct("Parameters")
            .field("seed", &self.store.seed)
            .field("dtype", &self.store.dtype)
            .field("shapes", &shapes)
            .finish()
    }
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Var>> {
        // The map is never left half changed: a panic elsewhere does no harm to it.
        self.vars.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The backend of [`Parameters::builder`].
struct Creating(Arc<Store>);

impl SimpleBackend for Creating {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let mut vars = self.0.lock();
        if let Some(var) = vars.get(name) {
            check_shape(name, var.dims(), shape.dims())?;
            return Ok(var.as_tensor().clone());
        }
        let fresh = init::draw(init, &shape, dtype, device, self.0.seed, name)?;
        let var = Var::from_tensor(&fresh)?;
        let tensor = var.as_tensor().clone();
        vars.insert(name.to_owned(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        let vars = self.0.lock();
        let var = vars.get(name).ok_or_else(|| Error::Missing { name: name.to_owned() })?;
        Ok(var.as_tensor().clone())
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.lock().contains_key(name)
    }
}

/// Checks that a parameter of shape `actual` is one of shape `expected`.
pub(crate) fn check_shape(name: &str, actual: &[usize], expected: &[usize]) -> Result<()> {
    if actual != expected {
        let (actual, expected) = (actual.to_vec(), expected.to_vec());
        return Err(Error::Shape { name: name.to_owned(), actual, expected }.into());
    }
    Ok(())
}
