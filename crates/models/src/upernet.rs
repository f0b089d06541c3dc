//! UPerNet.

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use nn::{LayerNorm, Pending};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::block::Layer;
use crate::door::Housed;
use crate::isotropic::{Draw, Isotropic};
use crate::limits;
use crate::sketch::Sketch;
use crate::smp::{Decoder, EncoderDecoder, LINEAR, Plan, resized};
use crate::unit::{Unit, extents};
use crate::{
    Architecture, EncoderKind, EncoderSlot, Error, Interface, Model, ModelConfig, Topology,
};

/// The `UPerNet` of segmentation-models-pytorch: a feature pyramid whose top is a pyramid of means.
///
/// Parameters have the names of segmentation-models-pytorch, so that weights fit either way, for encoders
/// of residual networks and mix transformers; the names of others are timm's. With `aux_head`, a head on
/// the features before the last is trained, too. In training, a batch needs more than one image: the mean
/// over all voxels is normalized over the batch.
///
/// # Source
///
/// Xiao, Liu, Zhou, Jiang, Sun: *Unified Perceptual Parsing for Scene Understanding*, ECCV 2018,
/// [arXiv:1807.10221](https://arxiv.org/abs/1807.10221); `segmentation_models_pytorch.UPerNet` of
/// [segmentation-models-pytorch](https://github.com/qubvel-org/segmentation_models.pytorch) 0.6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UperNet {
    /// The encoder.
    pub encoder: EncoderKind,
    /// Channels of the decoder.
    pub decoder_channels: usize,
    /// Whether a second head is trained.
    pub aux_head: bool,
}

impl Default for UperNet {
    fn default() -> Self {
        Self { encoder: EncoderKind::default(), decoder_channels: 256, aux_head: false }
    }
}

/// Windows along each axis.
const BINS: [usize; 4] = [1, 2, 3, 6];

/// The epsilon of the norms over channels.
const NORM_EPS: f64 = 1e-6;

impl Architecture for UperNet {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        interface.check()?;
        let (rank, width) = (interface.rank, self.decoder_channels);
        limits::width("decoder_channels", width)?;
        let plan = |channels: &[usize], vb: &VarBuilder<'_>| {
            let channels = &channels[2..];
            let conv = |cin, kernel| Isotropic::new(rank, cin, width, kernel, Draw::Decoder);
            let norm = |(i, &width): (usize, &usize)| {
                LayerNorm::new(width, NORM_EPS, vb.pp("feature_norms").pp(i))
            };
            let pool = |(i, &bins): (usize, &usize)| {
                let vb = vb.pp("psp.blocks").pp(i).pp(1);
                Ok((bins, Unit::relu(conv(channels[3], 1), &vb)?))
            };
            let lateral = |(i, &channels): (usize, &usize)| {
                let vb = vb.pp("fpn_lateral_blocks").pp(i).pp("conv_norm_relu");
                Unit::relu(conv(channels, 1), &vb)
            };
            let top = conv(channels[3] + BINS.len() * width, 3);
            let smooth = |i: usize| Unit::relu(conv(width, 3), &vb.pp("fpn_conv_blocks").pp(i));
            let decoder = Pyramid {
                norms: channels.iter().enumerate().map(norm).collect::<Result<_>>()?,
                pools: BINS.iter().enumerate().map(pool).collect::<Result<_>>()?,
                top: Unit::relu(top, &vb.pp("psp.out_conv"))?,
                laterals: channels[..3]
                    .iter()
                    .rev()
                    .enumerate()
                    .map(lateral)
                    .collect::<Result<_>>()?,
                smooth: (0..3).map(smooth).collect::<Result<_>>()?,
                fuse: Unit::relu(conv(4 * width, 3), &vb.pp("fusion_block"))?,
            };
            Ok(Plan { decoder, width, kernel: 1, depth: 5, aux_head: self.aux_head })
        };
        let body = EncoderDecoder::new(interface, self.encoder, 32, &vb, plan)?;
        Ok(Housed::boxed(interface, 32, body))
    }

    fn fitted(&self, _: &Topology) -> std::result::Result<ModelConfig, Error> {
        Ok(self.clone().into())
    }

    fn encoders(&self, interface: Interface) -> Vec<EncoderSlot> {
        vec![EncoderSlot::of(self.encoder, interface)]
    }
}

