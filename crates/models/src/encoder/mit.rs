//! Mix transformers, with the names of SegFormer.

use candle::{D, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use nn::{Act, Conv, ConvConfig, LayerNorm, Pending};
use onnx::Value;

use super::Pyramid;
use crate::block::{Layer, Layers, chain};
use crate::isotropic::{Draw, Isotropic};
use crate::normalization::EPS;
use crate::sketch::{Sketch, signed};
use crate::unit::joined;

/// Channels, heads and reductions of each stage.
pub(super) struct Table {
    channels: [usize; 4],
    heads: [usize; 4],
    /// How much coarser keys and values are than queries.
    reductions: [usize; 4],
    blocks: [usize; 4],
}

pub(super) const B0: Table = Table {
    channels: [32, 64, 160, 256],
    heads: [1, 2, 5, 8],
    reductions: [8, 4, 2, 1],
    blocks: [2, 2, 2, 2],
};

/// The epsilon of the norms of blocks and stages; others have PyTorch's.
const BLOCK_EPS: f64 = 1e-6;

pub(super) fn build(
    table: &Table,
    rank: usize,
    channels: usize,
    vb: &VarBuilder<'_>,
) -> Result<Pyramid> {
    // No features are twice as coarse as the images.
    let mut stages: Vec<Layers> = vec![Vec::new()];
    let mut widths = vec![channels, 0];
    let mut cin = channels;
    for (i, &width) in table.channels.iter().enumerate() {
        let (kernel, stride) = if i == 0 { (7, 4) } else { (3, 2) };
        let patch =
            Isotropic::new(rank, cin, width, kernel, Draw::Encoder).strided(stride).biased();
        let names = vb.pp(format!("patch_embed{}", i + 1));
        let mut layers: Layers = vec![
            Box::new(Plain(patch.build(&names.pp("proj"))?)),
            Box::new(Norm(LayerNorm::new(width, EPS, names.pp("norm"))?)),
        ];
        for block in 0..table.blocks[i] {
            let vb = vb.pp(format!("block{}", i + 1)).pp(block);
            let block = Block::new(rank, width, table.heads[i], table.reductions[i], &vb)?;
            layers.push(Box::new(block));
        }
        let norm = LayerNorm::new(width, BLOCK_EPS, vb.pp(format!("norm{}", i + 1)))?;
        layers.push(Box::new(Norm(norm)));
        stages.push(layers);
        widths.push(width);
        cin = width;
    }
    Ok(Pyramid { channels: widths, stages })
}

/// A convolution alone.
#[derive(Debug)]
struct Plain(Conv);

impl Layer for Plain {
    fn forward_t(&self, inputs: &[&Pending], _: bool) -> Result<Pending> {
        self.0.forward_of(inputs)
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        sketch.conv(&self.0, inputs)
    }
}

/// A norm over channels.
#[derive(Debug)]
struct Norm(LayerNorm);

impl Layer for Norm {
    fn forward_t(&self, inputs: &[&Pending], _: bool) -> Result<Pending> {
        Ok(self.0.forward(&joined(inputs)?)?.into())
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.joined(inputs);
        sketch.layer_norm(&self.0, &x)
    }
}

/// A map of channels with an offset: PyTorch's `Linear`, at each voxel.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub(crate) fn new(cin: usize, cout: usize, init: Init, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            weight: vb.get_with_hints((cout, cin), "weight", init)?,
            bias: vb.get_with_hints(cout, "bias", Init::Const(0.0))?,
        })
    }

    /// Of `x`, `(N, *S, C_in)`, giving `(N, *S, C_out)`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let rank = x.rank() - 2;
        let weight = self.weight.reshape([self.weight.dims(), &vec![1; rank]].concat())?;
        nn::conv(x, &weight, Some(&self.bias), &ConvConfig::new(rank))
    }

    /// The same as nodes of a graph: of `(N, C_in, *S)`, giving `(N, C_out, *S)`.
    pub(crate) fn onnx(&self, sketch: &mut Sketch, x: &Value) -> Result<Value> {
        sketch.linear(&self.weight, &self.bias, x)
    }
}

/// What linear maps of a transformer begin with.
const NARROW: Init = Init::Randn { mean: 0.0, stdev: 0.02 };

#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    attention: Attention,
    norm2: LayerNorm,
    widen: Linear,
    mix: Conv,
    narrow: Linear,
}

impl Block {
    fn new(
        rank: usize,
        channels: usize,
        heads: usize,
        reduction: usize,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let wide = 4 * channels;
        let mlp = vb.pp("mlp");
        let mix = Isotropic::new(rank, wide, wide, 3, Draw::Encoder).depthwise().biased();
        Ok(Self {
            norm1: LayerNorm::new(channels, BLOCK_EPS, vb.pp("norm1"))?,
            attention: Attention::new(rank, channels, heads, reduction, &vb.pp("attn"))?,
            norm2: LayerNorm::new(channels, BLOCK_EPS, vb.pp("norm2"))?,
            widen: Linear::new(channels, wide, NARROW, &mlp.pp("fc1"))?,
            mix: mix.build(&mlp.pp("dwconv.dwconv"))?,
            narrow: Linear::new(wide, channels, NARROW, &mlp.pp("fc2"))?,
        })
    }
}

