use candle::{Device, Tensor};

use super::{Components, Labels, Target};
use crate::{Error, Loss, Result};

/// Samples of a batch that label the same classes.
struct Alike {
    labelled: Vec<bool>,
    samples: Vec<usize>,
}

impl Target {
    /// Where samples do not say something of each class: which classes each sample labels, `N` lists of `C`.
    ///
    /// For labels of classes that are decided each by itself. Of such a target [`Target::loss`] asks a loss, and nothing
    /// else can: a sum over all classes would take what is unknown for absent.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where labels are class indices, which exclude each other, or are of other samples or classes.
    pub fn with_labelled(self, labelled: Vec<Vec<bool>>) -> Result<Self> {
        let (Labels::Regions(labels) | Labels::Soft(labels)) = &self.labels else {
            return Err(Error::Settings(
                "classes that exclude each other cannot be labelled in part".to_owned(),
            ));
        };
        let [n, classes, ..] = labels.dims() else {
            return Err(Error::LogitsShape(labels.shape().clone()));
        };
        if labelled.len() != *n || labelled.iter().any(|of_sample| of_sample.len() != *classes) {
            return Err(Error::Settings(format!(
                "which classes are labelled is to be said of {n} samples and {classes} classes"
            )));
        }
        let all = labelled.iter().flatten().all(|&labelled| labelled);
        Ok(Self { labelled: (!all).then_some(labelled), ..self })
    }

    /// Which classes each sample labels, `N` lists of `C`; `None` where all label all.
    pub fn labelled(&self) -> Option<&[Vec<bool>]> {
        self.labelled.as_deref()
    }

    /// What `loss` makes of `logits`, `(N, C, *S)`, and this target: a scalar, as [`Loss::forward`].
    ///
    /// Of each sample only the labelled classes are looked at, as if the others did not exist; each sample counts alike,
    /// however many classes it labels, and one that labels none counts nothing. Samples that label the same classes are a
    /// batch to the loss. Logits of classes that are not labelled have a gradient of exactly 0.
    ///
    /// # Errors
    ///
    /// As [`Loss::forward`].
    pub fn loss(&self, loss: &dyn Loss, logits: &Tensor) -> Result<Tensor> {
        let Some(labelled) = &self.labelled else { return loss.forward(logits, self) };
        let [n, classes, _, ..] = logits.dims() else {
            return Err(Error::LogitsShape(logits.shape().clone()));
        };
        if labelled.len() != *n || labelled.iter().any(|of_sample| of_sample.len() != *classes) {
            return Err(Error::Settings(format!(
                "the target says what {} samples label, but logits have shape {:?}",
                labelled.len(),
                logits.dims()
            )));
        }
        let mut total: Option<Tensor> = None;
        for alike in groups(labelled) {
            let share = alike.samples.len() as f64 / *n as f64;
            let part = alike.part(self)?;
            let cost = (loss.forward(&alike.select(logits)?, &part)? * share)?;
            total = Some(match total {
                Some(total) => (total + cost)?,
                None => cost,
            });
        }
        match total {
            Some(total) => Ok(total),
            // Nobody said anything.
            None => Ok((super::widen(logits)? * 0.0)?.sum_all()?),
        }
    }

    /// That all samples label all classes.
    pub(super) fn expect_whole(&self) -> Result<()> {
        if self.labelled.is_none() {
            return Ok(());
        }
        Err(Error::Settings(
            "some samples do not label all classes; ask for their loss by Target::loss".to_owned(),
        ))
    }
}

/// The samples that label any class, those that label the same together, in the order of their first.
fn groups(labelled: &[Vec<bool>]) -> Vec<Alike> {
    let mut groups: Vec<Alike> = Vec::new();
    for (sample, labelled) in labelled.iter().enumerate() {
        if !labelled.contains(&true) {
            continue;
        }
        match groups.iter_mut().find(|group| group.labelled == *labelled) {
            Some(group) => group.samples.push(sample),
            None => groups.push(Alike { labelled: labelled.clone(), samples: vec![sample] }),
        }
    }
    groups
}

impl Alike {
    /// Its samples and classes of `(N, C, *S)`.
    fn select(&self, tensor: &Tensor) -> Result<Tensor> {
        let classes: Vec<usize> =
            (0..self.labelled.len()).filter(|&class| self.labelled[class]).collect();
        chosen(&self.of_samples(tensor)?, &classes, 1)
    }

    /// Its samples of `(N, …)`.
    fn of_samples(&self, tensor: &Tensor) -> Result<Tensor> {
        chosen(tensor, &self.samples, 0)
    }

    /// Its samples and classes of a target, which are all labelled.
    fn part(&self, target: &Target) -> Result<Target> {
        let labels = match &target.labels {
            // Not made by `with_labelled`.
            Labels::Hard(indices) => Labels::Hard(self.of_samples(indices)?),
            Labels::Regions(masks) => Labels::Regions(self.select(masks)?),
            Labels::Soft(probabilities) => Labels::Soft(self.select(probabilities)?),
        };
        let weight = target.weight.as_ref().map(|it| self.of_samples(it)).transpose()?;
        let distance = target.distance.as_ref().map(|it| self.select(it)).transpose()?;
        let components = match &target.components {
            Some(Components { indices, counts }) => {
                let of_sample = |&sample: &usize| {
                    let all = counts[sample].iter().zip(&self.labelled);
                    all.filter(|(_, labelled)| **labelled).map(|(&count, _)| count).collect()
                };
                let counts = self.samples.iter().map(of_sample).collect();
                Some(Components { indices: self.select(indices)?, counts })
            }
            None => None,
        };
        Ok(Target { labels, weight, distance, components, labelled: None })
    }
}

/// Some entries of an axis.
fn chosen(tensor: &Tensor, entries: &[usize], axis: usize) -> Result<Tensor> {
    if entries.len() == tensor.dim(axis)? {
        return Ok(tensor.clone());
    }
    #[expect(clippy::cast_possible_truncation, reason = "samples and classes are few")]
    let indices: Vec<u32> = entries.iter().map(|&entry| entry as u32).collect();
    let indices = Tensor::new(indices, &Device::Cpu)?.to_device(tensor.device())?;
    Ok(tensor.contiguous()?.index_select(&indices, axis)?)
}
