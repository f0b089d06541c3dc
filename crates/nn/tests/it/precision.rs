use anyhow::{Context, ensure};
use candle::{DType, Device, Result, Tensor, Var};
use sconce_nn::{
    Act, ConvConfig, ConvTransposeConfig, Interpolation, Method, PoolConfig, batch_norm_train,
    concat, conv, conv_transpose, instance_norm, max_pool, resize, with_method,
};

use crate::device::{device, values};
use crate::native::{Layer, both, compare_in, network};
use crate::random::noise;

/// The types that the device under test has native kernels for.
fn native_types() -> &'static [DType] {
    let count = if device().is_cpu() { 2 } else { 3 };
    &[DType::F32, DType::BF16, DType::F16][..count]
}

#[test]
fn run_twice_gives_the_same_bits() -> anyhow::Result<()> {
    for &dtype in native_types() {
        let bits = || -> anyhow::Result<Vec<Vec<u64>>> {
            let bits = |x: &Tensor| -> Result<Vec<u64>> {
                Ok(values(x)?.into_iter().map(f64::to_bits).collect())
            };
            Ok(network(dtype)?.iter().map(bits).collect::<Result<_>>()?)
        };
        assert_eq!(bits()?, bits()?, "{dtype:?}");
    }
    Ok(())
}

/// Half precision is rounded to 8 bits (bf16) or 11 (f16) where a layer ends, and may be within a
/// layer, where a library adds up parts of a product: hence 2 % and 0.3 % of the largest value.
#[test]
fn half_precision_agrees() -> anyhow::Result<()> {
    let halves = native_types().iter().filter(|&&dtype| dtype != DType::F32);
    for (&dtype, tolerance) in halves.zip([2e-2, 3e-3]) {
        let compare = |what: &str, layer: Layer<'_>, shapes: &[&[usize]]| {
            compare_in(dtype, &device(), layer, shapes, tolerance)
                .with_context(|| format!("{what} in {dtype:?}"))
        };
        let same = ConvConfig::same(&[3, 3, 3], &[1, 1, 1]);
        let down = ConvConfig::same(&[3, 3, 3], &[2, 2, 1]);
        let grouped = ConvConfig { groups: 2, ..ConvConfig::same(&[3, 3], &[1, 1]) };
        let up = ConvTransposeConfig::upsample(&[2, 2, 2]);
        let weight: &[usize] = &[32, 16, 3, 3, 3];
        for config in [&same, &down] {
            let layer = |t: &[Tensor]| conv(&t[0], &t[1], Some(&t[2]), config);
            compare("convolution", &layer, &[&[2, 6, 7, 8, 16], weight, &[32]])?;
            compare("first", &layer, &[&[1, 6, 7, 8, 1], &[32, 1, 3, 3, 3], &[32]])?;
        }
        let layer = |t: &[Tensor]| conv(&t[0], &t[1], None, &grouped);
        compare("groups", &layer, &[&[2, 9, 7, 8], &[6, 4, 3, 3]])?;
        let layer = |t: &[Tensor]| conv_transpose(&t[0], &t[1], Some(&t[2]), &up);
        compare("transposed", &layer, &[&[2, 3, 4, 5, 16], &[16, 24, 2, 2, 2], &[24]])?;
        let layer = |t: &[Tensor]| instance_norm(&t[0], Some(&t[1]), Some(&t[2]), 1e-5, Act::Silu);
        compare("instance norm", &layer, &[&[2, 9, 8, 24], &[24], &[24]])?;
        let layer = |t: &[Tensor]| {
            Ok(batch_norm_train(&t[0], Some(&t[1]), Some(&t[2]), 1e-5, Act::Identity)?.0)
        };
        compare("batch norm", &layer, &[&[2, 9, 8, 33], &[33], &[33]])?;
        let overlapping = PoolConfig { stride: vec![1, 2], ..PoolConfig::new(&[2, 3]) };
        compare("pool", &|t| max_pool(&t[0], &overlapping), &[&[2, 9, 8, 8]])?;
        let linear = Interpolation::Linear { align_corners: false };
        compare("resize", &|t| resize(&t[0], &[5, 16], linear), &[&[2, 9, 8, 8]])?;
        compare("concat", &|t| concat(&[&t[0], &t[1]]), &[&[2, 5, 8], &[2, 5, 3]])?;
    }
    Ok(())
}

/// What [`Method`] says of rounding errors, of a result and both gradients: that by default they are those
/// of a direct convolution, and about twice those where fewer multiplications are asked for. Mean square
/// errors, relative to the mean square.
#[test]
fn methods_keep_as_many_digits_as_they_say() -> anyhow::Result<()> {
    for (input, kernel) in
        [(&[2usize, 24, 40, 32][..], &[3, 3][..]), (&[1, 8, 12, 16, 32], &[3; 3])]
    {
        let config = ConvConfig::same(kernel, &vec![1; kernel.len()]);
        let weight = [&[32, 32], kernel].concat();
        let shapes = [input, &weight];
        let layer = |t: &[Tensor]| conv(&t[0], &t[1], None, &config);
        let errors = |method| with_method(method, || errors(&layer, &shapes));
        let direct = errors(Method::Direct)?;
        for (method, factor) in [(Method::Auto, 1.5), (Method::Fast, 4.0)] {
            for (which, (error, direct)) in errors(method)?.into_iter().zip(&direct).enumerate() {
                let most = factor * direct.max(3e-7);
                ensure!(
                    error <= most,
                    "{method:?}, {input:?}: {which} is off by {error}, not {most}"
                );
            }
        }
    }
    Ok(())
}

/// Mean square errors of the result and the gradients of `layer` in f32, relative to the mean square.
fn errors(layer: Layer<'_>, shapes: &[&[usize]]) -> anyhow::Result<Vec<f64>> {
    let (found, exact) = both(DType::F32, &Device::Cpu, layer, shapes)?;
    let pairs = found.iter().zip(&exact).map(|(found, exact)| {
        let (found, exact) = (values(found)?, values(exact)?);
        let squares = exact.iter().map(|value| value * value).sum::<f64>();
        let apart = found.iter().zip(&exact).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        Ok((apart / squares).sqrt())
    });
    pairs.collect()
}

/// Activations in half precision, parameters in single, as mixed precision has them.
#[test]
fn parameters_may_have_more_digits_than_activations() -> anyhow::Result<()> {
    for &dtype in native_types() {
        let config = ConvConfig::same(&[3, 3], &[1, 1]);
        let x = Var::from_tensor(&noise(1, &[2, 6, 5, 8], dtype, &device())?)?;
        let shapes: [&[usize]; 4] = [&[8, 8, 3, 3], &[8], &[8], &[8]];
        let parameters = shapes.map(|shape| {
            noise(2, shape, DType::F32, &device()).and_then(|tensor| Var::from_tensor(&tensor))
        });
        let [weight, bias, scale, shift] = parameters;
        let (weight, bias, scale, shift) = (weight?, bias?, scale?, shift?);
        let y = conv(&x, &weight, Some(&bias), &config)?;
        let y = instance_norm(&y, Some(&scale), Some(&shift), 1e-5, Act::Relu)?;
        ensure!(y.dtype() == dtype);
        let gradients = y.sqr()?.sum_all()?.backward()?;
        for parameter in [&weight, &bias, &scale, &shift] {
            let gradient = gradients.get(parameter).context("no gradient")?;
            ensure!(gradient.dtype() == DType::F32, "{gradient:?}");
        }
        ensure!(gradients.get(&x).context("no gradient")?.dtype() == dtype);
    }
    Ok(())
}
