//! From cases to batches: the one place where `data` meets `preprocess`.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use candle::Device;
use data::Dataset;
use preprocess::{Patch, PatchSampler, PatchSource, Plan, rng};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use ranks::Shard;
use rayon::prelude::*;

use crate::guard::guarded;
use crate::maps::MapSettings;
use crate::producer::{makers, produce};
use crate::recipe::{Found, Place};
use crate::storage::Shelf;
use crate::{Batch, Error, Held, Recipe, Result, Storage};

/// Makes every batch of a run, each from nothing but the seed, the epoch and its number.
#[derive(Debug)]
pub struct Loader<'a> {
    dataset: &'a dyn Dataset,
    cases: Vec<Source>,
    recipe: Recipe<'a>,
    /// Which patches of each batch are made here.
    part: Range<usize>,
    /// Of each case, how often it or one before it is drawn, where some are drawn more often than others.
    drawn: Option<Vec<f64>>,
}

/// A case that patches are taken from.
#[derive(Debug)]
struct Source {
    id: String,
    /// A hash of what its files held.
    content: String,
    place: Place,
}

impl<'a> Loader<'a> {
    /// Reads and prepares `ids` of a data set, holds them in memory, and tells `progress` of each.
    ///
    /// # Errors
    ///
    /// Where a case cannot be read, has no label, or cannot be prepared; the error names it.
    pub fn new(
        dataset: &'a dyn Dataset,
        ids: &[String],
        recipe: Recipe<'a>,
        progress: impl FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        let mut shelf = Shelf::in_memory(recipe.made(dataset));
        Self::on(&mut shelf, dataset, ids, recipe, progress)
    }

    /// The same, of cases that are kept as `storage` says; those for which there is no memory lie in `spill` where it names
    /// no folder. Also says how much is held where.
    ///
    /// # Errors
    ///
    /// As [`Loader::new`]; and where a case cannot be kept, or a kept one not be read.
    pub fn stored(
        storage: &Storage,
        spill: &Path,
        dataset: &'a dyn Dataset,
        ids: &[String],
        recipe: Recipe<'a>,
        progress: impl FnMut(usize) -> Result<()>,
    ) -> Result<(Self, Held)> {
        let mut shelf = Shelf::new(storage, spill, recipe.made(dataset))?;
        let loader = Self::on(&mut shelf, dataset, ids, recipe, progress)?;
        Ok((loader, shelf.held().clone()))
    }

    /// The same, of cases that are kept on a shelf: first those for which there is memory.
    pub(crate) fn on(
        shelf: &mut Shelf<'_>,
        dataset: &'a dyn Dataset,
        ids: &[String],
        recipe: Recipe<'a>,
        mut progress: impl FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        let mut cases = Vec::with_capacity(ids.len());
        // In portions, so that all threads work and progress is told in order; one case first, to see how large they
        // are.
        let (mut largest, mut left) = (None, ids);
        while !left.is_empty() {
            let (portion, rest) = left.split_at(shelf.portion(largest).min(left.len()));
            left = rest;
            let of_cache = shelf.cache();
            let found = portion.par_iter();
            let found = found.map(|id| guarded(id, || recipe.found(dataset, id, of_cache)));
            let found = found.collect::<Vec<_>>().into_iter().collect::<Result<Vec<_>>>()?;
            largest = largest.max(found.iter().map(Found::bytes).max());
            let fits: Vec<bool> = found.iter().map(|found| shelf.takes(found.bytes())).collect();
            if found.iter().zip(&fits).any(|(found, fits)| !fits && found.is_fresh()) {
                shelf.open()?;
            }
            let contents: Vec<String> =
                found.iter().map(|found| found.content().to_owned()).collect();
            let of_cache = shelf.cache();
            let places = found.into_par_iter().zip(fits).zip(portion);
            let places = places.map(|((found, fits), id)| {
                guarded(id, || recipe.place(found, fits, (dataset, id), of_cache))
            });
            let places: Vec<Result<Place>> = places.collect();
            for ((id, content), place) in portion.iter().zip(contents).zip(places) {
                cases.push(Source { id: id.clone(), content, place: place? });
            }
            progress(cases.len())?;
        }
        let part = 0..recipe.train.batch_size;
        let drawn = shares(dataset, ids);
        Ok(Self { dataset, cases, recipe, part, drawn })
    }

    /// The same for one of several processes, which makes a part of each batch: all parts together are the batch.
    pub(crate) fn of_shard(self, shard: Shard) -> Self {
        Self { part: shard.piece(self.recipe.train.batch_size), ..self }
    }

    /// Which patches of each batch are made here.
    pub(crate) fn own_part(&self) -> Range<usize> {
        self.part.clone()
    }

