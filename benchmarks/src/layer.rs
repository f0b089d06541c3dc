use candle::{DType, Tensor};
use sconce::nn::{self, Act, ConvConfig, ConvTransposeConfig};
use serde::Deserialize;

use crate::{Place, pattern};

/// One layer with what it needs, ready to be timed.
#[derive(Debug)]
pub struct Layer {
    request: LayerRequest,
    x: Tensor,
    weight: Tensor,
    dy: Option<Tensor>,
}

/// Which layer, and which of its passes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LayerRequest {
    /// `conv` or `norm`.
    pub task: String,
    /// `forward`, `input` or `weight`; for a norm, `forward` or `both`.
    pub pass: String,
    /// `(N, C_in, *S)`.
    pub shape: Vec<usize>,
    /// Channels of the result of a convolution.
    #[serde(default)]
    pub outputs: usize,
    /// Taps of a convolution along each axis.
    #[serde(default)]
    pub kernel: usize,
    /// Voxels between its windows.
    #[serde(default)]
    pub stride: usize,
    /// Whether it is a transposed convolution.
    #[serde(default)]
    pub transposed: bool,
    /// Where it is computed.
    #[serde(default)]
    pub device: Place,
    /// Whether activations are bf16; parameters are f32 all the same.
    #[serde(default)]
    pub half: bool,
    /// Runs before the clock starts.
    #[serde(default)]
    pub warm: usize,
}

impl Layer {
    /// The layer that `request` names.
    ///
    /// # Errors
    ///
    /// Where it cannot be computed.
    pub fn new(request: LayerRequest) -> anyhow::Result<Self> {
        let (channels, space) = (request.shape[1], &request.shape[2..]);
        let shape = [&request.shape[..1], space, &[channels]].concat();
        let device = request.device.open()?;
        let dtype = if request.half { DType::BF16 } else { DType::F32 };
        let x = pattern(&shape, &device)?.to_dtype(dtype)?;
        let ends = if request.transposed {
            [channels, request.outputs]
        } else {
            [request.outputs, channels]
        };
        let taps = vec![request.kernel; space.len()];
        let weight = match request.task.as_str() {
            "conv" => pattern(&[&ends, taps.as_slice()].concat(), &device)?,
            _ => pattern(&[channels], &device)?,
        };
        let mut layer = Self { request, x, weight, dy: None };
        if layer.request.pass != "forward" {
            let y = layer.forward(&layer.x, &layer.weight)?;
            layer.dy = Some(pattern(y.dims(), &device)?.to_dtype(dtype)?);
        }
        Ok(layer)
    }

    fn config(&self) -> ConvConfig {
        let rank = self.x.rank() - 2;
        ConvConfig::same(&vec![self.request.kernel; rank], &vec![self.request.stride; rank])
    }

    fn forward(&self, x: &Tensor, weight: &Tensor) -> candle::Result<Tensor> {
        if self.request.task == "norm" {
            let act = Act::LeakyRelu(0.01);
            return nn::instance_norm(x, Some(weight), Some(weight), 1e-5, act);
        }
        if self.request.transposed {
            let stride = vec![self.request.stride; x.rank() - 2];
            return nn::conv_transpose(x, weight, None, &ConvTransposeConfig::upsample(&stride));
        }
        nn::conv(x, weight, None, &self.config())
    }

    /// Runs the pass as often as is asked for before the clock starts.
    ///
    /// # Errors
    ///
    /// Where it cannot be computed.
    pub fn warm_up(&self) -> anyhow::Result<()> {
        (0..self.request.warm).try_for_each(|_| self.run())
    }

    /// Runs the pass once.
    ///
    /// # Errors
    ///
    /// Where it cannot be computed.
    pub fn run(&self) -> anyhow::Result<()> {
        let Some(dy) = &self.dy else {
            self.forward(&self.x, &self.weight)?;
            return Ok(());
        };
        match (self.request.pass.as_str(), self.request.transposed) {
            ("input", false) => {
                nn::conv_input_gradient(self.x.dims(), &self.weight, dy, &self.config())?;
            }
            ("weight", false) => {
                nn::conv_weight_gradient(&self.x, self.weight.dims(), dy, &self.config())?;
            }
            // The adjoint of an adjoint, with the same weight and stride.
            ("input", true) => {
                let config = ConvConfig { padding: vec![0; dy.rank() - 2], ..self.config() };
                nn::conv(dy, &self.weight, None, &config)?;
            }
            ("weight", true) => {
                let config = ConvConfig { padding: vec![0; dy.rank() - 2], ..self.config() };
                nn::conv_weight_gradient(dy, self.weight.dims(), &self.x, &config)?;
            }
            ("both", _) => {
                let (x, weight, act) = (&self.x, Some(&self.weight), Act::LeakyRelu(0.01));
                self.forward(x, &self.weight)?;
                nn::instance_norm_gradients(x, weight, weight, 1e-5, act, dy)?;
            }
            (other, _) => anyhow::bail!("{other} is not a pass"),
        }
        Ok(())
    }
}
