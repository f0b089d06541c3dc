use candle::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What a network is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Channels of the image, `C_in`.
    pub channels: usize,
    /// Channels of the logits, `C`: classes, background included, or regions.
    pub classes: usize,
    /// Spatial axes: 2 or 3.
    pub rank: usize,
}

impl Interface {
    /// Refuses one that no network has.
    pub(crate) fn check(self) -> Result<(), Error> {
        let Self { channels, classes, rank } = self;
        if !(2..=3).contains(&rank) {
            return Err(Error::Rank(rank));
        }
        for (setting, value) in [("channels", channels), ("classes", classes)] {
            if value == 0 {
                return Err(Error::Zero(setting));
            }
        }
        Ok(())
    }
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
