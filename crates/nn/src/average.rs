use std::collections::{BTreeMap, BTreeSet};

use candle::{DType, Device, Result, Tensor, bail};
use serde::{Deserialize, Serialize};

use crate::backend::backend;
use crate::parameters::check_shape;
use crate::{Backend, Error, Parameters, native, range};

/// The settings of an [`Average`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AverageConfig {
    /// How much of the average is kept at each update, from 0 to below 1.
    #[serde(deserialize_with = "range::kept")]
    pub decay: f64,
    /// Whether less is kept at first, after `n` updates `min(decay, (1 + n) / (10 + n))`: the average
    /// forgets how the training began.
    pub warm_up: bool,
}

impl Default for AverageConfig {
    fn default() -> Self {
        Self { decay: 0.999, warm_up: true }
    }
}

/// A running mean of parameters over a training, which often generalizes better than the last ones.
///
/// The first update takes the parameters as they are; each later one moves the average by
/// `(1 − decay) · (parameters − average)`: one pass over memory on the CPU, with the bits of candle's
/// operations. It is kept in f32 of parameters with fewer bits, and of others in their type.
///
/// *Running statistics* of batch norms are [`Parameters`] as well, and averaged with the others: those
/// of one moment would not fit averaged weights. Frozen parameters keep the bits that they had at the
/// first update.
///
/// # Source
///
/// Polyak, Juditsky: *Acceleration of Stochastic Approximation by Averaging*, SIAM Journal on Control and
/// Optimization, 1992; `ExponentialMovingAverage` of TensorFlow 1 for `warm_up`.
///
/// # Examples
///
/// ```
/// use candle::{Device, Tensor};
/// use sconce_nn::{Average, AverageConfig, Parameters};
///
/// let parameters = Parameters::new(7, &Device::Cpu);
/// parameters.builder().get(1, "w")?;
/// let w = &parameters.vars()[0].1;
/// let mut average = Average::new(AverageConfig { decay: 0.75, warm_up: false });
/// for value in [2f32, 6.0] {
///     w.set(&Tensor::new(&[value], &Device::Cpu)?)?;
///     average.update(&parameters)?;
/// }
/// let validated = average.within(&parameters, || w.to_vec1::<f32>())??;
/// assert_eq!(validated, [3.0]);
/// assert_eq!(w.to_vec1::<f32>()?, [6.0]);
/// # Ok::<(), candle::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Average {
    config: AverageConfig,
    updates: u32,
    tensors: BTreeMap<String, Tensor>,
}

const AVERAGE: &str = "average/";
const UPDATES: &str = "updates";

impl Average {
    /// Before its first update.
    pub fn new(config: AverageConfig) -> Self {
        Self { config, updates: 0, tensors: BTreeMap::new() }
    }

    /// How many updates there have been.
    pub fn updates(&self) -> u32 {
        self.updates
    }

    /// How much the next update keeps.
    fn decay(&self) -> f64 {
        let AverageConfig { decay, warm_up } = self.config;
        let updates = f64::from(self.updates);
        if warm_up { decay.min((1.0 + updates) / (10.0 + updates)) } else { decay }
    }

    /// Moves the average towards the parameters as they are now, as after a step.
    ///
    /// # Errors
    ///
    /// Where there are other parameters than at the first update.
    pub fn update(&mut self, parameters: &Parameters) -> Result<()> {
        let vars = parameters.vars();
        if self.updates > 0 {
            self.check(parameters)?;
        }
        let take = 1.0 - self.decay();
        for (name, var) in vars {
            let value = var.as_detached_tensor().to_dtype(kept_in(var.dtype()))?;
            let average = match self.tensors.get(&name) {
                Some(_) if parameters.is_frozen(&name) => continue,
                Some(average) => moved_towards(average, &value, take)?,
                // A copy: steps change parameters in place.
                None => value.force_contiguous()?,
            };
            self.tensors.insert(name, average);
        }
        self.updates = self.updates.saturating_add(1);
        Ok(())
    }

