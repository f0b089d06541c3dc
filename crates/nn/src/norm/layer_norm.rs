use candle::{D, DType, Result, Tensor};
use candle_nn::VarBuilder;

use super::layer::scale_and_offset;
use crate::extents::per_channel;

/// Normalizes `x`, `(…, C)`, over its last axis: `(x − μ) / √(σ² + eps) · weight + bias`.
///
/// Candle's own layer norm cuts the graph; this one has a gradient.
///
/// # Errors
///
/// Where a parameter is not `(C)`.
///
/// # Source
///
/// Ba, Kiros, Hinton: *Layer Normalization*, [arXiv:1607.06450](https://arxiv.org/abs/1607.06450).
pub fn layer_norm(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    let op = "layer_norm";
    let channels = x.dim(D::Minus1)?;
    per_channel(op, "weight", weight, channels)?;
    per_channel(op, "bias", bias, channels)?;
    if x.elem_count() == 0 {
        return Err(crate::Error::Empty { op, shape: x.dims().to_vec() }.into());
    }
    // Sums of halves are taken in single precision.
    let precise = match x.dtype() {
        DType::BF16 | DType::F16 => DType::F32,
        dtype => dtype,
    };
    let wide = x.to_dtype(precise)?;
    let centered = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
    let mut y = centered.broadcast_div(&(variance + eps)?.sqrt()?)?;
    if let Some(weight) = weight {
        y = y.broadcast_mul(&weight.to_dtype(precise)?)?;
    }
    if let Some(bias) = bias {
        y = y.broadcast_add(&bias.to_dtype(precise)?)?;
    }
    y.to_dtype(x.dtype())
}

/// A layer normalization with its parameters, `weight` and `bias`.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Takes the parameters from `vb`, 1 and 0 where they are fresh.
    ///
    /// # Errors
    ///
    /// Where a parameter is missing or of another shape.
    #[expect(clippy::needless_pass_by_value, reason = "candle's layers take their builder so")]
    pub fn new(channels: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        let (weight, bias) = scale_and_offset(channels, &vb)?;
        Ok(Self { weight, bias, eps })
    }

    /// The normalization of `x`, `(…, C)`; see [`layer_norm`](fn@layer_norm).
    ///
    /// # Errors
    ///
    /// Where the last axis of `x` does not have the channels of this layer.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, Some(&self.weight), Some(&self.bias), self.eps)
    }

    /// The scale and the offset, `(C)` each.
    pub fn affine(&self) -> (&Tensor, &Tensor) {
        (&self.weight, &self.bias)
    }

    /// What is added to the variance.
    pub fn eps(&self) -> f64 {
        self.eps
    }
}
