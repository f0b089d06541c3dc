use anyhow::ensure;
use candle::{DType, Device, Result, Tensor, Var};
use sconce_nn::{
    Act, ConvConfig, ConvTransposeConfig, Interpolation, Pending, PoolConfig, avg_pool,
    batch_norm_train, concat, conv, conv_of, conv_transpose, group_norm, instance_norm, layer_norm,
    max_pool, resize,
};

use crate::device::values;
use crate::random::noise;

type Layer = Box<dyn Fn(&[Tensor]) -> Result<Tensor>>;

/// Inputs, of which the first `stored` are stored as `dtype`: the result of `layer`, and the gradients
/// of all of them.
fn run(layer: &Layer, inputs: &[Tensor], stored: usize, dtype: DType) -> Result<Vec<Tensor>> {
    let typed = |(at, x): (usize, &Tensor)| {
        Var::from_tensor(&if at < stored { x.to_dtype(dtype)? } else { x.clone() })
    };
    let inputs: Vec<Var> = inputs.iter().enumerate().map(typed).collect::<Result<_>>()?;
    let tensors: Vec<Tensor> = inputs.iter().map(|x| x.as_tensor().clone()).collect();
    let y = layer(&tensors)?;
    // Powers of two, which both types hold.
    let cotangent = noise(99, y.dims(), DType::F32, &Device::Cpu)?.sign()?;
    let total = (y.to_dtype(DType::F32)? * cotangent)?.sum_all()?;
    let gradients = total.backward()?;
    let mut all = vec![y.detach()];
    for input in &inputs {
        all.extend(gradients.get(input).map(Tensor::detach));
    }
    Ok(all)
}

/// Checks that in bf16 a layer gives what it gives in f32 from the same numbers, as well as the type
/// can say it; and that parameters keep their type.
fn check(name: &str, layer: &Layer, shapes: &[&[usize]], stored: usize) -> anyhow::Result<()> {
    let round = |(salt, shape): (u64, &&[usize])| {
        noise(salt, shape, DType::BF16, &Device::Cpu)?.to_dtype(DType::F32)
    };
    let inputs: Vec<Tensor> = (1..).zip(shapes).map(round).collect::<Result<_>>()?;
    let exact = run(layer, &inputs, stored, DType::F32)?;
    let found = run(layer, &inputs, stored, DType::BF16)?;
    ensure!(found.len() == exact.len(), "{name}");
    for (which, (found, exact)) in found.iter().zip(&exact).enumerate() {
        let expected = if which <= stored { DType::BF16 } else { DType::F32 };
        ensure!(found.dtype() == expected, "{name}: {which} is {:?}", found.dtype());
        let (found, exact) = (values(&found.to_dtype(DType::F32)?)?, values(exact)?);
        let largest = exact.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        let apart = found.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // Half a unit of the last of eight digits.
        ensure!(apart <= largest / 256.0, "{name}: {which} by {apart} of {largest}");
    }
    Ok(())
}

#[test]
fn bf16_layers_agree_with_f32() -> anyhow::Result<()> {
    let leaky = Act::LeakyRelu(0.01);
    let same = ConvConfig::same(&[3, 3, 3], &[1, 1, 1]);
    let strided = ConvConfig::same(&[3, 3, 3], &[2, 1, 2]);
    let (x, wide): (&[usize], &[usize]) = (&[2, 4, 5, 6, 16], &[2, 4, 5, 6, 9]);
    let weight: &[usize] = &[24, 16, 3, 3, 3];
    let vector: &[usize] = &[16];

    let layer: Layer = {
        let same = same.clone();
        Box::new(move |x| conv(&x[0], &x[1], Some(&x[2]), &same))
    };
    check("conv", &layer, &[x, weight, &[24]], 1)?;
    let layer: Layer = Box::new(move |x| conv(&x[0], &x[1], None, &strided));
    check("strided conv", &layer, &[x, weight], 1)?;
    let layer: Layer = Box::new(|x| {
        conv_transpose(&x[0], &x[1], Some(&x[2]), &ConvTransposeConfig::upsample(&[2, 1, 2]))
    });
    check("conv_transpose", &layer, &[x, &[16, 5, 2, 1, 2], &[5]], 1)?;
    let layer: Layer =
        Box::new(move |x| instance_norm(&x[0], Some(&x[1]), Some(&x[2]), 1e-5, leaky));
    check("instance_norm", &layer, &[x, vector, vector], 1)?;
    let layer: Layer =
        Box::new(|x| group_norm(&x[0], 4, Some(&x[1]), Some(&x[2]), 1e-5, Act::Silu));
    check("group_norm", &layer, &[x, vector, vector], 1)?;
    let layer: Layer =
        Box::new(|x| Ok(batch_norm_train(&x[0], Some(&x[1]), Some(&x[2]), 1e-5, Act::Relu)?.0));
    check("batch_norm", &layer, &[x, vector, vector], 1)?;
    let layer: Layer = Box::new(|x| layer_norm(&x[0], Some(&x[1]), Some(&x[2]), 1e-5));
    check("layer_norm", &layer, &[x, vector, vector], 1)?;
    let layer: Layer = Box::new(|x| Act::Gelu.forward(&x[0]));
    check("activation", &layer, &[x], 1)?;
    let layer: Layer = Box::new(|x| max_pool(&x[0], &PoolConfig::new(&[2, 2, 2])));
    check("max_pool", &layer, &[x], 1)?;
    let layer: Layer = Box::new(|x| avg_pool(&x[0], &PoolConfig::new(&[2, 1, 3])));
    check("avg_pool", &layer, &[x], 1)?;
    let layer: Layer = Box::new(|x| concat(&[&x[0], &x[1]]));
    check("concat", &layer, &[x, wide], 2)?;
    let layer: Layer = Box::new(move |x| {
        let skip = Pending::instance_norm(&x[0], Some(&x[2]), Some(&x[3]), 1e-5, leaky)?;
        conv_of(&[&skip, &Pending::from(&x[1])], &x[4], None, &same)?.resolve()
    });
    check("conv_of", &layer, &[x, wide, vector, vector, &[8, 25, 3, 3, 3]], 2)
}

#[test]
fn bf16_interpolation_is_that_of_f32() -> anyhow::Result<()> {
    // One map after the other: each result is rounded, so more than the last digit may differ.
    let x = noise(1, &[1, 4, 5, 6, 3], DType::BF16, &Device::Cpu)?;
    let linear = Interpolation::Linear { align_corners: false };

    let narrow = resize(&x, &[7, 9, 6], linear)?;

    ensure!(narrow.dtype() == DType::BF16);
    let exact = values(&resize(&x.to_dtype(DType::F32)?, &[7, 9, 6], linear)?)?;
    let found = values(&narrow.to_dtype(DType::F32)?)?;
    let apart = found.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    ensure!(apart <= 3.0 / 256.0, "{apart}");
    Ok(())
}
