//! From cases to batches: the one place where `data` meets `preprocess`.

use std::sync::Arc;

use candle::Device;
use data::{Case, Dataset};
use ndarray::Axis;
use preprocess::{
    Augmentation, Fusion, Locations, Patch, PatchSampler, Plan, Prepared, Truth, rng,
};
use rand::Rng as _;
use rayon::prelude::*;

use crate::config::{LabelConfig, TrainConfig};
use crate::guard::guarded;
use crate::maps::MapSettings;
use crate::{Batch, Error, LabelSpace, Opinions, Result};

/// How cases become batches.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a> {
    /// How images are made ready.
    pub plan: &'a Plan,
    /// What labels mean.
    pub space: &'a LabelSpace,
    /// How raters are fused.
    pub labels: &'a LabelConfig,
    /// How patches are varied.
    pub augment: &'a Augmentation,
    /// How large batches are, and how often they must contain foreground.
    pub train: &'a TrainConfig,
    /// What the losses need beyond labels.
    pub needs: losses::Needs,
    /// What teachers said of the cases, where a run looks at that.
    pub opinions: Option<&'a Opinions>,
    /// Where all randomness comes from.
    pub seed: u64,
}

/// Makes every batch of a run, each from nothing but the seed, the epoch and its number.
#[derive(Debug)]
pub struct Loader<'a> {
    cases: Vec<Source>,
    recipe: Recipe<'a>,
}

/// A case, ready to be sampled; or, where its label is drawn anew in each epoch, to be prepared.
#[derive(Debug)]
enum Source {
    Ready(String, Box<Prepared>),
    /// With what teachers said of it, which stays.
    PerEpoch(Box<Case>, Arc<[Truth]>),
}

impl<'a> Loader<'a> {
    /// Reads and prepares `ids` of a data set, and tells `progress` of each.
    ///
    /// # Errors
    ///
    /// Where a case cannot be read, has no label, or cannot be prepared; the error names it.
    pub fn new(
        dataset: &dyn Dataset,
        ids: &[String],
        recipe: Recipe<'a>,
        mut progress: impl FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        let mut cases = Vec::with_capacity(ids.len());
        // In portions, so that all threads work and progress is told in order.
        for portion in ids.chunks(2 * rayon::current_num_threads()) {
            let prepared: Vec<Result<Source>> = portion
                .par_iter()
                .map(|id| guarded(id, || recipe.source(dataset.read(id)?)))
                .collect();
            for source in prepared {
                cases.push(source?);
            }
            progress(cases.len())?;
        }
        Ok(Self { cases, recipe })
    }

    /// The number of cases.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there are no cases.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// The training batch of that number in that epoch: random patches, varied.
    ///
    /// # Errors
    ///
    /// Where there are no cases, or a case cannot be prepared; or where a tensor cannot be made.
    pub fn training(&self, epoch: usize, iteration: usize, device: &Device) -> Result<Batch> {
        let Recipe { plan, augment, train, seed, .. } = self.recipe;
        // nnU-Net's rule: at a batch of 2 and a third, the second patch is forced.
        let free =
            (train.batch_size as f64 * (1.0 - train.oversample_foreground)).round_ties_even();
        let input = augment.input_size(plan.patch_size, plan.rank);
        let sampler = PatchSampler::new(input).for_output(plan.patch_size);
        self.batch(device, |sample| {
            let mut rng = rng(seed, epoch as u64, &format!("train/{iteration}/{sample}"));
            let case = rng.random_range(0..self.cases.len());
            self.patch(case, epoch, |prepared| {
                let patch = sampler.sample(prepared, sample as f64 >= free, &mut rng);
                augment.apply(patch, plan.patch_size, plan.rank, &mut rng)
            })
        })
    }

