use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::facts::{Facts, gather, median};
use crate::{Case, Dataset};

/// What the cases of a data set are like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The name of the data set.
    pub dataset: String,
    /// The number of cases, all of which count below but for those that cannot be read.
    pub cases: usize,
    /// The cases that cannot be read; [`check`](super::check()) says why.
    pub unreadable: usize,
    /// The cases that have a label.
    pub labelled: usize,
    /// The number of groups, such as patients.
    pub groups: usize,
    /// How many cases have how many masks, by the number of masks; one entry for a single opinion.
    pub raters: Vec<RaterCount>,
    /// Voxels along each axis, `(D, H, W)`; `None` where no case can be read.
    pub size: Option<[Spread; 3]>,
    /// Distance between neighbours along each axis, mm, `(z, y, x)`.
    pub spacing: Option<[Spread; 3]>,
    /// The intensities of each channel.
    pub channels: Vec<ChannelSummary>,
    /// The classes, background first.
    pub classes: Vec<ClassSummary>,
}

/// The least, middle and largest of a number over all cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub minimum: f64,
    /// The middle; of an even number of cases, the mean of the middle two.
    pub median: f64,
    /// The largest.
    pub maximum: f64,
}

/// The finite intensities of one channel, over all voxels of all cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelSummary {
    /// The name of the channel.
    pub name: String,
    /// The least; `None` where no value is finite, and so below.
    pub minimum: Option<f32>,
    /// The largest.
    pub maximum: Option<f32>,
    /// The mean.
    pub mean: Option<f64>,
    /// The standard deviation (of the population).
    pub standard_deviation: Option<f64>,
    /// How many values are NaN or infinite.
    pub non_finite: usize,
}

/// How much there is of a class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassSummary {
    /// The name of the class.
    pub name: String,
    /// The cases in which it occurs.
    pub cases: usize,
    /// Its voxels in all cases: of several raters the mean, of soft labels the sum of
    /// probabilities.
    pub voxels: f64,
    /// The share of all labelled voxels.
    pub fraction: f64,
}

/// How many cases have so many masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RaterCount {
    /// The number of masks.
    pub masks: usize,
    /// The number of cases.
    pub cases: usize,
}

/// Reads every case of a data set, and says what they are like.
///
/// `progress` hears how many of how many cases are done, from any thread.
pub fn summary(dataset: &dyn Dataset, progress: &(dyn Fn(usize, usize) + Sync)) -> Summary {
    summary_with(dataset, &|_, _| (), progress)
}

