//! Distillation: a network that learns from others, beside the labels.

use std::path::PathBuf;

use candle::{Device, Tensor};
use losses::{Activation, CrossEntropy, KlDivergence, Labels, LossConfig, Needs, Positive, Target};
use losses::{NonNegative, TermSchedule};
use models::{Input, Logits, Model};
use nn::PreparedWeights;
use preprocess::rng;
use serde::{Deserialize, Serialize};

use crate::supervise::{LabelSupervision, Progress, Supervision, Term};
use crate::{Batch, Error, KdeConfig, Origins, Result};

/// The table `[supervision]` of a run file: whom a network learns from beside the labels.
///
/// ```toml
/// [supervision]
/// teachers = ["runs/teacher", "hub:owner/model"]
/// temperature = 2.0
/// # cache = "soft-targets"
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
/// With `cache`, a folder that `sconce distill cache` has made, teachers are not run: what they said of
/// whole images is cut, turned and scaled with the labels. See [`Opinions`](crate::Opinions).
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
    /// Trained networks: folders of runs or models, or `hub:owner/name`; with a `cache` none, or those
    /// that it is of.
    #[serde(default)]
    pub teachers: Vec<String>,
    /// A folder with what they said of each case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// What logits are divided by.
    #[serde(default = "one")]
    pub temperature: Positive,
    /// How much the labels count, by the run's own loss.
    #[serde(default)]
    pub label: TermWeight,
    /// How much the teachers count.
    #[serde(default)]
    pub teacher: TermWeight,
    /// How what they say is calibrated by the labels of each batch; absent, not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kde: Option<KdeConfig>,
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
    /// Empty where batches bring what teachers said.
    teachers: Vec<Box<dyn Model>>,
    weights: PreparedWeights,
    /// Where randomness comes from.
    seed: u64,
}

impl Distillation {
    /// By `loss` from the labels, and as `config` says from the teachers among `origins`, which compute on
    /// `device`, or from what they said before.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where there is neither, or where a teacher's weights do not fit it.
    pub(crate) fn new(
        config: &SupervisionConfig,
        loss: LossConfig,
        origins: &Origins<'_>,
        activation: Activation,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        if origins.teachers.is_empty() && origins.opinions.is_none() {
            return Err(Error::Settings(
                "supervision.teachers names no network, and there is no supervision.cache"
                    .to_owned(),
            ));
        }
        let teachers = if origins.opinions.is_some() { &[] } else { origins.teachers };
        Ok(Self {
            config: config.clone(),
            labels: LabelSupervision::new(loss),
            opinions: LabelSupervision::new(config.loss(activation)),
            activation,
            teachers: teachers.iter().map(|it| it.build(device)).collect::<Result<_>>()?,
            weights: PreparedWeights::default(),
            seed,
        })
    }

