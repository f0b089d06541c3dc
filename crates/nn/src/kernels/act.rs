//! Activations and their slopes.

use std::f32::consts::{FRAC_1_SQRT_2, PI};

use candle::cpu::erf::erf_f32;

use super::fresh::in_pieces;
use crate::Act;
use crate::activation::Form;

/// An activation of single values.
pub(super) trait Curve: Copy + Send + Sync {
    /// `bend` is the slope below 0, where that is learned.
    fn value(self, x: f32, bend: f32) -> f32;
    fn slope(self, x: f32, bend: f32) -> f32;
}

/// [`Act::Identity`].
#[derive(Clone, Copy)]
pub(super) struct Line;

/// [`Act::Relu`].
#[derive(Clone, Copy)]
pub(super) struct Ramp;

/// [`Act::LeakyRelu`].
#[derive(Clone, Copy)]
pub(super) struct Bend(f32);

/// [`Form::Prelu`].
#[derive(Clone, Copy)]
pub(super) struct Bends;

/// [`Form::PreluSlopes`].
#[derive(Clone, Copy)]
pub(super) struct OfBends;

/// Any other.
#[derive(Clone, Copy)]
pub(super) struct Curved(Act);

impl Curve for Line {
    #[inline(always)]
    fn value(self, x: f32, _: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn slope(self, _: f32, _: f32) -> f32 {
        1.0
    }
}

impl Curve for Ramp {
    #[inline(always)]
    fn value(self, x: f32, _: f32) -> f32 {
        // NaN stays NaN.
        if x <= 0.0 { 0.0 } else { x }
    }

    #[inline(always)]
    fn slope(self, x: f32, _: f32) -> f32 {
        if x > 0.0 { 1.0 } else { 0.0 }
    }
}

impl Curve for Bend {
    #[inline(always)]
    fn value(self, x: f32, bend: f32) -> f32 {
        // A choice between factors, unlike one between results, becomes a vector operation.
        x * self.slope(x, bend)
    }

    #[inline(always)]
    fn slope(self, x: f32, _: f32) -> f32 {
        if x > 0.0 { 1.0 } else { self.0 }
    }
}

impl Curve for Bends {
    #[inline(always)]
    fn value(self, x: f32, bend: f32) -> f32 {
        x * self.slope(x, bend)
    }

    #[inline(always)]
    fn slope(self, x: f32, bend: f32) -> f32 {
        if x > 0.0 { 1.0 } else { bend }
    }
}

impl Curve for OfBends {
    #[inline(always)]
    fn value(self, x: f32, bend: f32) -> f32 {
        Bends.value(x, bend)
    }

    #[inline(always)]
    fn slope(self, x: f32, _: f32) -> f32 {
        // NaN stays NaN.
        if x > 0.0 { 0.0 } else { x }
    }
}

/// √(2 / π), of the tanh approximation.
const TANH_SCALE: f32 = 0.797_884_6;
const TANH_CUBE: f32 = 0.044_715;

impl Curve for Curved {
    fn value(self, x: f32, bend: f32) -> f32 {
        match self.0 {
            Act::Identity => x,
            Act::Relu => Ramp.value(x, bend),
            Act::LeakyRelu(slope) => Bend(narrow(slope)).value(x, bend),
            Act::Elu(alpha) => {
                if x > 0.0 {
                    x
                } else {
                    narrow(alpha) * x.exp_m1()
                }
            }
            Act::Gelu => 0.5 * x * (1.0 + erf_f32(x * FRAC_1_SQRT_2)),
            Act::GeluTanh => 0.5 * x * (1.0 + (TANH_SCALE * (x + TANH_CUBE * x * x * x)).tanh()),
            Act::Silu => x * sigmoid(x),
            Act::Sigmoid => sigmoid(x),
            Act::Tanh => x.tanh(),
            Act::Softplus => softplus(x),
            Act::LogSigmoid => -softplus(-x),
            Act::Mish => x * softplus(x).tanh(),
            Act::Hardswish if x < -3.0 => 0.0,
            Act::Hardswish if x > 3.0 => x,
            Act::Hardswish => x * (x + 3.0) / 6.0,
        }
    }

