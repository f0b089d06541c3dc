//! An encoder, a decoder and heads: what the networks of segmentation-models-pytorch have in common,
//! under its names.

use std::fmt;

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use nn::{Conv, Interpolation, Pending};
use onnx::Value;

use crate::block::Layer;
use crate::door::Body;
use crate::encoder::Pyramid;
use crate::isotropic::{Draw, Isotropic};
use crate::sketch::Sketch;
use crate::unit::{Unit, extents};
use crate::{EncoderKind, HeadId, Interface};

/// From the features of an encoder to those of a head.
pub(crate) trait Decoder: fmt::Debug + Send + Sync {
    /// `features` are the images, then what each stage of the encoder gives.
    fn forward_t(&self, features: &[Pending], train: bool) -> Result<Pending>;

    /// The same without training, as nodes of a graph.
    fn onnx(&self, sketch: &mut Sketch, features: &[Value]) -> Result<Value>;
}

/// What a network makes of its encoder's features.
pub(crate) struct Plan<D> {
    pub(crate) decoder: D,
    /// Channels that the decoder gives.
    pub(crate) width: usize,
    /// Extent of the head's kernel.
    pub(crate) kernel: usize,
    /// Stages of the encoder that are used.
    pub(crate) depth: usize,
    /// Whether a second head reads the features before the last.
    pub(crate) aux_head: bool,
}

/// A whole network.
#[derive(Debug)]
pub(crate) struct EncoderDecoder {
    encoder: Pyramid,
    depth: usize,
    decoder: Box<dyn Decoder>,
    head: SegmentationHead,
    auxiliary: Option<(Unit, SegmentationHead)>,
}

impl EncoderDecoder {
    /// With the encoder `kind`, whose features are `output_stride` times coarser than the images at most,
    /// and what `plan` makes of its channels, with parameters under the second argument.
    pub(crate) fn new<D: Decoder + 'static>(
        interface: Interface,
        kind: EncoderKind,
        output_stride: usize,
        vb: &VarBuilder<'_>,
        plan: impl FnOnce(&[usize], &VarBuilder<'_>) -> Result<Plan<D>>,
    ) -> Result<Self> {
        let Interface { channels, classes, rank } = interface;
        let encoder = kind.build(rank, channels, output_stride, &vb.pp("encoder"))?;
        let plan = plan(encoder.channels(), &vb.pp("decoder"))?;
        let head = Isotropic::new(rank, plan.width, classes, plan.kernel, Draw::Glorot);
        let head = SegmentationHead::new(head, &vb.pp("segmentation_head"))?;
        let auxiliary = || -> Result<_> {
            let cin = encoder.channels()[plan.depth - 1];
            let width = (cin / 4).max(1);
            let conv = Isotropic::new(rank, cin, width, 3, Draw::Decoder);
            let point = Isotropic::new(rank, width, classes, 1, Draw::Glorot);
            let head = SegmentationHead::new(point, &vb.pp("aux_head"))?;
            Ok((Unit::relu(conv, &vb.pp("aux_conv"))?, head))
        };
        let auxiliary = plan.aux_head.then(auxiliary).transpose()?;
        let decoder = Box::new(plan.decoder);
        Ok(Self { encoder, depth: plan.depth, decoder, head, auxiliary })
    }
}

impl Body for EncoderDecoder {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<(HeadId, Tensor)>> {
        let features = self.encoder.features(images, self.depth, train)?;
        let size = extents(&features[0]);
        let x = self.decoder.forward_t(&features, train)?;
        let mut heads = vec![(HeadId::Main, self.head.forward(&x, size)?)];
        if let Some((conv, head)) = self.auxiliary.as_ref().filter(|_| train) {
            let x = conv.forward_t(&[&features[self.depth - 1]], train)?;
            heads.push((HeadId::Auxiliary(0), head.forward(&x, size)?));
        }
        Ok(heads)
    }

    fn onnx(&self, sketch: &mut Sketch, images: &Value) -> Result<Value> {
        let features = self.encoder.onnx(sketch, images, self.depth)?;
        let x = self.decoder.onnx(sketch, &features)?;
        let x = sketch.conv(&self.head.0, &[&x])?;
        sketch.resized(&x, images, CORNERS)
    }
}

/// A convolution to classes, resized to the images.
#[derive(Debug)]
struct SegmentationHead(Conv);

impl SegmentationHead {
    fn new(conv: Isotropic, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self(conv.biased().build(&vb.pp(0))?))
    }

    fn forward(&self, x: &Pending, size: &[usize]) -> Result<Tensor> {
        let x = self.0.forward_of(&[x])?.resolve()?;
        resized(&x, size, CORNERS)
    }
}

/// Linear, by the outer edges of the outermost voxels.
pub(crate) const LINEAR: Interpolation = Interpolation::Linear { align_corners: false };

/// Linear, by the centers of the outermost voxels.
pub(crate) const CORNERS: Interpolation = Interpolation::Linear { align_corners: true };

/// `x` with the spatial extents `size`; as it is, where it has them.
pub(crate) fn resized(x: &Tensor, size: &[usize], interpolation: Interpolation) -> Result<Tensor> {
    if &x.dims()[1..x.rank() - 1] == size {
        return Ok(x.clone());
    }
    nn::resize(x, size, interpolation)
}
