//! The double feature pyramid network.

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::door::{Body, Housed};
use crate::sketch::Sketch;
use crate::smp::EncoderDecoder;
use crate::{
    Architecture, EncoderKind, EncoderSlot, Error, Fpn, HeadId, Interface, Model, ModelConfig,
    Topology,
};

/// Two feature pyramid networks, the second of which sees the images and what the first says of them: its
/// logits, as they are.
///
/// The answer is the second one's; in training, the first one's is another head, [`HeadId::Network`] 0, so
/// that both are supervised. Gradients of the second reach the first. Parameters have the names of the
/// paper's code, `m1.` and `m2.`, then those of [`Fpn`].
///
/// # Source
///
/// Galdran, Carneiro, González Ballester: *On the Optimal Combination of Cross-Entropy and Soft Dice
/// Losses for Lesion Segmentation with Out-of-Distribution Robustness*, DFUC 2022,
/// [arXiv:2209.06078](https://arxiv.org/abs/2209.06078); `SMP_W` of
/// [agaldran/lesion_losses_ood](https://github.com/agaldran/lesion_losses_ood).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WNet {
    /// The encoder of both networks.
    pub encoder: EncoderKind,
    /// Channels that are passed down.
    pub decoder_pyramid_channels: usize,
    /// Channels that are added, a multiple of 32.
    pub decoder_segmentation_channels: usize,
}

impl Default for WNet {
    fn default() -> Self {
        let Fpn { decoder_pyramid_channels, decoder_segmentation_channels, .. } = Fpn::default();
        let encoder = EncoderKind::Resnet18;
        Self { encoder, decoder_pyramid_channels, decoder_segmentation_channels }
    }
}

#[derive(Debug)]
struct Two {
    first: EncoderDecoder,
    second: EncoderDecoder,
}

impl Architecture for WNet {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        let network = Fpn {
            encoder: self.encoder,
            decoder_pyramid_channels: self.decoder_pyramid_channels,
            decoder_segmentation_channels: self.decoder_segmentation_channels,
            aux_head: false,
        };
        let channels = interface.channels + interface.classes;
        let first = network.body(interface, &vb.pp("m1"))?;
        let second = network.body(Interface { channels, ..interface }, &vb.pp("m2"))?;
        Ok(Housed::boxed(interface, 32, Two { first, second }))
    }

    fn fitted(&self, _: &Topology) -> std::result::Result<ModelConfig, Error> {
        Ok(self.clone().into())
    }

    fn encoders(&self, interface: Interface) -> Vec<EncoderSlot> {
        let first = EncoderSlot::of(self.encoder, interface);
        let channels = interface.channels + interface.classes;
        vec![
            EncoderSlot { prefix: "m1.encoder.", ..first },
            EncoderSlot { prefix: "m2.encoder.", channels, ..first },
        ]
    }
}

/// The main head of `network`.
fn main_head(network: &EncoderDecoder, images: &Tensor, train: bool) -> Result<Tensor> {
    let mut heads = network.forward_t(images, train)?;
    Ok(heads.swap_remove(0).1)
}

impl Body for Two {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<(HeadId, Tensor)>> {
        let opinion = main_head(&self.first, images, train)?;
        let answer = main_head(&self.second, &nn::concat(&[images, &opinion])?, train)?;
        let mut heads = vec![(HeadId::Main, answer)];
        if train {
            heads.push((HeadId::Network(0), opinion));
        }
        Ok(heads)
    }

    fn onnx(&self, sketch: &mut Sketch, images: &Value) -> Result<Value> {
        let opinion = self.first.onnx(sketch, images)?;
        let both = sketch.joined(&[images, &opinion]);
        self.second.onnx(sketch, &both)
    }
}
