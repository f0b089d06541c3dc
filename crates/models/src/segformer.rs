//! SegFormer.

use candle::Result;
use candle_nn::{Init, VarBuilder};
use nn::Pending;
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::block::Layer;
use crate::door::Housed;
use crate::encoder::Linear;
use crate::isotropic::{Draw, Isotropic};
use crate::limits;
use crate::sketch::Sketch;
use crate::smp::{Decoder, EncoderDecoder, LINEAR, Plan, resized};
use crate::unit::{Unit, extents};
use crate::{
    Architecture, EncoderKind, EncoderSlot, Error, Interface, Model, ModelConfig, Topology,
};

/// The `Segformer` of segmentation-models-pytorch: features of each resolution, mapped to the same
/// channels, brought to a quarter of the images' resolution, and fused.
///
/// Parameters have the names of segmentation-models-pytorch, so that weights fit either way, for encoders
/// of mix transformers and residual networks; the names of others are timm's. No path is dropped at
/// random. With `aux_head`, a head on the features before the last is trained, too.
///
/// # Source
///
/// Xie, Wang, Yu, Anandkumar, Alvarez, Luo: *SegFormer*, NeurIPS 2021,
/// [arXiv:2105.15203](https://arxiv.org/abs/2105.15203); `segmentation_models_pytorch.Segformer` of
/// [segmentation-models-pytorch](https://github.com/qubvel-org/segmentation_models.pytorch) 0.6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Segformer {
    /// The encoder.
    pub encoder: EncoderKind,
    /// Channels of the decoder.
    pub decoder_segmentation_channels: usize,
    /// Whether a second head is trained.
    pub aux_head: bool,
}

impl Default for Segformer {
    fn default() -> Self {
        Self { encoder: EncoderKind::MitB0, decoder_segmentation_channels: 256, aux_head: false }
    }
}

impl Architecture for Segformer {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        interface.check()?;
        let (rank, width) = (interface.rank, self.decoder_segmentation_channels);
        limits::width("decoder_segmentation_channels", width)?;
        let plan = |channels: &[usize], vb: &VarBuilder<'_>| {
            let mut maps = Vec::new();
            for (level, &cin) in channels.iter().enumerate().skip(1).rev() {
                if cin > 0 {
                    let vb = vb.pp("mlp_stage").pp(maps.len()).pp("linear");
                    let bound = (6.0 / (cin + width) as f64).sqrt();
                    let init = Init::Uniform { lo: -bound, up: bound };
                    maps.push((level, Linear::new(cin, width, init, &vb)?));
                }
            }
            let fuse = Isotropic::new(rank, maps.len() * width, width, 1, Draw::Decoder);
            let decoder = Maps { maps, fuse: Unit::relu(fuse, &vb.pp("fuse_stage"))? };
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
struct Maps {
    /// With the level of the features that each reads, coarsest first.
    maps: Vec<(usize, Linear)>,
    fuse: Unit,
}

impl Decoder for Maps {
    fn forward_t(&self, features: &[Pending], train: bool) -> Result<Pending> {
        let size = extents(&features[2]);
        let mut parts = Vec::new();
        for (level, map) in &self.maps {
            let part = map.forward(&features[*level].resolve()?)?;
            parts.push(resized(&part, size, LINEAR)?);
        }
        let all = nn::concat(&parts.iter().collect::<Vec<_>>())?;
        self.fuse.forward_t(&[&all.into()], train)
    }

    fn onnx(&self, sketch: &mut Sketch, features: &[Value]) -> Result<Value> {
        let mut parts = Vec::new();
        for (level, map) in &self.maps {
            let part = map.onnx(sketch, &features[*level])?;
            parts.push(sketch.resized(&part, &features[2], LINEAR)?);
        }
        self.fuse.onnx(sketch, &parts.iter().collect::<Vec<_>>())
    }
}
