//! The attention U-Net.

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use nn::{Act, Pending};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::block::{Layer, Layers, run};
use crate::door::{Body, Door, Housed};
use crate::monai::{Adn, Window, convolution, transposed};
use crate::monai_unet::strides;
use crate::nonlinearity::Nonlinear;
use crate::normalization::{EPS, Normalizer};
use crate::sketch::Sketch;
use crate::unit::{Unit, joined};
use crate::{
    AdnOrdering, Architecture, Error, HeadId, Interface, Model, ModelConfig, Nonlinearity,
    Normalization, PerAxis, Topology,
};

/// MONAI's `AttentionUnet`, in 2D and 3D: a U-Net whose skips are weighed, voxel by voxel, by what comes
/// from below.
///
/// Parameters and settings have MONAI's names, so that weights fit either way. There is no dropout. As in
/// MONAI, what joins a skip is normalized over each sample, and everything else over the batch.
///
/// # Source
///
/// Oktay et al.: *Attention U-Net: Learning Where to Look for the Pancreas*, MIDL 2018,
/// [arXiv:1804.03999](https://arxiv.org/abs/1804.03999); `monai.networks.nets.AttentionUnet` of
/// [MONAI](https://github.com/Project-MONAI/MONAI) 1.6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttentionUnet {
    /// Channels of each resolution, finest first, two or more.
    pub channels: Vec<usize>,
    /// How much coarser each resolution is than the one before, one fewer than `channels`. The finest is
    /// that of the images.
    pub strides: Vec<PerAxis>,
    /// Extents of kernels, odd.
    pub kernel_size: PerAxis,
    /// Extents of the transposed convolutions' kernels, odd.
    pub up_kernel_size: PerAxis,
}

impl Default for AttentionUnet {
    fn default() -> Self {
        Self {
            channels: vec![16, 32, 64, 128, 256],
            strides: vec![PerAxis::Same(2); 4],
            kernel_size: PerAxis::Same(3),
            up_kernel_size: PerAxis::Same(3),
        }
    }
}

/// What follows a convolution, but where a skip is joined.
const BATCH: Adn = Adn {
    norm: Normalization::Batch,
    act: Nonlinearity::Relu,
    ordering: AdnOrdering::NormFirst,
    bias: true,
};

/// What follows the convolution that joins a skip: MONAI's defaults.
const MERGE: Adn =
    Adn { norm: Normalization::Instance { affine: false }, act: Nonlinearity::Prelu, ..BATCH };

#[derive(Debug)]
struct Unet {
    /// At the resolution of the images.
    head: Layers,
    /// Finest first.
    levels: Vec<Level>,
    reduce: Unit,
}

/// A skip, and what goes on below it.
#[derive(Debug)]
struct Level {
    down: Layers,
    up: Unit,
    gate: Gate,
    merge: Unit,
}

impl Architecture for AttentionUnet {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        interface.check()?;
        let Interface { channels, classes, rank } = interface;
        let strides = strides(&self.channels, &self.strides, rank)?;
        let kernel = self.kernel_size.odd_of_rank("kernel_size", rank)?;
        let up_kernel = self.up_kernel_size.odd_of_rank("up_kernel_size", rank)?;
        let ones = vec![1; rank];
        let model = vb.pp("model");
        let first = self.channels[0];
        let window = Window { cin: channels, cout: first, kernel: &kernel, stride: &ones };
        let head = two_convs(window, &model.pp(0))?;
        let point = Window { cin: first, cout: classes, kernel: &ones, stride: &ones };
        let reduce = convolution(point, None, true, &model.pp(2))?;

        let mut vb = model.pp(1);
        let mut levels = Vec::new();
        for (i, stride) in strides.iter().enumerate() {
            let (fine, coarse) = (self.channels[i], self.channels[i + 1]);
            let is_bottom = i + 1 == strides.len();
            let below = vb.pp("submodule");
            let window = Window { cin: fine, cout: coarse, kernel: &kernel, stride };
            let down = two_convs(window, &if is_bottom { below.clone() } else { below.pp(0) })?;
            let window = Window { cin: coarse, cout: fine, kernel: &up_kernel, stride };
            let up = transposed(window, Some(BATCH), true, &vb.pp("upconv.up"))?;
            let three = vec![3; rank];
            let window = Window { cin: 2 * fine, cout: fine, kernel: &three, stride: &ones };
            let merge = convolution(window, Some(MERGE), true, &vb.pp("merge"))?;
            let gate = Gate::new(rank, fine, &vb.pp("attention"))?;
            levels.push(Level { down, up, gate, merge });
            vb = below.pp(1);
        }
        let stride = |axis: usize| strides.iter().map(|stride| stride[axis]).product();
        let door = Door::new(interface, (0..rank).map(stride).collect());
        Ok(Box::new(Housed { door, body: Unet { head, levels, reduce } }))
    }

    fn fitted(&self, _: &Topology) -> std::result::Result<ModelConfig, Error> {
        Ok(self.clone().into())
    }
}

