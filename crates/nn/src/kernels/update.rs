//! Steps of optimizers, in one pass over a parameter, its gradient and what is remembered of it.
//!
//! Each value goes through the operations of the steps out of candle operations, in their order and
//! rounded as there: bits are the same. So is a 0 added where candle's multiplication by a number adds
//! one, which turns −0 into 0.

use std::array;
use std::mem::MaybeUninit;

use super::channels::narrow;
use super::fresh::in_new_streams;
use crate::isa::isa;
use crate::optim::{Adaption, Descent};

/// Values that one task computes.
const TASK: usize = 1 << 14;
/// Values that are read, computed and written in turn: few enough to stay in the nearest cache.
const LINE: usize = 64;

/// What `of` makes of the values that lie at the same place.
fn map<const IN: usize, const OUT: usize>(
    inputs: [&[f32]; IN],
    of: impl Fn([f32; IN]) -> [f32; OUT] + Sync,
) -> [Vec<f32>; OUT] {
    let length = inputs.iter().map(|input| input.len()).min().unwrap_or(0);
    let isa = isa();
    let run = |task: usize, mut outputs: [&mut [MaybeUninit<f32>]; OUT]| {
        isa.run(|| {
            let count = outputs.first().map_or(0, |output| output.len());
            let inputs = inputs.map(|input| &input[task * TASK..][..count]);
            for from in (0..count).step_by(LINE) {
                let to = (from + LINE).min(count);
                let mut read = [[0f32; LINE]; IN];
                for (line, input) in read.iter_mut().zip(inputs) {
                    line[..to - from].copy_from_slice(&input[from..to]);
                }
                let mut made = [[0f32; LINE]; OUT];
                for at in 0..LINE {
                    let values = of(array::from_fn(|which| read[which][at]));
                    for (line, value) in made.iter_mut().zip(values) {
                        line[at] = value;
                    }
                }
                for (output, line) in outputs.iter_mut().zip(&made) {
                    output[from..to].write_copy_of_slice(&line[..to - from]);
                }
            }
        });
    };
    #[expect(unsafe_code, reason = "see `in_new_streams`")]
    // SAFETY: lines cover a piece from its first value to its last.
    unsafe {
        in_new_streams(length, TASK, run)
    }
}

/// Candle's product of a tensor and a number.
#[inline(always)]
fn times(value: f32, factor: f32) -> f32 {
    value * factor + 0.0
}

/// The gradient with weight decay as an L2 penalty.
#[inline(always)]
fn with_decay(gradient: f32, value: f32, decay: f32) -> f32 {
    // The same for all values: the compiler takes it out of the loop.
    if decay == 0.0 { gradient } else { gradient + times(value, decay) }
}

/// The parameter after a step without momentum.
pub(crate) fn descend(rule: &Descent, value: &[f32], gradient: &[f32]) -> Vec<f32> {
    let (decay, rate) = (narrow(rule.decay), narrow(rule.rate));
    let [value] = map([value, gradient], |[value, gradient]| {
        [value - times(with_decay(gradient, value, decay), rate)]
    });
    value
}

/// The parameter and its buffer after a step.
pub(crate) fn descend_with_momentum(
    rule: &Descent,
    value: &[f32],
    gradient: &[f32],
    buffer: &[f32],
) -> [Vec<f32>; 2] {
    let (decay, rate) = (narrow(rule.decay), narrow(rule.rate));
    let (momentum, fresh) = (narrow(rule.momentum), narrow(rule.fresh));
    map([value, gradient, buffer], |[value, gradient, buffer]| {
        let gradient = with_decay(gradient, value, decay);
        let buffer =
            if rule.first { gradient } else { times(buffer, momentum) + times(gradient, fresh) };
        let direction = if rule.nesterov { gradient + times(buffer, momentum) } else { buffer };
        [value - times(direction, rate), buffer]
    })
}

/// The average after it has come closer to `value` by the part `take` of its distance.
pub(crate) fn moved_towards(average: &[f32], value: &[f32], take: f64) -> Vec<f32> {
    let take = narrow(take);
    let [average] =
        map([average, value], |[average, value]| [average + times(value - average, take)]);
    average
}

/// The numbers of [`Adaption`], in single precision.
#[derive(Clone, Copy)]
struct Adapting {
    decay: f32,
    shrink: Option<f32>,
    keep: [f32; 2],
    take: [f32; 2],
    unit: f32,
    eps: f32,
    rate: f32,
}

impl Adapting {
    fn new(rule: &Adaption) -> Self {
        Self {
            decay: narrow(rule.decay),
            shrink: rule.shrink.map(narrow),
            keep: rule.keep.map(narrow),
            take: rule.keep.map(|keep| narrow(1.0 - keep)),
            unit: narrow(1.0 / rule.scale),
            eps: narrow(rule.eps),
            rate: narrow(rule.rate),
        }
    }

    /// Mean and mean square with the gradient of this step.
    #[inline(always)]
    fn moments(self, value: f32, gradient: f32, mean: f32, square: f32) -> [f32; 2] {
        let gradient = with_decay(gradient, value, self.decay);
        let mean = times(mean, self.keep[0]) + times(gradient, self.take[0]);
        let square = times(square, self.keep[1]) + times(gradient * gradient, self.take[1]);
        [mean, square]
    }

    /// The parameter after the step.
    #[inline(always)]
    fn moved(self, value: f32, mean: f32, square: f32) -> f32 {
        let value = self.shrink.map_or(value, |factor| times(value, factor));
        let deviation = times(square.sqrt(), self.unit) * 1.0 + self.eps;
        value - times(mean / deviation, self.rate)
    }
}

/// The parameter, its mean and its mean square after a step.
pub(crate) fn adapt(
    rule: &Adaption,
    value: &[f32],
    gradient: &[f32],
    [mean, square]: [&[f32]; 2],
) -> [Vec<f32>; 3] {
    let adapting = Adapting::new(rule);
    map([value, gradient, mean, square], |[value, gradient, mean, square]| {
        let [mean, square] = adapting.moments(value, gradient, mean, square);
        [adapting.moved(value, mean, square), mean, square]
    })
}

/// The parameter, its mean, its mean square and the largest of those after a step.
pub(crate) fn adapt_to_largest(
    rule: &Adaption,
    value: &[f32],
    gradient: &[f32],
    [mean, square, largest]: [&[f32]; 3],
) -> [Vec<f32>; 4] {
    let adapting = Adapting::new(rule);
    map([value, gradient, mean, square, largest], |[value, gradient, mean, square, largest]| {
        let [mean, square] = adapting.moments(value, gradient, mean, square);
        let largest = if largest < square { square } else { largest };
        [adapting.moved(value, mean, largest), mean, square, largest]
    })
}
