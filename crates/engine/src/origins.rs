//! The trained networks that a run begins with: one whose weights it starts from, and teachers.

use std::collections::{BTreeMap, BTreeSet};

use models::Interface;
use preprocess::{Plan, PlanConfig};
use serde::{Deserialize, Serialize};
use text::TextEncoder;

use crate::trained::{NetworkConfig, Trained};
use crate::{Error, LabelSpace, Opinions, PretrainedEncoder, Result, door};

/// Trained networks that a run begins with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origins<'a> {
    /// The network whose weights are taken where they fit: fine-tuning.
    pub init: Option<&'a Trained>,
    /// The networks that the run's `[supervision]` names: distillation.
    pub teachers: &'a [Trained],
    /// The weights that the run's `[pretrained]` names.
    pub encoder: Option<&'a PretrainedEncoder>,
    /// What makes embeddings of words, where the network is told in words what to segment: what the run's `[text]` names.
    pub text: Option<&'a TextEncoder>,
    /// What teachers said before, in whose place they are then not asked.
    pub opinions: Option<&'a Opinions>,
}

/// Tensors by their names.
type Parameters = BTreeMap<String, candle::Tensor>;

/// What a run keeps of its origins, in `origins.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// The SHA-256 hash of the weights that it started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<String>,
    /// That of the file with the weights of its encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoder: Option<String>,
    /// That of the weights of its text encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Those of its teachers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    teachers: Vec<String>,
}

/// What became of a network's parameters when it took those of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Parameters that were taken.
    pub reused: usize,
    /// Those that begin anew: the other network has none of that name and shape.
    pub fresh: Vec<String>,
    /// Those of the other network that were left.
    pub left: Vec<String>,
}

impl Record {
    pub(crate) fn teachers_are_those_of(&self, other: &Self) -> bool {
        self.teachers == other.teachers
    }
}

