//! MONAI's U-Net.

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use nn::Pending;
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::block::{Layers, run};
use crate::door::{Body, Door, Housed};
use crate::limits::widths;
use crate::monai::{Adn, ResidualUnit, Window, convolution, transposed};
use crate::sketch::Sketch;
use crate::{
    AdnOrdering, Architecture, Error, HeadId, Interface, Model, ModelConfig, Nonlinearity,
    Normalization, PerAxis, Topology,
};

/// MONAI's `UNet`, in 2D and 3D: strided convolutions or residual units down, transposed ones up.
///
/// Parameters and settings have MONAI's names, so that weights fit either way. There is no dropout, and a
/// norm's epsilon is PyTorch's, 1e-5.
///
/// # Source
///
/// Kerfoot, Clough, Oksuz, Lee, King, Schnabel: *Left-Ventricle Quantification Using Residual U-Net*,
/// STACOM 2018; `monai.networks.nets.UNet` of [MONAI](https://github.com/Project-MONAI/MONAI) 1.6.
///
/// # Examples
///
/// ```
/// use candle::Device;
/// use sconce_models::{Architecture, Interface, MonaiUnet, PerAxis};
///
/// let interface = Interface { channels: 1, classes: 2, rank: 3 };
/// let settings = MonaiUnet {
///     channels: vec![4, 8, 16],
///     strides: vec![PerAxis::Each(vec![1, 2, 2]), PerAxis::Same(2)],
///     num_res_units: 2,
///     ..MonaiUnet::default()
/// };
/// let parameters = nn::Parameters::new(0, &Device::Cpu);
/// let model = settings.build(interface, parameters.builder())?;
/// assert_eq!(model.stride(), [2, 4, 4]);
/// # Ok::<(), candle::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonaiUnet {
    /// Channels of each resolution, finest first, two or more.
    pub channels: Vec<usize>,
    /// How much coarser each resolution is than the one before, one fewer than `channels`. The finest has
    /// the first of them: it is coarser than the images.
    pub strides: Vec<PerAxis>,
    /// Extents of kernels, odd.
    pub kernel_size: PerAxis,
    /// Extents of the transposed convolutions' kernels, odd.
    pub up_kernel_size: PerAxis,
    /// Convolutions of each residual unit on the way down; 0 for plain convolutions both ways.
    pub num_res_units: usize,
    /// The activation.
    pub act: Nonlinearity,
    /// The norm.
    pub norm: Normalization,
    /// Whether convolutions add an offset.
    pub bias: bool,
    /// Whether the norm comes before the activation.
    pub adn_ordering: AdnOrdering,
}

impl Default for MonaiUnet {
    fn default() -> Self {
        Self {
            channels: vec![16, 32, 64, 128, 256],
            strides: vec![PerAxis::Same(2); 4],
            kernel_size: PerAxis::Same(3),
            up_kernel_size: PerAxis::Same(3),
            num_res_units: 0,
            act: Nonlinearity::Prelu,
            norm: Normalization::Instance { affine: false },
            bias: true,
            adn_ordering: AdnOrdering::NormFirst,
        }
    }
}

/// One for each resolution but the coarsest, finest first.
#[derive(Debug)]
struct Level {
    down: Layers,
    up: Layers,
}

#[derive(Debug)]
struct Unet {
    levels: Vec<Level>,
    bottom: Layers,
}

