//! Encoders that know photographs already.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use candle::Tensor;
use models::{Architecture as _, ModelConfig};
use serde::{Deserialize, Serialize};

use crate::file::sha256;
use crate::trained::NetworkConfig;
use crate::weights::load_tensors;
use crate::{Error, Result};

/// The table `[pretrained]` of a run file: weights that an encoder begins with.
///
/// ```toml
/// [pretrained]
/// encoder = "hub:timm/resnet18.a1_in1k"
/// ```
///
/// The names of tensors are those of timm, or of SegFormer's authors for `mit_b0`, as
/// [`models::EncoderSlot`] says; the classifier is left out, and the first convolution is made to fit the
/// channels of the images. Every encoder of the network gets them, all else begins anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainedConfig {
    /// A file `NAME.safetensors`, or `hub:owner/name`, whose `model.safetensors` is taken: it is fetched
    /// once.
    pub encoder: String,
}

/// The weights of an encoder, as their file has them.
#[derive(Clone, Debug)]
pub struct PretrainedEncoder {
    tensors: BTreeMap<String, Tensor>,
    hash: String,
}

impl PretrainedEncoder {
    /// Reads a safetensors file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::File`].
    pub fn load(path: &Path) -> Result<Self> {
        if !path.is_file() {
            let reason = "there is no such file; give a .safetensors file, or hub:OWNER/NAME";
            return Err(Error::File { path: path.to_owned(), reason: reason.to_owned() });
        }
        let hash = File::open(path).and_then(sha256).map_err(Error::io(path))?;
        Ok(Self { tensors: load_tensors(path)?, hash })
    }

    /// The SHA-256 hash of the file.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// The parameters of all encoders of a network.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the network has none, or one of another kind.
    pub(crate) fn of(&self, network: &NetworkConfig) -> Result<BTreeMap<String, Tensor>> {
        let slots = network.architecture.encoders(network.interface);
        if slots.is_empty() {
            return Err(Error::Settings(format!(
                "pretrained.encoder: model.{} has no encoder that pretrained weights exist for; {}",
                network.architecture.name(),
                with_encoders()
            )));
        }
        let mut all = BTreeMap::new();
        for slot in slots {
            if slot.rank != 2 {
                return Err(Error::Settings(
                    "pretrained.encoder: pretrained weights are of 2D images; set preprocess.rank = 2"
                        .to_owned(),
                ));
            }
            let weights = slot.weights(&self.tensors);
            all.extend(weights.map_err(|error| {
                let reason = root(&error);
                Error::Settings(format!(
                    "pretrained.encoder: {reason}; give weights of that encoder"
                ))
            })?);
        }
        Ok(all)
    }
}

/// What an error says, without the trace that candle may wrap around it.
fn root(error: &candle::Error) -> String {
    match error {
        candle::Error::WithBacktrace { inner, .. } => root(inner),
        candle::Error::Wrapped(inner) => inner.to_string(),
        error => error.to_string(),
    }
}

/// Which networks have one.
fn with_encoders() -> String {
    let image = models::Interface { channels: 3, classes: 2, rank: 2 };
    let names: Vec<&str> = ModelConfig::defaults()
        .into_iter()
        .filter(|model| !model.encoders(image).is_empty())
        .map(|model| model.name())
        .collect();
    format!("those that have one are {}", names.join(", "))
}