/// MONAI's `ConvBlock`.
fn two_convs(window: Window<'_>, vb: &VarBuilder<'_>) -> Result<Layers> {
    let ones = vec![1; window.stride.len()];
    let second = Window { cin: window.cout, stride: &ones, ..window };
    let conv = |window, i: usize| convolution(window, Some(BATCH), true, &vb.pp("conv").pp(i));
    Ok(vec![Box::new(conv(window, 0)?), Box::new(conv(second, 1)?)])
}

/// Which voxels of a skip matter, by what comes from below.
#[derive(Debug)]
struct Gate {
    below: Unit,
    skip: Unit,
    weigh: Unit,
}

impl Gate {
    fn new(rank: usize, channels: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let inner = channels / 2;
        if inner == 0 {
            let rule = "attention needs two of them at least, but for the coarsest resolution";
            return Err(Error::setting("channels", &channels, rule).into());
        }
        let ones = vec![1; rank];
        let unit = |cin, cout, act, name: &str| -> Result<Unit> {
            let window = Window { cin, cout, kernel: &ones, stride: &ones };
            let vb = vb.pp(name);
            let norm = Normalizer::new(Normalization::Batch, cout, EPS, vb.pp(1))?;
            let act = Nonlinear::Act(act);
            Ok(Unit { norm, act, ..convolution(window, None, true, &vb.pp(0))? })
        };
        Ok(Self {
            below: unit(channels, inner, Act::Identity, "W_g")?,
            skip: unit(channels, inner, Act::Identity, "W_x")?,
            weigh: unit(inner, 1, Act::Sigmoid, "psi")?,
        })
    }
}

impl Layer for Gate {
    /// Of what comes from below, and the skip.
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        let [below, skip] = inputs else { candle::bail!("a gate has two inputs") };
        let below = self.below.forward_t(&[below], train)?.resolve()?;
        let inner = (below + self.skip.forward_t(&[skip], train)?.resolve()?)?;
        let inner = Act::Relu.forward(&inner)?;
        let weights = self.weigh.forward_t(&[&inner.into()], train)?.resolve()?;
        Ok(skip.resolve()?.broadcast_mul(&weights)?.into())
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let [below, skip] = inputs else { candle::bail!("a gate has two inputs") };
        let below = self.below.onnx(sketch, &[below])?;
        let inner = self.skip.onnx(sketch, &[skip])?;
        let inner = sketch.sum(&below, &inner);
        let inner = sketch.act(Act::Relu, &inner)?;
        let weights = self.weigh.onnx(sketch, &[&inner])?;
        Ok(sketch.product(skip, &weights))
    }
}

impl Body for Unet {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<(HeadId, Tensor)>> {
        let mut x = run(&self.head, &[&Pending::from(images)], train)?;
        let mut skips = Vec::new();
        for level in &self.levels {
            // A tensor: three layers read it.
            let skip = Pending::from(joined(&[&x])?);
            x = run(&level.down, &[&skip], train)?;
            skips.push(skip);
        }
        for (level, skip) in self.levels.iter().zip(&skips).rev() {
            let below = Pending::from(level.up.forward_t(&[&x], train)?.resolve()?);
            let skip = level.gate.forward_t(&[&below, skip], train)?;
            x = level.merge.forward_t(&[&skip, &below], train)?;
        }
        Ok(vec![(HeadId::Main, self.reduce.forward_t(&[&x], train)?.resolve()?)])
    }

    fn onnx(&self, sketch: &mut Sketch, images: &Value) -> Result<Value> {
        let mut x = sketch.run(&self.head, &[images])?;
        let mut skips = Vec::new();
        for level in &self.levels {
            skips.push(x.clone());
            x = sketch.run(&level.down, &[&x])?;
        }
        for (level, skip) in self.levels.iter().zip(&skips).rev() {
            let below = level.up.onnx(sketch, &[&x])?;
            let skip = level.gate.onnx(sketch, &[&below, skip])?;
            x = level.merge.onnx(sketch, &[&skip, &below])?;
        }
        self.reduce.onnx(sketch, &[&x])
    }
}
