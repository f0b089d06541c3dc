//! Convolutions with what follows them.

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use nn::{Act, BatchNorm, Conv, ConvTranspose, Pending, PoolConfig};
use onnx::Value;

use crate::block::Layer;
use crate::isotropic::Isotropic;
use crate::nonlinearity::Nonlinear;
use crate::normalization::{EPS, Normalizer, activate};
use crate::sketch::Sketch;

/// A convolution one way or the other.
#[derive(Clone, Debug)]
pub(crate) enum AnyConv {
    Conv(Conv),
    Transpose(ConvTranspose),
}

impl AnyConv {
    fn forward_of(&self, inputs: &[&Pending]) -> Result<Pending> {
        match self {
            Self::Conv(conv) => conv.forward_of(inputs),
            Self::Transpose(conv) => conv.forward_of(inputs),
        }
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        match self {
            Self::Conv(conv) => sketch.conv(conv, inputs),
            Self::Transpose(conv) => sketch.conv_transpose(conv, inputs),
        }
    }
}

/// A convolution, its norm and its activation.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) conv: AnyConv,
    pub(crate) norm: Normalizer,
    pub(crate) act: Nonlinear,
    /// Whether the activation comes before the norm.
    pub(crate) act_first: bool,
}

impl Unit {
    /// A convolution alone.
    pub(crate) fn bare(conv: AnyConv) -> Self {
        let (norm, act) = (Normalizer::None, Nonlinear::Act(Act::Identity));
        Self { conv, norm, act, act_first: false }
    }

    /// With a batch norm, under names of their own.
    pub(crate) fn batch(
        conv: Isotropic,
        act: Act,
        conv_vb: &VarBuilder<'_>,
        norm_vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let norm = Normalizer::Batch(BatchNorm::new(conv.cout, EPS, norm_vb.clone())?);
        let conv = AnyConv::Conv(conv.build(conv_vb)?);
        Ok(Self { conv, norm, act: Nonlinear::Act(act), act_first: false })
    }

    /// With a batch norm and ReLU, under `0` and `1` of `vb`: the `Conv2dReLU` of
    /// segmentation-models-pytorch.
    pub(crate) fn relu(conv: Isotropic, vb: &VarBuilder<'_>) -> Result<Self> {
        Self::batch(conv, Act::Relu, &vb.pp(0), &vb.pp(1))
    }
}

impl Layer for Unit {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        let x = self.conv.forward_of(inputs)?;
        if self.act_first {
            let x = activate(x, &self.act)?;
            return self.norm.defer_t(x, Act::Identity, train);
        }
        self.norm.defer_t(x, &self.act, train)
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = self.conv.onnx(sketch, inputs)?;
        if self.act_first {
            let x = self.act.onnx(sketch, &x)?;
            return self.norm.onnx(sketch, &x);
        }
        let x = self.norm.onnx(sketch, &x)?;
        self.act.onnx(sketch, &x)
    }
}

/// A max pooling.
#[derive(Clone, Debug)]
pub(crate) struct MaxPool(pub(crate) PoolConfig);

impl Layer for MaxPool {
    fn forward_t(&self, inputs: &[&Pending], _: bool) -> Result<Pending> {
        Ok(nn::max_pool(&joined(inputs)?, &self.0)?.into())
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.joined(inputs);
        Ok(sketch.max_pool(&self.0, &x))
    }
}

/// All channels side by side, as one tensor.
pub(crate) fn joined(inputs: &[&Pending]) -> Result<Tensor> {
    let tensors = inputs.iter().map(|input| input.resolve()).collect::<Result<Vec<_>>>()?;
    match tensors.as_slice() {
        [tensor] => Ok(tensor.clone()),
        tensors => nn::concat(&tensors.iter().collect::<Vec<_>>()),
    }
}

/// The spatial extents of `x`, `(N, *S, C)`.
pub(crate) fn extents(x: &Pending) -> &[usize] {
    match x.dims() {
        [_, extents @ .., _] => extents,
        _ => &[],
    }
}
