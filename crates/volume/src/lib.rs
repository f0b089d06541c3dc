//! Images and label maps on a physical grid.
//!
//! The vocabulary that every other crate speaks: pure values, checked where they are made, and the
//! geometry on them that does not depend on what they show.
//!
//! | to do | use |
//! |---|---|
//! | say where voxels lie in the patient, in mm | [`Grid`], [`RAS`] |
//! | hold intensities, labels, probabilities | [`Image`], [`LabelMap`], [`SoftLabelMap`] |
//! | hold what is known of a case's truth | [`Label`], [`RaterMasks`] |
//! | turn to canonical axes, and exactly back | [`Orientation`], [`Oriented`] |
//! | cut out a part, and put it back | [`BoundingBox`] |
//! | tell parts of a mask apart, close its holes | [`Components`], [`Connectivity`], [`largest_component`], [`fill_holes`] |
//! | measure distances, in mm | [`distance_to`], [`nearest`], [`Nearest`], [`signed_distance`] |
//! | grow and shrink masks, in voxels | [`dilate`], [`erode`], [`border`] |
//!
//! Arrays are `(D, H, W)`, slowest axis first, with channels or classes in front. Results do not
//! depend on the number of threads.

mod bounding_box;
mod components;
mod distance;
mod error;
mod grid;
mod image;
mod label;
mod morphology;
mod orientation;

pub use crate::bounding_box::BoundingBox;
pub use crate::components::{Components, Connectivity, fill_holes, largest_component};
pub use crate::distance::{Nearest, distance_to, nearest, signed_distance};
pub use crate::error::{Error, Result};
pub use crate::grid::{Grid, RAS};
pub use crate::image::Image;
pub use crate::label::{Label, LabelMap, RaterMasks, SoftLabelMap};
pub use crate::morphology::{border, dilate, erode};
pub use crate::orientation::{Orientation, Oriented};
