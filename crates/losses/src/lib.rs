//! Training objectives for hard and soft labels, as pure functions of logits and target.
//!
//! Letters: `N` batch, `C` classes, `*S` one to three spatial axes, slowest first: `(D, H, W)`.
//!
//! | in a config file | | for soft labels |
//! |---|---|---|
//! | `cross_entropy` | [`CrossEntropy`]: also binary, weighted, smoothed | yes |
//! | `kl_divergence` | [`KlDivergence`]: cross entropy less the target's entropy; temperature | yes |
//! | `focal` | [`Focal`]: cross entropy with less weight on what is right | |
//! | `dice` | [`Dice`]: soft Dice as in nnU-Net and MONAI | |
//! | `dice_semimetric` | [`DiceSemimetric`]: Dice, Jaccard and Tversky that stay correct | yes |
//! | `generalized_dice` | [`GeneralizedDice`]: classes weighted by their volume | |
//! | `tversky` | [`Tversky`]: also Jaccard, focal Tversky, DSC++, Tversky++ | |
//! | `unified_focal` | [`UnifiedFocal`]: focal cross entropy and focal Tversky in one | |
//! | `mcc` | [`Mcc`]: Matthews' correlation | |
//! | `top_k` | [`TopK`]: cross entropy of the hardest voxels | |
//! | `lovasz_softmax` | [`LovaszSoftmax`]: the convex extension of the Jaccard loss | |
//! | `boundary` | [`Boundary`]: probability far from where it belongs | |
//! | `hausdorff` | [`Hausdorff`]: errors far from the boundary | yes |
//! | `cl_dice` | [`ClDice`]: Dice of skeletons, for what is long and thin | |
//! | `blob` | [`Blob`]: another loss of each lesion by itself | |
//! | `nacl` | [`Nacl`]: cross entropy that is certain only where its neighbors agree | |
//! | `l1_ace` | [`L1Ace`]: how far probabilities are from frequencies | yes |
//! | `sum` | [`Sum`] of weighted [`Term`]s, whose weights a [`TermSchedule`] may change | where its terms are |
//!
//! Around them:
//!
//! - [`Target`]: what logits are compared with: [`Labels`], voxel weights, distance maps; also at the
//!   coarser resolutions of [`deep_supervision`]; also where samples label some classes only
//!   ([`Target::loss`]); [`Needs`]: what a loss wants of it beyond labels.
//! - [`Activation`]: softmax or sigmoid; [`Cost`]: how a score becomes a cost; [`ActiveClasses`],
//!   [`UnifiedFocalForm`] and [`VolumeWeight`], settings of one loss each.
//! - [`Positive`], [`NonNegative`], [`AtLeastOne`], [`Fraction`], [`Margin`], [`Percent`]: numbers
//!   that carry their range.
//! - [`with_batch_sums`]: sums over a batch that several processes have a part of.
//! - [`LossConfig::documentation`]: what these pages say of a loss, for a program to print
//!   ([`Documentation`]).
//! - [`Error`] and [`Result`].
//!
//! A loss that is not smallest where the prediction equals a soft target refuses one, unless its
//! `allow_soft` is set. Voxels of weight 0 take no part in any loss.

mod activation;
mod batch_sums;
mod blob;
mod boundary;
mod cl_dice;
mod cost;
mod cross_entropy;
pub mod deep_supervision;
mod dice;
mod dice_semimetric;
mod error;
mod focal;
mod generalized_dice;
mod hausdorff;
mod kl_divergence;
mod l1_ace;
mod lovasz_softmax;
mod math;
mod mcc;
mod nacl;
mod needs;
mod sum;
mod target;
mod term_schedule;
mod top_k;
mod tversky;
mod unified_focal;

use std::borrow::Cow;
use std::fmt;

use candle::Tensor;

pub use crate::activation::Activation;
pub use crate::batch_sums::with_batch_sums;
pub use crate::cost::Cost;
pub use crate::dice_semimetric::ActiveClasses;
pub use crate::error::{Error, Result};
pub use crate::generalized_dice::VolumeWeight;
pub use crate::needs::Needs;
pub use crate::sum::Term;
pub use crate::target::{Labels, Target};
pub use crate::term_schedule::TermSchedule;
pub use crate::unified_focal::UnifiedFocalForm;
pub use registry::{AtLeastOne, Documentation, Fraction, Margin, NonNegative, Percent, Positive};

