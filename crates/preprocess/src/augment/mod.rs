//! Patches as they might have been: every transform by itself, and their default order.
//!
//! | in a run file | transform | default, at each patch |
//! |---|---|---|
//! | `spatial` | [`Spatial`] | rotation 0.2, scaling 0.2, elastic 0 |
//! | `noise` | [`Noise`] | 0.1 |
//! | `blur` | [`Blur`] | 0.2, each channel 0.5 |
//! | `brightness` | [`Brightness`] | 0.15 |
//! | `contrast` | [`Contrast`] | 0.15 |
//! | `low_resolution` | [`LowResolution`] | 0.25, each channel 0.5 |
//! | `gamma` | [`Gamma`] | inverted 0.1, then 0.3 |
//! | `mirror` | [`Mirror`] | 0.5 for each axis |
//! | `color_jitter` | [`ColorJitter`] | not |
//! | `mask_outside` | [`MaskOutside`] | always |
//!
//! Probabilities, ranges and order are those of nnU-Net v2's `get_training_transforms`.

mod blur;
mod brightness;
mod color_jitter;
mod contrast;
mod elastic;
mod gamma;
mod low_resolution;
mod mask_outside;
mod mirror;
mod noise;
mod spatial;
mod warp;

use std::convert::Infallible;
use std::fmt;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::normalize::Normalize;
use crate::real::offset;
use crate::{Error, Patch, Result};

pub use crate::augment::blur::{blur_axis, gaussian_kernel};
pub use crate::augment::brightness::brightness;
pub use crate::augment::contrast::contrast;
pub use crate::augment::elastic::Displacement;
pub use crate::augment::gamma::gamma;
pub use crate::augment::low_resolution::low_resolution;
pub use crate::augment::mirror::mirror;
pub use crate::augment::noise::noise;
pub use crate::augment::spatial::{Affine, Degrees};
pub use crate::augment::warp::{warp, warp_elastically};

/// Something that happens to a patch, at random.
///
/// A transform draws its parameters from the given stream, always in the same order, and then does
/// with them what a pure function of this module does. It keeps a soft truth's probabilities
/// summing to 1.
pub trait Transform: fmt::Debug + Send + Sync {
    /// Transforms a patch. Its size stays, unless the transform is [`Spatial`], which makes it that
    /// of the frame.
    fn apply(&self, patch: Patch, frame: &Frame, rng: &mut ChaCha8Rng) -> Patch;
}

/// What transforms know of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Voxels that the network sees, `(D, H, W)`.
    pub out_size: [usize; 3],
    /// 3 for volumes; 2 for slices, whose first axis is left alone.
    pub rank: usize,
}

impl Frame {
    /// Whether slices of a volume are so few that they are transformed as slices: where the longest
    /// axis of the patch is more than 3 times the first.
    pub fn is_flat(&self) -> bool {
        let longest = self.out_size.iter().copied().max().unwrap_or(0);
        self.rank == 3 && longest > 3 * self.out_size[0]
    }

    /// The axes that are rotated, scaled and coarsened.
    fn axes(&self) -> std::ops::Range<usize> {
        if self.rank == 2 || self.is_flat() { 1..3 } else { 0..3 }
    }
}

registry::registry! {
    /// Every transform of patches, as a run file names it.
    pub enum TransformConfig: Transform {
        "spatial" => spatial::Spatial,
        "noise" => noise::Noise,
        "blur" => blur::Blur,
        "brightness" => brightness::Brightness,
        "contrast" => contrast::Contrast,
        "color_jitter" => color_jitter::ColorJitter,
        "low_resolution" => low_resolution::LowResolution,
        "gamma" => gamma::Gamma,
        "mirror" => mirror::Mirror,
        "mask_outside" => mask_outside::MaskOutside,
    }
}

/// Transforms in the order in which they are applied.
///
/// The default is that of nnU-Net, for volumes and for slices; a run file replaces it by its own
/// list, `[[augment]]`, which may be empty: `augment = []`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Augmentation(Vec<TransformConfig>);

impl Default for Augmentation {
    fn default() -> Self {
        let inverted = Gamma::inverted();
        Self(vec![
            Spatial::default().into(),
            Noise::default().into(),
            Blur::default().into(),
            Brightness::default().into(),
            Contrast::default().into(),
            LowResolution::default().into(),
            inverted.into(),
            Gamma::default().into(),
            Mirror::default().into(),
            MaskOutside::default().into(),
        ])
    }
}

impl Augmentation {
    /// These transforms, in this order.
    pub fn new(transforms: Vec<TransformConfig>) -> Self {
        Self(transforms)
    }

