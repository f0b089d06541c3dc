//! Transposed convolution in one, two or three dimensions.

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::backend::is_native;
use crate::extents::{per_channel, typed};
use crate::geometry::Geometry;
use crate::init::he_normal;
use crate::{Pending, conv_transpose_of, native, reference};

/// How a transposed convolution moves, each list one entry per spatial axis, slowest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvTransposeConfig {
    /// The factor by which the output is finer, at least 1.
    pub stride: Vec<usize>,
    /// Voxels cut off the output on either side.
    pub padding: Vec<usize>,
    /// Voxels added to the far side of the output, below the stride or the dilation.
    pub output_padding: Vec<usize>,
    /// Voxels between neighboring taps of a window, at least 1.
    pub dilation: Vec<usize>,
    /// Blocks of channels that do not see each other.
    pub groups: usize,
}

impl ConvTransposeConfig {
    /// Stride and dilation 1, no padding, one group, for `rank` spatial axes.
    pub fn new(rank: usize) -> Self {
        Self {
            stride: vec![1; rank],
            padding: vec![0; rank],
            output_padding: vec![0; rank],
            dilation: vec![1; rank],
            groups: 1,
        }
    }

    /// For a kernel that is as large as the stride: each input voxel becomes a block of the output.
    pub fn upsample(stride: &[usize]) -> Self {
        Self { stride: stride.to_vec(), ..Self::new(stride.len()) }
    }
}

/// The transposed convolution of `x`, `(N, *S, Cin)`, giving `(N, *S', Cout)`: the adjoint of
/// [`conv`](crate::conv) with the same weight and settings.
///
/// `weight` is `(Cin, Cout / groups, *K)`, `bias` is `(Cout)`. The extents are those of PyTorch:
/// `S' = (S − 1) · stride − 2 · padding + dilation · (K − 1) + output_padding + 1`.
///
/// # Errors
///
/// Where shapes or settings do not fit each other, or padding leaves no output.
pub fn conv_transpose(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: &ConvTransposeConfig,
) -> Result<Tensor> {
    let geometry = Geometry::of_transpose(x, weight, config)?;
    per_channel("conv_transpose", "bias", bias, geometry.fine_channels)?;
    if is_native("conv_transpose", x)? {
        native::conv_transpose(x, weight, bias, geometry)
    } else {
        let (weight, bias) = typed(x, weight, bias)?;
        reference::scatter(x, &weight, bias.as_ref(), &geometry)
    }
}

/// A transposed convolution with its parameters: `weight`, and `bias` where it has one.
///
/// Fresh weights are drawn as nnU-Net does: He normal for leaky ReLU of slope 0.01, with the fan
/// that PyTorch reads off the weight, `Cout / groups · |K|`; bias 0.
#[derive(Clone, Debug)]
pub struct ConvTranspose {
    weight: Tensor,
    bias: Option<Tensor>,
    config: ConvTransposeConfig,
}

impl ConvTranspose {
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
        config: ConvTransposeConfig,
        bias: bool,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let groups = config.groups;
        if groups == 0 || !cin.is_multiple_of(groups) || !cout.is_multiple_of(groups) {
            let rule = "it divides the channels in and out";
            let (op, value) = ("conv_transpose", vec![groups, cin, cout]);
            return Err(crate::Error::Setting { op, setting: "groups", value, rule }.into());
        }
        let shape = [&[cin, cout / groups], kernel].concat();
        let weight = vb.get_with_hints(shape.as_slice(), "weight", he_normal(&shape))?;
        let zeros = candle_nn::Init::Const(0.0);
        let bias = bias.then(|| vb.get_with_hints(cout, "bias", zeros)).transpose()?;
        Ok(Self { weight, bias, config })
    }

    /// The transposed convolution of `x`, see [`conv_transpose`].
    ///
    /// # Errors
    ///
    /// As [`conv_transpose`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        conv_transpose(x, &self.weight, self.bias.as_ref(), &self.config)
    }

    /// The transposed convolution of `inputs` side by side, see [`conv_transpose_of`].
    ///
    /// # Errors
    ///
    /// As [`conv_transpose_of`].
    pub fn forward_of(&self, inputs: &[&Pending]) -> Result<Pending> {
        conv_transpose_of(inputs, &self.weight, self.bias.as_ref(), &self.config)
    }

    /// The weight, `(Cin, Cout / groups, *K)`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The offset, `(Cout)`, where there is one.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// How it moves.
    pub fn config(&self) -> &ConvTransposeConfig {
        &self.config
    }
}
