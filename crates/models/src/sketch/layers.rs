use candle::{Result, Tensor};
use nn::{
    BatchNorm, Conv, ConvConfig, ConvTranspose, GroupNorm, InstanceNorm, Interpolation, LayerNorm,
    PoolConfig,
};
use onnx::{Attribute, ResizeMode, Size, Value, Window};

use super::{Sketch, wrap};

/// What ONNX calls f32.
const FLOAT: i64 = 1;

impl Sketch {
    /// The convolution of `inputs` side by side.
    pub(crate) fn conv(&mut self, conv: &Conv, inputs: &[&Value]) -> Result<Value> {
        let x = self.joined(inputs);
        let weight = self.parameter(conv.weight())?;
        let bias = conv.bias().map(|bias| self.parameter(bias)).transpose()?;
        let ConvConfig { stride, padding, dilation, groups } = conv.config();
        let window = Window { kernel: &conv.weight().dims()[2..], stride, padding };
        Ok(self.graph.conv(&x, &weight, bias.as_ref(), window, dilation, *groups))
    }

    /// The transposed convolution of `inputs` side by side.
    pub(crate) fn conv_transpose(
        &mut self,
        conv: &ConvTranspose,
        inputs: &[&Value],
    ) -> Result<Value> {
        let x = self.joined(inputs);
        let weight = self.parameter(conv.weight())?;
        let bias = conv.bias().map(|bias| self.parameter(bias)).transpose()?;
        let config = conv.config();
        let (stride, padding) = (&config.stride, &config.padding);
        let window = Window { kernel: &conv.weight().dims()[2..], stride, padding };
        Ok(self.graph.conv_transpose(
            &x,
            &weight,
            bias.as_ref(),
            window,
            &config.output_padding,
            &config.dilation,
            config.groups,
        ))
    }

    /// A map of channels, `(C_out, C_in)`, with an offset, at each voxel.
    pub(crate) fn linear(&mut self, weight: &Tensor, bias: &Tensor, x: &Value) -> Result<Value> {
        let (weight, bias) = (self.parameter(weight)?, self.parameter(bias)?);
        let shape = [vec![0, 0], vec![1; self.rank]].concat();
        let weight = self.reshape(&weight, &shape)?;
        let (ones, zeros) = (vec![1; self.rank], vec![0; self.rank]);
        let window = Window { kernel: &ones, stride: &ones, padding: &zeros };
        Ok(self.graph.conv(x, &weight, Some(&bias), window, &ones, 1))
    }

    /// The largest value of each window.
    pub(crate) fn max_pool(&mut self, config: &PoolConfig, x: &Value) -> Value {
        self.graph.max_pool(x, window(config), config.ceil_mode)
    }

    /// The mean of each window.
    pub(crate) fn avg_pool(&mut self, config: &PoolConfig, x: &Value) -> Value {
        self.graph.avg_pool(x, window(config), config.ceil_mode, config.count_include_pad)
    }

    /// The means of `bins` windows along each axis, which together cover it.
    ///
    /// ONNX has no such operator but for one window: where the others lie depends on extents that are not
    /// known yet, so that the graph computes each voxel's share of each window, and multiplies.
    pub(crate) fn adaptive_avg_pool(&mut self, bins: usize, x: &Value) -> Result<Value> {
        if bins == 1 {
            return Ok(self.graph.node("GlobalAveragePool", &[x], &[]));
        }
        let mut x = x.clone();
        for axis in 2..self.rank + 2 {
            let shares = self.shares(&x, axis, bins)?;
            let mut order: Vec<usize> = (0..self.rank + 2).collect();
            order.swap(axis, self.rank + 1);
            let turned = self.graph.transpose(&x, &order);
            let means = self.graph.node("MatMul", &[&turned, &shares], &[]);
            x = self.graph.transpose(&means, &order);
        }
        Ok(x)
    }

    /// What share voxel `v` of an axis has in window `b` of `bins`, `(V, B)`.
    fn shares(&mut self, x: &Value, axis: usize, bins: usize) -> Result<Value> {
        let (axis, bins) = (signed(axis), signed(bins));
        let extent = self.graph.shape(x, axis, Some(axis + 1));
        let numbers: Vec<i64> = (0..=bins).collect();
        let count = self.integers(&[bins])?;
        // The first voxel of each window, and the one after its last: ⌊b · V / B⌋ and ⌈(b + 1) · V / B⌉.
        let first = self.integers(&numbers[..numbers.len() - 1])?;
        let first = self.product(&first, &extent);
        let first = self.graph.node("Div", &[&first, &count], &[]);
        let end = self.integers(&numbers[1..])?;
        let end = self.product(&end, &extent);
        let less = self.integers(&[bins - 1])?;
        let end = self.sum(&end, &less);
        let end = self.graph.node("Div", &[&end, &count], &[]);

        let zero = self.graph.integer(0).map_err(wrap)?;
        let one = self.graph.integer(1).map_err(wrap)?;
        let (row, column) = (self.integers(&[0])?, self.integers(&[1])?);
        let extent = self.graph.node("Squeeze", &[&extent, &row], &[]);
        let voxel = self.graph.node("Range", &[&zero, &extent, &one], &[]);
        let voxel = self.graph.node("Unsqueeze", &[&voxel, &column], &[]);
        let begun = self.graph.node("GreaterOrEqual", &[&voxel, &first], &[]);
        let open = self.graph.node("Less", &[&voxel, &end], &[]);
        let inside = self.graph.node("And", &[&begun, &open], &[]);
        let width = self.graph.node("Sub", &[&end, &first], &[]);
        let float = [("to", Attribute::Int(FLOAT))];
        let inside = self.graph.node("Cast", &[&inside], &float);
        let width = self.graph.node("Cast", &[&width], &float);
        Ok(self.graph.node("Div", &[&inside, &width], &[]))
    }

