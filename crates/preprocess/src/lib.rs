//! From a case to what a network sees, and from what a network says back to the case.
//!
//! Images become normalised arrays on one spacing; labels, of one rater or of several, become
//! [`Truth`]; patches are taken and augmented; predictions are brought back to the grid of the
//! file. Everything is deterministic: the same case gives the same bits, whatever the number of
//! threads, and all randomness comes from a stream that [`rng`] finds by seed, epoch and case.
//! There is no network here, and no file is read.
//!
//! Letters: `C` channels or classes; `(D, H, W)` axes of arrays, slowest first, also called z, y,
//! x. Spacing is in mm, sizes and patches are in voxels.
//!
//! # Planning
//!
//! | to do | use |
//! |---|---|
//! | collect what a plan needs to know of the data | [`Fingerprint`], [`CaseFingerprint`], [`Intensities`] |
//! | decide on spacing, patch and normalisation | [`Plan`], [`PlanConfig`] |
//! | lay out a U-Net for a patch | [`topology`](fn@topology), [`Topology`] |
//!
//! # From a case to patches
//!
//! | to do | use |
//! |---|---|
//! | prepare a case | [`Plan::prepare`], [`Prepared`], [`Annotation`] |
//! | fuse several raters | [`fuse`], [`Fusion`], [`mean_of_raters`], [`rater_weights`] |
//! | find out how good raters are | [`Agreement`], [`StapleEstimate`], [`MultiLabelStapleEstimate`], [`Staple`], [`label_voting`] |
//! | hold the truth, hard or soft | [`Truth`], [`soft_from_foreground`] |
//! | smooth labels | [`LabelSmoothing`], [`label_boundary`] |
//! | take patches | [`PatchSampler`], [`Patch`], [`Locations`], [`Outside`] |
//! | augment them | [`Augmentation`], [`augment`] |
//! | draw random numbers | [`rng`] |
//!
//! # Back to the file
//!
//! | to do | use |
//! |---|---|
//! | bring labels or probabilities to the file's grid | [`Restore`] |
//!
//! # Arrays and grids
//!
//! | to do | use |
//! |---|---|
//! | normalise intensities | [`Normalize`], [`NormalizeScheme`] |
//! | find what is not empty | [`nonzero`], [`Nonzero`], [`Region`] |
//! | turn axes | [`Orientation`] |
//! | change the spacing | [`Resampling`], [`new_size`], [`separate_axis`] |
//! | move an image or labels to another grid | [`resample_onto`], [`resample_labels_onto`], [`resample_array_onto`] |
//! | resize arrays, or look between voxels | [`resize`], [`map_coordinates`], [`Beyond`], [`Interpolation`], [`spline_coefficients`], [`Boundary`] |
//! | write a kernel for `f32` and `f64` | [`Real`] |
//!
//! # Settings and errors
//!
//! [`Fraction`], [`Interval`], [`Factors`], [`Error`], [`Result`].

#![expect(
    clippy::needless_pass_by_value,
    reason = "views of arrays are borrows already, and passed by value as ndarray does"
)]

pub mod augment;

mod agreement;
mod budget;
mod crop;
mod error;
mod fingerprint;
mod fusion;
mod locations;
mod normalize;
mod number;
mod onto;
mod orient;
mod patch;
mod patterns;
mod plan;
mod prepare;
mod real;
mod resample;
mod resample_labels;
mod resize;
mod restore;
mod rng;
mod sampler;
mod smooth;
mod spline;
mod staple;
mod topology;
mod truth;

pub use crate::agreement::Agreement;
pub use crate::augment::Augmentation;
pub use crate::crop::{Nonzero, Region, nonzero};
pub use crate::error::{Error, Result};
pub use crate::fingerprint::{CaseFingerprint, Fingerprint, Intensities};
pub use crate::fusion::{Fusion, fuse, mean_of_raters, rater_weights};
pub use crate::locations::Locations;
pub use crate::normalize::{Normalize, NormalizeScheme};
pub use crate::number::{Factors, Fraction, Interval};
pub use crate::onto::{resample_array_onto, resample_labels_onto, resample_onto};
pub use crate::orient::Orientation;
pub use crate::patch::{Patch, PatchSampler};
pub use crate::plan::{Plan, PlanConfig};
pub use crate::prepare::{Annotation, Outside, Prepared};
pub use crate::real::Real;
pub use crate::resample::{Resampling, new_size, separate_axis};
pub use crate::resize::resize;
pub use crate::restore::Restore;
pub use crate::rng::rng;
pub use crate::sampler::{Beyond, map_coordinates};
pub use crate::smooth::{LabelSmoothing, label_boundary, soft_from_foreground};
pub use crate::spline::{Boundary, Interpolation, spline_coefficients};
pub use crate::staple::{MultiLabelStapleEstimate, Staple, StapleEstimate, label_voting};
pub use crate::topology::{Topology, topology};
pub use crate::truth::Truth;
