//! Several raters, one label.

use ndarray::{Array3, Array4, ArrayView3, Axis};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use volume::{Label, LabelMap};

use crate::patterns::Patterns;
use crate::real::{Real, label};
use crate::rng::position;
use crate::staple::{Staple, multi_label_staple, staple};
use crate::{Error, Result, Truth};

/// How the masks of several raters become one label.
///
/// A rater who wrote the ignore index at a voxel abstains there: the others decide. A voxel at
/// which all abstain is ignored. Where there is one rater, all ways agree with that rater.
///
/// | | label | at a voxel |
/// |---|---|---|
/// | [`Mean`](Self::Mean) | soft | the share of raters who chose the class |
/// | [`WeightedMean`](Self::WeightedMean) | soft | that share, each rater weighted by the Dice with the majority |
/// | [`Majority`](Self::Majority) | hard | foreground where more than half of the raters see any; of its classes, the most frequent |
/// | [`RandomRater`](Self::RandomRater) | hard | what one rater, drawn for the whole case, says; in training, another in each epoch |
/// | [`FixedRater`](Self::FixedRater) | hard | the same, drawn once |
/// | [`Staple`](Self::Staple) | soft | the probability of the class, given how reliable each rater turns out to be |
/// | [`Any`](Self::Any) | hard | foreground where any rater sees some |
/// | [`Intersection`](Self::Intersection) | hard | the class on which all raters agree, else background |
///
/// # Source
///
/// Mean, weighted mean and majority: Wang et al., *Dice Semimetric Losses*, MICCAI 2023,
/// [arXiv:2303.16296](https://arxiv.org/abs/2303.16296). STAPLE: Warfield, Zou, Wells,
/// *Simultaneous truth and performance level estimation*, IEEE TMI 23(7), 2004.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Fusion {
    /// The share of raters who chose each class.
    #[default]
    Mean,
    /// The share, with a weight for each rater: the Dice of the rater's foreground with that of
    /// the majority, summed over classes.
    WeightedMean {
        /// Whether a rater without any overlap weighs 1, as in the published code, and not 0.
        #[serde(default)]
        quirk: bool,
    },
    /// Foreground where more than half of the raters see any: half of them are not enough. Of its
    /// classes, the most frequent wins, and the smallest index of equally frequent ones.
    Majority,
    /// One rater for the whole case, drawn anew each time.
    RandomRater,
    /// One rater for the whole case; in training the same in every epoch.
    FixedRater,
    /// STAPLE, with the settings of [`Staple::default`].
    Staple,
    /// Foreground where any rater sees some; of its classes, the most frequent.
    Any,
    /// The class on which all raters agree, else background.
    Intersection,
}

impl Fusion {
    /// Whether the masks of several raters become probabilities, not one class for each voxel.
    pub fn is_soft(&self) -> bool {
        matches!(self, Self::Mean | Self::WeightedMean { .. } | Self::Staple)
    }
}

/// Makes the truth that a label stands for: a hard label stays hard, a soft one soft, and the
/// masks of several raters are fused. Array axes stay as they are.
///
/// `classes` counts the background. One number is drawn from `rng`, for
/// [`Fusion::RandomRater`] and [`Fusion::FixedRater`] alone.
///
/// # Errors
///
/// [`Error::LabelRange`], where a label is neither a class nor the ignore index `classes`;
/// [`Error::Classes`], where a soft label has another number of classes; [`Error::Shape`], where
/// raters differ in shape.
pub fn fuse(label: &Label, classes: usize, fusion: &Fusion, rng: &mut ChaCha8Rng) -> Result<Truth> {
    if !(1..usize::from(u16::MAX)).contains(&classes) {
        let text = format!("{classes} classes are none, or more than labels can tell apart");
        return Err(Error::Settings(text));
    }
    match label {
        Label::Hard(labels) => {
            check_range(&labels.data, classes)?;
            Ok(Truth::Hard(labels.data.clone()))
        }
        Label::Soft(soft) if soft.classes() != classes => {
            Err(Error::Classes { expected: classes, actual: soft.classes() })
        }
        Label::Soft(soft) => Ok(Truth::Soft(soft.data.clone())),
        Label::Raters(masks) => {
            for mask in masks {
                check_range(&mask.data, classes)?;
            }
            fuse_raters(masks, classes, fusion, rng)
        }
    }
}

