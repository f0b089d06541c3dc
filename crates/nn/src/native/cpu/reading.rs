//! A convolution that normalizes what it reads.

use std::borrow::Cow;

use candle::backend::BackendStorage as _;
use candle::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::conv::Convolution;
use super::norm::{Normalization, over_samples};
use super::{Held, tensor_like, values, wide};
use crate::kernels::channels;
use crate::kernels::element::{Values, with_values};
use crate::kernels::norm::{Scaling, cell_means, gradient_sums, input_gradient_in_place};
use crate::kernels::reading::{Norm, Part, read};
use crate::pending::Pending;

/// See [`conv_of`](crate::conv_of()); of one input that is to be normalized, or of two.
pub(crate) fn conv_of(
    inputs: &[&Pending],
    weight: &Tensor,
    bias: Option<&Tensor>,
    convolution: Convolution,
) -> Result<Tensor> {
    let mut vectors = Vec::new();
    let mut reads = Vec::new();
    for input in inputs {
        let channels = input.channels();
        if let Some(norm) = input.norm() {
            let constant = |parameter: &Option<Tensor>, value: f32| match parameter {
                Some(parameter) => Ok(parameter.clone()),
                None => Tensor::full(value, channels, weight.device()),
            };
            vectors.push(constant(&norm.weight, 1.0)?);
            vectors.push(constant(&norm.bias, 0.0)?);
        }
        reads.push(Read { channels, norm: input.norm().map(|norm| norm.op.clone()) });
    }
    vectors.extend(bias.cloned());
    let op = |is_pair| Reading {
        convolution,
        reads,
        has_bias: bias.is_some(),
        is_pair,
        weight: weight.elem_count(),
    };
    match inputs {
        [input] => {
            let vectors = Tensor::cat(&vectors, 0)?;
            input.values().contiguous()?.apply_op3(&weight.contiguous()?, &vectors, op(false))
        }
        [first, second] => {
            vectors.push(weight.flatten_all()?);
            let vectors = Tensor::cat(&vectors, 0)?;
            first.values().contiguous()?.apply_op3(
                &second.values().contiguous()?,
                &vectors,
                op(true),
            )
        }
        _ => candle::bail!("a convolution reads one tensor or two, not {}", inputs.len()),
    }
}

/// One of the tensors that are read.
struct Read {
    channels: usize,
    norm: Option<Normalization>,
}

/// A convolution of a tensor and its weight or, `is_pair`, of two tensors; the third argument holds
/// one after the other scale and offset of each norm, the bias and, of a pair, the weight: an
/// operation has no more than three.
struct Reading {
    convolution: Convolution,
    reads: Vec<Read>,
    has_bias: bool,
    is_pair: bool,
    /// Values of the weight.
    weight: usize,
}

/// The arguments of an operation, told apart.
struct Arguments<'a> {
    parts: Vec<Part<'a>>,
    bias: Option<&'a [f32]>,
    weight: Cow<'a, [f32]>,
}

impl Reading {
    fn arguments<'a>(
        &'a self,
        first: Values<'a>,
        second: Values<'a>,
        rest: &'a [f32],
    ) -> Arguments<'a> {
        let mut rest = rest;
        let mut take = |count: usize| {
            let (taken, left) = rest.split_at(count);
            rest = left;
            taken
        };
        let mut parts = Vec::new();
        for (read, values) in self.reads.iter().zip([first, second]) {
            let norm = read.norm.as_ref().map(|norm| Norm {
                standard: &norm.standard,
                scaling: Scaling { weight: take(read.channels), bias: take(read.channels) },
                act: norm.act,
            });
            parts.push(Part { values, channels: read.channels, norm });
        }
        let bias = self.has_bias.then(|| take(self.convolution.outputs()));
        let weight = if self.is_pair { take(self.weight).into() } else { second.widened() };
        Arguments { parts, bias, weight }
    }

    fn read<'a>(&self, parts: &[Part<'a>]) -> Cow<'a, [f32]> {
        let geometry = &self.convolution.geometry;
        let space = if self.convolution.transposed { &geometry.coarse } else { &geometry.fine };
        read(parts, geometry.batch, space.iter().product())
    }

    /// The gradient of what is read, from that of the result, for each of the tensors by itself.
    fn of_parts(
        &self,
        arguments: &Arguments<'_>,
        dy: &[f32],
        which: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        if !which.contains(&true) {
            return vec![None; which.len()];
        }
        let dx = self.convolution.convolve(true, dy, &arguments.weight, None);
        if let [_] = which {
            return vec![Some(dx)];
        }
        let all = arguments.parts.iter().map(|part| part.channels).sum();
        let mut start = 0;
        let mut gradients = Vec::new();
        for (part, &wanted) in arguments.parts.iter().zip(which) {
            gradients.push(wanted.then(|| channels::slice(&dx, all, start, part.channels)));
            start += part.channels;
        }
        gradients
    }
}

