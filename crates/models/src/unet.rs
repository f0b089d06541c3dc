//! The plain U-Net.

mod network;

use candle::Result;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

pub(crate) use self::network::Network;
use crate::block::{Encoder, Window, convs};
use crate::checkpoint::Checkpoint;
use crate::topology::{Settings, Style, fitted, fitted_features, standard_features};
use crate::{Architecture, Error, Interface, Model, ModelConfig, Norm, Topology};

/// The plain U-Net of nnU-Net, in 2D and 3D: convolutions on the way down and up, skips between.
///
/// A stage is a resolution: `n_conv_per_stage` times convolution, norm and leaky rectification, the first
/// convolution with the stage's stride. On the way up, a transposed convolution of the same stride
/// is joined with what the stage had on the way down. With `deep_supervision`, each resolution but
/// the coarsest has a head in training.
///
/// Parameters have the names of nnU-Net's `PlainConvUNet`, so that weights fit either way; see
/// [`canonical_name`](crate::canonical_name).
///
/// Not for images whose extents are not multiples of [`Model::stride`]: pad those.
///
/// # Source
///
/// Ronneberger, Fischer, Brox: *U-Net*, MICCAI 2015,
/// [arXiv:1505.04597](https://arxiv.org/abs/1505.04597); Isensee, Jaeger, Kohl, Petersen,
/// Maier-Hein: *nnU-Net*, Nature Methods 18, 2021.
///
/// # Examples
///
/// ```
/// use candle::{DType, Device, Tensor};
/// use sconce_models::{Architecture, Input, Interface, Unet};
///
/// let interface = Interface { channels: 1, classes: 3, rank: 2 };
/// let settings = Unet { features_per_stage: vec![4, 8, 16], ..Unet::default() };
/// let parameters = nn::Parameters::new(0, &Device::Cpu);
/// let model = settings.build(interface, parameters.builder())?;
///
/// assert_eq!(model.stride(), [4, 4]);
/// let images = Tensor::zeros((2, 1, 8, 12), DType::F32, &Device::Cpu)?;
/// let logits = model.forward_t(&Input::images(images), false)?;
/// assert_eq!(logits.main().dims(), [2, 3, 8, 12]);
/// # Ok::<(), candle::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "settings that a file turns on and off")]
pub struct Unet {
    /// Channels of each stage, finest first; their number is that of the stages. Empty for as many stages as a plan
    /// has, with nnU-Net's channels: 32, doubled at each stage up to 320 in 3D and 512 in 2D.
    pub features_per_stage: Vec<usize>,
    /// Convolutions of each stage on the way down; empty for 2 each.
    pub n_conv_per_stage: Vec<usize>,
    /// Convolutions of each stage on the way up, **coarsest first**, as nnU-Net counts them, one
    /// fewer than stages; empty for 2 each.
    pub n_conv_per_stage_decoder: Vec<usize>,
    /// How much coarser each stage is than the one before, along each axis, slowest first; the
    /// first stage has 1. Empty for 2 along every axis.
    pub strides: Vec<Vec<usize>>,
    /// Extents of each stage's kernels, odd; empty for 3 along every axis.
    pub kernel_sizes: Vec<Vec<usize>>,
    /// Whether convolutions add an offset; heads always do.
    pub conv_bias: bool,
    /// What follows each convolution.
    pub norm: Norm,
    /// Added to the variance that a norm divides by.
    pub norm_eps: f64,
    /// The slope of the activation below 0.
    pub negative_slope: f64,
    /// Whether the activation comes before the norm.
    pub nonlin_first: bool,
    /// Whether coarser resolutions have heads in training.
    pub deep_supervision: bool,
    /// Whether a stage runs again on the way back, instead of keeping what it computes: less memory in
    /// training, for more time. Results are the same.
    pub gradient_checkpointing: bool,
}

impl Default for Unet {
    fn default() -> Self {
        Self {
            features_per_stage: vec![32, 64, 128, 256],
            n_conv_per_stage: Vec::new(),
            n_conv_per_stage_decoder: Vec::new(),
            strides: Vec::new(),
            kernel_sizes: Vec::new(),
            conv_bias: true,
            norm: Norm::Instance,
            norm_eps: 1e-5,
            negative_slope: 1e-2,
            nonlin_first: false,
            deep_supervision: true,
            gradient_checkpointing: false,
        }
    }
}

impl Unet {
    /// For the strides and kernels of a plan, one entry for each stage, with nnU-Net's channels:
    /// 32, doubled at each stage up to 320 in 3D and 512 in 2D.
    pub fn of_topology(strides: Vec<Vec<usize>>, kernel_sizes: Vec<Vec<usize>>) -> Self {
        let rank = strides.first().map_or(0, Vec::len);
        let features_per_stage = standard_features(strides.len(), rank);
        Self { features_per_stage, strides, kernel_sizes, ..Self::default() }
    }
}

impl Unet {
    /// The network itself.
    pub(crate) fn network(&self, interface: Interface, vb: &VarBuilder<'_>) -> Result<Network> {
        let style = Style {
            conv_bias: self.conv_bias,
            norm: self.norm,
            norm_eps: self.norm_eps,
            negative_slope: self.negative_slope,
            nonlin_first: self.nonlin_first,
            gradient_checkpointing: self.gradient_checkpointing,
        };
        let settings = Settings {
            features_per_stage: &self.features_per_stage,
            strides: &self.strides,
            kernel_sizes: &self.kernel_sizes,
            down: ("n_conv_per_stage", &self.n_conv_per_stage, |_| 2),
            up: (&self.n_conv_per_stage_decoder, 2),
            style,
        };
        let stages = settings.stages(interface)?;

        let mut cin = interface.channels;
        let mut encoder = Vec::new();
        for (s, stage) in stages.iter().enumerate() {
            let window =
                Window { cin, cout: stage.features, kernel: &stage.kernel, stride: &stage.stride };
            // `.0`: what nnU-Net may put before the convolutions is a pooling without parameters.
            let vb = vb.pp("encoder.stages").pp(s).pp(0);
            let convs = convs(window, stage.down, style, &vb)?;
            encoder.push(if style.gradient_checkpointing { Checkpoint::of(convs) } else { convs });
            cin = stage.features;
        }
        let encoder = Encoder { stem: Vec::new(), stages: encoder };
        Network::new(interface, &stages, encoder, style, self.deep_supervision, vb)
    }

    /// These settings with what a plan says, where they leave it open.
    pub(crate) fn fitted_to(&self, topology: &Topology) -> std::result::Result<Self, Error> {
        let features_per_stage = fitted_features(&self.features_per_stage, topology);
        let stages = features_per_stage.len();
        let Topology { strides, kernel_sizes } = topology;
        let strides = fitted("strides", &self.strides, strides, stages)?;
        let kernel_sizes = fitted("kernel_sizes", &self.kernel_sizes, kernel_sizes, stages)?;
        Ok(Self { features_per_stage, strides, kernel_sizes, ..self.clone() })
    }
}

impl Architecture for Unet {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        Ok(Box::new(self.network(interface, &vb)?))
    }

    fn fitted(&self, topology: &Topology) -> std::result::Result<ModelConfig, Error> {
        Ok(self.fitted_to(topology)?.into())
    }
}
