//! A convolution that normalizes what it reads.

use std::sync::Arc;

use candle::{CpuStorage, DType, Result, Tensor};

use super::conv::{Convolution, Weight, plain};
use super::edge::{Edge, Slot, nothing, ticket};
use super::norm::{Known, Normalization, over_samples};
use super::{Held, tensor_like};
use crate::kernels::amx::Grant;
use crate::kernels::channels;
use crate::kernels::element::{Values, stored, with_values};
use crate::kernels::norm::{Scaling, cell_means, gradient_sums, input_gradient_in_place};
use crate::kernels::reading::{Norm, Part};
use crate::native::node::{Backward, record};
use crate::pending::Pending;
use crate::{Work, working_at};

/// See [`conv_of`](crate::conv_of()); of one input or two.
pub(crate) fn conv_of(
    inputs: &[&Pending],
    weight: &Tensor,
    bias: Option<&Tensor>,
    convolution: Convolution,
) -> Result<Pending> {
    let mut vectors = Vec::new();
    let mut reads = Vec::new();
    let mut tickets = Vec::new();
    for input in inputs {
        if let Some(norm) = input.norm() {
            let constant = |parameter: &Option<Tensor>, value: f32| match parameter {
                Some(parameter) => Ok(parameter.clone()),
                None => Tensor::full(value, input.channels(), weight.device()),
            };
            vectors.push(constant(&norm.weight, 1.0)?);
            vectors.push(constant(&norm.bias, 0.0)?);
        }
        let read = Read::new(input)?;
        tickets.push(match &read.edge {
            Some(edge) => edge.ticket.clone(),
            None => Tensor::zeros(1, DType::F32, weight.device())?,
        });
        reads.push(read);
    }
    vectors.extend(bias.cloned());
    if vectors.is_empty() {
        vectors.push(Tensor::zeros(1, DType::F32, weight.device())?);
    }
    let (tickets, vectors) = (Tensor::cat(&tickets, 0)?, Tensor::cat(&vectors, 0)?);
    let weight = weight.contiguous()?;

    let slot = Arc::new(Slot::default());
    let op = Reading { convolution, reads, has_bias: bias.is_some(), slot: slot.clone() };
    let (y, known) = working_at(Work::Convolution, || op.forward(&weight, &vectors))?;
    // Constants make a constant.
    let is_tracked = tickets.track_op() || weight.track_op() || vectors.track_op();
    let edge =
        is_tracked.then(|| record(&[&tickets, &weight, &vectors], ticket(), 1, op)).transpose()?;
    Ok(Pending::of_parts(y, edge.map(|ticket| Edge { ticket, slot }), known, None))
}

/// One of the tensors that are read.
struct Read {
    values: Tensor,
    /// Where the gradient of the values goes, if there is one.
    edge: Option<Edge>,
    channels: usize,
    norm: Option<Normalization>,
}

impl Read {
    fn new(input: &Pending) -> Result<Self> {
        let values = input.values().contiguous()?;
        let edge = match input.edge() {
            Some(edge) => Some(edge.clone()),
            None if values.track_op() => Some(Edge::into_graph(&values)?),
            None => None,
        };
        let norm = input.norm().map(|norm| norm.op.clone());
        Ok(Self { values: values.detach(), edge, channels: input.channels(), norm })
    }
}

/// A convolution of one tensor or two, as an operation on their tickets, the weight, and, one after the
/// other, scale and offset of each norm, with its slopes where it learns any, and the bias.
struct Reading {
    convolution: Convolution,
    reads: Vec<Read>,
    has_bias: bool,
    /// Where the gradient of the result comes from.
    slot: Arc<Slot>,
}