    /// The mean of the teachers' probabilities, `(N, C, *S)`, without a graph.
    fn opinion(&self, batch: &Batch) -> Result<Tensor> {
        if let Some(opinions) = &batch.opinions {
            return Ok(opinions.clone());
        }
        let input = Input::images(batch.images.clone());
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
            let mut opinion = self.opinion(batch)?;
            if let Some(kde) = self.config.kde {
                let Labels::Hard(labels) = batch.target.labels() else {
                    return Err(Error::Settings(format!(
                        "supervision.kde needs labels that are certain, but those of case {} are \
                         probabilities; remove it",
                        batch.ids.join(" or ")
                    )));
                };
                let mut rng = rng(self.seed, progress.step as u64, "kde");
                opinion = kde.apply(&opinion, labels, batch.target.weight(), &mut rng)?;
            }
            let mut target = Target::soft(opinion);
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

#[cfg(test)]
mod tests {
    use candle::{DType, Tensor};

    use super::*;
    use crate::step::{scalar, weighted_sum};

    /// What a student with these logits, `(1, 2, 3)`, pays for an opinion that the batch brings.
    fn cost(table: &str, activation: Activation, target: Target) -> anyhow::Result<f64> {
        let logits = Tensor::new(&[[[1f64, -2.0, 0.5], [0.0, 3.0, 4.0]]], &Device::Cpu)?;
        let opinion = [[[0.75f64, 0.5, 0.1], [0.25, 0.5, 0.9]]];
        let batch = Batch {
            images: logits.clone(),
            target,
            opinions: Some(Tensor::new(&opinion, &Device::Cpu)?),
            ids: vec!["case".to_owned()],
        };
        let text = format!("teachers = []\nlabel = {{ weight = 0.0 }}\n{table}");
        let config: SupervisionConfig = toml::from_str(&text)?;
        let opinions = LabelSupervision::new(config.loss(activation));
        let labels = LabelSupervision::new(KlDivergence::default().into());
        let (teachers, weights) = (Vec::new(), PreparedWeights::default());
        let supervision =
            Distillation { config, labels, opinions, activation, teachers, weights, seed: 0 };
        let progress = Progress { epoch: 0, step: 0, steps: 1 };
        let logits = Logits::new(logits);
        let terms = supervision.terms(&batch, &logits, progress)?;
        Ok(scalar(&weighted_sum(&terms, &logits)?.expect("a term"))?)
    }

    /// The divergence of a voxel, of two classes.
    fn divergence([p, q]: [f64; 2], logits: [f64; 2], temperature: f64) -> f64 {
        let [a, b] = logits.map(|logit| (logit / temperature).exp());
        p * (p * (a + b) / a).ln() + q * (q * (a + b) / b).ln()
    }

    #[test]
    fn a_divergence_counts_temperature_squared_times() -> anyhow::Result<()> {
        let target = Target::hard(Tensor::new(&[[0u32, 1, 1]], &Device::Cpu)?);
        let opinions = [[0.75, 0.25], [0.5, 0.5], [0.1, 0.9]];
        let logits = [[1.0, 0.0], [-2.0, 3.0], [0.5, 4.0]];
        for temperature in [1.0, 2.0, 3.5] {
            let table = format!("temperature = {temperature:?}\nteacher = {{ weight = 0.25 }}");

            let found = cost(&table, Activation::Softmax, target.clone())?;

            let each = opinions.iter().zip(logits);
            let sum: f64 = each.map(|(&p, logits)| divergence(p, logits, temperature)).sum();
            let expected = 0.25 * temperature * temperature * sum / 3.0;
            assert!((found - expected).abs() < 1e-9, "{temperature}: {found}, not {expected}");
        }
        Ok(())
    }

    #[test]
    fn teachers_say_nothing_of_ignored_voxels() -> anyhow::Result<()> {
        let weight = Tensor::new(&[[1f64, 0.0, 1.0]], &Device::Cpu)?;
        let target = Target::hard(Tensor::new(&[[0u32, 1, 1]], &Device::Cpu)?).with_weight(weight);

        let found = cost("teacher = { weight = 1.0 }", Activation::Softmax, target)?;

        let first = divergence([0.75, 0.25], [1.0, 0.0], 1.0);
        let expected = f64::midpoint(first, divergence([0.1, 0.9], [0.5, 4.0], 1.0));
        assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        Ok(())
    }

    #[test]
    fn each_region_is_held_against_what_teachers_say_of_it() -> anyhow::Result<()> {
        let masks = Tensor::zeros((1, 2, 3), DType::U8, &Device::Cpu)?;
        let table = "temperature = 2.0\nteacher = { weight = 1.0 }";

        let found = cost(table, Activation::Sigmoid, Target::regions(masks))?;

        let opinions = [0.75f64, 0.5, 0.1, 0.25, 0.5, 0.9];
        let logits = [1.0f64, -2.0, 0.5, 0.0, 3.0, 4.0];
        let cost = |p: f64, logit: f64| {
            let q = 1.0 / (1.0 + (-logit / 2.0).exp());
            -p * q.ln() - (1.0 - p) * (1.0 - q).ln()
        };
        let sum: f64 = opinions.iter().zip(logits).map(|(&p, logit)| cost(p, logit)).sum();
        let expected = 4.0 * sum / 6.0;
        assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        Ok(())
    }
}
