//! Atrous spatial pyramid pooling: features at several dilations, and their mean.

use candle::Result;
use candle_nn::VarBuilder;
use nn::{Act, Pending};
use onnx::Value;

use crate::Error;
use crate::block::{Layer, Layers, run};
use crate::isotropic::{Draw, Isotropic};
use crate::limits::width;
use crate::sketch::Sketch;
use crate::smp::{LINEAR, resized};
use crate::unit::{AnyConv, Unit, extents, joined};

/// The largest dilation.
const MOST_RATE: usize = 1024;

/// The settings of such a pooling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    pub(crate) rates: [usize; 3],
    /// Whether dilated convolutions look at each channel by itself first.
    pub(crate) separable: bool,
}

impl Rates {
    /// Refuses rates of 0, and channels that are none.
    pub(crate) fn check(
        self,
        decoder_channels: usize,
        output_stride: usize,
    ) -> std::result::Result<(), Error> {
        if self.rates.contains(&0) {
            return Err(Error::Zero("decoder_atrous_rates"));
        }
        if self.rates.iter().any(|&rate| rate > MOST_RATE) {
            let (setting, value) = ("decoder_atrous_rates", format!("{:?}", self.rates));
            return Err(Error::setting(setting, &value, "no dilation is above 1,024 voxels"));
        }
        width("decoder_channels", decoder_channels)?;
        if ![8, 16, 32].contains(&output_stride) {
            let rule = "it must be 8, 16 or 32";
            return Err(Error::setting("encoder_output_stride", &output_stride, rule));
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Aspp {
    branches: Vec<Layers>,
    /// Of the mean over all voxels.
    mean: Unit,
    project: Unit,
}

impl Aspp {
    pub(crate) fn new(
        rank: usize,
        channels: [usize; 2],
        rates: Rates,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let [cin, cout] = channels;
        let convs = vb.pp("convs");
        let point = Isotropic::new(rank, cin, cout, 1, Draw::Decoder);
        let mut branches: Vec<Layers> = vec![vec![Box::new(Unit::relu(point, &convs.pp(0))?)]];
        for (i, &rate) in rates.rates.iter().enumerate() {
            let conv = Isotropic::new(rank, cin, cout, 3, Draw::Decoder).dilated(rate);
            let vb = convs.pp(i + 1);
            branches.push(if rates.separable {
                separable(conv, &vb.pp(0), &vb.pp(1))?
            } else {
                vec![Box::new(Unit::relu(conv, &vb)?)]
            });
        }
        let vb_mean = convs.pp(4);
        let project = Isotropic::new(rank, 5 * cout, cout, 1, Draw::Decoder);
        Ok(Self {
            branches,
            mean: Unit::batch(point, Act::Relu, &vb_mean.pp(1), &vb_mean.pp(2))?,
            project: Unit::relu(project, &vb.pp("project"))?,
        })
    }
}

/// A convolution of each channel by itself, then one of all channels at each voxel, a norm, and ReLU.
pub(crate) fn separable(
    conv: Isotropic,
    conv_vb: &VarBuilder<'_>,
    norm_vb: &VarBuilder<'_>,
) -> Result<Layers> {
    let Isotropic { rank, cin, cout, draw, .. } = conv;
    let depthwise = Isotropic { cout: cin, ..conv }.depthwise().build(&conv_vb.pp(0))?;
    let point = Isotropic::new(rank, cin, cout, 1, draw);
    Ok(vec![
        Box::new(Unit::bare(AnyConv::Conv(depthwise))),
        Box::new(Unit::batch(point, Act::Relu, &conv_vb.pp(1), norm_vb)?),
    ])
}

impl Layer for Aspp {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        let x = joined(inputs)?;
        let source = Pending::from(&x);
        let size = extents(&source);
        let mut parts = Vec::new();
        for branch in &self.branches {
            parts.push(run(branch, &[&source], train)?.resolve()?);
        }
        let mean = nn::adaptive_avg_pool(&x, &vec![1; size.len()])?;
        let mean = self.mean.forward_t(&[&mean.into()], train)?.resolve()?;
        parts.push(resized(&mean, size, LINEAR)?);
        let all = nn::concat(&parts.iter().collect::<Vec<_>>())?;
        self.project.forward_t(&[&all.into()], train)
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.joined(inputs);
        let mut parts = Vec::new();
        for branch in &self.branches {
            parts.push(sketch.run(branch, &[&x])?);
        }
        let mean = sketch.adaptive_avg_pool(1, &x)?;
        let mean = self.mean.onnx(sketch, &[&mean])?;
        parts.push(sketch.resized(&mean, &x, LINEAR)?);
        self.project.onnx(sketch, &parts.iter().collect::<Vec<_>>())
    }
}
