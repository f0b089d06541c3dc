//! PSPNet.

use candle::Result;
use candle_nn::VarBuilder;
use nn::{Act, Pending};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::block::Layer;
use crate::door::Housed;
use crate::isotropic::{Draw, Isotropic};
use crate::limits;
use crate::nonlinearity::Nonlinear;
use crate::normalization::Normalizer;
use crate::sketch::Sketch;
use crate::smp::{CORNERS, Decoder, EncoderDecoder, Plan, resized};
use crate::unit::{AnyConv, Unit, extents};
use crate::{
    Architecture, EncoderKind, EncoderSlot, Error, Interface, Model, ModelConfig, Topology,
};

/// The `PSPNet` of segmentation-models-pytorch: means over 1, 2, 3 and 6 windows along each axis, joined
/// with the features that they are of.
///
/// Parameters have the names of segmentation-models-pytorch, so that weights fit either way, for encoders
/// of residual networks; the names of others are timm's. As there, stages of the encoder that are not used
/// have parameters all the same, which no training changes. There is no dropout. With `aux_head`, a head
/// on the features before the last is trained, too.
///
/// # Source
///
/// Zhao, Shi, Qi, Wang, Jia: *Pyramid Scene Parsing Network*, CVPR 2017,
/// [arXiv:1612.01105](https://arxiv.org/abs/1612.01105); `segmentation_models_pytorch.PSPNet` of
/// [segmentation-models-pytorch](https://github.com/qubvel-org/segmentation_models.pytorch) 0.6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PspNet {
    /// The encoder.
    pub encoder: EncoderKind,
    /// Stages of the encoder that are used, 3 to 5.
    pub encoder_depth: usize,
    /// How much coarser than the images features are at most: 8, 16 or 32. Stages that would be coarser are
    /// dilated. The paper has 8 and all stages.
    pub encoder_output_stride: usize,
    /// Channels of the decoder.
    pub psp_out_channels: usize,
    /// Whether a second head is trained.
    pub aux_head: bool,
}

impl Default for PspNet {
    fn default() -> Self {
        Self {
            encoder: EncoderKind::default(),
            encoder_depth: 3,
            encoder_output_stride: 32,
            psp_out_channels: 512,
            aux_head: false,
        }
    }
}

/// Windows along each axis.
const BINS: [usize; 4] = [1, 2, 3, 6];

impl Architecture for PspNet {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        interface.check()?;
        let (depth, coarsest) = (self.encoder_depth, self.encoder_output_stride);
        if !(3..=5).contains(&depth) {
            return Err(Error::setting("encoder_depth", &depth, "it must be 3, 4 or 5").into());
        }
        if ![8, 16, 32].contains(&coarsest) {
            let rule = "it must be 8, 16 or 32";
            return Err(Error::setting("encoder_output_stride", &coarsest, rule).into());
        }
        let (rank, width) = (interface.rank, self.psp_out_channels);
        limits::width("psp_out_channels", width)?;
        let plan = |channels: &[usize], vb: &VarBuilder<'_>| {
            let cin = channels[depth];
            let share = cin / BINS.len();
            let pools = BINS.iter().enumerate().map(|(i, &bins)| {
                let vb = vb.pp("psp.blocks").pp(i).pp("pool.1");
                let conv = Isotropic::new(rank, cin, share, 1, Draw::Decoder);
                // A mean over all voxels has no variance within a sample.
                let unit = if bins == 1 {
                    Unit {
                        conv: AnyConv::Conv(conv.biased().build(&vb.pp(0))?),
                        norm: Normalizer::None,
                        act: Nonlinear::Act(Act::Relu),
                        act_first: false,
                    }
                } else {
                    Unit::relu(conv, &vb)?
                };
                Ok((bins, unit))
            });
            let joined = cin + BINS.len() * share;
            let fuse = Isotropic::new(rank, joined, width, 1, Draw::Decoder);
            let decoder = Means {
                pools: pools.collect::<Result<_>>()?,
                fuse: Unit::relu(fuse, &vb.pp("conv"))?,
            };
            Ok(Plan { decoder, width, kernel: 3, depth, aux_head: self.aux_head })
        };
        let body = EncoderDecoder::new(interface, self.encoder, coarsest, &vb, plan)?;
        Ok(Housed::boxed(interface, coarsest.min(1 << depth), body))
    }

    fn fitted(&self, _: &Topology) -> std::result::Result<ModelConfig, Error> {
        Ok(self.clone().into())
    }

    fn encoders(&self, interface: Interface) -> Vec<EncoderSlot> {
        vec![EncoderSlot::of(self.encoder, interface)]
    }
}

#[derive(Debug)]
struct Means {
    pools: Vec<(usize, Unit)>,
    fuse: Unit,
}

impl Decoder for Means {
    fn forward_t(&self, features: &[Pending], train: bool) -> Result<Pending> {
        let source = &features[features.len() - 1];
        let (x, size) = (source.resolve()?, extents(source));
        let mut parts = Vec::new();
        for (bins, unit) in &self.pools {
            let means = nn::adaptive_avg_pool(&x, &vec![*bins; size.len()])?;
            let means = unit.forward_t(&[&means.into()], train)?.resolve()?;
            parts.push(resized(&means, size, CORNERS)?);
        }
        parts.push(x);
        let all = nn::concat(&parts.iter().collect::<Vec<_>>())?;
        self.fuse.forward_t(&[&all.into()], train)
    }

    fn onnx(&self, sketch: &mut Sketch, features: &[Value]) -> Result<Value> {
        let x = &features[features.len() - 1];
        let mut parts = Vec::new();
        for (bins, unit) in &self.pools {
            let means = sketch.adaptive_avg_pool(*bins, x)?;
            let means = unit.onnx(sketch, &[&means])?;
            parts.push(sketch.resized(&means, x, CORNERS)?);
        }
        parts.push(x.clone());
        self.fuse.onnx(sketch, &parts.iter().collect::<Vec<_>>())
    }
}
