use candle::Tensor;
use serde::{Deserialize, Serialize};

/// What a network is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Channels of the image, `C_in`.
    pub channels: usize,
    /// Channels of the logits, `C`: classes, background included, or regions.
    pub classes: usize,
    /// Spatial axes: 2 or 3.
    pub rank: usize,
}

/// What a network sees of a batch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Input {
    /// The images, `(N, C_in, *S)`.
    pub images: Tensor,
    /// What is asked for, one embedded prompt for each class, `(C, E)`, or for each sample and
    /// class, `(N, C, E)`; networks without prompts do not look.
    pub prompts: Option<Tensor>,
}

impl Input {
    /// Images `(N, C_in, *S)`, without prompts.
    pub fn images(images: Tensor) -> Self {
        Self { images, prompts: None }
    }
}