    /// The averages, by the parameters' names, as they are saved for inference; none before the first
    /// update.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.tensors.clone()
    }

    /// What `run` returns, the parameters having their averages as values while it runs, in their own
    /// type. Afterwards they have the bits that they had before, even where it panics.
    ///
    /// Until then that takes the memory of all parameters once more. Before the first update the
    /// parameters are left as they are.
    ///
    /// # Errors
    ///
    /// Where there are other parameters than at the first update: then nothing runs.
    pub fn within<R>(&self, parameters: &Parameters, run: impl FnOnce() -> R) -> Result<R> {
        if self.updates == 0 {
            return Ok(run());
        }
        let mut restored = Restored { parameters, values: Some(parameters.tensors()?) };
        parameters.load(&self.tensors)?;
        let result = run();
        restored.restore()?;
        Ok(result)
    }

    /// All that it goes on from: `average/PARAMETER`, and `updates`, their number.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let named =
            |(name, tensor): (&String, &Tensor)| (format!("{AVERAGE}{name}"), tensor.clone());
        let mut state: BTreeMap<_, _> = self.tensors.iter().map(named).collect();
        state.insert(UPDATES.to_owned(), Tensor::new(self.updates, &Device::Cpu)?);
        Ok(state)
    }

    /// Goes on from what [`Self::state`] returned, for these parameters.
    ///
    /// # Errors
    ///
    /// Where an entry is missing or not known, or a shape is not that of its parameter; then nothing has
    /// changed.
    pub fn load_state(
        &mut self,
        parameters: &Parameters,
        state: &BTreeMap<String, Tensor>,
    ) -> Result<()> {
        let mut read = Self::new(self.config.clone());
        for (entry, tensor) in state {
            if entry == UPDATES && tensor.rank() == 0 && tensor.dtype() == DType::U32 {
                read.updates = tensor.to_scalar()?;
            } else if let Some(name) = entry.strip_prefix(AVERAGE) {
                read.tensors.insert(name.to_owned(), tensor.clone());
            } else {
                bail!("entry {entry} of an average is not known");
            }
        }
        if read.updates > 0 || !read.tensors.is_empty() {
            read.check(parameters)?;
        }
        for (name, var) in parameters.vars() {
            let Some(tensor) = read.tensors.get_mut(&name) else { continue };
            *tensor = tensor.to_dtype(kept_in(var.dtype()))?.to_device(var.device())?;
        }
        *self = read;
        Ok(())
    }

    /// Checks that there is one average for each of these parameters, of its shape.
    fn check(&self, parameters: &Parameters) -> Result<()> {
        let vars = parameters.vars();
        let given: BTreeSet<&String> = vars.iter().map(|(name, _)| name).collect();
        let own: BTreeSet<&String> = self.tensors.keys().collect();
        if own != given {
            let names = |a: &BTreeSet<&String>, b: &BTreeSet<&String>| {
                a.difference(b).map(|name| (*name).clone()).collect()
            };
            let (missing, surplus) = (names(&given, &own), names(&own, &given));
            return Err(Error::Names { what: "averages", missing, surplus }.into());
        }
        for (name, var) in &vars {
            check_shape(name, self.tensors[name].dims(), var.dims())?;
        }
        Ok(())
    }
}

/// The type in which the average of a parameter of this type is kept.
fn kept_in(dtype: DType) -> DType {
    if matches!(dtype, DType::BF16 | DType::F16) { DType::F32 } else { dtype }
}

/// `average + (value − average) · take`, which stays where it is once both are equal. A sum of two
/// products would not, as `decay` and `1 − decay` are rounded each by itself: with a decay of 0.9999, it
/// would end up off by 3 parts in 10,000.
fn moved_towards(average: &Tensor, value: &Tensor, take: f64) -> Result<Tensor> {
    let is_native = value.device().is_cpu() && native::changes(value.dtype(), value.device());
    if is_native && backend() != Backend::Reference {
        return native::moved_towards(average, value, take);
    }
    average + ((value - average)? * take)?
}

/// Gives parameters their values back, at the latest where it is dropped.
struct Restored<'a> {
    parameters: &'a Parameters,
    values: Option<BTreeMap<String, Tensor>>,
}

impl Restored<'_> {
    fn restore(&mut self) -> Result<()> {
        self.values.take().map_or(Ok(()), |values| self.parameters.load(&values))
    }
}

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        // Values that were read from these very parameters fit them. Where not, this is a panic already,
        // or the error that loading the averages ended with.
        _ = self.restore();
    }
}
