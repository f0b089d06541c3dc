//! From cases to batches: the one place where `data` meets `preprocess`.

use candle::Device;
use data::{Case, Dataset};
use preprocess::{Augmentation, Fusion, PatchSampler, Plan, Prepared};
use rand::Rng as _;
use rayon::prelude::*;

use crate::config::{LabelConfig, TrainConfig};
use crate::{Batch, Error, Result};

/// Makes every batch of a run, each from nothing but the seed, the epoch and its number.
#[derive(Debug)]
pub struct Loader<'a> {
    cases: Vec<Source<'a>>,
    plan: &'a Plan,
    augment: &'a Augmentation,
    train: &'a TrainConfig,
    classes: usize,
    seed: u64,
}

/// A case, ready to be sampled; or, where its label is drawn anew in each epoch, to be prepared.
#[derive(Debug)]
enum Source<'a> {
    Ready(String, Box<Prepared>),
    PerEpoch(Case, &'a Fusion),
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
        plan: &'a Plan,
        labels: &'a LabelConfig,
        augment: &'a Augmentation,
        train: &'a TrainConfig,
        seed: u64,
        mut progress: impl FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        let classes = dataset.description().classes.len();
        let mut cases = Vec::with_capacity(ids.len());
        // In portions, so that all threads work and progress is told in order.
        for portion in ids.chunks(2 * rayon::current_num_threads()) {
            let prepared: Vec<Result<Source<'a>>> = portion
                .par_iter()
                .map(|id| source(dataset, id, plan, &labels.fusion, classes, seed))
                .collect();
            for source in prepared {
                cases.push(source?);
            }
            progress(cases.len())?;
        }
        Ok(Self { cases, plan, augment, train, classes, seed })
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
    /// Where a tensor cannot be made.
    pub fn training(&self, epoch: usize, iteration: usize, device: &Device) -> Result<Batch> {
        let size = self.train.batch_size;
        // nnU-Net's rule: at a batch of 2 and a third, the second patch is forced.
        let free = (size as f64 * (1.0 - self.train.oversample_foreground)).round_ties_even();
        let patches = (0..size)
            .into_par_iter()
            .map(|sample| {
                let key = format!("train/{iteration}/{sample}");
                let mut rng = preprocess::rng(self.seed, epoch as u64, &key);
                let case = rng.random_range(0..self.cases.len());
                let (id, prepared) = self.prepared(case, epoch)?;
                let input = self.augment.input_size(self.plan.patch_size, self.plan.rank);
                let sampler = PatchSampler::new(input).for_output(self.plan.patch_size);
                let patch = sampler.sample(&prepared, sample as f64 >= free, &mut rng);
                let patch =
                    self.augment.apply(patch, self.plan.patch_size, self.plan.rank, &mut rng);
                Ok((id.to_owned(), patch))
            })
            .collect::<Result<Vec<_>>>()?;
        Batch::new(patches, self.plan.rank, self.classes, device)
    }

    /// The validation batch of that number: patches that are the same in every epoch, not varied,
    /// from the cases in turn.
    ///
    /// # Errors
    ///
    /// Where a tensor cannot be made.
    pub fn validation(&self, iteration: usize, device: &Device) -> Result<Batch> {
        let size = self.train.batch_size;
        let patches = (0..size)
            .into_par_iter()
            .map(|sample| {
                let number = iteration * size + sample;
                let mut rng = preprocess::rng(self.seed, 0, &format!("validation/{number}"));
                let (id, prepared) = self.prepared(number % self.cases.len(), 0)?;
                let sampler = PatchSampler::new(self.plan.patch_size);
                let patch = sampler.sample(&prepared, number % 2 == 1, &mut rng);
                Ok((id.to_owned(), patch))
            })
            .collect::<Result<Vec<_>>>()?;
        Batch::new(patches, self.plan.rank, self.classes, device)
    }

    fn prepared(&self, index: usize, epoch: usize) -> Result<(&str, Cached<'_>)> {
        match &self.cases[index] {
            Source::Ready(id, prepared) => Ok((id, Cached::Kept(prepared))),
            Source::PerEpoch(case, fusion) => {
                let fresh = prepare(case, self.plan, fusion, self.classes, self.seed, epoch)?;
                Ok((&case.id, Cached::Fresh(Box::new(fresh))))
            }
        }
    }
}

enum Cached<'a> {
    Kept(&'a Prepared),
    Fresh(Box<Prepared>),
}

impl std::ops::Deref for Cached<'_> {
    type Target = Prepared;

    fn deref(&self) -> &Prepared {
        match self {
            Self::Kept(prepared) => prepared,
            Self::Fresh(prepared) => prepared,
        }
    }
}

fn source<'a>(
    dataset: &dyn Dataset,
    id: &str,
    plan: &Plan,
    fusion: &'a Fusion,
    classes: usize,
    seed: u64,
) -> Result<Source<'a>> {
    let case = dataset.read(id)?;
    if matches!(fusion, Fusion::RandomRater) && matches!(case.label, Some(volume::Label::Raters(_)))
    {
        return Ok(Source::PerEpoch(case, fusion));
    }
    let prepared = prepare(&case, plan, fusion, classes, seed, 0)?;
    Ok(Source::Ready(case.id, Box::new(prepared)))
}

fn prepare(
    case: &Case,
    plan: &Plan,
    fusion: &Fusion,
    classes: usize,
    seed: u64,
    epoch: usize,
) -> Result<Prepared> {
    let Some(label) = &case.label else {
        let missing = "it has no label, so nothing can be learned from it; remove or label it";
        return Err(Error::Settings(missing.to_owned()).in_case(&case.id));
    };
    let mut rng = preprocess::rng(seed, epoch as u64, &format!("label/{}", case.id));
    plan.prepare(&case.image, Some((label, classes, fusion, &mut rng)))
        .map_err(|error| Error::from(error).in_case(&case.id))
}
