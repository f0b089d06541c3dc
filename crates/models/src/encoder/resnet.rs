//! Residual networks, with the names of torchvision and timm.

use candle::Result;
use candle_nn::VarBuilder;
use nn::{Act, Pending, PoolConfig};
use onnx::Value;

use super::{Grids, Pyramid};
use crate::block::{Layer, Layers, run};
use crate::isotropic::{Draw, Grid, Isotropic};
use crate::sketch::Sketch;
use crate::unit::{MaxPool, Unit, joined};

/// Blocks of each stage, and whether they are bottlenecks.
pub(super) struct Table {
    blocks: [usize; 4],
    bottleneck: bool,
}

pub(super) const R18: Table = Table { blocks: [2, 2, 2, 2], bottleneck: false };
pub(super) const R34: Table = Table { blocks: [3, 4, 6, 3], bottleneck: false };
pub(super) const R50: Table = Table { blocks: [3, 4, 6, 3], bottleneck: true };

pub(super) fn build(
    table: &Table,
    rank: usize,
    channels: usize,
    grids: Grids,
    vb: &VarBuilder<'_>,
) -> Result<Pyramid> {
    let stem = Isotropic::new(rank, channels, 64, 7, Draw::Encoder).strided(2);
    let stem = Unit::batch(stem, Act::Relu, &vb.pp("conv1"), &vb.pp("bn1"))?;
    let pool = PoolConfig {
        stride: vec![2; rank],
        padding: vec![1; rank],
        ..PoolConfig::new(&vec![3; rank])
    };
    let mut stages: Vec<Layers> = vec![vec![Box::new(stem)]];
    let mut widths = vec![channels, 64];
    let mut cin = 64;
    for (i, &count) in table.blocks.iter().enumerate() {
        let mut layers: Layers = Vec::new();
        // The first of these stages gets coarser by pooling.
        let grid = if i == 0 {
            layers.push(Box::new(MaxPool(pool.clone())));
            Grid { stride: 1, dilation: 1 }
        } else {
            grids.at(i + 2)
        };
        let planes = 64 << i;
        for block in 0..count {
            let grid = if block == 0 { grid } else { grid.kept() };
            let vb = vb.pp(format!("layer{}", i + 1)).pp(block);
            let block = Residual::new(rank, cin, planes, grid, table.bottleneck, &vb)?;
            cin = block.cout;
            layers.push(Box::new(block));
        }
        widths.push(cin);
        stages.push(layers);
    }
    Ok(Pyramid { channels: widths, stages })
}

/// Two convolutions, or three that narrow, look around and widen, with the input added.
#[derive(Debug)]
struct Residual {
    convs: Layers,
    downsample: Option<Unit>,
    cout: usize,
}

impl Residual {
    fn new(
        rank: usize,
        cin: usize,
        planes: usize,
        grid: Grid,
        bottleneck: bool,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let conv = |cin, cout, kernel| Isotropic::new(rank, cin, cout, kernel, Draw::Encoder);
        let (plan, cout) = if bottleneck {
            let cout = 4 * planes;
            let look = conv(planes, planes, 3).over(grid);
            (vec![conv(cin, planes, 1), look, conv(planes, cout, 1)], cout)
        } else {
            let second = conv(planes, planes, 3).over(grid.kept());
            (vec![conv(cin, planes, 3).over(grid), second], planes)
        };
        let mut convs: Layers = Vec::new();
        for (i, &conv) in plan.iter().enumerate() {
            let act = if i + 1 == plan.len() { Act::Identity } else { Act::Relu };
            let names = (vb.pp(format!("conv{}", i + 1)), vb.pp(format!("bn{}", i + 1)));
            convs.push(Box::new(Unit::batch(conv, act, &names.0, &names.1)?));
        }
        let project = || {
            let vb = vb.pp("downsample");
            let conv = conv(cin, cout, 1).strided(grid.stride);
            Unit::batch(conv, Act::Identity, &vb.pp(0), &vb.pp(1))
        };
        let downsample = (grid.stride != 1 || cin != cout).then(project).transpose()?;
        Ok(Self { convs, downsample, cout })
    }
}

impl Layer for Residual {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        let x = joined(inputs)?;
        let inner = run(&self.convs, &[&Pending::from(&x)], train)?.resolve()?;
        let skip = match &self.downsample {
            Some(project) => project.forward_t(&[&x.into()], train)?.resolve()?,
            None => x,
        };
        Ok(Act::Relu.forward(&(inner + skip)?)?.into())
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.joined(inputs);
        let inner = sketch.run(&self.convs, &[&x])?;
        let skip = match &self.downsample {
            Some(project) => project.onnx(sketch, &[&x])?,
            None => x,
        };
        let sum = sketch.sum(&inner, &skip);
        sketch.act(Act::Relu, &sum)
    }
}