    /// Patches as they are.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The transforms, in their order.
    pub fn transforms(&self) -> &[TransformConfig] {
        &self.0
    }

    /// That each transform suits images that are normalised so, channel by channel.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], for colours that are not three channels from 0 to 1.
    pub fn check(&self, normalize: &[Normalize]) -> Result<()> {
        let jitters = self.0.iter().any(|step| matches!(step, TransformConfig::ColorJitter(_)));
        let colours =
            |scheme: &Normalize| matches!(scheme, Normalize::RgbTo01 | Normalize::RescaleTo01);
        if jitters && (normalize.len() != 3 || !normalize.iter().all(colours)) {
            return Err(Error::Settings(
                "color_jitter takes red, green and blue from 0 to 1; set `preprocess.normalize = \
                 [\"rgb_to_0_1\"]`, or take it out of `augment`"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// The size of patch, `(D, H, W)`, that leaves nothing empty in the corners of most rotated
    /// patches of `out_size`; `out_size` itself where nothing is rotated or scaled.
    pub fn input_size(&self, out_size: [usize; 3], rank: usize) -> [usize; 3] {
        let frame = Frame { out_size, rank };
        self.spatial().fold(out_size, |size, spatial| {
            let own = spatial.input_size(&frame);
            std::array::from_fn(|axis| size[axis].max(own[axis]))
        })
    }

    /// Transforms a patch of [`Augmentation::input_size`] into one of `out_size`, from its middle.
    ///
    /// The patch depends on the stream alone, not on the number of threads.
    pub fn apply(
        &self,
        patch: Patch,
        out_size: [usize; 3],
        rank: usize,
        rng: &mut ChaCha8Rng,
    ) -> Patch {
        let size = patch.size();
        let mut patch = Some(patch);
        let part = |start: [isize; 3], part: [usize; 3]| -> Result<Patch, Infallible> {
            Ok(match patch.take() {
                Some(patch) if part == size => patch,
                Some(patch) => patch.part(start, part),
                None => unreachable!("a patch is taken once"),
            })
        };
        let Ok(patch) = self.apply_to(part, size, out_size, rank, rng);
        patch
    }

    /// The same of a patch of `size` that has not been taken yet: `part` is asked, once, for what is needed of it,
    /// the part of so many voxels that begins at so many from its corner. Patches that are neither turned nor scaled, most
    /// of them, need no more than their middle.
    ///
    /// # Errors
    ///
    /// That of `part`.
    pub fn apply_to<E>(
        &self,
        part: impl FnOnce([isize; 3], [usize; 3]) -> Result<Patch, E>,
        size: [usize; 3],
        out_size: [usize; 3],
        rank: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<Patch, E> {
        let frame = Frame { out_size, rank };
        let middle =
            || std::array::from_fn(|axis| offset(size[axis] / 2) - offset(out_size[axis] / 2));
        let (patch, rest) = match self.0.split_first() {
            Some((TransformConfig::Spatial(spatial), rest)) => {
                let patch = match spatial.draw(&frame, size, rng) {
                    Some(motion) => motion.of(&part([0; 3], size)?),
                    None => part(middle(), out_size)?,
                };
                (patch, rest)
            }
            _ if self.spatial().next().is_none() => (part(middle(), out_size)?, &*self.0),
            _ => (part([0; 3], size)?, &*self.0),
        };
        Ok(rest.iter().fold(patch, |patch, step| step.as_dyn().apply(patch, &frame, rng)))
    }

    fn spatial(&self) -> impl Iterator<Item = &Spatial> {
        self.0.iter().filter_map(|step| match step {
            TransformConfig::Spatial(spatial) => Some(spatial),
            _ => None,
        })
    }
}

/// Lets `change` work on the intensities of each channel that an event of this probability picks.
/// Channels are drawn one after the other, each before its parameters.
fn each_channel(
    patch: &mut Patch,
    probability: f64,
    rng: &mut ChaCha8Rng,
    mut change: impl FnMut(ndarray::ArrayViewMut3<'_, f32>, &mut ChaCha8Rng),
) {
    for channel in patch.image.axis_iter_mut(ndarray::Axis(0)) {
        if crate::rng::happens(probability, rng) {
            change(channel, rng);
        }
    }
}

/// The intensities of a channel side by side.
fn flat<'a>(channel: &'a mut ndarray::ArrayViewMut3<'_, f32>) -> &'a mut [f32] {
    channel.as_slice_mut().expect("patches are in standard layout")
}
