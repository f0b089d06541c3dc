//! DeepLabV3+.

use candle::Result;
use candle_nn::VarBuilder;
use nn::Pending;
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::aspp::{Aspp, Rates, separable};
use crate::block::{Layer, Layers, chain, run};
use crate::door::Housed;
use crate::isotropic::{Draw, Isotropic};
use crate::sketch::Sketch;
use crate::smp::{CORNERS, Decoder, EncoderDecoder, Plan, resized};
use crate::unit::{Unit, extents};
use crate::{
    Architecture, EncoderKind, EncoderSlot, Error, Interface, Model, ModelConfig, Topology,
};

/// The `DeepLabV3Plus` of segmentation-models-pytorch: features at several dilations, joined with those at
/// a quarter of the images' resolution.
///
/// Parameters have the names of segmentation-models-pytorch, so that weights fit either way, for encoders
/// of residual networks; the names of others are timm's. There is no dropout. With `aux_head`, a head on
/// the features before the last is trained, too. In training, a batch needs more than one image: the mean
/// over all voxels is normalized over the batch.
///
/// # Source
///
/// Chen, Zhu, Papandreou, Schroff, Adam: *Encoder-Decoder with Atrous Separable Convolution for Semantic
/// Image Segmentation*, ECCV 2018, [arXiv:1802.02611](https://arxiv.org/abs/1802.02611);
/// `segmentation_models_pytorch.DeepLabV3Plus` of
/// [segmentation-models-pytorch](https://github.com/qubvel-org/segmentation_models.pytorch) 0.6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeepLabV3Plus {
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

impl Default for DeepLabV3Plus {
    fn default() -> Self {
        Self {
            encoder: EncoderKind::default(),
            encoder_output_stride: 16,
            decoder_channels: 256,
            decoder_atrous_rates: [12, 24, 36],
            decoder_aspp_separable: true,
            aux_head: false,
        }
    }
}

/// Channels of the finer features, by the paper's advice.
const FINE: usize = 48;

impl Architecture for DeepLabV3Plus {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        interface.check()?;
        let (rank, width) = (interface.rank, self.decoder_channels);
        let rates =
            Rates { rates: self.decoder_atrous_rates, separable: self.decoder_aspp_separable };
        let stride = self.encoder_output_stride;
        rates.check(width, stride)?;
        let plan = |channels: &[usize], vb: &VarBuilder<'_>| {
            let conv = |cin, kernel| Isotropic::new(rank, cin, width, kernel, Draw::Decoder);
            let aspp = vb.pp("aspp");
            let pyramid = Aspp::new(rank, [channels[5], width], rates, &aspp.pp(0))?;
            let mut coarse: Layers = vec![Box::new(pyramid)];
            coarse.extend(separable(conv(width, 3), &aspp.pp(1), &aspp.pp(2))?);
            let fine = Isotropic::new(rank, channels[2], FINE, 1, Draw::Decoder);
            let block = vb.pp("block2");
            let decoder = Joined {
                coarse,
                fine: Unit::relu(fine, &vb.pp("block1"))?,
                fuse: separable(conv(FINE + width, 3), &block.pp(0), &block.pp(1))?,
            };
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

#[derive(Debug)]
struct Joined {
    coarse: Layers,
    fine: Unit,
    fuse: Layers,
}

impl Decoder for Joined {
    fn forward_t(&self, features: &[Pending], train: bool) -> Result<Pending> {
        let coarse = chain(&self.coarse, features[5].clone(), train)?.resolve()?;
        let coarse = Pending::from(resized(&coarse, extents(&features[2]), CORNERS)?);
        let fine = self.fine.forward_t(&[&features[2]], train)?;
        run(&self.fuse, &[&coarse, &fine], train)
    }

    fn onnx(&self, sketch: &mut Sketch, features: &[Value]) -> Result<Value> {
        let coarse = sketch.chain(&self.coarse, &features[5])?;
        let coarse = sketch.resized(&coarse, &features[2], CORNERS)?;
        let fine = self.fine.onnx(sketch, &[&features[2]])?;
        sketch.run(&self.fuse, &[&coarse, &fine])
    }
}
