//! Distillation: a network that learns from others, beside the labels.

use candle::{Device, Tensor};
use losses::{Activation, CrossEntropy, KlDivergence, LossConfig, Needs, Positive, Target};
use losses::{NonNegative, TermSchedule};
use models::{Input, Logits, Model};
use nn::PreparedWeights;
use serde::{Deserialize, Serialize};

use crate::supervise::{LabelSupervision, Progress, Supervision, Term};
use crate::trained::Trained;
use crate::{Batch, Error, Result};

/// The table `[supervision]` of a run file: whom a network learns from beside the labels.
///
/// ```toml
/// [supervision]
/// teachers = ["runs/teacher", "hub:owner/model"]
/// temperature = 2.0
/// label = { weight = 0.5 }
/// teacher = { weight = 0.5, schedule.linear = { from = 1.0, to = 0.5 } }
/// [supervision.loss.kl_divergence]
/// ```
///
/// Each step, the teachers see the same augmented patches as the student; of several, the mean of their
/// probabilities is what the student is held against. What the two are compared at is softmax or sigmoid of
/// logits divided by the temperature, for either side, and the loss counts temperature² times, so that its
/// gradient stays as large.
///
/// # Source
///
/// Hinton, Vinyals, Dean: *Distilling the Knowledge in a Neural Network*, 2015,
/// [arXiv:1503.02531](https://arxiv.org/abs/1503.02531); equal weights at temperature 1, and teachers
/// trained with smoothed boundaries, as in Wang et al., *Dice Semimetric Losses*, MICCAI 2023,
/// [arXiv:2303.16296](https://arxiv.org/abs/2303.16296).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisionConfig {
    /// Trained networks: folders of runs or models, or `hub:owner/name`.
    pub teachers: Vec<String>,
    /// What logits are divided by.
    #[serde(default = "one")]
    pub temperature: Positive,
    /// How much the labels count, by the run's own loss.
    #[serde(default)]
    pub label: TermWeight,
    /// How much the teachers count.
    #[serde(default)]
    pub teacher: TermWeight,
    /// What holds the student against its teachers; absent, `kl_divergence`, or of regions that may
    /// overlap `cross_entropy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossConfig>,
}

/// How much a term counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TermWeight {
    /// Its weight.
    pub weight: NonNegative,
    /// How the weight changes over the run; absent, it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<TermSchedule>,
}

impl Default for TermWeight {
    fn default() -> Self {
        Self { weight: NonNegative::literal(0.5), schedule: None }
    }
}

impl TermWeight {
    fn at(self, progress: Progress) -> f64 {
        self.when(progress.fraction())
    }

    /// The weight when a share `done` of the run is done.
    fn when(self, done: f64) -> f64 {
        self.weight.get() * self.schedule.map_or(1.0, |it| it.factor(done))
    }
}

fn one() -> Positive {
    Positive::literal(1.0)
}

impl SupervisionConfig {
    /// A moment, as a share of the run, at which neither labels nor teachers count, if there is one.
    pub(crate) fn idle(&self) -> Option<f64> {
        let schedules = [self.label, self.teacher].into_iter().filter_map(|term| term.schedule);
        let mut moments = vec![0.0, 0.5, 1.0];
        moments.extend(schedules.flat_map(TermSchedule::moments));
        moments.into_iter().find(|&done| self.label.when(done) + self.teacher.when(done) <= 0.0)
    }

    /// The loss of the teachers' terms.
    pub(crate) fn loss(&self, activation: Activation) -> LossConfig {
        match (&self.loss, activation) {
            (Some(loss), _) => loss.clone(),
            (None, Activation::Softmax) => KlDivergence::default().into(),
            (None, activation) => CrossEntropy { activation, ..CrossEntropy::default() }.into(),
        }
    }
}

/// The labels, and what teachers say of each batch.
#[derive(Debug)]
pub(crate) struct Distillation {
    config: SupervisionConfig,
    labels: LabelSupervision,
    /// The same for what teachers say.
    opinions: LabelSupervision,
    activation: Activation,
    teachers: Vec<Box<dyn Model>>,
    weights: PreparedWeights,
}

impl Distillation {
    /// By `loss` from the labels, and as `config` says from `teachers`, which compute on `device`.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where there is no teacher, or where a teacher's weights do not fit it.
    pub(crate) fn new(
        config: &SupervisionConfig,
        loss: LossConfig,
        teachers: &[Trained],
        device: &Device,
    ) -> Result<Self> {
        let Some(first) = teachers.first() else {
            return Err(Error::Settings("supervision.teachers names no network".to_owned()));
        };
        let activation = first.config.activation;
        Ok(Self {
            config: config.clone(),
            labels: LabelSupervision::new(loss),
            opinions: LabelSupervision::new(config.loss(activation)),
            activation,
            teachers: teachers.iter().map(|it| it.build(device)).collect::<Result<_>>()?,
            weights: PreparedWeights::default(),
        })
    }

    /// The mean of the teachers' probabilities, `(N, C, *S)`, without a graph.
    fn opinion(&self, images: &Tensor) -> Result<Tensor> {
        let input = Input::images(images.clone());
        let mut total: Option<Tensor> = None;
        for teacher in &self.teachers {
            let logits = self.weights.within(|| teacher.forward_t(&input, false))?;
            let logits = (logits.main().detach() / self.config.temperature.get())?;
            let probabilities = self.activation.probabilities(&logits)?;
            total = Some(match total {
                Some(total) => (total + probabilities)?,
                None => probabilities,
            });
        }
        let Some(total) = total else {
            return Err(Error::Settings("supervision.teachers names no network".to_owned()));
        };
        Ok((total / self.teachers.len() as f64)?.detach())
    }
}

impl Supervision for Distillation {
    fn terms(&self, batch: &Batch, logits: &Logits, progress: Progress) -> Result<Vec<Term<'_>>> {
        let label = self.config.label.at(progress);
        let mut terms = Vec::new();
        // What counts nothing is not computed.
        if label > 0.0 {
            terms = self.labels.terms(batch, logits, progress)?;
            for term in &mut terms {
                term.weight *= label;
            }
        }
        let teacher = self.config.teacher.at(progress);
        if teacher > 0.0 {
            let mut target = Target::soft(self.opinion(&batch.images)?);
            if let Some(weight) = batch.target.weight() {
                target = target.with_weight(weight.clone());
            }
            let temperature = self.config.temperature.get();
            let batch = Batch { target, ..batch.clone() };
            for term in self.opinions.terms(&batch, logits, progress)? {
                let weight = term.weight * teacher * temperature * temperature;
                terms.push(Term { weight, temperature, ..term });
            }
        }
        Ok(terms)
    }

    fn needs(&self) -> Needs {
        self.labels.needs()
    }
}
