//! MONAI's dynamic U-Net.

use candle::{Result, Tensor};
use candle_nn::VarBuilder;
use nn::{Act, Conv, ConvConfig, ConvTranspose, ConvTransposeConfig, Pending};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::block::{Layer, Layers, run};
use crate::door::{Body, Door, Housed};
use crate::limits::widths;
use crate::monai::Window;
use crate::nonlinearity::Nonlinear;
use crate::normalization::{EPS, Normalizer};
use crate::sketch::Sketch;
use crate::unit::{AnyConv, Unit, joined};
use crate::{
    Architecture, Error, HeadId, Interface, Model, ModelConfig, Nonlinearity, Normalization,
    PerAxis, Topology,
};

/// MONAI's `DynUNet`, in 2D and 3D: the U-Net of nnU-Net's first version, with a kernel and a stride for each
/// resolution.
///
/// Parameters and settings have MONAI's names, so that weights fit either way; see
/// [`canonical_name`](crate::canonical_name). There are neither dropout nor the heads of deep supervision, and the
/// way up has the strides of the way down. It differs from [`Unet`](crate::Unet) in names, and in the kernels of the
/// way up, which are those of the next coarser resolution.
///
/// # Source
///
/// Isensee et al.: *nnU-Net*, Nature Methods 18, 2021; Futrega et al.: *Optimized U-Net for Brain Tumor
/// Segmentation*, [arXiv:2110.03352](https://arxiv.org/abs/2110.03352); `monai.networks.nets.DynUNet` of
/// [MONAI](https://github.com/Project-MONAI/MONAI) 1.6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DynUnet {
    /// Channels of each resolution, finest first, three or more.
    pub filters: Vec<usize>,
    /// Extents of each resolution's kernels, odd, as many as `filters`.
    pub kernel_size: Vec<PerAxis>,
    /// How much coarser each resolution is than the one before, 1 or 2, as many as `filters`; the first is 1.
    pub strides: Vec<PerAxis>,
    /// The activation.
    pub act_name: Nonlinearity,
    /// The norm.
    pub norm_name: Normalization,
    /// Whether the way down is of residual blocks.
    pub res_block: bool,
    /// Whether transposed convolutions add an offset.
    pub trans_bias: bool,
}

impl Default for DynUnet {
    fn default() -> Self {
        Self {
            filters: vec![32, 64, 128, 256],
            kernel_size: vec![PerAxis::Same(3); 4],
            strides: [1, 2, 2, 2].map(PerAxis::Same).to_vec(),
            act_name: Nonlinearity::LeakyRelu(1e-2),
            norm_name: Normalization::Instance { affine: true },
            res_block: false,
            trans_bias: false,
        }
    }
}

#[derive(Debug)]
struct Network {
    /// Finest first.
    down: Vec<Box<dyn Layer>>,
    /// Coarsest first.
    up: Vec<(ConvTranspose, Layers)>,
    head: Conv,
}

impl Architecture for DynUnet {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        interface.check()?;
        let Interface { channels, classes, rank } = interface;
        let (kernels, strides) = self.windows(rank)?;
        let ones = vec![1; rank];
        let last = self.filters.len() - 1;
        let mut down: Vec<Box<dyn Layer>> = Vec::new();
        let mut cin = channels;
        for (level, &cout) in self.filters.iter().enumerate() {
            let vb = match level {
                0 => vb.pp("input_block"),
                _ if level == last => vb.pp("bottleneck"),
                _ => vb.pp("downsamples").pp(level - 1),
            };
            let window = Window { cin, cout, kernel: &kernels[level], stride: &strides[level] };
            down.push(if self.res_block {
                Box::new(self.residual(window, &vb)?)
            } else {
                Box::new(Chain(self.two_convs(window, &vb)?))
            });
            cin = cout;
        }
        let mut up = Vec::new();
        for (i, level) in (0..last).rev().enumerate() {
            let vb = vb.pp("upsamples").pp(i);
            let (cin, cout) = (self.filters[level + 1], self.filters[level]);
            let stride = &strides[level + 1];
            let config = ConvTransposeConfig::upsample(stride);
            let vb_up = vb.pp("transp_conv.conv");
            let finer = ConvTranspose::new(cin, cout, stride, config, self.trans_bias, vb_up)?;
            let window = Window { cin: 2 * cout, cout, kernel: &kernels[level + 1], stride: &ones };
            up.push((finer, self.two_convs(window, &vb.pp("conv_block"))?));
        }
        let config = ConvConfig::new(rank);
        let vb = vb.pp("output_block.conv.conv");
        let head = Conv::new(self.filters[0], classes, &ones, config, true, vb)?;
        let stride = |axis: usize| strides.iter().map(|stride| stride[axis]).product();
        let door = Door::new(interface, (0..rank).map(stride).collect());
        Ok(Box::new(Housed { door, body: Network { down, up, head } }))
    }

    fn fitted(&self, _: &Topology) -> std::result::Result<ModelConfig, Error> {
        Ok(self.clone().into())
    }
}

/// One list of numbers for each resolution.
type Numbers = Vec<Vec<usize>>;

