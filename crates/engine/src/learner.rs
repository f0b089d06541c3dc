//! A network in training.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle::{Device, Tensor};
use losses::with_batch_sums;
use models::{Architecture as _, Model};
use nn::{
    Average, Gradients, LossScale, LossScaleConfig, Optimizer, OptimizerConfig, Parameters, Rates,
};
use ranks::{Group, mean_gradients, pooled};

use crate::step::{clipped, gradients_of};
use crate::trained::NetworkConfig;
use crate::{Batch, Error, Precision, Progress, Result, RunConfig, StepOutcome, Supervision};

/// A network in training.
#[derive(Debug)]
pub(crate) struct Learner {
    pub(crate) parameters: Parameters,
    pub(crate) model: Box<dyn Model>,
    optimizer: Box<dyn Optimizer>,
    /// What the optimizer was built from.
    settings: OptimizerConfig,
    /// Of a base rate of 1.
    rates: Rates,
    clip: Option<f64>,
    precision: Precision,
    average: Option<Average>,
    scale: Option<LossScale>,
    group: Arc<dyn Group>,
    /// What the batches of the next step have come to so far.
    gathered: Option<Gathered>,
}

/// The sums over the batches of a step.
#[derive(Debug)]
struct Gathered {
    batches: usize,
    loss: f64,
    gradients: Gradients,
    cases: Vec<String>,
}

const PARAMETERS: &str = "parameters/";
const OPTIMIZER: &str = "optimizer/";
const AVERAGE: &str = "average/";

impl Learner {
    /// A fresh network of those settings.
    pub(crate) fn new(
        config: &RunConfig,
        network: &NetworkConfig,
        device: &Device,
        group: &Arc<dyn Group>,
    ) -> Result<Self> {
        let parameters = Parameters::new(config.seed, device);
        config.parameters.freeze(&parameters)?;
        let model = network.architecture.build(network.interface, parameters.builder())?;
        let wrong = |error: candle::Error| {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            Error::unsuitable(Error::Settings(format!("parameters: {line}")))
        };
        let rates = config.parameters.rates(&parameters).map_err(wrong)?;
        let train = &config.train;
        let scaled = train.precision == Precision::F16;
        Ok(Self {
            parameters,
            model,
            optimizer: config.optimizer.build(),
            settings: config.optimizer.clone(),
            rates,
            clip: train.clip_gradient_norm,
            precision: train.precision,
            average: train.average.clone().map(Average::new),
            scale: scaled.then(|| LossScale::new(LossScaleConfig::default())),
            group: Arc::clone(group),
            gathered: None,
        })
    }

    /// Adds the gradient of one batch, or of this rank's part of it, to those of its step.
    pub(crate) fn gather(
        &mut self,
        supervision: &dyn Supervision,
        batch: &Batch,
        progress: Progress,
    ) -> Result<()> {
        let (loss, gradients) = self.gradients_of(supervision, batch, progress)?;
        if let Some(gathered) = &mut self.gathered {
            gathered.batches += 1;
            gathered.loss += loss;
            gathered.gradients.add_assign(&gradients)?;
            gathered.cases.extend(batch.ids.iter().cloned());
        } else {
            let cases = batch.ids.clone();
            self.gathered = Some(Gathered { batches: 1, loss, gradients, cases });
        }
        Ok(())
    }

    fn gradients_of(
        &self,
        supervision: &dyn Supervision,
        batch: &Batch,
        progress: Progress,
    ) -> Result<(f64, Gradients)> {
        let Self { parameters, model, precision, .. } = self;
        let scale = self.scale.as_ref().map_or(1.0, LossScale::scale);
        let run = || {
            let numbers = (precision.dtype(), scale);
            gradients_of(model.as_ref(), parameters, supervision, batch, progress, numbers)
        };
        if self.group.size() == 1 {
            return precision.run(run);
        }
        let group = Arc::clone(&self.group);
        let sum = move |sums: &Tensor| pooled(group.as_ref(), sums).map_err(candle::Error::wrap);
        with_batch_sums(sum, || precision.run(run))
    }

    /// Goes forward and back, to no end: what a step takes can be seen.
    pub(crate) fn probe(
        &self,
        supervision: &dyn Supervision,
        batch: &Batch,
        progress: Progress,
    ) -> Result<()> {
        self.gradients_of(supervision, batch, progress).map(drop)
    }

