//! Convolution in one, two or three dimensions.

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::backend::is_native;
use crate::extents::{per_channel, typed};
use crate::geometry::Geometry;
use crate::init::he_normal;
use crate::{Pending, conv_of, native, reference};

/// How a convolution moves over its input, each list one entry per spatial axis, slowest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvConfig {
    /// Voxels between neighboring windows, at least 1.
    pub stride: Vec<usize>,
    /// Zeros added before and after the input.
    pub padding: Vec<usize>,
    /// Voxels between neighboring taps of a window, at least 1.
    pub dilation: Vec<usize>,
    /// Blocks of channels that do not see each other.
    pub groups: usize,
}

impl ConvConfig {
    /// Stride and dilation 1, no padding, one group, for `rank` spatial axes.
    pub fn new(rank: usize) -> Self {
        Self { stride: vec![1; rank], padding: vec![0; rank], dilation: vec![1; rank], groups: 1 }
    }

    /// Padding `(kernel − 1) / 2`: with stride 1 and odd kernels, the output has the extents of the
    /// input.
    pub fn same(kernel: &[usize], stride: &[usize]) -> Self {
        let padding = kernel.iter().map(|extent| extent.saturating_sub(1) / 2).collect();
        Self { stride: stride.to_vec(), padding, ..Self::new(kernel.len()) }
    }
}

/// The convolution (cross-correlation) of `x`, `(N, *S, Cin)`, giving `(N, *S', Cout)`.
///
/// `weight` is `(Cout, Cin / groups, *K)`, `bias` is `(Cout)`. The extents are those of PyTorch:
/// `S' = ⌊(S + 2 · padding − dilation · (K − 1) − 1) / stride⌋ + 1`.
///
/// # Errors
///
/// Where shapes or settings do not fit each other, or the window does not fit the padded input.
///
/// # Examples
///
/// ```
/// use candle::{DType, Device, Tensor};
///
/// let x = Tensor::ones((1, 4, 5, 6, 2), DType::F32, &Device::Cpu)?; // (N, D, H, W, C)
/// let weight = Tensor::ones((7, 2, 3, 3, 3), DType::F32, &Device::Cpu)?;
/// let config = sconce_nn::ConvConfig::same(&[3, 3, 3], &[1, 2, 2]);
/// let y = sconce_nn::conv(&x, &weight, None, &config)?;
/// assert_eq!(y.dims(), [1, 4, 3, 3, 7]);
/// # Ok::<(), candle::Error>(())
/// ```
pub fn conv(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: &ConvConfig,
) -> Result<Tensor> {
    let geometry = Geometry::of_conv(x, weight, config)?;
    per_channel("conv", "bias", bias, geometry.coarse_channels)?;
    if is_native("conv", x)? {
        native::conv(x, weight, bias, geometry)
    } else {
        let (weight, bias) = typed(x, weight, bias)?;
        reference::gather(x, &weight, bias.as_ref(), &geometry)
    }
}

/// A convolution with its parameters: `weight`, and `bias` where it has one.
///
/// Fresh weights are drawn as nnU-Net does: He normal for leaky ReLU of slope 0.01, bias 0.
#[derive(Clone, Debug)]
pub struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
    config: ConvConfig,
}

impl Conv {
    /// Takes the parameters from `vb`, for `cin` channels in and `cout` out.
    ///
    /// # Errors
    ///
    /// Where a parameter is missing or of another shape, or `groups` does not divide the channels.
    #[expect(clippy::needless_pass_by_value, reason = "candle's layers take their builder so")]
    pub fn new(
        cin: usize,
        cout: usize,
        kernel: &[usize],
        config: ConvConfig,
        bias: bool,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let groups = config.groups;
        if groups == 0 || !cin.is_multiple_of(groups) || !cout.is_multiple_of(groups) {
            let rule = "it divides the channels in and out";
            let (op, value) = ("conv", vec![groups, cin, cout]);
            return Err(crate::Error::Setting { op, setting: "groups", value, rule }.into());
        }
        let shape = [&[cout, cin / groups], kernel].concat();
        let weight = vb.get_with_hints(shape.as_slice(), "weight", he_normal(&shape))?;
        let zeros = candle_nn::Init::Const(0.0);
        let bias = bias.then(|| vb.get_with_hints(cout, "bias", zeros)).transpose()?;
        Ok(Self { weight, bias, config })
    }

    /// The convolution of `x`, see [`conv`].
    ///
    /// # Errors
    ///
    /// As [`conv`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        conv(x, &self.weight, self.bias.as_ref(), &self.config)
    }

    /// The convolution of `inputs` side by side, see [`conv_of`].
    ///
    /// # Errors
    ///
    /// As [`conv_of`].
    pub fn forward_of(&self, inputs: &[&Pending]) -> Result<Pending> {
        conv_of(inputs, &self.weight, self.bias.as_ref(), &self.config)
    }

    /// The weight, `(Cout, Cin / groups, *K)`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The offset, `(Cout)`, where there is one.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// How it moves.
    pub fn config(&self) -> &ConvConfig {
        &self.config
    }
}
