//! The U-Net on an encoder.

use candle::Result;
use candle_nn::VarBuilder;
use nn::{Interpolation, Pending};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::block::{Layer, Layers, run};
use crate::door::Housed;
use crate::isotropic::{Draw, Isotropic};
use crate::limits::widths;
use crate::sketch::Sketch;
use crate::smp::{Decoder, EncoderDecoder, LINEAR, Plan, resized};
use crate::unit::{Unit, extents};
use crate::{
    Architecture, EncoderKind, EncoderSlot, Error, Interface, Model, ModelConfig, Topology,
};

/// The `Unet` of segmentation-models-pytorch: an encoder that was made for photographs, and five steps up
/// that are joined with its features.
///
/// Parameters have the names of segmentation-models-pytorch, so that weights fit either way, for encoders
/// of residual networks; the names of others are timm's. With `aux_head`, a head on the features before
/// the last is trained, too, as in the work on Jaccard metric losses.
///
/// # Source
///
/// Ronneberger, Fischer, Brox: *U-Net*, MICCAI 2015,
/// [arXiv:1505.04597](https://arxiv.org/abs/1505.04597); `segmentation_models_pytorch.Unet` of
/// [segmentation-models-pytorch](https://github.com/qubvel-org/segmentation_models.pytorch) 0.6.
///
/// # Examples
///
/// ```
/// use candle::{DType, Device, Tensor};
/// use sconce_models::{Architecture, EncoderKind, HeadId, Input, Interface, SmpUnet};
///
/// let interface = Interface { channels: 1, classes: 2, rank: 2 };
/// let settings = SmpUnet {
///     encoder: EncoderKind::MobilenetV2,
///     decoder_channels: [16, 8, 8, 4, 4],
///     aux_head: true,
///     ..SmpUnet::default()
/// };
/// let parameters = nn::Parameters::new(0, &Device::Cpu);
/// let model = settings.build(interface, parameters.builder())?;
///
/// assert_eq!(model.stride(), [32, 32]);
/// let images = Tensor::zeros((2, 1, 32, 32), DType::F32, &Device::Cpu)?;
/// let logits = model.forward_t(&Input::images(images), true)?;
/// assert_eq!(logits.main().dims(), [2, 2, 32, 32]);
/// assert!(logits.get(HeadId::Auxiliary(0)).is_some());
/// # Ok::<(), candle::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmpUnet {
    /// The encoder.
    pub encoder: EncoderKind,
    /// Channels of each step up, coarsest first.
    pub decoder_channels: [usize; 5],
    /// How a step up doubles the resolution.
    pub decoder_interpolation: Upscaling,
    /// Whether a second head is trained.
    pub aux_head: bool,
}

/// How a decoder gets finer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Upscaling {
    /// By the voxel that covers the finer one.
    #[default]
    Nearest,
    /// By linear interpolation.
    #[serde(alias = "bilinear")]
    Linear,
}

impl Upscaling {
    pub(crate) fn interpolation(self) -> Interpolation {
        match self {
            Self::Nearest => Interpolation::Nearest,
            Self::Linear => LINEAR,
        }
    }
}

impl Default for SmpUnet {
    fn default() -> Self {
        Self {
            encoder: EncoderKind::default(),
            decoder_channels: [256, 128, 64, 32, 16],
            decoder_interpolation: Upscaling::Nearest,
            aux_head: false,
        }
    }
}

impl Architecture for SmpUnet {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        interface.check()?;
        widths("decoder_channels", &self.decoder_channels)?;
        let rank = interface.rank;
        let plan = |channels: &[usize], vb: &VarBuilder<'_>| {
            let mut cin = channels[5];
            let mut steps = Vec::new();
            for (i, &cout) in self.decoder_channels.iter().enumerate() {
                let skip = if i < 4 { channels[4 - i] } else { 0 };
                let vb = vb.pp("blocks").pp(i);
                let conv = |cin, name| -> Result<Box<dyn Layer>> {
                    let conv = Isotropic::new(rank, cin, cout, 3, Draw::Decoder);
                    Ok(Box::new(Unit::relu(conv, &vb.pp(name))?))
                };
                let convs = vec![conv(cin + skip, "conv1")?, conv(cout, "conv2")?];
                steps.push(Step { is_joined: skip > 0, convs });
                cin = cout;
            }
            let interpolation = self.decoder_interpolation.interpolation();
            let decoder = Steps { steps, interpolation };
            Ok(Plan { decoder, width: cin, kernel: 3, depth: 5, aux_head: self.aux_head })
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

/// Coarsest first.
#[derive(Debug)]
struct Steps {
    steps: Vec<Step>,
    interpolation: Interpolation,
}

#[derive(Debug)]
struct Step {
    /// Whether the encoder has features at this resolution.
    is_joined: bool,
    convs: Layers,
}

impl Decoder for Steps {
    fn forward_t(&self, features: &[Pending], train: bool) -> Result<Pending> {
        let mut x = features[features.len() - 1].clone();
        for (step, skip) in self.steps.iter().zip(features.iter().rev().skip(1)) {
            let size: Vec<usize> = extents(&x).iter().map(|extent| 2 * extent).collect();
            let finer = Pending::from(resized(&x.resolve()?, &size, self.interpolation)?);
            let inputs = if step.is_joined { vec![&finer, skip] } else { vec![&finer] };
            x = run(&step.convs, &inputs, train)?;
        }
        Ok(x)
    }

    fn onnx(&self, sketch: &mut Sketch, features: &[Value]) -> Result<Value> {
        let mut x = features[features.len() - 1].clone();
        for (step, skip) in self.steps.iter().zip(features.iter().rev().skip(1)) {
            let finer = sketch.doubled(&x, self.interpolation)?;
            let inputs = if step.is_joined { vec![&finer, skip] } else { vec![&finer] };
            x = sketch.run(&step.convs, &inputs)?;
        }
        Ok(x)
    }
}