impl Origins<'_> {
    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        self.init.is_none()
            && self.encoder.is_none()
            && self.text.is_none()
            && self.teachers.is_empty()
            && self.opinions.is_none()
    }

    /// The parameters that a fresh network takes over where they fit, the later ones last.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the network has no encoder for those of one.
    pub(crate) fn given(&self, network: &NetworkConfig) -> Result<Vec<Parameters>> {
        let mut all = Vec::new();
        if let Some(encoder) = self.encoder {
            all.push(encoder.of(network)?);
        }
        all.extend(self.init.map(|init| init.parameters.clone()));
        Ok(all)
    }

    pub(crate) fn record(&self) -> Result<Record> {
        Ok(Record {
            init: self.init.map(Trained::weights_hash).transpose()?,
            encoder: self.encoder.map(|encoder| encoder.hash().to_owned()),
            text: self.text.map(TextEncoder::hash),
            teachers: match self.opinions {
                None => self.teachers.iter().map(Trained::weights_hash).collect::<Result<_>>()?,
                Some(opinions) => {
                    opinions.record().teachers.iter().map(|it| it.weights.clone()).collect()
                }
            },
        })
    }

    /// The plan of a run as its origins have it: images of the same `channels` are made ready for it as for
    /// the networks that it learns from. A run that only starts from another's weights keeps the plan that
    /// is made of its data where the run file says anything else, or channels differ.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the run file says something else than the teachers were trained with, or
    /// they are of images of another kind.
    pub(crate) fn planned(
        &self,
        plan: Plan,
        config: &PlanConfig,
        channels: &[String],
    ) -> Result<Plan> {
        let Some(origin) = self.teachers.first().or(self.init) else { return Ok(plan) };
        let whose =
            if self.teachers.is_empty() { "the network to start from" } else { "the teacher" };
        let other = &origin.plan;
        if other.rank != plan.rank || origin.config.channels != channels {
            return if self.teachers.is_empty() {
                Ok(plan)
            } else {
                Err(Error::Settings(format!(
                    "{whose} is of {}D images of {}, but this run is of {}D images of {}",
                    other.rank,
                    origin.config.channels.join(", "),
                    plan.rank,
                    channels.join(", "),
                )))
            };
        }
        #[expect(clippy::float_cmp, reason = "settings are exact")]
        let says_otherwise = config.spacing.is_some_and(|spacing| spacing != other.spacing)
            || config.resample.is_some_and(|resample| resample != other.resample)
            || config.canonical.is_some_and(|canonical| canonical != other.canonical)
            || config.transpose.is_some_and(|transpose| transpose != other.transpose)
            || config.context.is_some_and(|context| context != other.context)
            || config.normalize.is_some()
            || config.plans.is_some()
            || config.interpolation.is_some_and(|how| how != other.interpolation)
            || config.crop_to_nonzero.is_some_and(|crop| crop != other.crop_to_nonzero);
        if says_otherwise {
            return if self.teachers.is_empty() {
                Ok(plan)
            } else {
                Err(Error::Settings(format!(
                    "[preprocess] says how images are made ready, but {whose} says it already, and both \
                     must see the same; remove all but rank and patch_size"
                )))
            };
        }
        let patch_size =
            if config.patch_size.is_some() { plan.patch_size } else { other.patch_size };
        Ok(Plan { patch_size, batch_size: plan.batch_size, ..other.clone() })
    }

    /// That teachers tell apart what the run's network is to tell apart, and fit its patches.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], which names the teacher by its number.
    pub(crate) fn check(
        &self,
        plan: &Plan,
        network: &NetworkConfig,
        space: &LabelSpace,
    ) -> Result<()> {
        for (number, teacher) in (1..).zip(self.teachers) {
            let Interface { channels, classes, rank } = teacher.config.interface;
            let refuse =
                |reason: String| Err(Error::Settings(format!("teacher {number} {reason}")));
            if teacher.config.activation != space.activation() {
                let [of_teacher, own] = if teacher.config.has_regions() {
                    ["regions that may overlap", "classes that exclude each other"]
                } else {
                    ["classes that exclude each other", "regions that may overlap"]
                };
                return refuse(format!("tells {of_teacher} apart, but this run {own}"));
            }
            if teacher.config.classes.len() != network.classes.len()
                || teacher.config.interface != network.interface
            {
                return refuse(format!(
                    "takes {channels} channels of {rank}D images and tells {classes} classes apart; \
                     this run has {}, {}D and {}",
                    network.interface.channels, network.interface.rank, network.interface.classes,
                ));
            }
            let names = |config: &NetworkConfig| -> Vec<String> {
                config.classes.iter().map(|class| class.name.clone()).collect()
            };
            if names(&teacher.config) != names(network) {
                return refuse(format!(
                    "tells {} apart, but this run {}",
                    names(&teacher.config).join(", "),
                    names(network).join(", ")
                ));
            }
            let stride = door::network(&teacher.config.architecture, teacher.config.interface)?;
            let patch = &plan.patch_size[3 - plan.rank..];
            if patch.iter().zip(&stride).any(|(extent, &stride)| !extent.is_multiple_of(stride)) {
                return refuse(format!(
                    "takes patches that divide by {stride:?}, but this run's have {patch:?} voxels; change \
                     preprocess.patch_size"
                ));
            }
            let sees = |plan: &Plan| Plan {
                patch_size: [0; 3],
                batch_size: 0,
                median_size: [0.0; 3],
                ..plan.clone()
            };
            if sees(&teacher.plan) != sees(plan) {
                return refuse("was trained on images made ready in another way".to_owned());
            }
        }
        Ok(())
    }
}

impl Transfer {
    /// The parameters `own`, those of `other` in their place where name and shape are the same.
    pub(crate) fn of(
        own: BTreeMap<String, candle::Tensor>,
        other: &BTreeMap<String, candle::Tensor>,
    ) -> (BTreeMap<String, candle::Tensor>, Self) {
        let mut transfer = Self::default();
        let names: BTreeSet<String> = own.keys().cloned().collect();
        let mut taken = BTreeMap::new();
        for (name, tensor) in own {
            if let Some(other) = other.get(&name).filter(|other| other.shape() == tensor.shape()) {
                transfer.reused += 1;
                taken.insert(name, other.clone());
            } else {
                transfer.fresh.push(name.clone());
                taken.insert(name, tensor);
            }
        }
        let is_left = |name: &&String| !names.contains(*name) || transfer.fresh.contains(name);
        transfer.left = other.keys().filter(is_left).cloned().collect();
        (taken, transfer)
    }
}
