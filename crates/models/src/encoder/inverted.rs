//! Networks of inverted residual blocks, with the names of timm: MobileNetV2 and EfficientNet.

use candle::Result;
use candle_nn::VarBuilder;
use nn::{Act, Conv, Pending};
use onnx::Value;

use super::{Grids, Pyramid};
use crate::block::{Layer, Layers, run};
use crate::isotropic::{Draw, Grid, Isotropic};
use crate::sketch::Sketch;
use crate::unit::{Unit, joined};

/// One group of blocks.
struct Row {
    /// How much wider a block is inside.
    expand: usize,
    cout: usize,
    blocks: usize,
    kernel: usize,
    /// The level of its features, by whose grid the first block moves, where it is the first group of
    /// that level.
    level: usize,
}

const fn row(expand: usize, cout: usize, blocks: usize, kernel: usize, level: usize) -> Row {
    Row { expand, cout, blocks, kernel, level }
}

/// How these networks differ.
pub(super) struct Table {
    rows: [Row; 7],
    curve: Curve,
    /// Whether blocks weigh their channels.
    squeeze: bool,
}

pub(super) const MOBILENET: Table = Table {
    rows: [
        row(1, 16, 1, 3, 1),
        row(6, 24, 2, 3, 2),
        row(6, 32, 3, 3, 3),
        row(6, 64, 4, 3, 4),
        row(6, 96, 3, 3, 4),
        row(6, 160, 3, 3, 5),
        row(6, 320, 1, 3, 5),
    ],
    curve: Curve::Relu6,
    squeeze: false,
};

pub(super) const EFFICIENTNET: Table = Table {
    rows: [
        row(1, 16, 1, 3, 1),
        row(6, 24, 2, 3, 2),
        row(6, 40, 2, 5, 3),
        row(6, 80, 3, 3, 4),
        row(6, 112, 3, 5, 4),
        row(6, 192, 4, 5, 5),
        row(6, 320, 1, 3, 5),
    ],
    curve: Curve::Silu,
    squeeze: true,
};

pub(super) fn build(
    table: &Table,
    rank: usize,
    channels: usize,
    grids: Grids,
    vb: &VarBuilder<'_>,
) -> Result<Pyramid> {
    let stem = Isotropic::new(rank, channels, 32, 3, Draw::Encoder).strided(2);
    let mut layers = table.curve.after(stem, &vb.pp("conv_stem"), &vb.pp("bn1"))?;
    let mut stages: Vec<Layers> = Vec::new();
    let mut widths = vec![channels];
    let mut cin = 32;
    let mut level = 1;
    for (i, row) in table.rows.iter().enumerate() {
        let is_first = row.level != level;
        if is_first {
            stages.push(std::mem::take(&mut layers));
            widths.push(cin);
            level = row.level;
        }
        // The stem has the stride of the first level.
        let grid = if level == 1 { Grid { stride: 1, dilation: 1 } } else { grids.at(level) };
        for block in 0..row.blocks {
            let moves = is_first && block == 0;
            let grid = if moves { grid } else { grid.kept() };
            let vb = vb.pp("blocks").pp(i).pp(block);
            let is_skipped = cin == row.cout && !moves;
            let convs = inverted(table, row, rank, cin, grid, &vb)?;
            layers.push(Box::new(Inverted { convs, is_skipped }));
            cin = row.cout;
        }
    }
    stages.push(layers);
    widths.push(cin);
    Ok(Pyramid { channels: widths, stages })
}

