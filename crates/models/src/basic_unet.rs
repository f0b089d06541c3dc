//! MONAI's basic U-Net.

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use nn::{Conv, ConvConfig, Pending, PoolConfig};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::block::{Layer, Layers, run};
use crate::door::{Body, Housed};
use crate::limits::widths;
use crate::monai::{Adn, UpSample, Window, convolution};
use crate::sketch::Sketch;
use crate::unit::MaxPool;
use crate::{
    AdnOrdering, Architecture, Error, HeadId, Interface, Model, ModelConfig, Nonlinearity,
    Normalization, Topology, UpsampleMode,
};

/// MONAI's `BasicUNet`, in 2D and 3D: five resolutions of two convolutions each, with max pooling.
///
/// Parameters and settings have MONAI's names, so that weights fit either way. There is no dropout, and
/// images must divide by 16: MONAI pads what does not.
///
/// # Source
///
/// Falk et al.: *U-Net: Deep Learning for Cell Counting, Detection, and Morphometry*, Nature Methods 16,
/// 2019; `monai.networks.nets.BasicUNet` of [MONAI](https://github.com/Project-MONAI/MONAI) 1.6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasicUnet {
    /// Channels of the five resolutions, finest first, and those before the logits.
    pub features: [usize; 6],
    /// The activation.
    pub act: Nonlinearity,
    /// The norm.
    pub norm: Normalization,
    /// Whether convolutions add an offset.
    pub bias: bool,
    /// How the way up doubles the resolution.
    pub upsample: UpsampleMode,
}

impl Default for BasicUnet {
    fn default() -> Self {
        Self {
            features: [32, 32, 64, 128, 256, 32],
            act: Nonlinearity::LeakyRelu(0.1),
            norm: Normalization::Instance { affine: true },
            bias: true,
            upsample: UpsampleMode::Deconv,
        }
    }
}

#[derive(Debug)]
struct Unet {
    /// Finest first.
    down: Vec<Layers>,
    /// Coarsest first.
    up: Vec<Up>,
    head: Conv,
}

#[derive(Debug)]
struct Up {
    upsample: UpSample,
    convs: Layers,
}

impl Architecture for BasicUnet {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        interface.check()?;
        widths("features", &self.features)?;
        let Interface { channels, classes, rank } = interface;
        let features = self.features;
        let mut down = vec![self.two_convs([channels, features[0]], rank, &vb.pp("conv_0"))?];
        for level in 1..5 {
            let vb = vb.pp(format!("down_{level}.convs"));
            let mut layers: Layers = vec![Box::new(MaxPool(PoolConfig::new(&vec![2; rank])))];
            layers.extend(self.two_convs([features[level - 1], features[level]], rank, &vb)?);
            down.push(layers);
        }
        let mut up = Vec::new();
        for level in (1..5).rev() {
            let vb = vb.pp(format!("upcat_{level}"));
            let (cin, skip) = (features[level], features[level - 1]);
            // The finest keeps its channels, and has a width of its own.
            let (middle, cout) = if level == 1 { (cin, features[5]) } else { (cin / 2, skip) };
            if middle == 0 {
                return Err(Error::setting("features", &cin, "halves of 1 are no channels").into());
            }
            let upsample =
                UpSample::new(self.upsample, [cin, middle], rank, true, &vb.pp("upsample"))?;
            let convs = self.two_convs([skip + middle, cout], rank, &vb.pp("convs"))?;
            up.push(Up { upsample, convs });
        }
        let point = vec![1; rank];
        let config = ConvConfig::new(rank);
        let head = Conv::new(features[5], classes, &point, config, true, vb.pp("final_conv"))?;
        Ok(Housed::boxed(interface, 16, Unet { down, up, head }))
    }

    fn fitted(&self, _: &Topology) -> std::result::Result<ModelConfig, Error> {
        Ok(self.clone().into())
    }
}

impl BasicUnet {
    fn two_convs(&self, channels: [usize; 2], rank: usize, vb: &VarBuilder<'_>) -> Result<Layers> {
        let (norm, act) = (self.norm, self.act);
        let adn = Adn { norm, act, ordering: AdnOrdering::NormFirst, bias: self.bias };
        let [cin, cout] = channels;
        let (kernel, stride) = (vec![3; rank], vec![1; rank]);
        let conv = |i: usize| -> Result<Box<dyn Layer>> {
            let cin = if i == 0 { cin } else { cout };
            let window = Window { cin, cout, kernel: &kernel, stride: &stride };
            Ok(Box::new(convolution(window, Some(adn), adn.bias, &vb.pp(format!("conv_{i}")))?))
        };
        (0..2).map(conv).collect()
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
        for Up { upsample, convs } in &self.up {
            let fine = upsample.forward_t(&[&x], train)?;
            let skip = skips.pop().expect("one skip for each step up");
            x = run(convs, &[&skip, &fine], train)?;
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
        for Up { upsample, convs } in &self.up {
            let fine = upsample.onnx(sketch, &[&x])?;
            let skip = skips.pop().expect("one skip for each step up");
            x = sketch.run(convs, &[&skip, &fine])?;
        }
        sketch.conv(&self.head, &[&x])
    }
}
