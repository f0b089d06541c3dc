//! DeepLabV3.

use candle::Result;
use candle_nn::VarBuilder;
use nn::{Act, Pending};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::aspp::{Aspp, Rates};
use crate::block::{Layers, chain};
use crate::door::Housed;
use crate::isotropic::{Draw, Isotropic};
use crate::sketch::Sketch;
use crate::smp::{Decoder, EncoderDecoder, Plan};
use crate::unit::Unit;
use crate::{
    Architecture, EncoderKind, EncoderSlot, Error, Interface, Model, ModelConfig, Topology,
};

/// The `DeepLabV3` of segmentation-models-pytorch: features at several dilations, on an encoder that is
/// dilated in place of its last strides.
///
/// Parameters have the names of segmentation-models-pytorch, so that weights fit either way, for encoders
/// of residual networks; the names of others are timm's. There is no dropout. With `aux_head`, a head on
/// the features before the last is trained, too. In training, a batch needs more than one image: the mean
/// over all voxels is normalized over the batch.
///
/// # Source
///
/// Chen, Papandreou, Schroff, Adam: *Rethinking Atrous Convolution for Semantic Image Segmentation*, 2017,
/// [arXiv:1706.05587](https://arxiv.org/abs/1706.05587); `segmentation_models_pytorch.DeepLabV3` of
/// [segmentation-models-pytorch](https://github.com/qubvel-org/segmentation_models.pytorch) 0.6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeepLabV3 {
    /// The encoder.
    pub encoder: EncoderKind,
    /// How much coarser than the images its last features are: 8, 16 or 32. Stages that would be coarser
    /// are dilated.
    pub encoder_output_stride: usize,
    /// Channels of the decoder.
    pub decoder_channels: usize,
    /// Dilations, in voxels of the last features.
    pub decoder_atrous_rates: [usize; 3],
    /// Whether dilated convolutions look at each channel by itself first.
    pub decoder_aspp_separable: bool,
    /// Whether a second head is trained.
    pub aux_head: bool,
}

impl Default for DeepLabV3 {
    fn default() -> Self {
        Self {
            encoder: EncoderKind::default(),
            encoder_output_stride: 8,
            decoder_channels: 256,
            decoder_atrous_rates: [12, 24, 36],
            decoder_aspp_separable: false,
            aux_head: false,
        }
    }
}

impl Architecture for DeepLabV3 {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        interface.check()?;
        let (rank, width) = (interface.rank, self.decoder_channels);
        let rates =
            Rates { rates: self.decoder_atrous_rates, separable: self.decoder_aspp_separable };
        let stride = self.encoder_output_stride;
        rates.check(width, stride)?;
        let plan = |channels: &[usize], vb: &VarBuilder<'_>| {
            let conv = Isotropic::new(rank, width, width, 3, Draw::Decoder);
            let pyramid = Aspp::new(rank, [channels[5], width], rates, &vb.pp("aspp"))?;
            let fuse = Unit::batch(conv, Act::Relu, &vb.pp("conv"), &vb.pp("bn"))?;
            let decoder = Chain(vec![Box::new(pyramid), Box::new(fuse)]);
            Ok(Plan { decoder, width, kernel: 1, depth: 5, aux_head: self.aux_head })
        };
        let body = EncoderDecoder::new(interface, self.encoder, stride, &vb, plan)?;
        Ok(Housed::boxed(interface, stride, body))
    }

    fn fitted(&self, _: &Topology) -> std::result::Result<ModelConfig, Error> {
        Ok(self.clone().into())
    }

    fn encoders(&self, interface: Interface) -> Vec<EncoderSlot> {
        vec![EncoderSlot::of(self.encoder, interface)]
    }
}

/// Layers of the last features.
#[derive(Debug)]
struct Chain(Layers);

impl Decoder for Chain {
    fn forward_t(&self, features: &[Pending], train: bool) -> Result<Pending> {
        chain(&self.0, features[features.len() - 1].clone(), train)
    }

    fn onnx(&self, sketch: &mut Sketch, features: &[Value]) -> Result<Value> {
        sketch.chain(&self.0, &features[features.len() - 1])
    }
}
