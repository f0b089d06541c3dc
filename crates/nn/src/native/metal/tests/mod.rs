//! Kernels agree with the reference: their own text, run on the CPU, through the code that runs them
//! on a device, forward and backward.

mod class_sums;
mod conv;
pub(super) mod emulator;
mod norm;
mod unary;

use anyhow::{Context, ensure};
use candle::{DType, Device, Result, Tensor, Var};

use self::emulator::{is_available, without_matrices};
use super::KERNELS;
use super::launch::NAMES;
use crate::Act;

/// Inputs to a result.
type Layer<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

/// Random numbers, the same for the same seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40
    }

    /// From `range`.
    fn pick(&mut self, range: std::ops::Range<usize>) -> usize {
        range.start + usize::try_from(self.next()).unwrap() % range.len()
    }

    /// From −1 to 1.
    fn tensor(&mut self, shape: &[usize], dtype: DType) -> Result<Tensor> {
        let count = shape.iter().product();
        let values = (0..count).map(|_| self.next() as f32 / (1u32 << 23) as f32 - 1.0).collect();
        Tensor::from_vec::<_, f32>(values, shape, &Device::Cpu)?.to_dtype(dtype)
    }
}

fn values(x: &Tensor) -> Result<Vec<f64>> {
    x.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

/// The result of `layer`, and the gradients of all its inputs.
fn run(layer: Layer<'_>, inputs: &[Tensor]) -> anyhow::Result<Vec<Tensor>> {
    let inputs: Vec<Var> = inputs.iter().map(Var::from_tensor).collect::<Result<_>>()?;
    let tensors: Vec<Tensor> = inputs.iter().map(|x| x.as_tensor().clone()).collect();
    let y = layer(&tensors)?;
    // Rounded as the result would be, so that both precisions see the same numbers.
    let cotangent = Noise(99).tensor(y.dims(), inputs[0].dtype())?.to_dtype(y.dtype())?;
    let gradients = (&y * cotangent)?.sum_all()?.backward()?;
    let mut all = vec![y.detach()];
    for input in &inputs {
        let gradient = gradients.get(input).context("no gradient")?;
        ensure!(gradient.dims() == input.dims(), "a gradient of shape {:?}", gradient.dims());
        ensure!(gradient.dtype() == input.dtype(), "a gradient of type {:?}", gradient.dtype());
        all.push(gradient.detach());
    }
    Ok(all)
}

/// How far results are from exact ones, relative to the largest value.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2e-3,
        DType::BF16 => 1.5e-2,
        _ => 1e-5,
    }
}

fn close(which: usize, actual: &Tensor, exact: &Tensor, tolerance: f64) -> anyhow::Result<()> {
    ensure!(actual.dims() == exact.dims(), "shapes {:?} and {:?}", actual.dims(), exact.dims());
    let (actual, exact) = (values(actual)?, values(exact)?);
    let largest = exact.iter().fold(1e-2, |largest: f64, value| largest.max(value.abs()));
    for (at, (actual, exact)) in actual.iter().zip(&exact).enumerate() {
        ensure!(
            (actual - exact).abs() <= tolerance * largest,
            "value {at} of {which} (0 the result, then gradients) is {actual}, not {exact}",
        );
    }
    Ok(())
}

/// Checks kernels against the reference in double precision. The first `activations` inputs are of
/// type `dtype`, the others are parameters.
fn compare(
    kernels: Layer<'_>,
    exact: Layer<'_>,
    shapes: &[&[usize]],
    activations: usize,
    dtype: DType,
) -> anyhow::Result<()> {
    compare_within(tolerance(dtype), kernels, exact, shapes, activations, dtype)
}

fn compare_within(
    tolerance: f64,
    kernels: Layer<'_>,
    exact: Layer<'_>,
    shapes: &[&[usize]],
    activations: usize,
    dtype: DType,
) -> anyhow::Result<()> {
    let mut noise = Noise(7);
    let inputs: Vec<Tensor> = shapes
        .iter()
        .enumerate()
        .map(|(at, shape)| noise.tensor(shape, if at < activations { dtype } else { DType::F32 }))
        .collect::<Result<_>>()?;
    let wide: Vec<Tensor> = inputs.iter().map(|x| x.to_dtype(DType::F64)).collect::<Result<_>>()?;
    let (actual, exact) = (run(kernels, &inputs)?, run(exact, &wide)?);
    ensure!(actual[0].dtype() == dtype, "a result of type {:?}", actual[0].dtype());
    for (which, (actual, exact)) in actual.iter().zip(&exact).enumerate() {
        close(which, actual, exact, tolerance)?;
    }
    Ok(())
}

const ACTS: [Act; 13] = [
    Act::Identity,
    Act::Relu,
    Act::LeakyRelu(0.01),
    Act::Elu(0.7),
    Act::Gelu,
    Act::GeluTanh,
    Act::Silu,
    Act::Sigmoid,
    Act::Tanh,
    Act::Softplus,
    Act::LogSigmoid,
    Act::Mish,
    Act::Hardswish,
];

#[test]
fn a_device_is_told_of_every_kernel() {
    let text = KERNELS.concat();
    let mut written: Vec<&str> =
        text.split("kernel void ").skip(1).filter_map(|rest| rest.split('(').next()).collect();
    written.sort_unstable();
    let told: Vec<&str> = NAMES.iter().map(|&(name, _)| name).collect();
    assert_eq!(told, written);
}