    /// An optimizer of the same settings that has made no step.
    pub(crate) fn fresh_optimizer(&self) -> Box<dyn Optimizer> {
        self.settings.build()
    }

    /// Whether weights are averaged.
    pub(crate) fn averages(&self) -> bool {
        self.average.is_some()
    }

    /// Batches that have been gathered for the next step.
    pub(crate) fn gathered(&self) -> usize {
        self.gathered.as_ref().map_or(0, |gathered| gathered.batches)
    }

    /// Moves the parameters against the mean gradient of the batches that have been gathered, by all ranks.
    ///
    /// Where the loss is scaled and a gradient overflows, the step is left out, and the next one scaled less.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`], where the loss or a gradient is not finite: then no parameter has moved.
    pub(crate) fn step(&mut self, progress: Progress, learning_rate: f64) -> Result<StepOutcome> {
        let nothing = || Error::Settings("a step was to be made of no batch".to_owned());
        let gathered = self.gathered.take().ok_or_else(nothing)?;
        let Gathered { batches, mut loss, mut gradients, cases } = gathered;
        if batches > 1 {
            loss /= batches as f64;
            gradients.scale(1.0 / batches as f64)?;
        }
        let group = self.group.as_ref();
        if group.size() > 1 {
            let mut sum = [loss];
            group.sum_f64(&mut sum)?;
            loss = sum[0] / group.size() as f64;
            mean_gradients(group, &self.parameters, &mut gradients)?;
        }
        if let Some(scale) = &self.scale {
            scale.unscale(&mut gradients)?;
        }
        let gradient_norm = clipped(&mut gradients, self.clip)?;
        if let Some(scale) = &mut self.scale
            && loss.is_finite()
        {
            let finite = gradient_norm.is_finite();
            let could_be_less = !scale.is_smallest();
            scale.update(finite);
            if !finite && could_be_less {
                return Ok(StepOutcome { loss, gradient_norm });
            }
        }
        if !loss.is_finite() || !gradient_norm.is_finite() {
            return Err(Error::NotFinite { step: progress.step, loss, gradient_norm, cases });
        }
        self.optimizer.step(&self.parameters, &gradients, &self.rates.at(learning_rate))?;
        if let Some(average) = &mut self.average {
            average.update(&self.parameters)?;
        }
        Ok(StepOutcome { loss, gradient_norm })
    }

    /// What `run` returns, the network having the weights that it is to be judged by.
    pub(crate) fn judged<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.average {
            Some(average) => average.within(&self.parameters, run)?,
            None => run(),
        }
    }

    /// The weights that the network is to be judged by.
    pub(crate) fn weights(&self) -> Result<BTreeMap<String, Tensor>> {
        match &self.average {
            Some(average) if average.updates() > 0 => Ok(average.tensors()),
            _ => Ok(self.parameters.tensors()?),
        }
    }

    /// What the loss is multiplied by, where it is.
    pub(crate) fn scale(&self) -> Option<&LossScale> {
        self.scale.as_ref()
    }

    /// All tensors that it needs to go on.
    pub(crate) fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut tensors = BTreeMap::new();
        let mut add = |prefix: &str, part: BTreeMap<String, Tensor>| {
            tensors.extend(part.into_iter().map(|(name, it)| (format!("{prefix}{name}"), it)));
        };
        add(PARAMETERS, self.parameters.tensors()?);
        add(OPTIMIZER, self.optimizer.state()?);
        if let Some(average) = &self.average {
            add(AVERAGE, average.state()?);
        }
        Ok(tensors)
    }

    /// Goes on from what [`Learner::state`] and [`Learner::scale`] returned.
    pub(crate) fn load(
        &mut self,
        tensors: &BTreeMap<String, Tensor>,
        scale: Option<LossScale>,
    ) -> Result<()> {
        let below = |prefix: &str| -> BTreeMap<String, Tensor> {
            let inside = tensors.iter().filter_map(|(name, tensor)| {
                name.strip_prefix(prefix).map(|name| (name.to_owned(), tensor.clone()))
            });
            inside.collect()
        };
        self.parameters.load(&below(PARAMETERS))?;
        self.optimizer.load_state(&below(OPTIMIZER))?;
        if let Some(average) = &mut self.average {
            average.load_state(&self.parameters, &below(AVERAGE))?;
        }
        if scale.is_some() {
            self.scale = scale;
        }
        Ok(())
    }
}