impl CustomOp3 for Reading {
    fn name(&self) -> &'static str {
        "reading convolution"
    }

    fn cpu_fwd(
        &self,
        first: &CpuStorage,
        first_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
        rest: &CpuStorage,
        rest_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let dtype = first.dtype();
        let (first, second) = (values(first, first_layout)?, values(second, second_layout)?);
        let rest = wide(rest, rest_layout)?;
        let arguments = self.arguments(first, second, &rest);
        let x = self.read(&arguments.parts);
        Ok(self.convolution.forward(&x, &arguments.weight, arguments.bias, dtype))
    }

    fn bwd(
        &self,
        first: &Tensor,
        second: &Tensor,
        rest: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let tracked = [first.track_op(), second.track_op()];
        let of_weight_is_wanted = if self.is_pair { rest.track_op() } else { tracked[1] };
        let wanted: Vec<bool> = (self.reads.iter().zip(tracked))
            .map(|(read, tracked)| tracked || (read.norm.is_some() && rest.track_op()))
            .collect();

        let (first_values, second_values) = (Held::of(first)?, Held::of(second)?);
        let (rest_values, dy_values) = (Held::of(rest)?, Held::of(&dy)?);
        let (rest_values, dy) = (rest_values.wide(), &*dy_values.wide());
        let arguments = self.arguments(first_values.get(), second_values.get(), &rest_values);

        let of_weight = of_weight_is_wanted
            .then(|| self.convolution.of_weight(&self.read(&arguments.parts), dy));
        let gradients = self.of_parts(&arguments, dy, &wanted);
        let mut of_rest = Vec::new();
        let mut of_inputs = Vec::new();
        for ((read, part), gradient) in self.reads.iter().zip(&arguments.parts).zip(gradients) {
            let Some(mut gradient) = gradient else {
                of_rest.extend(vec![0.0; if read.norm.is_some() { 2 * read.channels } else { 0 }]);
                of_inputs.push(None);
                continue;
            };
            if let Some(norm) = &read.norm {
                of_rest.extend(through(norm, part, &mut gradient));
            }
            of_inputs.push(Some(gradient));
        }
        if self.has_bias {
            of_rest.extend(channels::sums(dy, self.convolution.outputs()));
        }
        let tensor = |gradient: Option<Vec<f32>>, like: &Tensor| match gradient {
            Some(gradient) if like.track_op() => Some(tensor_like(gradient, like)),
            _ => None,
        };
        let mut of_inputs = of_inputs.into_iter();
        let of_first = tensor(of_inputs.next().flatten(), first);
        let of_second = if self.is_pair {
            of_rest.extend(of_weight.into_iter().flatten());
            tensor(of_inputs.next().flatten(), second)
        } else {
            tensor(of_weight, second)
        };
        Ok((of_first, of_second, tensor(Some(of_rest), rest)))
    }
}

/// Turns the gradient of normalized values into that of the values, and returns those of scale and
/// offset, one after the other.
fn through(norm: &Normalization, part: &Part<'_>, gradient: &mut [f32]) -> Vec<f32> {
    let Some(Norm { standard, scaling, act }) = part.norm else { return Vec::new() };
    let extent = norm.extent;
    let sums = with_values!(part.values, x => {
        gradient_sums((x, gradient), extent, standard, scaling, act)
    });
    let means = norm.cells.map(|cells| cell_means(&sums, extent, scaling.weight, cells));
    let means = means.as_ref();
    with_values!(part.values, x => {
        input_gradient_in_place((x, gradient), extent, standard, scaling, means, act);
    });
    let [offset, scale] = sums.map(|sums| over_samples(&sums, extent.channels));
    [scale, offset].concat()
}