#[derive(Debug)]
struct Pyramid {
    /// Finest first.
    norms: Vec<LayerNorm>,
    pools: Vec<(usize, Unit)>,
    top: Unit,
    /// Coarsest first.
    laterals: Vec<Unit>,
    /// Coarsest first.
    smooth: Vec<Unit>,
    fuse: Unit,
}

impl Decoder for Pyramid {
    fn forward_t(&self, features: &[Pending], train: bool) -> Result<Pending> {
        let normed = |(norm, x): (&LayerNorm, &Pending)| norm.forward(&x.resolve()?);
        let mut features =
            self.norms.iter().zip(&features[2..]).map(normed).collect::<Result<Vec<_>>>()?;
        let finest = space(&features[0]);
        let coarsest = features.pop().expect("a coarsest feature");

        let mut x = self.means(coarsest, train)?;
        // The finest first, as the fusion reads them.
        let mut parts = vec![resized(&x, &finest, LINEAR)?];
        for ((lateral, smooth), feature) in
            self.laterals.iter().zip(&self.smooth).zip(features.iter().rev())
        {
            let lateral = lateral.forward_t(&[&feature.into()], train)?.resolve()?;
            x = (resized(&x, &space(&lateral), LINEAR)? + lateral)?;
            let part = smooth.forward_t(&[&Pending::from(&x)], train)?.resolve()?;
            parts.insert(0, resized(&part, &finest, LINEAR)?);
        }
        let all = nn::concat(&parts.iter().collect::<Vec<_>>())?;
        self.fuse.forward_t(&[&all.into()], train)
    }

    fn onnx(&self, sketch: &mut Sketch, features: &[Value]) -> Result<Value> {
        let mut normed = Vec::new();
        for (norm, x) in self.norms.iter().zip(&features[2..]) {
            normed.push(sketch.layer_norm(norm, x)?);
        }
        let finest = normed[0].clone();
        let coarsest = normed.pop().expect("a coarsest feature");

        let mut x = self.means_onnx(sketch, &coarsest)?;
        // The finest first, as the fusion reads them.
        let mut parts = vec![sketch.resized(&x, &finest, LINEAR)?];
        for ((lateral, smooth), feature) in
            self.laterals.iter().zip(&self.smooth).zip(normed.iter().rev())
        {
            let lateral = lateral.onnx(sketch, &[feature])?;
            x = sketch.resized(&x, &lateral, LINEAR)?;
            x = sketch.sum(&x, &lateral);
            let part = smooth.onnx(sketch, &[&x])?;
            parts.insert(0, sketch.resized(&part, &finest, LINEAR)?);
        }
        self.fuse.onnx(sketch, &parts.iter().collect::<Vec<_>>())
    }
}

impl Pyramid {
    /// The coarsest features with their means.
    fn means(&self, x: Tensor, train: bool) -> Result<Tensor> {
        let size = space(&x);
        let mut parts = vec![x];
        for (bins, unit) in &self.pools {
            let means = nn::adaptive_avg_pool(&parts[0], &vec![*bins; size.len()])?;
            let means = unit.forward_t(&[&means.into()], train)?.resolve()?;
            parts.push(resized(&means, &size, LINEAR)?);
        }
        let all = nn::concat(&parts.iter().collect::<Vec<_>>())?;
        self.top.forward_t(&[&all.into()], train)?.resolve()
    }

    /// The same, as nodes of a graph.
    fn means_onnx(&self, sketch: &mut Sketch, x: &Value) -> Result<Value> {
        let mut parts = vec![x.clone()];
        for (bins, unit) in &self.pools {
            let means = sketch.adaptive_avg_pool(*bins, x)?;
            let means = unit.onnx(sketch, &[&means])?;
            parts.push(sketch.resized(&means, x, LINEAR)?);
        }
        self.top.onnx(sketch, &parts.iter().collect::<Vec<_>>())
    }
}

fn space(x: &Tensor) -> Vec<usize> {
    extents(&x.into()).to_vec()
}
