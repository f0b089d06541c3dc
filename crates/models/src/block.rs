//! What U-Nets are built of. Tensors are `(N, *S, C)`.

use std::fmt;

use candle::Result;
use candle_nn::{Init, VarBuilder};
use nn::{Act, Conv, ConvConfig, Pending, PoolConfig};
use onnx::Value;

use crate::normalization::Normalizer;
use crate::sketch::Sketch;
use crate::topology::Style;
use crate::unit::joined;

/// A part of a network, from `(N, *S, C)`, perhaps in several tensors side by side, to
/// `(N, *S', C')`.
pub(crate) trait Layer: fmt::Debug + Send + Sync {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending>;

    /// The same without training, as nodes of a graph, whose values are `(N, C, *S)`.
    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value>;
}

/// Layers one after the other.
pub(crate) type Layers = Vec<Box<dyn Layer>>;

/// The way down of a U-Net.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// What comes before the first stage.
    pub(crate) stem: Layers,
    /// Finest first.
    pub(crate) stages: Vec<Layers>,
}

/// What `layers` make of `x`.
pub(crate) fn chain(layers: &[Box<dyn Layer>], x: Pending, train: bool) -> Result<Pending> {
    layers.iter().try_fold(x, |x, layer| layer.forward_t(&[&x], train))
}

/// What `layers`, at least one, make of `inputs`, which the first of them reads side by side.
pub(crate) fn run(layers: &Layers, inputs: &[&Pending], train: bool) -> Result<Pending> {
    let (first, others) = layers.split_first().expect("at least one layer");
    chain(others, first.forward_t(inputs, train)?, train)
}

/// What a convolution maps, and with which window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    pub(crate) cin: usize,
    pub(crate) cout: usize,
    pub(crate) kernel: &'a [usize],
    pub(crate) stride: &'a [usize],
}

/// A convolution, its norm, and perhaps an activation: nnU-Net's `ConvDropoutNormReLU`.
#[derive(Clone, Debug)]
pub(crate) struct ConvNorm {
    conv: Conv,
    norm: Normalizer,
    act: Act,
    act_first: bool,
}

impl ConvNorm {
    /// With the activation of `style`.
    pub(crate) fn new(window: Window<'_>, style: Style, vb: &VarBuilder<'_>) -> Result<Self> {
        Self::with_act(window, style, Act::LeakyRelu(style.negative_slope), vb)
    }

    fn with_act(window: Window<'_>, style: Style, act: Act, vb: &VarBuilder<'_>) -> Result<Self> {
        let config = ConvConfig::same(window.kernel, window.stride);
        let Window { cin, cout, kernel, .. } = window;
        Ok(Self {
            conv: Conv::new(cin, cout, kernel, config, style.conv_bias, vb.pp("conv"))?,
            norm: Normalizer::new(style.norm.into(), cout, style.norm_eps, vb.pp("norm"))?,
            act,
            act_first: style.nonlin_first,
        })
    }
}

impl Layer for ConvNorm {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        let x = self.conv.forward_of(inputs)?;
        if self.act_first {
            let x = self.act.forward(&x.resolve()?)?;
            return self.norm.defer_t(x.into(), Act::Identity, train);
        }
        self.norm.defer_t(x, self.act, train)
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.conv(&self.conv, inputs)?;
        if self.act_first {
            let x = sketch.act(self.act, &x)?;
            return self.norm.onnx(sketch, &x);
        }
        let x = self.norm.onnx(sketch, &x)?;
        sketch.act(self.act, &x)
    }
}

/// `count` convolutions, the first of which has the window's stride, under `convs.{i}`.
pub(crate) fn convs(
    window: Window<'_>,
    count: usize,
    style: Style,
    vb: &VarBuilder<'_>,
) -> Result<Layers> {
    let ones = vec![1; window.stride.len()];
    let conv = |i: usize| -> Result<Box<dyn Layer>> {
        let window = match i {
            0 => window,
            _ => Window { cin: window.cout, stride: &ones, ..window },
        };
        Ok(Box::new(ConvNorm::new(window, style, &vb.pp("convs").pp(i))?))
    };
    (0..count).map(conv).collect()
}

/// Two convolutions around which the input is added: nnU-Net's `BasicBlockD`.
///
/// Where the block changes the resolution, the input is averaged; where it changes the channels,
/// it is projected. The last norm starts at 0, so that a fresh block passes its input on.
#[derive(Clone, Debug)]
pub(crate) struct ResidualBlock {
    conv1: ConvNorm,
    conv2: ConvNorm,
    pool: Option<PoolConfig>,
    project: Option<ConvNorm>,
    act: Act,
}

impl ResidualBlock {
    pub(crate) fn new(window: Window<'_>, style: Style, vb: &VarBuilder<'_>) -> Result<Self> {
        let Window { cin, cout, kernel, stride } = window;
        let ones = vec![1; stride.len()];
        let pool = stride.iter().any(|&stride| stride != 1).then(|| PoolConfig::new(stride));
        let project = Window { cin, cout, kernel: &ones, stride: &ones };
        let unbiased = Style { conv_bias: false, ..style };
        let name = usize::from(pool.is_some());
        let project = (cin != cout)
            .then(|| ConvNorm::with_act(project, unbiased, Act::Identity, &vb.pp("skip").pp(name)))
            .transpose()?;

        // Whoever asks first decides how a fresh parameter is drawn.
        vb.pp("conv2.norm").get_with_hints(cout, "weight", Init::Const(0.0))?;
        let inner = Window { cin: cout, cout, kernel, stride: &ones };
        Ok(Self {
            conv1: ConvNorm::new(window, style, &vb.pp("conv1"))?,
            conv2: ConvNorm::with_act(inner, style, Act::Identity, &vb.pp("conv2"))?,
            pool,
            project,
            act: Act::LeakyRelu(style.negative_slope),
        })
    }
}

impl Layer for ResidualBlock {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        let x = joined(inputs)?;
        let mut skip = x.clone();
        if let Some(pool) = &self.pool {
            skip = nn::avg_pool(&skip, pool)?;
        }
        let mut skip = Pending::from(skip);
        if let Some(project) = &self.project {
            skip = project.forward_t(&[&skip], train)?;
        }
        let inner = self.conv1.forward_t(&[&x.into()], train)?;
        let inner = self.conv2.forward_t(&[&inner], train)?;
        Ok(self.act.forward(&(inner.resolve()? + skip.resolve()?)?)?.into())
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.joined(inputs);
        let mut skip = x.clone();
        if let Some(pool) = &self.pool {
            skip = sketch.avg_pool(pool, &skip);
        }
        if let Some(project) = &self.project {
            skip = project.onnx(sketch, &[&skip])?;
        }
        let inner = self.conv1.onnx(sketch, &[&x])?;
        let inner = self.conv2.onnx(sketch, &[&inner])?;
        let sum = sketch.sum(&inner, &skip);
        sketch.act(self.act, &sum)
    }
}