    /// `x` with the spatial extents of `like`.
    pub(crate) fn resized(
        &mut self,
        x: &Value,
        like: &Value,
        interpolation: Interpolation,
    ) -> Result<Value> {
        let (rank, mode) = (self.rank, mode(interpolation)?);
        self.graph.resize(x, rank, Size::Of(like), mode).map_err(wrap)
    }

    /// `x` with twice its spatial extents.
    pub(crate) fn doubled(&mut self, x: &Value, interpolation: Interpolation) -> Result<Value> {
        let (rank, mode) = (self.rank, mode(interpolation)?);
        self.graph.resize(x, rank, Size::Times(2.0), mode).map_err(wrap)
    }

    /// Each channel of each sample normalized by itself.
    pub(crate) fn instance_norm(&mut self, norm: &InstanceNorm, x: &Value) -> Result<Value> {
        let channels = norm.channels();
        let (weight, bias) = match norm.affine() {
            (Some(weight), Some(bias)) => (self.parameter(weight)?, self.parameter(bias)?),
            _ => (self.numbers(&vec![1.0; channels])?, self.numbers(&vec![0.0; channels])?),
        };
        Ok(self.graph.instance_norm(x, &weight, &bias, norm.eps()))
    }

    /// Blocks of channels normalized together.
    ///
    /// Each becomes one channel of an instance norm: the operator of ONNX's own is younger than opset 17,
    /// and was another before.
    pub(crate) fn group_norm(&mut self, norm: &GroupNorm, x: &Value) -> Result<Value> {
        let groups = norm.groups();
        let shape = self.graph.shape(x, 0, None);
        let blocks = self.reshape(x, &[0, signed(groups), -1])?;
        let (ones, zeros) = (self.numbers(&vec![1.0; groups])?, self.numbers(&vec![0.0; groups])?);
        let blocks = self.graph.instance_norm(&blocks, &ones, &zeros, norm.eps());
        let standard = self.graph.node("Reshape", &[&blocks, &shape], &[]);
        let (weight, bias) = norm.affine();
        let (weight, bias) = (self.per_channel(weight)?, self.per_channel(bias)?);
        let scaled = self.product(&standard, &weight);
        Ok(self.sum(&scaled, &bias))
    }

    /// Each channel normalized by its running statistics.
    pub(crate) fn batch_norm(&mut self, norm: &BatchNorm, x: &Value) -> Result<Value> {
        let ((weight, bias), running) = (norm.affine(), norm.running());
        let weight = self.parameter(weight)?;
        let bias = self.parameter(bias)?;
        let mean = self.parameter(&running.mean)?;
        let variance = self.parameter(&running.variance)?;
        Ok(self.graph.batch_norm(x, [&weight, &bias, &mean, &variance], norm.eps()))
    }

    /// The channels of each voxel normalized together.
    pub(crate) fn layer_norm(&mut self, norm: &LayerNorm, x: &Value) -> Result<Value> {
        let last: Vec<usize> = [0].into_iter().chain(2..self.rank + 2).chain([1]).collect();
        let first: Vec<usize> = [0, self.rank + 1].into_iter().chain(1..=self.rank).collect();
        let (weight, bias) = norm.affine();
        let (weight, bias) = (self.parameter(weight)?, self.parameter(bias)?);
        let x = self.graph.transpose(x, &last);
        let x = self.graph.layer_norm(&x, &weight, &bias, norm.eps());
        Ok(self.graph.transpose(&x, &first))
    }

    /// Each voxel of `x`, `(N, C · 2^R, *S)`, as a block of two along each axis.
    pub(crate) fn pixel_shuffle(&mut self, channels: usize, x: &Value) -> Result<Value> {
        let (rank, channels) = (self.rank, signed(channels));
        let space = self.graph.shape(x, 2, None);
        let blocks = self.integers(&[vec![0, channels], vec![2; rank]].concat())?;
        let split = self.graph.concat(&[&blocks, &space], 0);
        let split = self.graph.node("Reshape", &[x, &split], &[]);
        // (N, C, *block, *S) to (N, C, S₁, block₁, S₂, block₂, …)
        let pairs = (0..rank).flat_map(|axis| [2 + rank + axis, 2 + axis]);
        let turned =
            self.graph.transpose(&split, &[0, 1].into_iter().chain(pairs).collect::<Vec<_>>());
        let two = self.integers(&[2])?;
        let finer = self.product(&space, &two);
        let ours = self.integers(&[0, channels])?;
        let shape = self.graph.concat(&[&ours, &finer], 0);
        Ok(self.graph.node("Reshape", &[&turned, &shape], &[]))
    }

    /// `x` with one voxel of 0 before the first along each axis.
    pub(crate) fn padded_before(&mut self, x: &Value) -> Result<Value> {
        let rank = self.rank;
        let pads = [vec![0, 0], vec![1; rank], vec![0; rank + 2]].concat();
        let pads = self.integers(&pads)?;
        Ok(self.graph.node("Pad", &[x, &pads], &[]))
    }
}

fn window(config: &PoolConfig) -> Window<'_> {
    Window { kernel: &config.kernel, stride: &config.stride, padding: &config.padding }
}

fn mode(interpolation: Interpolation) -> Result<ResizeMode> {
    Ok(match interpolation {
        Interpolation::Nearest => ResizeMode::Nearest,
        Interpolation::Linear { align_corners: false } => ResizeMode::Linear,
        Interpolation::Linear { align_corners: true } => ResizeMode::LinearCorners,
        other => candle::bail!("an ONNX file cannot have the interpolation {other:?} yet"),
    })
}

/// A number of axes or channels.
pub(crate) fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