fn fuse_raters(
    masks: &[LabelMap],
    classes: usize,
    fusion: &Fusion,
    rng: &mut ChaCha8Rng,
) -> Result<Truth> {
    if matches!(fusion, Fusion::RandomRater | Fusion::FixedRater) {
        let drawn = masks.get(position(masks.len().max(1), rng)).ok_or(volume::Error::NoRaters)?;
        return Ok(Truth::Hard(drawn.data.clone()));
    }
    let views: Vec<_> = masks.iter().map(|mask| mask.data.view()).collect();
    let patterns = Patterns::find(&views)?;
    let hard = |decide: fn(&[f64]) -> usize| {
        let each = |(decision, _): (&[u16], f64)| {
            let votes = votes(decision, classes, None);
            label(if votes.iter().sum::<f64>() > 0.0 { decide(&votes) } else { classes })
        };
        let classes: Vec<u16> = patterns.iter().map(each).collect();
        Truth::Hard(patterns.spread(&classes))
    };
    Ok(match fusion {
        Fusion::Majority => hard(majority),
        Fusion::Any => hard(any),
        Fusion::Intersection => hard(intersection),
        Fusion::WeightedMean { quirk } => {
            let weights = weights(&patterns, classes, *quirk);
            Truth::Soft(shares(&patterns, classes, Some(&weights)))
        }
        Fusion::Staple => Truth::Soft(staple_probabilities(&patterns, classes)),
        Fusion::Mean | Fusion::RandomRater | Fusion::FixedRater => {
            Truth::Soft(shares(&patterns, classes, None))
        }
    })
}

/// How many raters, or how much of their weight, chose each class.
fn votes(decision: &[u16], classes: usize, weights: Option<&[f64]>) -> Vec<f64> {
    let mut votes = vec![0.0; classes];
    for (rater, &class) in decision.iter().enumerate() {
        if let Some(vote) = votes.get_mut(usize::from(class)) {
            *vote += weights.map_or(1.0, |weights| weights[rater]);
        }
    }
    votes
}

/// The most frequent class of the foreground, and how many raters see any foreground.
fn foreground(votes: &[f64]) -> (usize, f64) {
    let mut best = 0;
    for class in 1..votes.len() {
        if votes[class] > 0.0 && (best == 0 || votes[class] > votes[best]) {
            best = class;
        }
    }
    (best, votes.iter().skip(1).sum())
}

fn majority(votes: &[f64]) -> usize {
    let (class, seen) = foreground(votes);
    if 2.0 * seen > votes.iter().sum() { class } else { 0 }
}

fn any(votes: &[f64]) -> usize {
    foreground(votes).0
}

fn intersection(votes: &[f64]) -> usize {
    let total: f64 = votes.iter().sum();
    votes.iter().position(|&count| count >= total).unwrap_or(0)
}

/// The weight of each rater: the Dice of its foreground with the majority's.
pub(crate) fn weights(patterns: &Patterns, classes: usize, quirk: bool) -> Vec<f64> {
    let mut both = vec![0.0; patterns.raters()];
    let mut total = vec![0.0; patterns.raters()];
    for (decision, count) in patterns.iter() {
        let agreed = majority(&votes(decision, classes, None));
        for (rater, &class) in decision.iter().enumerate() {
            let class = usize::from(class);
            if class >= classes {
                continue; // abstains
            }
            total[rater] += count * f64::from(u8::from(class > 0) + u8::from(agreed > 0));
            both[rater] += count * f64::from(u8::from(class > 0 && class == agreed));
        }
    }
    let dice = |(both, total): (f64, f64)| if total > 0.0 { 2.0 * both / total } else { 1.0 };
    let mut weights: Vec<f64> = both.into_iter().zip(total).map(dice).collect();
    for weight in &mut weights {
        if quirk && *weight <= 0.0 {
            *weight = 1.0;
        }
    }
    // Nobody overlaps with the majority: nobody is better than the others.
    if weights.iter().all(|&weight| weight <= 0.0) {
        weights.fill(1.0);
    }
    weights
}