    /// The number of cases.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there are no cases.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// Of each case its name, and a hash of what its files held.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cases.iter().map(|case| (case.id.as_str(), case.content.as_str()))
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
        let seen = plan.seen_size();
        let input = [input[0] + 2 * plan.context, input[1], input[2]];
        self.batch(device, |sample| {
            let mut rng = rng(seed, epoch as u64, &format!("train/{iteration}/{sample}"));
            let case = self.draw(&mut rng);
            self.patch(case, epoch, |case| {
                let corner = case.place(&sampler, sample as f64 >= free, &mut rng);
                let corner = around(corner, plan);
                let part = |start, size| case.part(added(corner, start), size);
                Ok(flat(augment.apply_to(part, input, seen, plan.rank, &mut rng)?, plan))
            })
        })
    }

    /// The case that a training patch is from.
    fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        let Some(drawn) = &self.drawn else { return rng.random_range(0..self.cases.len()) };
        let at = rng.random::<f64>() * drawn.last().copied().unwrap_or_default();
        drawn.partition_point(|&before| before <= at).min(self.cases.len() - 1)
    }

    /// Gives `each` the training batches of an epoch of these numbers in order, on the CPU, until it breaks. They are made
    /// ahead, on threads of their own; whether many or few, batches are the same.
    ///
    /// # Errors
    ///
    /// As [`Loader::training`], and those of `each`: the first ends the epoch.
    pub fn epoch(
        &self,
        epoch: usize,
        numbers: Range<usize>,
        each: impl FnMut(usize, Batch) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let make = |iteration| self.training(epoch, iteration, &Device::Cpu);
        produce(numbers, makers(self.part.len()), make, each)
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
            self.patch(number % self.cases.len(), 0, |case| {
                let corner = case.place(&sampler, number % 2 == 1, &mut rng);
                Ok(flat(case.part(around(corner, plan), plan.seen_size())?, plan))
            })
        })
    }

    /// A batch of so many patches of another size, on the CPU: the first of some cases, not varied.
    ///
    /// # Errors
    ///
    /// As [`Loader::training`].
    pub(crate) fn probe(&self, count: usize, size: [usize; 3]) -> Result<Batch> {
        let plan = self.recipe.plan;
        let seen = [size[0] + 2 * plan.context, size[1], size[2]];
        self.batch_of(0..count, &Device::Cpu, |sample| {
            self.patch(sample % self.cases.len(), 0, |case| {
                Ok(flat(case.part(around([0; 3], plan), seen)?, plan))
            })
        })
    }

    /// How images are made ready.
    pub(crate) fn plan(&self) -> &Plan {
        self.recipe.plan
    }

    fn batch(
        &self,
        device: &Device,
        patch: impl Fn(usize) -> Result<(String, Patch)> + Send + Sync,
    ) -> Result<Batch> {
        self.batch_of(self.part.clone(), device, patch)
    }

    fn batch_of(
        &self,
        samples: Range<usize>,
        device: &Device,
        patch: impl Fn(usize) -> Result<(String, Patch)> + Send + Sync,
    ) -> Result<Batch> {
        if self.is_empty() {
            return Err(Error::Settings("there is no case to take patches from".to_owned()));
        }
        let Recipe { plan, space, needs, .. } = self.recipe;
        let maps = MapSettings { needs, spacing: plan.spacing };
        let patches = samples.into_par_iter().map(patch);
        let batch = Batch::new(patches.collect::<Result<_>>()?, plan.rank, space, &maps, device)?;
        batch.labelling(space, |id| self.dataset.labelled(id))
    }

    /// What `take` makes of a case, with its id.
    pub(crate) fn patch(
        &self,
        index: usize,
        epoch: usize,
        take: impl FnOnce(&dyn Sampled) -> Result<Patch>,
    ) -> Result<(String, Patch)> {
        let Source { id, place, .. } = &self.cases[index];
        let patch = guarded(id, || match place {
            Place::Memory(prepared) => take(prepared.as_ref()),
            Place::Disk(case) => take(case.as_ref()),
            Place::PerEpoch(case, further) => {
                let read = || self.dataset.read(id).map(Cow::Owned);
                let case = case.as_deref().map_or_else(read, |case| Ok(Cow::Borrowed(case)))?;
                let mut prepared = self.recipe.prepare(&case, epoch)?;
                prepared.further = Arc::clone(further);
                take(&prepared)
            }
        })?;
        Ok((id.clone(), patch))
    }
}

/// The sums of how often cases are drawn; `None` where all are drawn alike.
#[expect(clippy::float_cmp, reason = "weights are equal, or they are not")]
fn shares(dataset: &dyn Dataset, ids: &[String]) -> Option<Vec<f64>> {
    let weights: Vec<f64> = ids.iter().map(|id| dataset.weight(id)).collect();
    if weights.windows(2).all(|pair| pair[0] == pair[1]) {
        return None;
    }
    let mut sum = 0.0;
    Some(
        weights
            .into_iter()
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect(),
    )
}

/// A case of any place.
pub(crate) trait Sampled {
    fn place(&self, sampler: &PatchSampler, force: bool, rng: &mut ChaCha8Rng) -> [isize; 3];

    fn part(&self, corner: [isize; 3], size: [usize; 3]) -> Result<Patch>;
}

impl<S: PatchSource> Sampled for S
where
    Error: From<S::Error>,
{
    fn place(&self, sampler: &PatchSampler, force: bool, rng: &mut ChaCha8Rng) -> [isize; 3] {
        sampler.place(self, force, rng)
    }

    fn part(&self, corner: [isize; 3], size: [usize; 3]) -> Result<Patch> {
        Ok(PatchSource::part(self, corner, size)?)
    }
}

/// Where what is seen of a case begins, with the slices before.
fn around([z, y, x]: [isize; 3], plan: &Plan) -> [isize; 3] {
    [z.saturating_sub_unsigned(plan.context), y, x]
}

/// What a network sees of a patch.
fn flat(patch: Patch, plan: &Plan) -> Patch {
    if plan.rank == 2 { patch.slices_as_channels() } else { patch }
}

fn added(corner: [isize; 3], start: [isize; 3]) -> [isize; 3] {
    std::array::from_fn(|axis| corner[axis] + start[axis])
}
