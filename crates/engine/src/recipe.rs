//! How a case is found, prepared and put where there is room for it.

use std::sync::Arc;

use cache::{Cache, CachedCase};
use data::{Case, Dataset};
use ndarray::Axis;
use preprocess::{Augmentation, Fusion, Locations, Plan, Prepared, Truth, rng};
use volume::Label;

use crate::config::{LabelConfig, TrainConfig};
use crate::file::file_name;
use crate::storage::{Kept, Made, version};
use crate::{Error, LabelSpace, Opinions, Result, content};

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

/// Where a case is, once it is prepared.
#[derive(Debug)]
pub(crate) enum Place {
    /// In memory, ready to be sampled.
    Memory(Box<Prepared>),
    /// On disk, to be read patch by patch.
    Disk(Box<CachedCase>),
    /// Its label is drawn anew in each epoch, so that it is prepared for each patch; with what teachers said of it,
    /// which stays. It is read for each patch too where there was no memory for it.
    PerEpoch(Option<Box<Case>>, Arc<[Truth]>),
}

/// A case on its way to its place.
pub(crate) enum Found {
    /// With what tells its version from others.
    Kept(Option<String>, Kept),
    /// With the hash of what its files held.
    PerEpoch(Box<Case>, Arc<[Truth]>, String),
}

impl Found {
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self, Self::Kept(_, Kept::Fresh(..)))
    }

    pub(crate) fn content(&self) -> &str {
        match self {
            Self::Kept(_, Kept::Fresh(_, content)) | Self::PerEpoch(.., content) => content,
            Self::Kept(_, Kept::OnDisk(case)) => case.content(),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Kept(_, kept) => kept.bytes(),
            Self::PerEpoch(case, ..) => {
                let masks = match &case.label {
                    Some(Label::Raters(masks)) => masks.len(),
                    _ => 1,
                };
                let voxels: usize = case.image.grid.size.iter().product();
                (4 * case.image.data.len() + 2 * masks * voxels) as u64
            }
        }
    }
}

impl Recipe<'_> {
    pub(crate) fn made<'b>(&'b self, dataset: &'b dyn Dataset) -> Made<'b> {
        Made::new(dataset.description(), self.plan, self.labels, self.opinions, self.seed)
    }

    /// A case that has been kept, or is prepared now.
    pub(crate) fn found(
        self,
        dataset: &dyn Dataset,
        id: &str,
        cache: Option<&Cache>,
    ) -> Result<Found> {
        let mut source = None;
        if let Some(cache) = cache {
            let version = version(dataset, id, self.opinions)?;
            if let Some(case) = cache.read(&file_name(id), &version)? {
                return Ok(Found::Kept(None, Kept::OnDisk(Box::new(case))));
            }
            source = Some(version);
        }
        let case = dataset.read(id)?;
        let content = content::of_case(&case);
        let several = matches!(case.label, Some(Label::Raters(_)));
        let mut prepared = self.prepare(&case, 0)?;
        if let Some(opinions) = self.opinions {
            let further = opinions.read(&case, &prepared.restore);
            prepared.further = further.map_err(|error| error.in_case(&case.id))?.into();
        }
        if several && matches!(self.labels.fusion, Fusion::RandomRater) {
            return Ok(Found::PerEpoch(Box::new(case), prepared.further, content));
        }
        Ok(Found::Kept(source, Kept::Fresh(Box::new(prepared), content)))
    }

    /// Puts a case where there is room for it, and keeps what is new.
    pub(crate) fn place(
        self,
        found: Found,
        fits: bool,
        (dataset, id): (&dyn Dataset, &str),
        cache: Option<&Cache>,
    ) -> Result<Place> {
        Ok(match found {
            Found::PerEpoch(case, further, _) => Place::PerEpoch(fits.then_some(case), further),
            Found::Kept(_, Kept::OnDisk(case)) if fits => Place::Memory(Box::new(case.load()?)),
            Found::Kept(_, Kept::OnDisk(case)) => Place::Disk(case),
            Found::Kept(source, Kept::Fresh(prepared, content)) => {
                let write = |cache: &Cache| -> Result<CachedCase> {
                    let source = source.map_or_else(|| version(dataset, id, self.opinions), Ok)?;
                    let (name, patch) = (file_name(id), self.plan.patch_size);
                    Ok(cache.write(&name, &source, &content, &prepared, patch)?)
                };
                match cache.map(write).transpose()? {
                    Some(case) if !fits => Place::Disk(Box::new(case)),
                    _ => Place::Memory(prepared),
                }
            }
        })
    }

    pub(crate) fn prepare(self, case: &Case, epoch: usize) -> Result<Prepared> {
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
