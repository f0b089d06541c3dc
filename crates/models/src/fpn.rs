//! The feature pyramid network.

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use nn::{Act, Conv, GroupNorm, Interpolation, Pending};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::block::{Layer, Layers, run};
use crate::door::Housed;
use crate::isotropic::{Draw, Isotropic};
use crate::limits;
use crate::nonlinearity::Nonlinear;
use crate::normalization::{EPS, Normalizer};
use crate::sketch::Sketch;
use crate::smp::{CORNERS, Decoder, EncoderDecoder, Plan, resized};
use crate::unit::{AnyConv, Unit, extents, joined};
use crate::{
    Architecture, EncoderKind, EncoderSlot, Error, Interface, Model, ModelConfig, Topology,
};

/// The `FPN` of segmentation-models-pytorch: features of four resolutions, passed down from coarse to
/// fine, brought to one resolution, and added.
///
/// Parameters have the names of segmentation-models-pytorch, so that weights fit either way, for encoders
/// of residual networks; the names of others are timm's. There is no dropout. With `aux_head`, a head on
/// the features before the last is trained, too.
///
/// # Source
///
/// Kirillov, He, Girshick, Dollár: *A Unified Architecture for Instance and Semantic Segmentation*, 2017;
/// Lin et al., CVPR 2017, [arXiv:1612.03144](https://arxiv.org/abs/1612.03144);
/// `segmentation_models_pytorch.FPN` of
/// [segmentation-models-pytorch](https://github.com/qubvel-org/segmentation_models.pytorch) 0.6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fpn {
    /// The encoder.
    pub encoder: EncoderKind,
    /// Channels that are passed down.
    pub decoder_pyramid_channels: usize,
    /// Channels that are added, a multiple of 32.
    pub decoder_segmentation_channels: usize,
    /// Whether a second head is trained.
    pub aux_head: bool,
}

impl Default for Fpn {
    fn default() -> Self {
        Self {
            encoder: EncoderKind::default(),
            decoder_pyramid_channels: 256,
            decoder_segmentation_channels: 128,
            aux_head: false,
        }
    }
}

/// Blocks of channels that are normalized together.
const GROUPS: usize = 32;

impl Fpn {
    /// The network without its door.
    pub(crate) fn body(&self, interface: Interface, vb: &VarBuilder<'_>) -> Result<EncoderDecoder> {
        interface.check()?;
        let (middle, width) = (self.decoder_pyramid_channels, self.decoder_segmentation_channels);
        limits::width("decoder_pyramid_channels", middle)?;
        limits::width("decoder_segmentation_channels", width)?;
        if !width.is_multiple_of(GROUPS) {
            let rule = "it must be a multiple of 32";
            return Err(Error::setting("decoder_segmentation_channels", &width, rule).into());
        }
        let rank = interface.rank;
        let plan = |channels: &[usize], vb: &VarBuilder<'_>| {
            let point = |cin: usize, name: &str| {
                Isotropic::new(rank, cin, middle, 1, Draw::Decoder).biased().build(&vb.pp(name))
            };
            let decoder = Pyramid {
                coarsest: point(channels[5], "p5")?,
                laterals: vec![
                    point(channels[4], "p4.skip_conv")?,
                    point(channels[3], "p3.skip_conv")?,
                    point(channels[2], "p2.skip_conv")?,
                ],
                blocks: (0..4)
                    .map(|i| segmentation(rank, [middle, width], 3 - i, &vb.pp("seg_blocks").pp(i)))
                    .collect::<Result<_>>()?,
            };
            Ok(Plan { decoder, width, kernel: 1, depth: 5, aux_head: self.aux_head })
        };
        EncoderDecoder::new(interface, self.encoder, 32, vb, plan)
    }
}

impl Architecture for Fpn {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        let body = self.body(interface, &vb)?;
        Ok(Housed::boxed(interface, 32, body))
    }

    fn fitted(&self, _: &Topology) -> std::result::Result<ModelConfig, Error> {
        Ok(self.clone().into())
    }

    fn encoders(&self, interface: Interface) -> Vec<EncoderSlot> {
        vec![EncoderSlot::of(self.encoder, interface)]
    }
}

/// Convolutions that double the resolution so often; one, where they do not.
fn segmentation(
    rank: usize,
    channels: [usize; 2],
    doublings: usize,
    vb: &VarBuilder<'_>,
) -> Result<Layers> {
    let [cin, cout] = channels;
    let mut layers: Layers = Vec::new();
    for i in 0..doublings.max(1) {
        let vb = vb.pp("block").pp(i).pp("block");
        let cin = if i == 0 { cin } else { cout };
        let conv = Isotropic::new(rank, cin, cout, 3, Draw::Decoder).build(&vb.pp(0))?;
        layers.push(Box::new(Unit {
            conv: AnyConv::Conv(conv),
            norm: Normalizer::Group(GroupNorm::new(GROUPS, cout, EPS, vb.pp(1))?),
            act: Nonlinear::Act(Act::Relu),
            act_first: false,
        }));
        if doublings > 0 {
            layers.push(Box::new(Double));
        }
    }
    Ok(layers)
}

/// Twice the resolution.
#[derive(Debug)]
struct Double;

impl Layer for Double {
    fn forward_t(&self, inputs: &[&Pending], _: bool) -> Result<Pending> {
        Ok(doubled(&joined(inputs)?, CORNERS)?.into())
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.joined(inputs);
        sketch.doubled(&x, CORNERS)
    }
}

fn doubled(x: &Tensor, interpolation: Interpolation) -> Result<Tensor> {
    let x = Pending::from(x);
    let size: Vec<usize> = extents(&x).iter().map(|extent| 2 * extent).collect();
    resized(&x.resolve()?, &size, interpolation)
}

#[derive(Debug)]
struct Pyramid {
    coarsest: Conv,
    /// Coarsest first.
    laterals: Vec<Conv>,
    /// Coarsest first.
    blocks: Vec<Layers>,
}

impl Decoder for Pyramid {
    fn forward_t(&self, features: &[Pending], train: bool) -> Result<Pending> {
        let mut x = self.coarsest.forward_of(&[&features[5]])?.resolve()?;
        let mut sum = run(&self.blocks[0], &[&Pending::from(&x)], train)?.resolve()?;
        let levels = self.laterals.iter().zip(features.iter().rev().skip(1));
        for ((lateral, skip), block) in levels.zip(&self.blocks[1..]) {
            let skip = lateral.forward_of(&[skip])?.resolve()?;
            x = (doubled(&x, Interpolation::Nearest)? + skip)?;
            sum = (sum + run(block, &[&Pending::from(&x)], train)?.resolve()?)?;
        }
        Ok(sum.into())
    }

    fn onnx(&self, sketch: &mut Sketch, features: &[Value]) -> Result<Value> {
        let mut x = sketch.conv(&self.coarsest, &[&features[5]])?;
        let mut sum = sketch.run(&self.blocks[0], &[&x])?;
        let levels = self.laterals.iter().zip(features.iter().rev().skip(1));
        for ((lateral, skip), block) in levels.zip(&self.blocks[1..]) {
            let skip = sketch.conv(lateral, &[skip])?;
            let finer = sketch.doubled(&x, Interpolation::Nearest)?;
            x = sketch.sum(&finer, &skip);
            let part = sketch.run(block, &[&x])?;
            sum = sketch.sum(&sum, &part);
        }
        Ok(sum)
    }
}