impl Reading {
    /// Calls `run` with what is read and the bias, given all vectors.
    fn with_parts<T>(
        &self,
        vectors: &Tensor,
        run: impl FnOnce(&[Part<'_>], Option<&[f32]>) -> T,
    ) -> Result<T> {
        let vectors = Held::of(vectors)?;
        let vectors = vectors.wide();
        let mut rest = &*vectors;
        let mut take = |count: usize| {
            let (taken, left) = rest.split_at(count);
            rest = left;
            taken
        };
        let held = self.reads.iter().map(|read| Held::of(&read.values));
        let held = held.collect::<Result<Vec<_>>>()?;
        let mut parts = Vec::new();
        for (read, held) in self.reads.iter().zip(&held) {
            let norm = read.norm.as_ref().map(|norm| Norm {
                standard: &norm.standard,
                scaling: Scaling { weight: take(read.channels), bias: take(norm.offsets()) },
                form: norm.form,
            });
            parts.push(Part { values: held.get(), channels: read.channels, norm });
        }
        let bias = self.has_bias.then(|| take(self.convolution.outputs()));
        Ok(run(&parts, bias))
    }

    /// The right to multiply by tiles, where it is to.
    fn tiles(&self) -> Option<Grant> {
        self.convolution.tiles(self.reads[0].values.dtype())
    }

    fn forward(&self, weight: &Tensor, vectors: &Tensor) -> Result<(Tensor, Known)> {
        let held = Held::of(weight)?;
        let (y, known) = self.with_parts(vectors, |parts, bias| {
            if let Some(tiles) = self.tiles() {
                let y = self.convolution.in_tiles(tiles, false, parts, &held.wide(), bias);
                return (CpuStorage::BF16(y), None);
            }
            let values = held.wide();
            let y = self.convolution.convolve_parts(parts, Weight::fixed(weight, &values), bias);
            (stored(y.values, self.reads[0].values.dtype()), y.moments.map(Arc::from))
        })?;
        Ok((super::held(y, self.convolution.shape()), known))
    }

    /// The gradient of what is read, from that of the result, for each of the tensors by itself.
    fn of_parts(&self, weight: &[f32], dy: Vec<f32>, wanted: &[bool]) -> Vec<Option<Vec<f32>>> {
        if !wanted.contains(&true) {
            return vec![None; wanted.len()];
        }
        let dx = match self.tiles() {
            Some(tiles) => {
                let parts = [plain(Values::F32(&dy), self.convolution.outputs())];
                self.convolution.in_tiles(tiles, true, &parts, weight, None)
            }
            None => self.convolution.convolve(true, &dy, Weight::of(weight), None),
        };
        drop(dy);
        if let [_] = wanted {
            return vec![Some(dx)];
        }
        let all = self.reads.iter().map(|read| read.channels).sum();
        let mut start = 0;
        let mut gradients = Vec::new();
        for (read, &wanted) in self.reads.iter().zip(wanted) {
            gradients.push(wanted.then(|| channels::slice(&dx, all, start, read.channels)));
            start += read.channels;
        }
        gradients
    }
}

impl Backward for Reading {
    const NAME: &'static str = "reading convolution";

    fn gradients(&self, inputs: &[&Tensor], _: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (tickets, weight, vectors) = (inputs[0], inputs[1], inputs[2]);
        let dy = self.slot.take()?;
        let tracks = [weight.track_op(), vectors.track_op()];
        let wanted: Vec<bool> = (self.reads.iter())
            .map(|read| read.edge.is_some() || (read.norm.is_some() && tracks[1]))
            .collect();
        let held = Held::of(weight)?;
        let (of_weight, of_vectors) = self.with_parts(vectors, |parts, _| {
            let of_weight = tracks[0].then(|| match self.tiles() {
                Some(tiles) => self.convolution.of_weight_in_tiles(tiles, parts, Values::F32(&dy)),
                None => self.convolution.of_weight_parts(parts, &dy),
            });
            let of_bias = (self.has_bias && tracks[1])
                .then(|| channels::sums(&dy, self.convolution.outputs()));
            let mut of_vectors = Vec::new();
            let gradients = self.of_parts(&held.wide(), dy, &wanted);
            for ((read, part), gradient) in self.reads.iter().zip(parts).zip(gradients) {
                let Some(mut gradient) = gradient else {
                    if let Some(norm) = &read.norm {
                        of_vectors.extend(vec![0.0; read.channels + norm.offsets()]);
                    }
                    continue;
                };
                if let Some(norm) = &read.norm {
                    let run = || through(norm, part, &mut gradient);
                    of_vectors.extend(working_at(Work::Normalization, run));
                }
                if let Some(edge) = &read.edge {
                    edge.slot.leave(gradient);
                }
            }
            of_vectors.extend(of_bias.into_iter().flatten());
            (of_weight, of_vectors)
        })?;
        let of_tickets = tickets.track_op().then(|| nothing(tickets)).transpose()?;
        let of_weight = of_weight.map(|gradient| tensor_like(gradient, weight));
        let of_vectors = tracks[1].then(|| tensor_like(of_vectors, vectors));
        Ok(vec![of_tickets, of_weight, of_vectors])
    }
}

/// Turns the gradient of normalized values into that of the values, and returns those of scale, offset
/// and slopes, one after the other.
fn through(norm: &Normalization, part: &Part<'_>, gradient: &mut [f32]) -> Vec<f32> {
    let Some(Norm { standard, scaling, form }) = part.norm else { return Vec::new() };
    let extent = norm.extent;
    let sums = with_values!(part.values, x => {
        gradient_sums((x, gradient), extent, standard, scaling, form)
    });
    let slopes = norm.of_slopes(part.values, gradient, scaling);
    let means = norm.cells.map(|cells| cell_means(&sums, extent, scaling.weight, cells));
    let means = means.as_ref();
    with_values!(part.values, x => {
        input_gradient_in_place((x, gradient), extent, standard, scaling, means, form);
    });
    let [offset, scale] = sums.map(|sums| over_samples(&sums, extent.channels));
    [scale, offset, slopes].concat()
}