    fn slope(self, x: f32, bend: f32) -> f32 {
        match self.0 {
            Act::Identity => 1.0,
            Act::Relu => Ramp.slope(x, bend),
            Act::LeakyRelu(slope) => Bend(narrow(slope)).slope(x, bend),
            Act::Elu(alpha) => {
                if x > 0.0 {
                    1.0
                } else {
                    narrow(alpha) * x.exp()
                }
            }
            Act::Gelu => {
                let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
                0.5 * (1.0 + erf_f32(x * FRAC_1_SQRT_2)) + x * density
            }
            Act::GeluTanh => {
                let tanh = (TANH_SCALE * (x + TANH_CUBE * x * x * x)).tanh();
                let inner = TANH_SCALE * (1.0 + 3.0 * TANH_CUBE * x * x);
                0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * inner
            }
            Act::Silu => sigmoid(x) * (1.0 + x * sigmoid(-x)),
            Act::Sigmoid => sigmoid(x) * sigmoid(-x),
            Act::Tanh => 1.0 - x.tanh() * x.tanh(),
            Act::Softplus => sigmoid(x),
            Act::LogSigmoid => sigmoid(-x),
            Act::Mish => {
                let tanh = softplus(x).tanh();
                tanh + x * (1.0 - tanh * tanh) * sigmoid(x)
            }
            Act::Hardswish if x < -3.0 => 0.0,
            Act::Hardswish if x > 3.0 => 1.0,
            Act::Hardswish => x / 3.0 + 0.5,
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f32) -> f32 {
    // `max` would turn NaN into 0, but the logarithm keeps it.
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn narrow(setting: f64) -> f32 {
    super::channels::narrow(setting)
}

/// Calls `$run` with the curve that the form `$form` is, so that the plain ones cost no branch on its
/// kind.
macro_rules! with_curve {
    ($form:expr, $curve:ident => $run:expr) => {
        match $form {
            $crate::activation::Form::Act($crate::Act::Identity) => {
                let $curve = $crate::kernels::act::Line;
                $run
            }
            $crate::activation::Form::Act($crate::Act::Relu) => {
                let $curve = $crate::kernels::act::Ramp;
                $run
            }
            $crate::activation::Form::Act($crate::Act::LeakyRelu(slope)) => {
                let $curve = $crate::kernels::act::bend(slope);
                $run
            }
            $crate::activation::Form::Act(act) => {
                let $curve = $crate::kernels::act::curved(act);
                $run
            }
            $crate::activation::Form::Prelu => {
                let $curve = $crate::kernels::act::Bends;
                $run
            }
            $crate::activation::Form::PreluSlopes => {
                let $curve = $crate::kernels::act::OfBends;
                $run
            }
        }
    };
}
pub(super) use with_curve;

pub(super) fn bend(slope: f64) -> Bend {
    Bend(narrow(slope))
}

pub(super) fn curved(act: Act) -> Curved {
    Curved(act)
}

/// Values that one task computes.
const TASK: usize = 1 << 14;

/// The activation of each value.
pub(crate) fn values(x: &[f32], act: Act) -> Vec<f32> {
    with_curve!(Form::Act(act), curve => in_pieces(x.len(), TASK, |task, y| {
        for (y, &x) in y.iter_mut().zip(&x[task * TASK..]) {
            *y = curve.value(x, 0.0);
        }
    }))
}

/// The slope at each value, times the gradient there.
pub(crate) fn slopes(x: &[f32], gradient: &[f32], act: Act) -> Vec<f32> {
    with_curve!(Form::Act(act), curve => in_pieces(x.len(), TASK, |task, y| {
        let from = task * TASK;
        for ((y, &x), &gradient) in y.iter_mut().zip(&x[from..]).zip(&gradient[from..]) {
            *y = gradient * curve.slope(x, 0.0);
        }
    }))
}
