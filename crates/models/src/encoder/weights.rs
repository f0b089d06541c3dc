//! Pretrained weights of encoders.

use std::collections::BTreeMap;

use candle::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

use crate::summary::Seen;
use crate::{EncoderKind, Error, Interface};

/// An encoder of a network, and where its parameters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderSlot {
    /// What the names of its parameters begin with, such as `encoder.`.
    pub prefix: &'static str,
    /// Which encoder it is.
    pub kind: EncoderKind,
    /// Channels that it sees.
    pub channels: usize,
    /// Spatial axes: pretrained encoders have 2.
    pub rank: usize,
}

/// What a state dict has beyond an encoder: its classifier, and what comes just before that.
const BEYOND: [&str; 5] = ["fc.", "classifier.", "conv_head.", "bn2.", "head."];

impl EncoderSlot {
    /// Of a network that has one encoder, for its images.
    pub(crate) fn of(kind: EncoderKind, interface: Interface) -> Self {
        let Interface { channels, rank, .. } = interface;
        Self { prefix: "encoder.", kind, channels, rank }
    }

    /// The parameters of this encoder, with their prefix, from a state dict of timm: `resnet18`,
    /// `resnet34`, `resnet50`, `mobilenetv2_100` or `efficientnet_b0`, and of SegFormer's authors for
    /// `mit_b0`. The classifier and counts of batches are left out.
    ///
    /// The first convolution knows the three channels of photographs. For another number of channels `n` its
    /// filters become those of segmentation-models-pytorch: for one channel, their sum; else those of red,
    /// green and blue in turn, times `3 / n`.
    ///
    /// # Errors
    ///
    /// [`Error::Weights`], where a tensor is missing, surplus or of another shape, and where a tensor
    /// operation fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use candle::{DType, Device, Tensor};
    /// use sconce_models::{EncoderKind, EncoderSlot};
    ///
    /// let slot =
    ///     EncoderSlot { prefix: "encoder.", kind: EncoderKind::Resnet18, channels: 1, rank: 2 };
    /// let state = [("fc.bias".to_owned(), Tensor::zeros(1000, DType::F32, &Device::Cpu)?)].into();
    /// let error = slot.weights(&state).unwrap_err().to_string();
    /// assert!(error.starts_with("weights of resnet18: bn1.bias is missing"));
    /// # Ok::<(), candle::Error>(())
    /// ```
    pub fn weights(&self, state: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
        let refuse = |name: &str, problem: String| -> candle::Error {
            Error::Weights { encoder: self.kind.name(), name: name.to_owned(), problem }.into()
        };
        let mut expected = self.parameters()?;
        let mut weights = BTreeMap::new();
        for (name, tensor) in state {
            let dropped = BEYOND.iter().any(|beyond| name.starts_with(beyond));
            if dropped || name.ends_with(".num_batches_tracked") {
                continue;
            }
            let shape = expected
                .remove(name)
                .ok_or_else(|| refuse(name, "is not one of its tensors".to_owned()))?;
            let tensor = if name == self.kind.first_weight() {
                of_channels(tensor, self.channels)?
            } else {
                tensor.clone()
            };
            if tensor.dims() != shape {
                let problem = format!("has shape {:?}, not {shape:?}", tensor.dims());
                return Err(refuse(name, problem));
            }
            weights.insert(format!("{}{name}", self.prefix), tensor);
        }
        match expected.first_key_value() {
            Some((name, _)) => Err(refuse(name, "is missing".to_owned())),
            None => Ok(weights),
        }
    }

    /// The shapes of all parameters, by name.
    fn parameters(&self) -> Result<BTreeMap<String, Vec<usize>>> {
        let seen = Seen::default();
        let vb = VarBuilder::from_backend(Box::new(seen.clone()), DType::F32, Device::Cpu);
        self.kind.build(self.rank, self.channels, 32, &vb)?;
        let seen = seen.lock();
        Ok(seen.iter().map(|(name, shape)| (name.clone(), shape.dims().to_vec())).collect())
    }
}

impl EncoderKind {
    /// The weight that reads the images.
    fn first_weight(self) -> &'static str {
        match self {
            Self::Resnet18 | Self::Resnet34 | Self::Resnet50 => "conv1.weight",
            Self::MobilenetV2 | Self::EfficientnetB0 => "conv_stem.weight",
            Self::MitB0 => "patch_embed1.proj.weight",
        }
    }
}

/// The filters of three channels, `(C_out, 3, *K)`, for another number of channels; others as they are.
fn of_channels(weight: &Tensor, channels: usize) -> Result<Tensor> {
    match (weight.dims(), channels) {
        ([_, 3, ..], 1) => weight.sum_keepdim(1),
        ([_, 3, ..], channels) if channels != 3 => {
            let turn: Vec<u32> = (0..3).cycle().take(channels).collect();
            let turn = Tensor::new(turn, weight.device())?;
            weight.contiguous()?.index_select(&turn, 1)? * (3.0 / channels as f64)
        }
        _ => Ok(weight.clone()),
    }
}
