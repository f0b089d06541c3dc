//! Convolutions that are the same along every axis.

use candle::Result;
use candle_nn::init::{FanInOut, NonLinearity, NormalOrUniform};
use candle_nn::{Init, VarBuilder};
use nn::{Conv, ConvConfig};

/// How the weight of a fresh convolution is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Draw {
    /// He's normal distribution, by the fan of the output: what encoders begin with.
    Encoder,
    /// He's uniform distribution, by the fan of the input: what decoders begin with.
    Decoder,
    /// Glorot's uniform distribution: what heads begin with, and what Keras draws.
    Glorot,
}

impl Draw {
    fn init(self, shape: &[usize]) -> Init {
        let kaiming = |dist, fan| Init::Kaiming { dist, fan, non_linearity: NonLinearity::ReLU };
        match self {
            Self::Encoder => kaiming(NormalOrUniform::Normal, FanInOut::FanOut),
            Self::Decoder => kaiming(NormalOrUniform::Uniform, FanInOut::FanIn),
            Self::Glorot => {
                let taps: usize = shape[2..].iter().product();
                let bound = (6.0 / ((shape[0] + shape[1]) * taps).max(1) as f64).sqrt();
                Init::Uniform { lo: -bound, up: bound }
            }
        }
    }

    /// Creates `weight` of `shape` under `vb`, where there is none yet: whoever asks first decides how a
    /// fresh parameter is drawn.
    pub(crate) fn ask(self, shape: &[usize], vb: &VarBuilder<'_>) -> Result<()> {
        vb.get_with_hints(shape, "weight", self.init(shape))?;
        Ok(())
    }
}

/// A convolution to be: without bias, dense, and with as much padding as keeps the extents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Isotropic {
    pub(crate) rank: usize,
    pub(crate) cin: usize,
    pub(crate) cout: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) groups: usize,
    pub(crate) bias: bool,
    pub(crate) draw: Draw,
}

impl Isotropic {
    pub(crate) fn new(rank: usize, cin: usize, cout: usize, kernel: usize, draw: Draw) -> Self {
        Self { rank, cin, cout, kernel, stride: 1, dilation: 1, groups: 1, bias: false, draw }
    }

    /// With a stride and a dilation.
    pub(crate) fn over(self, grid: Grid) -> Self {
        Self { stride: grid.stride, dilation: grid.dilation, ..self }
    }

    pub(crate) fn strided(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    pub(crate) fn dilated(self, dilation: usize) -> Self {
        Self { dilation, ..self }
    }

    /// Each channel by itself.
    pub(crate) fn depthwise(self) -> Self {
        Self { groups: self.cin, ..self }
    }

    pub(crate) fn biased(self) -> Self {
        Self { bias: true, ..self }
    }

    pub(crate) fn build(self, vb: &VarBuilder<'_>) -> Result<Conv> {
        let Self { rank, cin, cout, kernel, stride, dilation, groups, bias, draw } = self;
        let kernels = vec![kernel; rank];
        draw.ask(&[&[cout, cin / groups], kernels.as_slice()].concat(), vb)?;
        let config = ConvConfig {
            stride: vec![stride; rank],
            padding: vec![kernel / 2 * dilation; rank],
            dilation: vec![dilation; rank],
            groups,
        };
        Conv::new(cin, cout, &kernels, config, bias, vb.clone())
    }
}

/// How a stage of an encoder gets coarser: by its stride, or, where features shall stay as fine as they
/// are, by a dilation in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
}

impl Grid {
    /// Without a stride.
    pub(crate) fn kept(self) -> Self {
        Self { stride: 1, ..self }
    }
}
