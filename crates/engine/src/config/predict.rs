use registry::{OutOfRange, StepSize};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::calibrate::Calibration;
use crate::{Error, Precision, Result};

/// How an image is predicted, tile by tile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PredictConfig {
    /// The distance between tiles, as a share of the patch: a [`registry::StepSize`].
    #[serde(deserialize_with = "step_size")]
    pub step_size: f64,
    /// Whether the middle of a tile counts more than its border.
    pub gaussian: bool,
    /// Whether to average over all mirrored versions of each tile.
    pub mirror: bool,
    /// How exactly tiles are computed.
    pub precision: Precision,
    /// What is done to logits before they become probabilities: what was fitted to held-out cases.
    pub calibration: Calibration,
}

fn step_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    StepSize::deserialize(deserializer).map(f64::from)
}

impl Default for PredictConfig {
    fn default() -> Self {
        Self {
            step_size: 0.5,
            gaussian: true,
            mirror: true,
            precision: Precision::Exact,
            calibration: Calibration::Temperature,
        }
    }
}

impl PredictConfig {
    /// That the settings make sense.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`].
    pub fn check(&self) -> Result<()> {
        match StepSize::try_from(self.step_size) {
            Ok(_) => Ok(()),
            Err(OutOfRange { value, range }) => Err(Error::Settings(format!(
                "predict.step_size is {value}; {range} is needed, a share of the patch"
            ))),
        }
    }
}