impl Architecture for MonaiUnet {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        interface.check()?;
        let rank = interface.rank;
        let strides = strides(&self.channels, &self.strides, rank)?;
        let layers = LayersOf {
            kernel: self.kernel_size.odd_of_rank("kernel_size", rank)?,
            up_kernel: self.up_kernel_size.odd_of_rank("up_kernel_size", rank)?,
            units: self.num_res_units,
            adn: Adn {
                norm: self.norm,
                act: self.act,
                ordering: self.adn_ordering,
                bias: self.bias,
            },
        };
        let coarsest = self.channels.len() - 1;
        let mut vb = vb.pp("model");
        let mut levels = Vec::new();
        let mut cin = interface.channels;
        for (level, stride) in strides.iter().enumerate() {
            let channels = self.channels[level];
            // What comes back from below: as many channels as went down, but those of the bottom.
            let below = self.channels[if level + 1 == coarsest { coarsest } else { level }];
            let out = if level == 0 { interface.classes } else { self.channels[level - 1] };
            let both = channels + below;
            levels.push(Level {
                down: layers.down([cin, channels], stride, &vb.pp(0))?,
                up: layers.up([both, out], stride, level == 0, &vb.pp(2))?,
            });
            cin = channels;
            vb = vb.pp("1.submodule");
        }
        let bottom = layers.down([cin, self.channels[coarsest]], &vec![1; rank], &vb)?;
        let stride = |axis: usize| strides.iter().map(|stride| stride[axis]).product();
        let door = Door::new(interface, (0..rank).map(stride).collect());
        Ok(Box::new(Housed { door, body: Unet { levels, bottom } }))
    }

    fn fitted(&self, _: &Topology) -> std::result::Result<ModelConfig, Error> {
        Ok(self.clone().into())
    }
}

/// The strides of a network with `channels` at each resolution, one list for each but the coarsest.
pub(crate) fn strides(
    channels: &[usize],
    strides: &[PerAxis],
    rank: usize,
) -> std::result::Result<Vec<Vec<usize>>, Error> {
    if channels.len() < 2 {
        return Err(Error::Zero("channels (two resolutions or more)"));
    }
    widths("channels", channels)?;
    if strides.len() + 1 != channels.len() {
        let rule = "there must be one entry fewer than channels";
        return Err(Error::setting("strides", &format!("of {} entries", strides.len()), rule));
    }
    strides.iter().map(|stride| stride.of_rank("strides", rank)).collect()
}

/// How the layers of a resolution are made.
struct LayersOf {
    kernel: Vec<usize>,
    up_kernel: Vec<usize>,
    units: usize,
    adn: Adn,
}

impl LayersOf {
    fn down(&self, channels: [usize; 2], stride: &[usize], vb: &VarBuilder<'_>) -> Result<Layers> {
        let [cin, cout] = channels;
        let window = Window { cin, cout, kernel: &self.kernel, stride };
        Ok(if self.units > 0 {
            vec![Box::new(ResidualUnit::new(window, self.units, false, self.adn, vb)?)]
        } else {
            vec![Box::new(convolution(window, Some(self.adn), self.adn.bias, vb)?)]
        })
    }

    /// `last`: whether logits come out.
    fn up(
        &self,
        channels: [usize; 2],
        stride: &[usize],
        last: bool,
        vb: &VarBuilder<'_>,
    ) -> Result<Layers> {
        let [cin, cout] = channels;
        let (adn, bias) = (self.adn, self.adn.bias);
        let window = Window { cin, cout, kernel: &self.up_kernel, stride };
        if self.units == 0 {
            let follows = (!last).then_some(adn);
            return Ok(vec![Box::new(transposed(window, follows, bias, vb)?)]);
        }
        let ones = vec![1; stride.len()];
        let inner = Window { cin: cout, cout, kernel: &self.kernel, stride: &ones };
        Ok(vec![
            Box::new(transposed(window, Some(adn), bias, &vb.pp(0))?),
            Box::new(ResidualUnit::new(inner, 1, last, adn, &vb.pp(1))?),
        ])
    }
}

impl Body for Unet {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<(HeadId, Tensor)>> {
        let mut x = Pending::from(images);
        let mut skips = Vec::new();
        for level in &self.levels {
            x = run(&level.down, &[&x], train)?;
            skips.push(x.clone());
        }
        x = run(&self.bottom, &[&x], train)?;
        for (level, skip) in self.levels.iter().zip(&skips).rev() {
            x = run(&level.up, &[skip, &x], train)?;
        }
        Ok(vec![(HeadId::Main, x.resolve()?)])
    }

    fn onnx(&self, sketch: &mut Sketch, images: &Value) -> Result<Value> {
        let mut x = images.clone();
        let mut skips = Vec::new();
        for level in &self.levels {
            x = sketch.run(&level.down, &[&x])?;
            skips.push(x.clone());
        }
        x = sketch.run(&self.bottom, &[&x])?;
        for (level, skip) in self.levels.iter().zip(&skips).rev() {
            x = sketch.run(&level.up, &[skip, &x])?;
        }
        Ok(x)
    }
}