/// A differentiable objective to be minimised.
///
/// A loss is a pure function: it owns its settings, and neither parameters nor state. It never
/// leaves the device: no value is read back, no branch depends on one (but [`LovaszSoftmax`], which has
/// errors sorted on the CPU).
pub trait Loss: fmt::Debug + Send + Sync {
    /// The loss of a batch: a scalar, on the logits' device, with its graph; `f32` for logits of
    /// half precision, else of their dtype.
    ///
    /// `logits` has shape `(N, C, *S)`, before any activation.
    ///
    /// # Errors
    ///
    /// Where the target does not fit the logits, where it is soft and this loss is not minimised
    /// by predicting it ([`Error::SoftTarget`]), where settings do not fit the logits
    /// ([`Error::Settings`]), or where a tensor operation fails.
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor>;

    /// Whether the loss of a soft target is smallest where the prediction equals it.
    fn soft_label_ready(&self) -> bool;

    /// That this loss, as it is set, suits a network whose logits become probabilities by
    /// `activation`: by softmax, of classes of which a voxel has one; by sigmoid, of regions that
    /// may overlap, of which none is background.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], which names the setting to change.
    fn suits(&self, activation: Activation) -> Result<()>;

    /// What the loss looks at beyond each voxel's logits and label.
    fn needs(&self) -> Needs {
        Needs::default()
    }
}

registry::registry! {
    /// Every loss of this crate, as a config file names it.
    pub documented enum LossConfig: Loss {
        "cross_entropy" => cross_entropy::CrossEntropy,
        "kl_divergence" => kl_divergence::KlDivergence,
        "focal" => focal::Focal,
        "dice" => dice::Dice,
        "dice_semimetric" => dice_semimetric::DiceSemimetric,
        "generalized_dice" => generalized_dice::GeneralizedDice,
        "tversky" => tversky::Tversky,
        "unified_focal" => unified_focal::UnifiedFocal,
        "mcc" => mcc::Mcc,
        "top_k" => top_k::TopK,
        "lovasz_softmax" => lovasz_softmax::LovaszSoftmax,
        "boundary" => boundary::Boundary,
        "hausdorff" => hausdorff::Hausdorff,
        "cl_dice" => cl_dice::ClDice,
        "blob" => blob::Blob,
        "nacl" => nacl::Nacl,
        "l1_ace" => l1_ace::L1Ace,
        "sum" => sum::Sum,
    }
}

impl<L: Loss + ?Sized> Loss for &L {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        (**self).forward(logits, target)
    }

    fn soft_label_ready(&self) -> bool {
        (**self).soft_label_ready()
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        (**self).suits(activation)
    }

    fn needs(&self) -> Needs {
        (**self).needs()
    }
}

impl Loss for LossConfig {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        self.as_dyn().forward(logits, target)
    }

    fn soft_label_ready(&self) -> bool {
        self.as_dyn().soft_label_ready()
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        self.as_dyn().suits(activation)
    }

    fn needs(&self) -> Needs {
        self.as_dyn().needs()
    }
}

impl LossConfig {
    /// The loss when a share `done` of the run is done, from 0 to 1: the weights of a [`Sum`] are those
    /// that its schedules say, and do not change any more.
    pub fn at(&self, done: f64) -> Cow<'_, Self> {
        match self {
            _ if !self.is_scheduled() => Cow::Borrowed(self),
            Self::Sum(sum) => Cow::Owned(sum.at(done).into()),
            Self::Blob(blob) => {
                let loss = Box::new(blob.loss.at(done).into_owned());
                Cow::Owned(Blob { loss, ..blob.clone() }.into())
            }
            other => Cow::Borrowed(other),
        }
    }

    /// Whether a weight within changes over the run.
    pub fn is_scheduled(&self) -> bool {
        match self {
            Self::Sum(sum) => sum.is_scheduled(),
            Self::Blob(blob) => blob.loss.is_scheduled(),
            _ => false,
        }
    }

    /// The moments of a run, as shares of it, at which a schedule within begins, ends or takes a step, and
    /// those just before; 0 and 1 at least. What can be computed at all of them can be computed throughout.
    pub fn moments(&self) -> Vec<f64> {
        let mut moments = match self {
            Self::Sum(sum) => sum.moments(),
            Self::Blob(blob) => blob.loss.moments(),
            _ => Vec::new(),
        };
        moments.extend([0.0, 0.5, 1.0]);
        moments
    }
}
