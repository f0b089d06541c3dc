//! Encoders that were made for photographs.

mod inverted;
mod mit;
mod resnet;
mod weights;

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use nn::Pending;
use onnx::Value;
use serde::{Deserialize, Serialize};

pub(crate) use self::mit::Linear;
pub use self::weights::EncoderSlot;
use crate::Error;
use crate::block::{Layers, chain};
use crate::isotropic::Grid;
use crate::sketch::Sketch;

/// Which encoder a network has.
///
/// Each also exists for volumes, with kernels that are as deep as they are wide; pretrained weights are of
/// 2D ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EncoderKind {
    /// ResNet of 18 layers: He, Zhang, Ren, Sun, CVPR 2016,
    /// [arXiv:1512.03385](https://arxiv.org/abs/1512.03385).
    #[serde(rename = "resnet18")]
    Resnet18,
    /// The same of 34 layers.
    #[default]
    #[serde(rename = "resnet34")]
    Resnet34,
    /// The same of 50 layers, with bottlenecks.
    #[serde(rename = "resnet50")]
    Resnet50,
    /// MobileNetV2: Sandler, Howard, Zhu, Zhmoginov, Chen, CVPR 2018,
    /// [arXiv:1801.04381](https://arxiv.org/abs/1801.04381).
    #[serde(rename = "mobilenet_v2")]
    MobilenetV2,
    /// EfficientNet-B0: Tan, Le, ICML 2019, [arXiv:1905.11946](https://arxiv.org/abs/1905.11946).
    #[serde(rename = "efficientnet_b0")]
    EfficientnetB0,
    /// The mix transformer B0 of SegFormer: Xie, Wang, Yu, Anandkumar, Alvarez, Luo, NeurIPS 2021,
    /// [arXiv:2105.15203](https://arxiv.org/abs/2105.15203).
    #[serde(rename = "mit_b0")]
    MitB0,
}

impl EncoderKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Resnet18,
        Self::Resnet34,
        Self::Resnet50,
        Self::MobilenetV2,
        Self::EfficientnetB0,
        Self::MitB0,
    ];

    /// What a config file calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::Resnet34 => "resnet34",
            Self::Resnet50 => "resnet50",
            Self::MobilenetV2 => "mobilenet_v2",
            Self::EfficientnetB0 => "efficientnet_b0",
            Self::MitB0 => "mit_b0",
        }
    }

    /// The layers, with parameters under `vb`, for images of `channels` channels. Features are
    /// `output_stride` times coarser than the images at most, a power of 2 up to 32.
    pub(crate) fn build(
        self,
        rank: usize,
        channels: usize,
        output_stride: usize,
        vb: &VarBuilder<'_>,
    ) -> Result<Pyramid> {
        let grids = Grids { output_stride };
        match self {
            Self::Resnet18 => resnet::build(&resnet::R18, rank, channels, grids, vb),
            Self::Resnet34 => resnet::build(&resnet::R34, rank, channels, grids, vb),
            Self::Resnet50 => resnet::build(&resnet::R50, rank, channels, grids, vb),
            Self::MobilenetV2 => inverted::build(&inverted::MOBILENET, rank, channels, grids, vb),
            Self::EfficientnetB0 => {
                inverted::build(&inverted::EFFICIENTNET, rank, channels, grids, vb)
            }
            Self::MitB0 if output_stride < 32 => {
                let rule = "mit_b0 has no dilated convolutions; use another encoder";
                Err(Error::setting("encoder_output_stride", &output_stride, rule).into())
            }
            Self::MitB0 => mit::build(&mit::B0, rank, channels, vb),
        }
    }
}

/// How coarse the stages of an encoder are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grids {
    output_stride: usize,
}

impl Grids {
    /// Of the stage that is `2^level` times coarser than the images, or would be.
    fn at(self, level: usize) -> Grid {
        match (1 << level) / self.output_stride {
            0 | 1 => Grid { stride: 2, dilation: 1 },
            dilation => Grid { stride: 1, dilation },
        }
    }
}

/// An encoder, whose features get coarser from stage to stage.
#[derive(Debug)]
pub(crate) struct Pyramid {
    /// Channels of the images, then of the features of each stage; 0 where a stage has none.
    channels: Vec<usize>,
    stages: Vec<Layers>,
}

impl Pyramid {
    /// Channels of the images, then of the features of each of the five stages, which are 2, 4, 8, 16 and
    /// 32 times coarser, where they are not held finer; 0 where a stage has none of its own.
    pub(crate) fn channels(&self) -> &[usize] {
        &self.channels
    }

    /// The images, `(N, *S, C_in)`, and the features of `depth` stages. A stage without features of its
    /// own gives those before it.
    pub(crate) fn features(
        &self,
        images: &Tensor,
        depth: usize,
        train: bool,
    ) -> Result<Vec<Pending>> {
        let mut features = vec![Pending::from(images)];
        for stage in &self.stages[..depth] {
            let x = features[features.len() - 1].clone();
            let x = chain(stage, x, train)?;
            // A tensor: the next stage and the decoder both read it.
            features.push(x.resolve()?.into());
        }
        Ok(features)
    }

    /// The same without training, as nodes of a graph.
    pub(crate) fn onnx(
        &self,
        sketch: &mut Sketch,
        images: &Value,
        depth: usize,
    ) -> Result<Vec<Value>> {
        let mut features = vec![images.clone()];
        for stage in &self.stages[..depth] {
            features.push(sketch.chain(stage, &features[features.len() - 1])?);
        }
        Ok(features)
    }
}
