//! The residual-encoder U-Net.

use candle::Result;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::block::{Encoder, Layers, ResidualBlock, Window, convs};
use crate::checkpoint::Checkpoint;
use crate::topology::{Settings, Style, fitted, fitted_features, standard_features};
use crate::unet::Network;
use crate::{Architecture, Error, Interface, Model, ModelConfig, Norm, Topology};

/// The residual-encoder U-Net of nnU-Net, in 2D and 3D: a deep encoder of residual blocks, and a
/// light decoder.
///
/// After a stem of one convolution, a stage is `n_blocks_per_stage` residual blocks, the first with
/// the stage's stride. The decoder and the heads are those of [`Unet`](crate::Unet).
///
/// Parameters have the names of nnU-Net's `ResidualEncoderUNet`, so that weights fit either way;
/// see [`canonical_name`](crate::canonical_name). The last norm of each block starts at 0.
///
/// # Source
///
/// Isensee, Wald, Ulrich, Baumgartner, Roy, Maier-Hein, Jaeger: *nnU-Net Revisited*, MICCAI 2024,
/// [arXiv:2404.09556](https://arxiv.org/abs/2404.09556); residual blocks: He, Zhang, Ren, Sun,
/// CVPR 2016, [arXiv:1512.03385](https://arxiv.org/abs/1512.03385), with averaged skips as in
/// He, Zhang, Zhang, Zhang, Xie, Li, CVPR 2019, [arXiv:1812.01187](https://arxiv.org/abs/1812.01187).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResidualUnet {
    /// Channels of each stage, finest first; their number is that of the stages. Empty for as many stages as a plan
    /// has, with nnU-Net's channels: 32, doubled at each stage up to 320 in 3D and 512 in 2D.
    pub features_per_stage: Vec<usize>,
    /// Residual blocks of each stage; empty for 1, 3, 4, then 6 each.
    pub n_blocks_per_stage: Vec<usize>,
    /// Convolutions of each stage on the way up, **coarsest first**, as nnU-Net counts them, one
    /// fewer than stages; empty for 1 each.
    pub n_conv_per_stage_decoder: Vec<usize>,
    /// How much coarser each stage is than the one before, along each axis, slowest first; the
    /// first stage has 1. Empty for 2 along every axis.
    pub strides: Vec<Vec<usize>>,
    /// Extents of each stage's kernels, odd; empty for 3 along every axis.
    pub kernel_sizes: Vec<Vec<usize>>,
    /// Whether convolutions add an offset; heads always do, projections never.
    pub conv_bias: bool,
    /// What follows each convolution.
    pub norm: Norm,
    /// Added to the variance that a norm divides by.
    pub norm_eps: f64,
    /// The slope of the activation below 0.
    pub negative_slope: f64,
    /// Whether coarser resolutions have heads in training.
    pub deep_supervision: bool,
    /// Whether a block runs again on the way back, instead of keeping what it computes: less memory in
    /// training, for more time. Results are the same.
    pub gradient_checkpointing: bool,
}

impl Default for ResidualUnet {
    fn default() -> Self {
        Self {
            features_per_stage: vec![32, 64, 128, 256],
            n_blocks_per_stage: Vec::new(),
            n_conv_per_stage_decoder: Vec::new(),
            strides: Vec::new(),
            kernel_sizes: Vec::new(),
            conv_bias: true,
            norm: Norm::Instance,
            norm_eps: 1e-5,
            negative_slope: 1e-2,
            deep_supervision: true,
            gradient_checkpointing: false,
        }
    }
}

impl ResidualUnet {
    /// For the strides and kernels of a plan, one entry for each stage, with nnU-Net's channels:
    /// 32, doubled at each stage up to 320 in 3D and 512 in 2D.
    pub fn of_topology(strides: Vec<Vec<usize>>, kernel_sizes: Vec<Vec<usize>>) -> Self {
        let rank = strides.first().map_or(0, Vec::len);
        let features_per_stage = standard_features(strides.len(), rank);
        Self { features_per_stage, strides, kernel_sizes, ..Self::default() }
    }
}

/// nnU-Net's blocks of a stage, from 0.
fn standard_blocks(stage: usize) -> usize {
    [1, 3, 4].get(stage).copied().unwrap_or(6)
}

impl Architecture for ResidualUnet {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        let style = Style {
            conv_bias: self.conv_bias,
            norm: self.norm,
            norm_eps: self.norm_eps,
            negative_slope: self.negative_slope,
            nonlin_first: false,
            gradient_checkpointing: self.gradient_checkpointing,
        };
        let settings = Settings {
            features_per_stage: &self.features_per_stage,
            strides: &self.strides,
            kernel_sizes: &self.kernel_sizes,
            down: ("n_blocks_per_stage", &self.n_blocks_per_stage, standard_blocks),
            up: (&self.n_conv_per_stage_decoder, 1),
            style,
        };
        let stages = settings.stages(interface)?;

        let ones = vec![1; interface.rank];
        let first = &stages[0];
        let window = Window {
            cin: interface.channels,
            cout: first.features,
            kernel: &first.kernel,
            stride: &ones,
        };
        let apart = |layers: Layers| {
            if style.gradient_checkpointing { Checkpoint::of(layers) } else { layers }
        };
        let stem = apart(convs(window, 1, style, &vb.pp("encoder.stem"))?);

        let mut cin = first.features;
        let mut encoder = Vec::new();
        for (s, stage) in stages.iter().enumerate() {
            let vb = vb.pp("encoder.stages").pp(s).pp("blocks");
            let mut blocks: Layers = Vec::new();
            for block in 0..stage.down {
                let stride = if block == 0 { &stage.stride } else { &ones };
                let window = Window { cin, cout: stage.features, kernel: &stage.kernel, stride };
                let block = ResidualBlock::new(window, style, &vb.pp(block))?;
                blocks.extend(apart(vec![Box::new(block)]));
                cin = stage.features;
            }
            encoder.push(blocks);
        }
        let network = Network::new(
            interface,
            &stages,
            Encoder { stem, stages: encoder },
            style,
            self.deep_supervision,
            &vb,
        )?;
        Ok(Box::new(network))
    }

    fn fitted(&self, topology: &Topology) -> std::result::Result<ModelConfig, Error> {
        let features_per_stage = fitted_features(&self.features_per_stage, topology);
        let stages = features_per_stage.len();
        let Topology { strides, kernel_sizes } = topology;
        let strides = fitted("strides", &self.strides, strides, stages)?;
        let kernel_sizes = fitted("kernel_sizes", &self.kernel_sizes, kernel_sizes, stages)?;
        Ok(Self { features_per_stage, strides, kernel_sizes, ..self.clone() }.into())
    }
}