    /// The validation batch of that number: patches that are the same in every epoch, not varied,
    /// from the cases in turn.
    ///
    /// # Errors
    ///
    /// As [`Loader::training`].
    pub fn validation(&self, iteration: usize, device: &Device) -> Result<Batch> {
        let Recipe { plan, train, seed, .. } = self.recipe;
        let sampler = PatchSampler::new(plan.patch_size);
        self.batch(device, |sample| {
            let number = iteration * train.batch_size + sample;
            let mut rng = rng(seed, 0, &format!("validation/{number}"));
            self.patch(number % self.cases.len(), 0, |prepared| {
                sampler.sample(prepared, number % 2 == 1, &mut rng)
            })
        })
    }

    fn batch(
        &self,
        device: &Device,
        patch: impl Fn(usize) -> Result<(String, Patch)> + Send + Sync,
    ) -> Result<Batch> {
        if self.is_empty() {
            return Err(Error::Settings("there is no case to take patches from".to_owned()));
        }
        let Recipe { plan, space, train, needs, .. } = self.recipe;
        let maps = MapSettings { needs, spacing: plan.spacing };
        let patches = (0..train.batch_size).into_par_iter().map(patch);
        Batch::new(patches.collect::<Result<_>>()?, plan.rank, space, &maps, device)
    }

    /// What `take` makes of a case, with its id.
    pub(crate) fn patch(
        &self,
        index: usize,
        epoch: usize,
        take: impl FnOnce(&Prepared) -> Patch,
    ) -> Result<(String, Patch)> {
        let (id, patch) = match &self.cases[index] {
            Source::Ready(id, prepared) => (id, guarded(id, || Ok(take(prepared)))?),
            Source::PerEpoch(case, further) => {
                let fresh = || {
                    let mut prepared = self.recipe.prepare(case, epoch)?;
                    prepared.further = Arc::clone(further);
                    Ok(take(&prepared))
                };
                (&case.id, guarded(&case.id, fresh)?)
            }
        };
        Ok((id.clone(), patch))
    }
}

impl Recipe<'_> {
    fn source(self, case: Case) -> Result<Source> {
        let several = matches!(case.label, Some(volume::Label::Raters(_)));
        let mut prepared = self.prepare(&case, 0)?;
        if let Some(opinions) = self.opinions {
            let further = opinions.read(&case, &prepared.restore);
            prepared.further = further.map_err(|error| error.in_case(&case.id))?.into();
        }
        if several && matches!(self.labels.fusion, Fusion::RandomRater) {
            return Ok(Source::PerEpoch(Box::new(case), prepared.further));
        }
        Ok(Source::Ready(case.id, Box::new(prepared)))
    }

    fn prepare(self, case: &Case, epoch: usize) -> Result<Prepared> {
        let Some(label) = &case.label else {
            let missing = "it has no label, so nothing can be learned from it; remove or label it";
            return Err(Error::Settings(missing.to_owned()).in_case(&case.id));
        };
        let mut rng = rng(self.seed, epoch as u64, &format!("label/{}", case.id));
        let annotation = (label, self.space.labels(), &self.labels.fusion, &mut rng);
        let mut prepared = self
            .plan
            .prepare(&case.image, Some(annotation))
            .map_err(|error| Error::from(error).in_case(&case.id))?;
        if let (Some(smoothing), Some(truth)) = (self.labels.smoothing, &prepared.truth) {
            let smoothed = smoothing.apply(truth, self.space.labels(), self.plan.rank);
            prepared.truth = Some(smoothed.map_err(|error| Error::from(error).in_case(&case.id))?);
        }
        if let (LabelSpace::Regions { .. }, Some(truth)) = (self.space, &prepared.truth) {
            // Patches are forced onto regions, not onto the labels that they are unions of.
            let regions = self.space.probabilities(truth);
            let found = regions.outer_iter().map(|region| {
                // Its place as if it were the one class beside the background.
                let alone = ndarray::stack![Axis(0), region, region];
                Locations::find(&Truth::Soft(alone), 2).classes.pop().unwrap_or_default()
            });
            prepared.locations.classes = found.collect();
        }
        Ok(prepared)
    }
}
