//! What MONAI's networks are built of, under its names.

use candle::Result;
use candle_nn::VarBuilder;
use nn::{
    Conv, ConvConfig, ConvTranspose, ConvTransposeConfig, Interpolation, PadMode, Pending,
    PoolConfig,
};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::block::{Layer, Layers, run};
use crate::nonlinearity::Nonlinear;
use crate::normalization::{EPS, Normalizer};
use crate::sketch::Sketch;
use crate::unit::{AnyConv, Unit, extents, joined};
use crate::{Nonlinearity, Normalization};

/// In which order MONAI's layers normalize (N) and activate (A); there is no dropout (D) between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AdnOrdering {
    /// The norm first.
    #[default]
    #[serde(rename = "NDA", alias = "NA", alias = "NAD", alias = "DNA")]
    NormFirst,
    /// The activation first.
    #[serde(rename = "ADN", alias = "AN", alias = "AND", alias = "DAN")]
    ActFirst,
}

/// What follows MONAI's convolutions, and whether they have a bias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adn {
    pub(crate) norm: Normalization,
    pub(crate) act: Nonlinearity,
    pub(crate) ordering: AdnOrdering,
    pub(crate) bias: bool,
}

/// What a convolution maps, with its window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    pub(crate) cin: usize,
    pub(crate) cout: usize,
    /// Odd extents.
    pub(crate) kernel: &'a [usize],
    pub(crate) stride: &'a [usize],
}

impl Window<'_> {
    fn conv(self, bias: bool, vb: VarBuilder<'_>) -> Result<AnyConv> {
        let config = ConvConfig::same(self.kernel, self.stride);
        Ok(AnyConv::Conv(Conv::new(self.cin, self.cout, self.kernel, config, bias, vb)?))
    }

    /// The one that makes its input finer by exactly the stride.
    fn transpose(self, bias: bool, vb: VarBuilder<'_>) -> Result<AnyConv> {
        let config = ConvTransposeConfig {
            padding: self.kernel.iter().map(|extent| (extent - 1) / 2).collect(),
            output_padding: self.stride.iter().map(|stride| stride - 1).collect(),
            ..ConvTransposeConfig::upsample(self.stride)
        };
        let conv = ConvTranspose::new(self.cin, self.cout, self.kernel, config, bias, vb)?;
        Ok(AnyConv::Transpose(conv))
    }
}

/// MONAI's `Convolution`: `conv`, and, unless it is the last of a network, `adn`.
pub(crate) fn convolution(
    window: Window<'_>,
    adn: Option<Adn>,
    bias: bool,
    vb: &VarBuilder<'_>,
) -> Result<Unit> {
    follow(window.conv(bias, vb.pp("conv"))?, window.cout, adn, vb)
}

/// The same of a transposed convolution.
pub(crate) fn transposed(
    window: Window<'_>,
    adn: Option<Adn>,
    bias: bool,
    vb: &VarBuilder<'_>,
) -> Result<Unit> {
    follow(window.transpose(bias, vb.pp("conv"))?, window.cout, adn, vb)
}

fn follow(conv: AnyConv, cout: usize, adn: Option<Adn>, vb: &VarBuilder<'_>) -> Result<Unit> {
    let Some(Adn { norm, act, ordering, .. }) = adn else { return Ok(Unit::bare(conv)) };
    Ok(Unit {
        conv,
        norm: Normalizer::new(norm, cout, EPS, vb.pp("adn.N"))?,
        act: Nonlinear::new(act, vb.pp("adn.A"))?,
        act_first: ordering == AdnOrdering::ActFirst,
    })
}

/// MONAI's `ResidualUnit`: convolutions, and the input, which is brought to their shape, added.
#[derive(Debug)]
pub(crate) struct ResidualUnit {
    units: Layers,
    residual: Option<AnyConv>,
}

impl ResidualUnit {
    /// With `count` convolutions, of which the first has the stride; `bare` leaves out what follows the
    /// last.
    pub(crate) fn new(
        window: Window<'_>,
        count: usize,
        bare: bool,
        adn: Adn,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let ones = vec![1; window.stride.len()];
        let mut units: Layers = Vec::new();
        for i in 0..count {
            let window = match i {
                0 => window,
                _ => Window { cin: window.cout, stride: &ones, ..window },
            };
            let follows = (!bare || i + 1 < count).then_some(adn);
            let vb = vb.pp(format!("conv.unit{i}"));
            units.push(Box::new(convolution(window, follows, adn.bias, &vb)?));
        }
        let coarser = window.stride.iter().any(|&stride| stride != 1);
        let kernel = if coarser { window.kernel } else { &ones };
        let residual = (coarser || window.cin != window.cout)
            .then(|| Window { kernel, ..window }.conv(adn.bias, vb.pp("residual")))
            .transpose()?;
        Ok(Self { units, residual })
    }
}

