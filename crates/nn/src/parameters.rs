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
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    vars: BTreeMap<String, Var>,
    /// Which of them learn nothing.
    frozen: Option<Predicate>,
}

type Predicate = Box<dyn Fn(&str) -> bool + Send + Sync>;

impl Parameters {
    /// No parameters yet: a network creates them, in f32, as it is built with [`Self::builder`].
    pub fn new(seed: u64, device: &Device) -> Self {
        Self::with_dtype(seed, DType::F32, device)
    }

    /// As [`Self::new`], with another element type.
    pub fn with_dtype(seed: u64, dtype: DType, device: &Device) -> Self {
        let (device, held) = (device.clone(), Mutex::default());
        Self { store: Arc::new(Store { seed, dtype, device, held }) }
    }

    /// A builder that hands out these parameters, and creates those that do not exist yet.
    pub fn builder(&self) -> VarBuilder<'static> {
        let (dtype, device) = (self.store.dtype, self.store.device.clone());
        VarBuilder::from_backend(Box::new(Creating(Arc::clone(&self.store))), dtype, device)
    }

    /// Freezes the parameters whose names `frozen` holds for: [`Self::builder`] hands them out as plain
    /// tensors, so that nothing is computed for gradients of theirs, and no optimizer changes them.
    ///
    /// They are listed, saved and loaded with the others. Running statistics of a batch norm that are
    /// frozen stand still, and the layer normalizes by them in training as well. What an earlier call
    /// said is forgotten. See [`GroupsConfig::freeze`](crate::GroupsConfig::freeze) for patterns of a
    /// config file.
    ///
    /// # Errors
    ///
    /// Where that changes anything for a parameter that exists: a network has it, and would not know.
    ///
    /// # Examples
    ///
    /// ```
    /// use candle::Device;
    /// use sconce_nn::{Conv, ConvConfig, Parameters};
    ///
    /// let parameters = Parameters::new(7, &Device::Cpu);
    /// parameters.freeze(|name| name.starts_with("stem."))?;
    /// let vb = parameters.builder();
    /// let same = ConvConfig::same(&[3, 3], &[1, 1]);
    /// let stem = Conv::new(1, 8, &[3, 3], same.clone(), true, vb.pp("stem"))?;
    /// let head = Conv::new(8, 2, &[3, 3], same, true, vb.pp("head"))?;
    ///
    /// let x = candle::Tensor::ones((1, 4, 4, 1), candle::DType::F32, &Device::Cpu)?;
    /// let loss = head.forward(&stem.forward(&x)?)?.sum_all()?;
    /// assert_eq!(parameters.gradients(&loss)?.without(), ["stem.bias", "stem.weight"]);
    /// # Ok::<(), candle::Error>(())
    /// ```
    pub fn freeze(&self, frozen: impl Fn(&str) -> bool + Send + Sync + 'static) -> Result<()> {
        let mut held = self.store.lock();
        if let Some(name) = held.vars.keys().find(|name| held.is_frozen(name) != frozen(name)) {
            return Err(Error::InUse { name: name.clone() }.into());
        }
        held.frozen = Some(Box::new(frozen));
        Ok(())
    }

    /// Whether the parameter of this name is frozen, or will be once it exists.
    pub fn is_frozen(&self, name: &str) -> bool {
        self.store.lock().is_frozen(name)
    }

    /// All parameters, by name, frozen ones as well.
    pub fn vars(&self) -> Vec<(String, Var)> {
        self.store.lock().vars.iter().map(|(name, var)| (name.clone(), var.clone())).collect()
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
        self.store.lock().vars.iter().map(copy).collect()
    }

    /// Gives every parameter the value that `tensors` has for its name.
    ///
    /// # Errors
    ///
    /// Where the two sets of names or a pair of shapes differ; then no parameter is changed.
    pub fn load(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let vars = &self.store.lock().vars;
        let own: BTreeSet<&String> = vars.keys().collect();
        let given: BTreeSet<&String> = tensors.keys().collect();
        if own != given {
            let names = |a: &BTreeSet<&String>, b: &BTreeSet<&String>| {
                a.difference(b).map(|name| (*name).clone()).collect()
            };
            let (missing, surplus) = (names(&own, &given), names(&given, &own));
            return Err(Error::Names { what: "parameters", missing, surplus }.into());
        }
        for (name, var) in vars {
            check_shape(name, tensors[name].dims(), var.dims())?;
        }
        for (name, var) in vars {
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
    /// They are detached: candle's carry a graph that would keep every activation alive. Frozen
    /// parameters have none.
    ///
    /// # Errors
    ///
    /// Where the backward pass fails.
    pub fn gradients(&self, loss: &Tensor) -> Result<Gradients> {
        let mut store = loss.backward()?;
        let vars = &self.store.lock().vars;
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
    fn lock(&self) -> MutexGuard<'_, Held> {
        // It is never left half changed: a panic elsewhere does no harm to it.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn is_frozen(&self, name: &str) -> bool {
        self.frozen.as_ref().is_some_and(|frozen| frozen(name))
    }

    /// The parameter as a network has it, which shares its memory.
    fn lent(&self, name: &str, var: &Var) -> Tensor {
        if self.is_frozen(name) { var.as_detached_tensor() } else { var.as_tensor().clone() }
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
        let mut held = self.0.lock();
        if let Some(var) = held.vars.get(name) {
            check_shape(name, var.dims(), shape.dims())?;
            return Ok(held.lent(name, var));
        }
        let fresh = init::draw(init, &shape, dtype, device, self.0.seed, name)?;
        let var = Var::from_tensor(&fresh)?;
        let tensor = held.lent(name, &var);
        held.vars.insert(name.to_owned(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        let held = self.0.lock();
        let var = held.vars.get(name).ok_or_else(|| Error::Missing { name: name.to_owned() })?;
        Ok(held.lent(name, var))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.lock().vars.contains_key(name)
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