impl Layer for Block {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        let x = joined(inputs)?;
        let x = (&x + self.attention.forward(&self.norm1.forward(&x)?, train)?)?;
        let inner = self.mix.forward(&self.widen.forward(&self.norm2.forward(&x)?)?)?;
        Ok((self.narrow.forward(&Act::Gelu.forward(&inner)?)? + x)?.into())
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let x = sketch.joined(inputs);
        let normed = sketch.layer_norm(&self.norm1, &x)?;
        let seen = self.attention.onnx(sketch, &normed)?;
        let x = sketch.sum(&x, &seen);
        let inner = sketch.layer_norm(&self.norm2, &x)?;
        let inner = self.widen.onnx(sketch, &inner)?;
        let inner = sketch.conv(&self.mix, &[&inner])?;
        let inner = sketch.act(Act::Gelu, &inner)?;
        let inner = self.narrow.onnx(sketch, &inner)?;
        Ok(sketch.sum(&inner, &x))
    }
}

/// Attention of each voxel to the voxels of a coarser grid.
#[derive(Debug)]
struct Attention {
    heads: usize,
    queries: Linear,
    /// Keys, then values.
    pairs: Linear,
    out: Linear,
    /// What makes keys and values coarser.
    reduce: Layers,
}

impl Attention {
    fn new(
        rank: usize,
        channels: usize,
        heads: usize,
        reduction: usize,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let mut reduce: Layers = Vec::new();
        if reduction > 1 {
            let window = vec![reduction; rank];
            let shape = [&[channels, channels], window.as_slice()].concat();
            Draw::Encoder.ask(&shape, &vb.pp("sr"))?;
            let config = ConvConfig { stride: window.clone(), ..ConvConfig::new(rank) };
            let conv = Conv::new(channels, channels, &window, config, true, vb.pp("sr"))?;
            reduce.push(Box::new(Plain(conv)));
            reduce.push(Box::new(Norm(LayerNorm::new(channels, EPS, vb.pp("norm"))?)));
        }
        let linear = |cout, name: &str| Linear::new(channels, cout, NARROW, &vb.pp(name));
        Ok(Self {
            heads,
            queries: linear(channels, "q")?,
            pairs: linear(2 * channels, "kv")?,
            out: linear(channels, "proj")?,
            reduce,
        })
    }

    /// `(N, *S, C)` as `(N, heads, voxels, C / heads)`.
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels) = (x.dim(0)?, x.dim(D::Minus1)?);
        x.reshape((batch, (), self.heads, channels / self.heads))?.transpose(1, 2)?.contiguous()
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let channels = x.dim(D::Minus1)?;
        let scale = ((channels / self.heads) as f64).sqrt().recip();
        let queries = self.split(&self.queries.forward(x)?)?;
        let coarse = chain(&self.reduce, x.into(), train)?.resolve()?;
        let pairs = self.pairs.forward(&coarse)?;
        let keys = self.split(&pairs.narrow(D::Minus1, 0, channels)?.contiguous()?)?;
        let values = self.split(&pairs.narrow(D::Minus1, channels, channels)?.contiguous()?)?;
        let scores = (queries.matmul(&keys.transpose(2, 3)?.contiguous()?)? * scale)?;
        let found = nn::softmax_along(&scores, 3)?.matmul(&values)?;
        let found = found.transpose(1, 2)?.contiguous()?.reshape(x.dims())?;
        self.out.forward(&found)
    }

    /// The same as nodes of a graph: of `(N, C, *S)`.
    fn onnx(&self, sketch: &mut Sketch, x: &Value) -> Result<Value> {
        // Each head has the channels that it has here, and they come before the voxels.
        const TURNED: [usize; 4] = [0, 1, 3, 2];
        let channels = self.queries.weight.dim(0)?;
        let (heads, each) = (signed(self.heads), signed(channels / self.heads));
        let scale = (each as f64).sqrt().recip();
        let shape = sketch.graph().shape(x, 0, None);
        let queries = self.queries.onnx(sketch, x)?;
        let queries = sketch.reshape(&queries, &[0, heads, each, -1])?;
        let coarse = sketch.chain(&self.reduce, x)?;
        let pairs = self.pairs.onnx(sketch, &coarse)?;
        let pairs = sketch.reshape(&pairs, &[0, 2 * heads, each, -1])?;
        let axis = sketch.integers(&[1])?;
        let mut halves = Vec::new();
        for first in [0, heads] {
            let (from, to) = (sketch.integers(&[first])?, sketch.integers(&[first + heads])?);
            halves.push(sketch.graph().node("Slice", &[&pairs, &from, &to, &axis], &[]));
        }
        let scale = sketch.number(scale)?;
        let graph = sketch.graph();
        let queries = graph.transpose(&queries, &TURNED);
        let scores = graph.node("MatMul", &[&queries, &halves[0]], &[]);
        let scores = graph.node("Mul", &[&scores, &scale], &[]);
        let weights = graph.softmax(&scores);
        let values = graph.transpose(&halves[1], &TURNED);
        let found = graph.node("MatMul", &[&weights, &values], &[]);
        let found = graph.transpose(&found, &TURNED);
        let found = graph.node("Reshape", &[&found, &shape], &[]);
        self.out.onnx(sketch, &found)
    }
}
