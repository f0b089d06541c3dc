//! MIScnn's U-Net.

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use nn::{Act, Conv, ConvTranspose, ConvTransposeConfig, InstanceNorm, Pending, PoolConfig};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::block::{Layer, Layers, run};
use crate::door::{Body, Housed};
use crate::isotropic::{Draw, Isotropic};
use crate::limits::width;
use crate::nonlinearity::Nonlinear;
use crate::normalization::Normalizer;
use crate::sketch::Sketch;
use crate::unit::{AnyConv, MaxPool, Unit};
use crate::{Architecture, Error, HeadId, Interface, Model, ModelConfig, Topology};

/// The standard U-Net of MIScnn, in 2D and 3D, as the papers on asymmetric and unified losses trained it:
/// convolution, **then** ReLU, **then** instance norm.
///
/// Each resolution has two convolutions; max pooling halves it on the way down, and a transposed
/// convolution doubles it on the way up. Keras begins with Glorot's uniform weights, and so does this
/// network; its instance norm has an epsilon of 1e-3. Logits come out, where MIScnn has a softmax.
///
/// # Source
///
/// Müller, Kramer: *MIScnn: A Framework for Medical Image Segmentation with Convolutional Neural Networks
/// and Deep Learning*, BMC Medical Imaging 21, 2021,
/// [arXiv:1910.09308](https://arxiv.org/abs/1910.09308); the norm in its place is that of Yeung, Sala,
/// Schönlieb, Rundo: *Unified Focal Loss*, 2022, [arXiv:2102.04525](https://arxiv.org/abs/2102.04525).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MiscnnUnet {
    /// Channels of the finest resolution; each coarser one has twice as many.
    pub n_filters: usize,
    /// How often the resolution is halved, up to 8 times.
    pub depth: usize,
    /// Added to the variance that a norm divides by.
    pub norm_eps: f64,
}

impl Default for MiscnnUnet {
    fn default() -> Self {
        Self { n_filters: 32, depth: 4, norm_eps: 1e-3 }
    }
}

#[derive(Debug)]
struct Unet {
    /// Finest first, the coarsest last.
    down: Vec<Layers>,
    /// Coarsest first.
    up: Vec<(ConvTranspose, Layers)>,
    head: Conv,
}

impl Architecture for MiscnnUnet {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        interface.check()?;
        width("n_filters", self.n_filters)?;
        if !(1..=8).contains(&self.depth) {
            return Err(Error::setting("depth", &self.depth, "it must be 1 to 8").into());
        }
        if !self.norm_eps.is_finite() || self.norm_eps < 0.0 {
            let (setting, value) = ("norm_eps", self.norm_eps);
            return Err(Error::NotANumber { setting, value }.into());
        }
        let Interface { channels, classes, rank } = interface;
        let two = vec![2; rank];
        let filters = |level: usize| self.n_filters << level;

        let mut down = Vec::new();
        let mut cin = channels;
        for level in 0..=self.depth {
            let mut layers: Layers = Vec::new();
            if level > 0 {
                layers.push(Box::new(MaxPool(PoolConfig::new(&two))));
            }
            layers.extend(self.block(rank, [cin, filters(level)], &vb.pp("down").pp(level))?);
            down.push(layers);
            cin = filters(level);
        }
        let mut up = Vec::new();
        for level in (0..self.depth).rev() {
            let vb = vb.pp("up").pp(level);
            let (coarse, fine) = (filters(level + 1), filters(level));
            let names = vb.pp("upsample");
            Draw::Glorot.ask(&[&[coarse, fine], two.as_slice()].concat(), &names)?;
            let config = ConvTransposeConfig::upsample(&two);
            let upsample = ConvTranspose::new(coarse, fine, &two, config, true, names)?;
            up.push((upsample, self.block(rank, [2 * fine, fine], &vb)?));
        }
        let head = Isotropic::new(rank, filters(0), classes, 1, Draw::Glorot).biased();
        let head = head.build(&vb.pp("head"))?;
        Ok(Housed::boxed(interface, 1 << self.depth, Unet { down, up, head }))
    }

    fn fitted(&self, _: &Topology) -> std::result::Result<ModelConfig, Error> {
        Ok(self.clone().into())
    }
}

impl MiscnnUnet {
    /// Two convolutions with what follows them, under `convs.{i}`.
    fn block(&self, rank: usize, channels: [usize; 2], vb: &VarBuilder<'_>) -> Result<Layers> {
        let [cin, cout] = channels;
        let unit = |i: usize| -> Result<Box<dyn Layer>> {
            let vb = vb.pp("convs").pp(i);
            let cin = if i == 0 { cin } else { cout };
            let conv = Isotropic::new(rank, cin, cout, 3, Draw::Glorot).biased();
            let norm = InstanceNorm::new(cout, self.norm_eps, true, vb.pp("norm"))?;
            Ok(Box::new(Unit {
                conv: AnyConv::Conv(conv.build(&vb.pp("conv"))?),
                norm: Normalizer::Instance(norm),
                act: Nonlinear::Act(Act::Relu),
                act_first: true,
            }))
        };
        (0..2).map(unit).collect()
    }
}

impl Body for Unet {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<(HeadId, Tensor)>> {
        let mut x = Pending::from(images);
        let mut skips = Vec::new();
        for layers in &self.down {
            x = run(layers, &[&x], train)?;
            skips.push(x.clone());
        }
        skips.pop();
        for (upsample, block) in &self.up {
            let skip = skips.pop().expect("one skip for each step up");
            let finer = upsample.forward_of(&[&x])?;
            x = run(block, &[&finer, &skip], train)?;
        }
        Ok(vec![(HeadId::Main, self.head.forward_of(&[&x])?.resolve()?)])
    }

    fn onnx(&self, sketch: &mut Sketch, images: &Value) -> Result<Value> {
        let mut x = images.clone();
        let mut skips = Vec::new();
        for layers in &self.down {
            x = sketch.run(layers, &[&x])?;
            skips.push(x.clone());
        }
        skips.pop();
        for (upsample, block) in &self.up {
            let skip = skips.pop().expect("one skip for each step up");
            let finer = sketch.conv_transpose(upsample, &[&x])?;
            x = sketch.run(block, &[&finer, &skip])?;
        }
        sketch.conv(&self.head, &[&x])
    }
}
