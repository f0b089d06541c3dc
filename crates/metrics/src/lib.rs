//! Scores of masks and of probabilities, in physical units.
//!
//! A metric looks at one case and says a number, or that there is none: *undefined is `None`*,
//! never 0, 1 or infinity. Whoever averages counts what is undefined ([`Summary`]).
//!
//! | to do | use |
//! |---|---|
//! | score a segmentation, all classes and regions at once | [`evaluate`] → [`Row`], [`Score`] |
//! | score one class or region | [`MaskPair`], [`Region`], and a [`Metric`] |
//! | name metrics in a config file | [`MetricConfig`], [`ProbabilityMetricConfig`] |
//! | score probabilities against hard or soft truth | [`ProbabilityPair`] of [`Probabilities`] and [`Truth`], and a [`ProbabilityMetric`] |
//! | draw a reliability diagram | [`Reliability`], [`Bin`], [`Binning`], [`Confidence`], [`Voxels`] |
//! | say what a Brier score is made of | [`BrierParts`] |
//! | move the threshold, and choose one | [`threshold_sweep`], [`ThresholdPoint`], [`Goal`] |
//! | average cases, with an interval | [`Summary`], [`bootstrap_interval`] |
//! | compare models | [`wilcoxon`] → [`Wilcoxon`], [`holm`]; [`rank_stability`] → [`RankStability`] |
//! | see whether doubt tells failures | [`discrimination`] |
//! | average images, classes or the worst of them | [`FineGrained`] of [`Confusion`], [`Overlap`], [`Worst`] |
//! | count lesions found and missed | [`Lesions`], [`Lesion`], [`Candidate`]; [`Panoptic`]; [`Froc`], [`FrocPoint`] |
//! | compare with what several raters think possible | [`energy_distance`]; [`crps`] of volumes |
//! | score as a challenge does | [`ChallengeConfig`] of [`Challenge`]s: [`Kits23`], [`Lits`], [`Brats23`], [`Brats24`] with their [`Tumour2023`] and [`Tumour2024`], [`Qubiq`]; [`Part`], [`PartScores`], [`ChallengeScore`] |
//! | order submissions as a challenge does | [`RankRule`], [`Placed`], of [`CaseParts`] |
//! | score lesion by lesion as BraTS does | [`Brats`] → [`BratsScore`] |
//! | read what a metric's numbers mean | [`Scale`], [`Unit`], [`Better`] |
//! | write a metric of one's own | [`Counts`], [`Surfaces`], [`Distances`], [`Voxel`], [`Float`] |
//! | set a metric | [`Surface`], [`Sides`], [`Empty`], [`Over`], [`NonNegative`], [`Fraction`] |
//!
//! # Metrics of masks
//!
//! | | | both empty | reference empty | prediction empty |
//! |---|---|---|---|---|
//! | [`Dice`], [`Iou`] | share | – ¹ | 0 ¹ | 0 |
//! | [`Precision`] | share | – | 0 | – |
//! | [`Recall`] | share | – | – | 0 |
//! | [`Specificity`] | share | 1 | share | 1 |
//! | [`Accuracy`] | share | 1 | share | share |
//! | [`BalancedAccuracy`] | share | – | – | ½ |
//! | [`Mcc`] | −1 to 1 | – | – | – |
//! | [`Hd`], [`Hd95`], [`Asd`], [`Assd`] | mm | – | – | – |
//! | [`Nsd`] | share | – ¹ | 0 ¹ | 0 |
//! | [`VolumeError`] | ratio | – | – | −1 |
//! | [`VolumeDifference`] | mm³ | 0 | volume | − volume |
//! | [`VolumetricSimilarity`] | share | – | 0 | 0 |
//!
//! – is undefined. ¹ [`Empty`] chooses another rule.
//!
//! A mask that touches the edge of the image has its surface there. A single slice is scored in its
//! plane.
//!
//! # Metrics of probabilities
//!
//! | | | range | best |
//! |---|---|---|---|
//! | [`Ece`] | calibration of what is predicted | 0 to 1 | 0 |
//! | [`ClasswiseEce`] | calibration of every class | 0 to 1 | 0 |
//! | [`Ace`] | the same, of ranges that adapt | 0 to 1 | 0 |
//! | [`Mce`] | calibration where it is worst | 0 to 1 | 0 |
//! | [`Ks`] | calibration without bins | 0 to 1 | 0 |
//! | [`Brier`] | squared error | 0 to 2 | 0 |
//! | [`Nll`] | log-likelihood, nats | 0 to ∞ | 0, or the truth's entropy |
//! | [`Bdice`] | overlap at several thresholds | 0 to 1 | 1 |
//! | [`SoftDice`] | overlap without a threshold, see [`SoftOverlap`] | 0 to 1 | 1 |
//! | [`AveragePrecision`], [`RocAuc`] | order | 0 to 1 | 1 |
//!
//! All are undefined where no voxel counts; the last four also where a class never occurs, see
//! there. Truth may be hard, soft, or the opinions of several raters; ignored voxels are in no
//! numerator and no denominator.
//!
//! Results do not depend on the number of threads.
//!
//! # Whose definition
//!
//! Programs disagree on what HD95 and surface Dice are, and each of their definitions can be had:
//! see [`Hd95`], [`Nsd`], [`Surface`] and [`Empty`]. The default of distances is that of surface-distance, the only one that measures
//! surfaces by their area; of empty masks, that of nnU-Net.

