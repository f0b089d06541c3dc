//! Images and label maps on a physical grid.
//!
//! The vocabulary that every other crate speaks: pure values, checked where they are made.
//!
//! | to do | use |
//! |---|---|
//! | say where voxels lie in the patient, in mm | [`Grid`] |
//! | hold intensities, labels, probabilities | [`Image`], [`LabelMap`], [`SoftLabelMap`] |
//! | hold what is known of a case's truth | [`Label`] |

mod error;
mod grid;
mod image;
mod label;

pub use crate::error::{Error, Result};
pub use crate::grid::{Grid, RAS};
pub use crate::image::Image;
pub use crate::label::{Label, LabelMap, SoftLabelMap};