/// The same; each case that can be read is shown to `look`, from any thread, with the voxels of each class if it
/// has a label (of several raters the mean, of soft labels the sum of probabilities), so that whoever wants to
/// know more need not read it again.
pub fn summary_with(
    dataset: &dyn Dataset,
    look: &(dyn Fn(&Case, Option<&[f64]>) + Sync),
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Summary {
    let all = gather(dataset, look, progress);
    let facts: Vec<&Facts> = all.iter().filter_map(|facts| facts.as_ref().ok()).collect();
    let description = dataset.description();
    let groups: BTreeSet<&str> = dataset.ids().iter().map(|id| dataset.group(id)).collect();
    let counts: BTreeSet<usize> = facts.iter().map(|facts| facts.masks).collect();
    let raters = counts.into_iter().filter(|&masks| masks > 0).map(|masks| RaterCount {
        masks,
        cases: facts.iter().filter(|facts| facts.masks == masks).count(),
    });
    Summary {
        dataset: description.name.clone(),
        cases: dataset.ids().len(),
        unreadable: all.len() - facts.len(),
        labelled: facts.iter().filter(|facts| facts.voxels.is_some()).count(),
        groups: groups.len(),
        raters: raters.collect(),
        size: spreads(&facts, |facts, axis| facts.grid.size[axis] as f64),
        spacing: spreads(&facts, |facts, axis| facts.grid.spacing[axis]),
        channels: channels(&description.channels, &facts),
        classes: classes(dataset, &facts),
    }
}

fn spreads(facts: &[&Facts], of: impl Fn(&Facts, usize) -> f64) -> Option<[Spread; 3]> {
    let spread = |axis: usize| {
        let mut values: Vec<f64> = facts.iter().map(|facts| of(facts, axis)).collect();
        let median = median(&mut values)?;
        Some(Spread { minimum: *values.first()?, median, maximum: *values.last()? })
    };
    Some([spread(0)?, spread(1)?, spread(2)?])
}

fn channels(names: &[String], facts: &[&Facts]) -> Vec<ChannelSummary> {
    let channel = |(index, name): (usize, &String)| {
        let found = facts.iter().filter_map(|facts| facts.channels.get(index));
        let (mut minimum, mut maximum) = (f32::INFINITY, f32::NEG_INFINITY);
        let (mut sum, mut squares, mut finite, mut non_finite) = (0.0, 0.0, 0, 0);
        for found in found {
            minimum = minimum.min(found.minimum);
            maximum = maximum.max(found.maximum);
            sum += found.sum;
            squares += found.sum_of_squares;
            finite += found.finite;
            non_finite += found.non_finite.map_or(0, |(_, count)| count);
        }
        let any = finite > 0;
        let mean = sum / finite as f64;
        let variance = (squares / finite as f64 - mean * mean).max(0.0);
        ChannelSummary {
            name: name.clone(),
            minimum: any.then_some(minimum),
            maximum: any.then_some(maximum),
            mean: any.then_some(mean),
            standard_deviation: any.then_some(variance.sqrt()),
            non_finite,
        }
    };
    names.iter().enumerate().map(channel).collect()
}

fn classes(dataset: &dyn Dataset, facts: &[&Facts]) -> Vec<ClassSummary> {
    let labelled = || facts.iter().filter_map(|facts| Some((facts, facts.voxels.as_ref()?)));
    let total: f64 = labelled().map(|(facts, _)| facts.grid.len() as f64).sum();
    let class = |(index, class): (usize, &crate::Class)| {
        let voxels = labelled().fold(0.0, |sum, (_, voxels)| sum + voxels[index]);
        ClassSummary {
            name: class.name.clone(),
            cases: labelled().filter(|(_, voxels)| voxels[index] > 0.0).count(),
            voxels,
            fraction: if total > 0.0 { voxels / total } else { 0.0 },
        }
    };
    dataset.description().classes.iter().enumerate().map(class).collect()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "data set   {}", self.dataset)?;
        writeln!(
            f,
            "cases      {} in {} groups, {} with a label, {} unreadable",
            self.cases, self.groups, self.labelled, self.unreadable
        )?;
        for RaterCount { masks, cases } in &self.raters {
            writeln!(f, "opinions   {masks} on each of {cases} cases")?;
        }
        let rows = [("size", "voxels", self.size), ("spacing", "mm", self.spacing)];
        for (what, unit, spreads) in rows {
            for (axis, spread) in ["z", "y", "x"].iter().zip(spreads.iter().flatten()) {
                let Spread { minimum, median, maximum } = spread;
                writeln!(
                    f,
                    "{:10} {minimum:.4} to {maximum:.4} {unit}, median {median:.4}",
                    format!("{what} {axis}")
                )?;
            }
        }
        for channel in &self.channels {
            write!(f, "channel    {}: ", channel.name)?;
            match (channel.minimum, channel.maximum, channel.mean, channel.standard_deviation) {
                (Some(minimum), Some(maximum), Some(mean), Some(deviation)) => {
                    write!(f, "{minimum} to {maximum}, mean {mean:.4} ± {deviation:.4}")?;
                }
                _ => write!(f, "no finite value")?,
            }
            writeln!(f, ", {} not finite", channel.non_finite)?;
        }
        for class in &self.classes {
            writeln!(
                f,
                "class      {}: in {} cases, {:.0} voxels, {:.4} %",
                class.name,
                class.cases,
                class.voxels,
                100.0 * class.fraction
            )?;
        }
        Ok(())
    }
}
