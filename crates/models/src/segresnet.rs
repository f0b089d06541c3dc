//! MONAI's SegResNet.

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use nn::{Conv, ConvConfig, Pending};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::block::{Layer, Layers, chain, run};
use crate::door::{Body, Housed};
use crate::limits::width;
use crate::monai::{UpSample, Window, convolution};
use crate::nonlinearity::Nonlinear;
use crate::normalization::{EPS, Normalizer};
use crate::sketch::Sketch;
use crate::unit::joined;
use crate::{
    Architecture, Error, HeadId, Interface, Model, ModelConfig, Nonlinearity, Normalization,
    Topology, UpsampleMode,
};

/// MONAI's `SegResNet`, in 2D and 3D: residual blocks that normalize before they convolve, an encoder that
/// is deeper than the decoder, and skips that are added.
///
/// Parameters and settings have MONAI's names, so that weights fit either way. There is neither dropout
/// nor the autoencoder branch of the paper.
///
/// # Source
///
/// Myronenko: *3D MRI Brain Tumor Segmentation Using Autoencoder Regularization*, `BrainLes` 2018,
/// [arXiv:1810.11654](https://arxiv.org/abs/1810.11654); `monai.networks.nets.SegResNet` of
/// [MONAI](https://github.com/Project-MONAI/MONAI) 1.6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SegResNet {
    /// Channels of the finest resolution; each coarser one has twice as many.
    pub init_filters: usize,
    /// Blocks of each resolution on the way down, finest first.
    pub blocks_down: Vec<usize>,
    /// Blocks of each resolution on the way up, coarsest first, one fewer than `blocks_down`.
    pub blocks_up: Vec<usize>,
    /// The activation.
    pub act: Nonlinearity,
    /// The norm.
    pub norm: Normalization,
    /// How the way up doubles the resolution.
    pub upsample_mode: UpsampleMode,
}

impl Default for SegResNet {
    fn default() -> Self {
        Self {
            init_filters: 8,
            blocks_down: vec![1, 2, 2, 4],
            blocks_up: vec![1, 1, 1],
            act: Nonlinearity::Relu,
            norm: Normalization::Group { num_groups: 8 },
            upsample_mode: UpsampleMode::Nontrainable,
        }
    }
}

#[derive(Debug)]
struct Network {
    first: Conv,
    /// Finest first.
    down: Vec<Layers>,
    /// Coarsest first: what doubles the resolution, and the blocks after it.
    up: Vec<[Layers; 2]>,
    last: Preactivated,
}

impl Architecture for SegResNet {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        interface.check()?;
        self.check()?;
        let Interface { channels, classes, rank } = interface;
        let filters = |level: usize| self.init_filters << level;
        let (kernel, ones) = (vec![3; rank], vec![1; rank]);
        let same = ConvConfig::same(&kernel, &ones);
        let first = Conv::new(channels, filters(0), &kernel, same, false, vb.pp("convInit.conv"))?;

        let mut down = Vec::new();
        for (level, &count) in self.blocks_down.iter().enumerate() {
            let vb = vb.pp("down_layers").pp(level);
            let mut layers: Layers = Vec::new();
            if level > 0 {
                let (cin, cout, stride) = (filters(level - 1), filters(level), vec![2; rank]);
                let window = Window { cin, cout, kernel: &kernel, stride: &stride };
                layers.push(Box::new(convolution(window, None, false, &vb.pp(0))?));
            }
            for block in 0..count {
                let block = self.block(filters(level), rank, &vb.pp(block + 1))?;
                layers.push(Box::new(block));
            }
            down.push(layers);
        }

        let mut up = Vec::new();
        let coarsest = self.blocks_up.len();
        for (i, &count) in self.blocks_up.iter().enumerate() {
            let (cin, cout) = (filters(coarsest - i), filters(coarsest - i - 1));
            let point = Window { cin, cout, kernel: &ones, stride: &ones };
            let (blocks, samples) = (vb.pp("up_layers").pp(i), vb.pp("up_samples").pp(i));
            let finer =
                UpSample::new(self.upsample_mode, [cout, cout], rank, false, &samples.pp(1))?;
            let project = convolution(point, None, false, &samples.pp(0))?;
            let block = |block: usize| -> Result<Box<dyn Layer>> {
                Ok(Box::new(self.block(cout, rank, &blocks.pp(block))?))
            };
            let finer: Layers = vec![Box::new(project), Box::new(finer)];
            up.push([finer, (0..count).map(block).collect::<Result<_>>()?]);
        }
        let vb = vb.pp("conv_final");
        let point = ConvConfig::new(rank);
        let last = Preactivated {
            norm: Normalizer::new(self.norm, filters(0), EPS, vb.pp(0))?,
            act: Nonlinear::new(self.act, vb.pp(1))?,
            conv: Conv::new(filters(0), classes, &ones, point, true, vb.pp("2.conv"))?,
        };
        let body = Network { first, down, up, last };
        Ok(Housed::boxed(interface, 1 << coarsest, body))
    }

    fn fitted(&self, _: &Topology) -> std::result::Result<ModelConfig, Error> {
        Ok(self.clone().into())
    }
}