mod accuracy;
mod ace;
mod aggregate;
mod asd;
mod assd;
mod average_precision;
mod balanced_accuracy;
mod bdice;
mod brats;
mod brier;
mod brier_parts;
mod challenge;
mod classwise_ece;
mod confusion;
mod counts;
mod crps;
mod dice;
mod ece;
mod empty;
mod energy_distance;
mod error;
mod evaluate;
mod fine_grained;
mod froc;
mod hd;
mod hd95;
mod iou;
mod ks;
mod lesions;
mod looked_at;
mod mask_pair;
mod mcc;
mod mce;
mod nll;
mod nsd;
mod ordered;
mod overlaps;
mod panoptic;
mod precision;
mod probability;
mod recall;
mod region;
mod reliability;
mod roc_auc;
mod scale;
mod scan;
mod soft_dice;
mod specificity;
mod statistics;
mod surface;
mod threshold;
mod volume_difference;
mod volume_error;
mod volumetric_similarity;

use std::fmt;
use std::num::NonZeroUsize;

pub use crate::aggregate::Summary;
pub use crate::brats::{Brats, BratsScore};
pub use crate::brier::Over;
pub use crate::brier_parts::BrierParts;
pub use crate::challenge::{
    Brats23, Brats24, CaseParts, Challenge, ChallengeConfig, ChallengeScore, Kits23, Lits, Part,
    PartScores, Placed, Qubiq, RankRule, Tumour2023, Tumour2024,
};
pub use crate::confusion::Confusion;
pub use crate::counts::Counts;
pub use crate::crps::crps;
pub use crate::empty::Empty;
pub use crate::energy_distance::energy_distance;
pub use crate::error::{Error, Result};
pub use crate::evaluate::{Row, Score, evaluate};
pub use crate::fine_grained::{FineGrained, Overlap, Worst};
pub use crate::froc::{Froc, FrocPoint};
pub use crate::hd95::Sides;
pub use crate::lesions::{Candidate, Lesion, Lesions};
pub use crate::mask_pair::MaskPair;
pub use crate::panoptic::Panoptic;
pub use crate::probability::{Float, Probabilities, ProbabilityPair, Truth, Voxel};
pub use crate::region::Region;
pub use crate::reliability::{Bin, Binning, Confidence, Reliability, Voxels};
pub use crate::scale::{Better, Scale, Unit};
pub use crate::soft_dice::SoftOverlap;
pub use crate::statistics::{
    RankStability, Wilcoxon, bootstrap_interval, discrimination, holm, rank_stability, wilcoxon,
};
pub use crate::surface::{Distances, Surface, Surfaces};
pub use crate::threshold::{Goal, ThresholdPoint, threshold_sweep};
pub use registry::{Fraction, NonNegative, Positive};

/// Bins of calibration errors, unless settings say otherwise: as in the evaluation of Wang et al.
/// (*Dice Semimetric Losses*, 2023).
const DEFAULT_BINS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9);

/// How well a predicted mask agrees with a reference mask: one class of one case.
pub trait Metric: fmt::Debug + Send + Sync {
    /// The name that config files use, such as `hd95`.
    fn name(&self) -> &'static str;

    /// The name that reports use: it tells apart what settings make different.
    fn label(&self) -> String {
        self.name().to_owned()
    }

    /// What its numbers are, and which of them are better.
    fn scale(&self) -> Scale;

    /// In one line, for those who read a report: the formula, with `P` the prediction and `R` the reference, whose definition it is where
    /// there are several, and what it is of empty masks.
    fn definition(&self) -> String;

    /// The value; `None` where it is undefined, such as a distance to an empty mask.
    fn measure(&self, masks: &MaskPair) -> Option<f64>;
}

registry::registry! {
    /// Every metric of masks, as a config file names it.
    pub enum MetricConfig: Metric {
        "dice" => dice::Dice,
        "iou" => iou::Iou,
        "precision" => precision::Precision,
        "recall" => recall::Recall,
        "specificity" => specificity::Specificity,
        "accuracy" => accuracy::Accuracy,
        "balanced_accuracy" => balanced_accuracy::BalancedAccuracy,
        "mcc" => mcc::Mcc,
        "hd" => hd::Hd,
        "hd95" => hd95::Hd95,
        "asd" => asd::Asd,
        "assd" => assd::Assd,
        "nsd" => nsd::Nsd,
        "volume_error" => volume_error::VolumeError,
        "volume_difference" => volume_difference::VolumeDifference,
        "volumetric_similarity" => volumetric_similarity::VolumetricSimilarity,
    }
}

/// How well predicted probabilities agree with the truth, hard or soft: all classes of one case.
pub trait ProbabilityMetric: fmt::Debug + Send + Sync {
    /// The name that config files use, such as `ece`.
    fn name(&self) -> &'static str;

    /// The name that reports use: it tells apart what settings make different.
    fn label(&self) -> String {
        self.name().to_owned()
    }

    /// What its numbers are, and which of them are better.
    fn scale(&self) -> Scale;

    /// In one line, for those who read a report: the formula, with `p` what is predicted and `t` what is true.
    fn definition(&self) -> String;

    /// The value; `None` where it is undefined, such as a mean over no voxel.
    fn measure(&self, pair: &ProbabilityPair<'_>) -> Option<f64>;
}

registry::registry! {
    /// Every metric of probabilities, as a config file names it.
    pub enum ProbabilityMetricConfig: ProbabilityMetric {
        "ece" => ece::Ece,
        "classwise_ece" => classwise_ece::ClasswiseEce,
        "mce" => mce::Mce,
        "ace" => ace::Ace,
        "ks" => ks::Ks,
        "brier" => brier::Brier,
        "nll" => nll::Nll,
        "bdice" => bdice::Bdice,
        "soft_dice" => soft_dice::SoftDice,
        "average_precision" => average_precision::AveragePrecision,
        "roc_auc" => roc_auc::RocAuc,
    }
}