/// The share of raters who chose each class, `(C, D, H, W)`, from masks `(D, H, W)` of one shape;
/// with `weights`, one for each rater, the share of their weight. A rater who wrote an index of
/// `classes` or more abstains; where all do, all shares are 0.
///
/// # Errors
///
/// Where there is no class, no mask or not one weight for each, or where masks differ in shape.
pub fn mean_of_raters<T: Real>(
    masks: &[ArrayView3<'_, u16>],
    classes: usize,
    weights: Option<&[f64]>,
) -> Result<Array4<T>> {
    let patterns = Patterns::find(masks)?;
    let given = weights.map_or(masks.len(), <[f64]>::len);
    if classes == 0 || given != masks.len() {
        let raters = masks.len();
        let text =
            format!("{given} weights for {raters} raters who choose among {classes} classes");
        return Err(Error::Settings(text));
    }
    Ok(shares(&patterns, classes, weights))
}

/// The weight of each rater in [`Fusion::WeightedMean`].
///
/// # Errors
///
/// Where there is no mask, or where they differ in shape.
pub fn rater_weights(
    masks: &[ArrayView3<'_, u16>],
    classes: usize,
    quirk: bool,
) -> Result<Vec<f64>> {
    Ok(weights(&Patterns::find(masks)?, classes, quirk))
}

fn shares<T: Real>(patterns: &Patterns, classes: usize, weights: Option<&[f64]>) -> Array4<T> {
    let each = |(decision, _): (&[u16], f64)| share(decision, classes, weights);
    channels(patterns, classes, &patterns.iter().map(each).collect::<Vec<_>>())
}

fn share(decision: &[u16], classes: usize, weights: Option<&[f64]>) -> Vec<f64> {
    let mut votes = votes(decision, classes, weights);
    let mut total: f64 = votes.iter().sum();
    if total <= 0.0 && weights.is_some() {
        // Only raters without weight have an opinion here: it is all there is.
        votes = self::votes(decision, classes, None);
        total = votes.iter().sum();
    }
    if total > 0.0 {
        for vote in &mut votes {
            *vote /= total;
        }
    }
    votes
}

fn staple_probabilities(patterns: &Patterns, classes: usize) -> Array4<f32> {
    let settings = Staple::default();
    let mut each: Vec<Vec<f64>> = if classes == 2 {
        let found = staple(patterns, classes, settings).probability;
        found.into_iter().map(|p| vec![1.0 - p, p]).collect()
    } else {
        multi_label_staple(patterns, classes, settings).posterior
    };
    for ((decision, _), estimate) in patterns.iter().zip(&mut each) {
        // No estimate where all masks are empty, or all are full, nor where raters who are never
        // wrong contradict each other.
        let sum: f64 = estimate.iter().sum();
        if sum.is_nan() || sum < 0.5 {
            *estimate = share(decision, classes, None);
        }
    }
    channels(patterns, classes, &each)
}

/// Probabilities of each combination, put at the voxels that have it; combinations without any
/// opinion get none.
fn channels<T: Real>(patterns: &Patterns, classes: usize, each: &[Vec<f64>]) -> Array4<T> {
    let channel = |class: usize| -> Array3<T> {
        let has_opinion = |decision: &[u16]| decision.iter().any(|&c| usize::from(c) < classes);
        let each: Vec<T> = patterns
            .iter()
            .zip(each)
            .map(|((decision, _), p)| T::of(if has_opinion(decision) { p[class] } else { 0.0 }))
            .collect();
        patterns.spread(&each)
    };
    let channels: Vec<_> = (0..classes).map(channel).collect();
    let views: Vec<_> = channels.iter().map(|channel| channel.view()).collect();
    ndarray::stack(Axis(0), &views).expect("channels have one shape, and there are classes")
}

fn check_range(labels: &Array3<u16>, classes: usize) -> Result<()> {
    let bad = labels.indexed_iter().find(|&(_, &label)| usize::from(label) > classes);
    match bad {
        Some(((z, y, x), &label)) => Err(Error::LabelRange { label, voxel: [z, y, x], classes }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};
    use volume::{Grid, SoftLabelMap};

    use super::*;
    use crate::rng;

    fn raters(masks: &[[u16; 4]]) -> anyhow::Result<Label> {
        let map = |mask: &[u16; 4]| -> anyhow::Result<LabelMap> {
            let data = Array3::from_shape_vec((1, 1, 4), mask.to_vec())?;
            Ok(LabelMap::new(Grid::new([1, 1, 4], [1.0; 3])?, data)?)
        };
        Ok(Label::raters(masks.iter().map(map).collect::<anyhow::Result<_>>()?)?)
    }

    fn fused(masks: &[[u16; 4]], classes: usize, fusion: &Fusion) -> anyhow::Result<Truth> {
        Ok(fuse(&raters(masks)?, classes, fusion, &mut rng(1, 0, "fusion"))?)
    }

    #[test]
    fn half_of_the_raters_are_no_majority() -> anyhow::Result<()> {
        let masks = [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]];

        assert_eq!(fused(&masks, 2, &Fusion::Majority)?, Truth::Hard(array![[[1, 0, 0, 0]]]));
        assert_eq!(fused(&masks, 2, &Fusion::Any)?, Truth::Hard(array![[[1, 1, 1, 0]]]));
        assert_eq!(fused(&masks, 2, &Fusion::Intersection)?, Truth::Hard(array![[[1, 0, 0, 0]]]));
        Ok(())
    }

    #[test]
    fn raters_who_differ_in_the_class_still_agree_that_it_is_foreground() -> anyhow::Result<()> {
        let masks = [[1, 1, 2, 0], [2, 2, 2, 0], [2, 0, 1, 1]];

        assert_eq!(fused(&masks, 3, &Fusion::Majority)?, Truth::Hard(array![[[2, 1, 2, 0]]]));
        assert_eq!(fused(&masks, 3, &Fusion::Any)?, Truth::Hard(array![[[2, 1, 2, 1]]]));
        assert_eq!(fused(&masks, 3, &Fusion::Intersection)?, Truth::Hard(array![[[0, 0, 0, 0]]]));
        Ok(())
    }

    #[test]
    fn raters_who_abstain_leave_the_decision_to_the_others() -> anyhow::Result<()> {
        // Index 2 of two classes: no opinion.
        let masks = [[2, 2, 1, 0], [1, 2, 0, 0]];

        let Truth::Soft(soft) = fused(&masks, 2, &Fusion::Mean)? else {
            anyhow::bail!("the mean is soft")
        };

        assert_eq!(soft.index_axis(Axis(0), 1), array![[[1.0, 0.0, 0.5, 0.0]]]);
        assert_eq!(soft.sum_axis(Axis(0)), array![[[1.0, 0.0, 1.0, 1.0]]]);
        assert_eq!(fused(&masks, 2, &Fusion::Majority)?, Truth::Hard(array![[[1, 2, 0, 0]]]));
        Ok(())
    }

    #[test]
    fn every_fusion_of_raters_without_foreground_is_background() -> anyhow::Result<()> {
        let quirks = [true, false].map(|quirk| Fusion::WeightedMean { quirk });
        for fusion in [Fusion::Mean, Fusion::Staple, Fusion::Majority].iter().chain(&quirks) {
            let truth = fused(&[[0; 4]; 3], 2, fusion)?;

            assert_eq!(matches!(truth, Truth::Soft(_)), fusion.is_soft(), "{fusion:?}");
            let background = truth.to_soft(2).index_axis_move(Axis(0), 0);
            assert_eq!(background, Array3::<f32>::ones((1, 1, 4)), "{fusion:?}");
        }
        Ok(())
    }

    #[test]
    fn raters_who_never_agree_are_still_fused() -> anyhow::Result<()> {
        let masks = [[0, 1, 2, 0], [1, 2, 0, 1]];

        let soft = fused(&masks, 3, &Fusion::Staple)?.to_soft(3);

        assert_eq!(soft.sum_axis(Axis(0)), Array3::<f32>::ones((1, 1, 4)));
        Ok(())
    }

    #[test]
    fn labels_beyond_the_classes_are_refused() -> anyhow::Result<()> {
        let error = fused(&[[0, 3, 0, 0]], 2, &Fusion::Mean).unwrap_err().to_string();
        assert_eq!(
            error,
            "label 3 at voxel [0, 0, 1] is none of the 2 classes, nor the ignore index 2",
        );

        let soft = SoftLabelMap::new(Grid::new([1, 1, 1], [1.0; 3])?, Array4::ones((1, 1, 1, 1)))?;
        let error = fuse(&Label::Soft(soft), 2, &Fusion::Mean, &mut rng(1, 0, "")).unwrap_err();
        assert_eq!(error, Error::Classes { expected: 2, actual: 1 });
        Ok(())
    }
}
