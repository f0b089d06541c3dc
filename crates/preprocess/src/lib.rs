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
//! # Example
//!
//! ```
//! use ndarray::{Array3, Array4};
//! use sconce_preprocess::{
//!     Augmentation, Fingerprint, Fusion, PatchSampler, Plan, PlanConfig, Truth, rng,
//! };
//! use volume::{Grid, Image, Label, LabelMap};
//!
//! // A volume of thick slices, and two raters who differ by one column.
//! let grid = Grid::new([8, 24, 24], [4.0, 1.0, 1.0])?;
//! let bright = |x: usize, from: usize| (from..16).contains(&x);
//! let data = Array4::from_shape_fn((1, 8, 24, 24), |(_, z, y, x)| {
//!     1.0 + (z + y) as f32 + if bright(x, 8) { 50.0 } else { 0.0 }
//! });
//! let image = Image::new(grid.clone(), data)?;
//! let mask = |from| Array3::from_shape_fn((8, 24, 24), |(_, _, x)| u16::from(bright(x, from)));
//! let raters = vec![LabelMap::new(grid.clone(), mask(8))?, LabelMap::new(grid.clone(), mask(9))?];
//! let label = Label::raters(raters)?;
//!
//! // Plan, prepare, take a patch, and vary it.
//! let mut fingerprint = Fingerprint::new(1);
//! fingerprint.add(&image, Some(&label));
//! let config = PlanConfig { patch_size: Some([8, 16, 16]), ..PlanConfig::default() };
//! let plan = Plan::new(&config, &fingerprint, &["CT".to_owned()])?;
//! let mut random = rng(1, 0, "case");
//! let case = plan.prepare(&image, Some((&label, 2, &Fusion::Mean, &mut random)))?;
//!
//! let augmentation = Augmentation::default();
//! let size = augmentation.input_size(plan.patch_size, plan.rank);
//! let sampler = PatchSampler::new(size).for_output(plan.patch_size);
//! let patch = sampler.sample(&case, true, &mut random);
//! let patch = augmentation.apply(patch, plan.patch_size, plan.rank, &mut random);
//! assert_eq!(patch.image.shape(), [1, 8, 16, 16]);
//! assert!(matches!(patch.truth, Truth::Soft(_)), "raters who differ make a soft truth");
//!
//! // What a network says about the case goes back to the voxels of the file.
//! let prediction = case.truth.as_ref().map(|truth| truth.to_soft(2)).unwrap_or_default();
//! let labels = case.restore.labels(&prediction)?;
//! assert_eq!(labels.grid, grid);
//! assert_eq!(labels.data[[4, 12, 12]], 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
//! | take patches | [`PatchSampler`], [`PatchSource`], [`Patch`], [`Locations`], [`Outside`] |
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
//! | change the spacing | [`Resampling`], [`GridRule`], [`new_size`], [`separate_axis`] |
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
pub mod nnunet;

mod agreement;
mod budget;
mod crop;
mod error;
mod fingerprint;
mod fusion;
mod grid_rule;
mod locations;
mod normalize;
mod number;
mod onto;
mod orient;
mod patch;
mod patterns;
mod plan;
mod prepare;
mod preset;
mod real;
mod resample;
mod resample_labels;
mod resize;
mod restore;
mod returning;
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
pub use crate::grid_rule::GridRule;
pub use crate::locations::Locations;
pub use crate::normalize::{Normalize, NormalizeScheme};
pub use crate::number::{Factors, Interval};
pub use crate::onto::{resample_array_onto, resample_labels_onto, resample_onto};
pub use crate::orient::Orientation;
pub use crate::patch::{Patch, PatchSampler, PatchSource};
pub use crate::plan::{Plan, PlanConfig};
pub use crate::prepare::{Annotation, Outside, Prepared};
pub use crate::preset::Preset;
pub use crate::real::Real;
pub use crate::resample::{Resampling, new_size, separate_axis};
pub use crate::resize::resize;
pub use crate::restore::Restore;
pub use crate::returning::{ReturnedSlice, Returning};
pub use crate::rng::rng;
pub use crate::sampler::{Beyond, map_coordinates};
pub use crate::smooth::{LabelSmoothing, label_boundary, soft_from_foreground};
pub use crate::spline::{Boundary, Interpolation, spline_coefficients};
pub use crate::staple::{MultiLabelStapleEstimate, Staple, StapleEstimate, label_voting};
pub use crate::topology::{Topology, topology};
pub use crate::truth::Truth;
pub use registry::Fraction;