impl DynUnet {
    /// Kernels and strides of each resolution.
    fn windows(&self, rank: usize) -> std::result::Result<(Numbers, Numbers), Error> {
        widths("filters", &self.filters)?;
        let levels = self.filters.len();
        if levels < 3 {
            let value = format!("of {levels} entries");
            return Err(Error::setting("filters", &value, "there must be three or more"));
        }
        for (setting, entries) in [("kernel_size", &self.kernel_size), ("strides", &self.strides)] {
            if entries.len() != levels {
                let value = format!("of {} entries", entries.len());
                return Err(Error::setting(setting, &value, "there must be as many as filters"));
            }
        }
        let kernels = self.kernel_size.iter().map(|it| it.odd_of_rank("kernel_size", rank));
        let strides = self.strides.iter().map(|it| it.of_rank("strides", rank));
        let (kernels, strides) = (kernels.collect::<std::result::Result<Numbers, _>>()?, strides);
        let strides = strides.collect::<std::result::Result<Numbers, _>>()?;
        let first = strides[0].iter().all(|&stride| stride == 1);
        if !first || strides.iter().flatten().any(|&stride| stride > 2) {
            let rule = "the first must be 1, and the others 1 or 2";
            return Err(Error::setting("strides", &format!("{strides:?}"), rule));
        }
        Ok((kernels, strides))
    }

    /// A convolution under `conv{i}` with its norm under `norm{i}`.
    fn conv(&self, window: Window<'_>, i: usize, act: bool, vb: &VarBuilder<'_>) -> Result<Unit> {
        let Window { cin, cout, kernel, stride } = window;
        let config = ConvConfig::same(kernel, stride);
        let conv =
            Conv::new(cin, cout, kernel, config, false, vb.pp(format!("conv{i}")).pp("conv"))?;
        let act = if act {
            Nonlinear::new(self.act_name, vb.pp("lrelu"))?
        } else {
            Nonlinear::Act(Act::Identity)
        };
        let norm = Normalizer::new(self.norm_name, cout, EPS, vb.pp(format!("norm{i}")))?;
        Ok(Unit { conv: AnyConv::Conv(conv), norm, act, act_first: false })
    }

    /// MONAI's `UnetBasicBlock`.
    fn two_convs(&self, window: Window<'_>, vb: &VarBuilder<'_>) -> Result<Layers> {
        let ones = vec![1; window.stride.len()];
        let second = Window { cin: window.cout, stride: &ones, ..window };
        Ok(vec![
            Box::new(self.conv(window, 1, true, vb)?),
            Box::new(self.conv(second, 2, true, vb)?),
        ])
    }

    /// MONAI's `UnetResBlock`.
    fn residual(&self, window: Window<'_>, vb: &VarBuilder<'_>) -> Result<Residual> {
        let Window { cin, cout, stride, .. } = window;
        let ones = vec![1; stride.len()];
        let second = Window { cin: cout, stride: &ones, ..window };
        let changes = cin != cout || stride.iter().any(|&stride| stride != 1);
        let point = Window { kernel: &ones, ..window };
        Ok(Residual {
            first: self.conv(window, 1, true, vb)?,
            second: self.conv(second, 2, false, vb)?,
            project: changes.then(|| self.conv(point, 3, false, vb)).transpose()?,
            act: Nonlinear::new(self.act_name, vb.pp("lrelu"))?,
        })
    }
}

/// Layers as one.
#[derive(Debug)]
struct Chain(Layers);

impl Layer for Chain {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        run(&self.0, inputs, train)
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        sketch.run(&self.0, inputs)
    }
}

#[derive(Debug)]
struct Residual {
    first: Unit,
    second: Unit,
    project: Option<Unit>,
    act: Nonlinear,
}

impl Layer for Residual {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        let x = Pending::from(joined(inputs)?);
        let inner = self.first.forward_t(&[&x], train)?;
        let inner = self.second.forward_t(&[&inner], train)?.resolve()?;
        let skip = match &self.project {
            Some(project) => project.forward_t(&[&x], train)?.resolve()?,
            None => x.resolve()?,
        };
        crate::normalization::activate((inner + skip)?.into(), &self.act)
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.joined(inputs);
        let inner = self.first.onnx(sketch, &[&x])?;
        let inner = self.second.onnx(sketch, &[&inner])?;
        let skip = match &self.project {
            Some(project) => project.onnx(sketch, &[&x])?,
            None => x,
        };
        let sum = sketch.sum(&inner, &skip);
        self.act.onnx(sketch, &sum)
    }
}

impl Body for Network {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<(HeadId, Tensor)>> {
        let mut x = Pending::from(images);
        let mut skips = Vec::new();
        for layer in &self.down {
            // A tensor: the next resolution and the way up both read it.
            x = layer.forward_t(&[&x], train)?.resolve()?.into();
            skips.push(x.clone());
        }
        skips.pop();
        for (finer, convs) in &self.up {
            let fine = finer.forward_of(&[&x])?;
            let skip = skips.pop().expect("one skip for each step up");
            x = run(convs, &[&fine, &skip], train)?;
        }
        Ok(vec![(HeadId::Main, self.head.forward_of(&[&x])?.resolve()?)])
    }

    fn onnx(&self, sketch: &mut Sketch, images: &Value) -> Result<Value> {
        let mut x = images.clone();
        let mut skips = Vec::new();
        for layer in &self.down {
            x = layer.onnx(sketch, &[&x])?;
            skips.push(x.clone());
        }
        skips.pop();
        for (finer, convs) in &self.up {
            let fine = sketch.conv_transpose(finer, &[&x])?;
            let skip = skips.pop().expect("one skip for each step up");
            x = sketch.run(convs, &[&fine, &skip])?;
        }
        sketch.conv(&self.head, &[&x])
    }
}