impl Layer for ResidualUnit {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        let x = joined(inputs)?;
        let inner = run(&self.units, &[&Pending::from(&x)], train)?.resolve()?;
        let skip = match &self.residual {
            Some(conv) => Unit::bare(conv.clone()).forward_t(&[&x.into()], train)?.resolve()?,
            None => x,
        };
        Ok((inner + skip)?.into())
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.joined(inputs);
        let inner = sketch.run(&self.units, &[&x])?;
        let skip = match &self.residual {
            Some(conv) => Unit::bare(conv.clone()).onnx(sketch, &[&x])?,
            None => x,
        };
        Ok(sketch.sum(&inner, &skip))
    }
}

/// How MONAI's networks double their resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UpsampleMode {
    /// By a transposed convolution.
    Deconv,
    /// By linear interpolation, after a pointwise convolution where channels change.
    Nontrainable,
    /// By a convolution whose channels become voxels, and an average against checkerboards.
    Pixelshuffle,
}

/// MONAI's `UpSample` by 2.
#[derive(Clone, Debug)]
pub(crate) enum UpSample {
    Deconv(ConvTranspose),
    Nontrainable { preconv: Option<Conv>, align_corners: bool },
    Pixelshuffle(Conv),
}

impl UpSample {
    pub(crate) fn new(
        mode: UpsampleMode,
        channels: [usize; 2],
        rank: usize,
        align_corners: bool,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let [cin, cout] = channels;
        let two = vec![2; rank];
        Ok(match mode {
            UpsampleMode::Deconv => {
                let config = ConvTransposeConfig::upsample(&two);
                let vb = vb.pp("deconv");
                Self::Deconv(ConvTranspose::new(cin, cout, &two, config, true, vb)?)
            }
            UpsampleMode::Nontrainable => {
                let point = vec![1; rank];
                let conv = |vb| Conv::new(cin, cout, &point, ConvConfig::new(rank), true, vb);
                let preconv = (cin != cout).then(|| conv(vb.pp("preconv"))).transpose()?;
                Self::Nontrainable { preconv, align_corners }
            }
            UpsampleMode::Pixelshuffle => {
                let kernel = vec![3; rank];
                let config = ConvConfig::same(&kernel, &vec![1; rank]);
                let vb = vb.pp("pixelshuffle.conv_block");
                Self::Pixelshuffle(Conv::new(cin, cout << rank, &kernel, config, true, vb)?)
            }
        })
    }
}

impl Layer for UpSample {
    fn forward_t(&self, inputs: &[&Pending], _: bool) -> Result<Pending> {
        match self {
            Self::Deconv(conv) => conv.forward_of(inputs),
            Self::Nontrainable { preconv, align_corners } => {
                let x = match preconv {
                    Some(conv) => conv.forward_of(inputs)?,
                    None => joined(inputs)?.into(),
                };
                let size: Vec<usize> = extents(&x).iter().map(|extent| 2 * extent).collect();
                let linear = Interpolation::Linear { align_corners: *align_corners };
                Ok(nn::resize(&x.resolve()?, &size, linear)?.into())
            }
            Self::Pixelshuffle(conv) => {
                let x = nn::pixel_shuffle(&conv.forward_of(inputs)?.resolve()?, 2)?;
                let rank = x.rank() - 2;
                let x = nn::pad(&x, &vec![(1, 0); rank], PadMode::Constant(0.0))?;
                let window =
                    PoolConfig { stride: vec![1; rank], ..PoolConfig::new(&vec![2; rank]) };
                Ok(nn::avg_pool(&x, &window)?.into())
            }
        }
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        match self {
            Self::Deconv(conv) => sketch.conv_transpose(conv, inputs),
            Self::Nontrainable { preconv, align_corners } => {
                let x = match preconv {
                    Some(conv) => sketch.conv(conv, inputs)?,
                    None => sketch.joined(inputs),
                };
                sketch.doubled(&x, Interpolation::Linear { align_corners: *align_corners })
            }
            Self::Pixelshuffle(conv) => {
                let rank = sketch.rank();
                let x = sketch.conv(conv, inputs)?;
                let x = sketch.pixel_shuffle(conv.weight().dims()[0] >> rank, &x)?;
                let x = sketch.padded_before(&x)?;
                let window =
                    PoolConfig { stride: vec![1; rank], ..PoolConfig::new(&vec![2; rank]) };
                Ok(sketch.avg_pool(&window, &x))
            }
        }
    }
}