impl SegResNet {
    fn check(&self) -> std::result::Result<(), Error> {
        let most = 10;
        width("init_filters", self.init_filters)?;
        if self.blocks_down.is_empty() || self.blocks_down.len() > most {
            let value = format!("of {} entries", self.blocks_down.len());
            return Err(Error::setting("blocks_down", &value, "there must be 1 to 10"));
        }
        if self.blocks_up.len() + 1 != self.blocks_down.len() {
            let value = format!("of {} entries", self.blocks_up.len());
            let rule = "there must be one entry fewer than blocks_down";
            return Err(Error::setting("blocks_up", &value, rule));
        }
        Ok(())
    }

    /// MONAI's `ResBlock`.
    fn block(&self, channels: usize, rank: usize, vb: &VarBuilder<'_>) -> Result<ResBlock> {
        let kernel = vec![3; rank];
        let layer = |i: usize| -> Result<Preactivated> {
            let same = ConvConfig::same(&kernel, &vec![1; rank]);
            let vb_conv = vb.pp(format!("conv{i}.conv"));
            Ok(Preactivated {
                norm: Normalizer::new(self.norm, channels, EPS, vb.pp(format!("norm{i}")))?,
                act: Nonlinear::new(self.act, vb.pp("act"))?,
                conv: Conv::new(channels, channels, &kernel, same, false, vb_conv)?,
            })
        };
        Ok(ResBlock([layer(1)?, layer(2)?]))
    }
}

/// A norm, an activation, then a convolution.
#[derive(Clone, Debug)]
struct Preactivated {
    norm: Normalizer,
    act: Nonlinear,
    conv: Conv,
}

impl Preactivated {
    fn forward_t(&self, x: Pending, train: bool) -> Result<Pending> {
        self.conv.forward_of(&[&self.norm.defer_t(x, &self.act, train)?])
    }

    fn onnx(&self, sketch: &mut Sketch, x: &Value) -> Result<Value> {
        let x = self.norm.onnx(sketch, x)?;
        let x = self.act.onnx(sketch, &x)?;
        sketch.conv(&self.conv, &[&x])
    }
}

#[derive(Clone, Debug)]
struct ResBlock([Preactivated; 2]);

impl Layer for ResBlock {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        let x = joined(inputs)?;
        let [first, second] = &self.0;
        let inner = second.forward_t(first.forward_t(Pending::from(&x), train)?, train)?;
        Ok((inner.resolve()? + x)?.into())
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.joined(inputs);
        let [first, second] = &self.0;
        let inner = first.onnx(sketch, &x)?;
        let inner = second.onnx(sketch, &inner)?;
        Ok(sketch.sum(&inner, &x))
    }
}

impl Body for Network {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<(HeadId, Tensor)>> {
        let mut x = self.first.forward_of(&[&Pending::from(images)])?;
        let mut skips = Vec::new();
        for layers in &self.down {
            // A tensor: what comes next, and the skip, both read it.
            x = chain(layers, x, train)?.resolve()?.into();
            skips.push(x.clone());
        }
        skips.pop();
        for [finer, blocks] in &self.up {
            let skip = skips.pop().expect("one skip for each step up");
            x = (run(finer, &[&x], train)?.resolve()? + skip.resolve()?)?.into();
            x = chain(blocks, x, train)?;
        }
        Ok(vec![(HeadId::Main, self.last.forward_t(x, train)?.resolve()?)])
    }

    fn onnx(&self, sketch: &mut Sketch, images: &Value) -> Result<Value> {
        let mut x = sketch.conv(&self.first, &[images])?;
        let mut skips = Vec::new();
        for layers in &self.down {
            x = sketch.chain(layers, &x)?;
            skips.push(x.clone());
        }
        skips.pop();
        for [finer, blocks] in &self.up {
            let skip = skips.pop().expect("one skip for each step up");
            x = sketch.run(finer, &[&x])?;
            x = sketch.sum(&x, &skip);
            x = sketch.chain(blocks, &x)?;
        }
        self.last.onnx(sketch, &x)
    }
}