/// A block's layers: widen, look around, weigh, narrow. The first block of all does not widen.
fn inverted(
    table: &Table,
    row: &Row,
    rank: usize,
    cin: usize,
    grid: Grid,
    vb: &VarBuilder<'_>,
) -> Result<Layers> {
    let conv = |cin, cout, kernel| Isotropic::new(rank, cin, cout, kernel, Draw::Encoder);
    let middle = cin * row.expand;
    let look = conv(middle, middle, row.kernel).depthwise().over(grid);
    let mut norms = (1..).map(|i| vb.pp(format!("bn{i}")));
    let mut norm = || norms.next().expect("numbers do not end");
    let mut layers: Layers = Vec::new();
    let last = if row.expand == 1 {
        "conv_pw"
    } else {
        layers.extend(table.curve.after(conv(cin, middle, 1), &vb.pp("conv_pw"), &norm())?);
        "conv_pwl"
    };
    layers.extend(table.curve.after(look, &vb.pp("conv_dw"), &norm())?);
    if table.squeeze {
        layers.push(Box::new(Squeeze::new(rank, middle, cin / 4, &vb.pp("se"))?));
    }
    let narrow = conv(middle, row.cout, 1);
    layers.push(Box::new(Unit::batch(narrow, Act::Identity, &vb.pp(last), &norm())?));
    Ok(layers)
}

/// The activation of such a network.
#[derive(Clone, Copy, Debug)]
enum Curve {
    Relu6,
    Silu,
}

impl Curve {
    /// A convolution with its norm, and this activation after it.
    fn after(
        self,
        conv: Isotropic,
        conv_vb: &VarBuilder<'_>,
        norm_vb: &VarBuilder<'_>,
    ) -> Result<Layers> {
        let act = match self {
            Self::Relu6 => Act::Relu,
            Self::Silu => Act::Silu,
        };
        let mut layers: Layers = vec![Box::new(Unit::batch(conv, act, conv_vb, norm_vb)?)];
        if matches!(self, Self::Relu6) {
            layers.push(Box::new(Limit));
        }
        Ok(layers)
    }
}

/// At most 6, of values that are at least 0.
#[derive(Debug)]
struct Limit;

impl Layer for Limit {
    fn forward_t(&self, inputs: &[&Pending], _: bool) -> Result<Pending> {
        let x = joined(inputs)?;
        let excess = Act::Relu.forward(&(&x - 6.0)?)?;
        Ok((x - excess)?.into())
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.joined(inputs);
        let most = sketch.number(6.0)?;
        Ok(sketch.graph().node("Min", &[&x, &most], &[]))
    }
}

/// A squeeze and excitation: channels are multiplied by numbers from 0 to 1, which the means of all
/// channels decide.
#[derive(Debug)]
struct Squeeze {
    reduce: Conv,
    expand: Conv,
}

impl Squeeze {
    fn new(rank: usize, channels: usize, reduced: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let conv = |cin, cout| Isotropic::new(rank, cin, cout, 1, Draw::Encoder).biased();
        Ok(Self {
            reduce: conv(channels, reduced).build(&vb.pp("conv_reduce"))?,
            expand: conv(reduced, channels).build(&vb.pp("conv_expand"))?,
        })
    }
}

impl Layer for Squeeze {
    fn forward_t(&self, inputs: &[&Pending], _: bool) -> Result<Pending> {
        let x = joined(inputs)?;
        let means = nn::adaptive_avg_pool(&x, &vec![1; x.rank() - 2])?;
        let inner = Act::Silu.forward(&self.reduce.forward(&means)?)?;
        let gate = Act::Sigmoid.forward(&self.expand.forward(&inner)?)?;
        Ok(x.broadcast_mul(&gate)?.into())
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.joined(inputs);
        let means = sketch.adaptive_avg_pool(1, &x)?;
        let inner = sketch.conv(&self.reduce, &[&means])?;
        let inner = sketch.act(Act::Silu, &inner)?;
        let gate = sketch.conv(&self.expand, &[&inner])?;
        let gate = sketch.act(Act::Sigmoid, &gate)?;
        Ok(sketch.product(&x, &gate))
    }
}

#[derive(Debug)]
struct Inverted {
    convs: Layers,
    /// Whether the input is added.
    is_skipped: bool,
}

impl Layer for Inverted {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        if !self.is_skipped {
            return run(&self.convs, inputs, train);
        }
        let x = joined(inputs)?;
        let inner = run(&self.convs, &[&Pending::from(&x)], train)?;
        Ok((inner.resolve()? + x)?.into())
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.joined(inputs);
        let inner = sketch.run(&self.convs, &[&x])?;
        Ok(if self.is_skipped { sketch.sum(&inner, &x) } else { inner })
    }
}
