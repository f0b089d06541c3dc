//! Layers of bf16 by tiles agree with the same in single precision.

use candle::{DType, Device, Result, Tensor, Var};

use crate::{
    Act, ConvConfig, ConvTransposeConfig, Isa, Pending, conv, conv_input_gradient, conv_of,
    conv_transpose, conv_transpose_of, conv_weight_gradient, with_isa,
};

type Layer<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

/// Values between -1 and 1 that bf16 holds.
fn noise(salt: usize, shape: &[usize]) -> Result<Tensor> {
    let count: usize = shape.iter().product();
    let value = |at: usize| ((at * 7919 + salt * 104_729) % 255) as f32 / 128.0 - 1.0;
    Tensor::from_vec((0..count).map(value).collect(), shape, &Device::Cpu)
}

/// The result of `layer` and the gradients of its inputs, of which the first `stored` are bf16.
fn run(layer: Layer<'_>, shapes: &[&[usize]], stored: usize) -> Result<Vec<Tensor>> {
    let input = |(at, shape): (usize, &&[usize])| {
        let x = noise(at, shape)?;
        Var::from_tensor(&if at < stored { x.to_dtype(DType::BF16)? } else { x })
    };
    let inputs: Vec<Var> = shapes.iter().enumerate().map(input).collect::<Result<_>>()?;
    let tensors: Vec<Tensor> = inputs.iter().map(|x| x.as_tensor().clone()).collect();
    let y = layer(&tensors)?;
    let signs = noise(9, y.dims())?.sign()?;
    let gradients = (y.to_dtype(DType::F32)? * signs)?.sum_all()?.backward()?;
    let mut all = vec![y.detach()];
    all.extend(inputs.iter().filter_map(|x| gradients.get(x).map(Tensor::detach)));
    Ok(all)
}

/// Checks a layer, and that `used` grows: it says how often something was done by tiles.
fn check(
    name: &str,
    layer: Layer<'_>,
    shapes: &[&[usize]],
    stored: usize,
    used: &dyn Fn() -> usize,
) -> Result<()> {
    let exact = with_isa(Isa::Portable, || run(layer, shapes, stored))?;
    let before = used();
    let found = with_isa(Isa::Amx, || run(layer, shapes, stored))?;
    assert!(used() > before, "{name}: not by tiles");
    assert_eq!(found.len(), exact.len(), "{name}");
    for (which, (found, exact)) in found.iter().zip(&exact).enumerate() {
        assert_eq!((found.dtype(), found.dims()), (exact.dtype(), exact.dims()), "{name}");
        let [found, exact] = [found, exact].map(|x| x.to_dtype(DType::F32));
        let (found, exact) = (found?, exact?);
        let largest = exact.abs()?.max_all()?.to_scalar::<f32>()?;
        let apart = (found - exact)?.abs()?.max_all()?.to_scalar::<f32>()?;
        // One unit of the last of eight digits; where all that is read is stored so, half of one.
        let digits = if name.ends_with("_of") { 100.0 } else { 256.0 };
        assert!(apart <= largest / digits, "{name}: {which} by {apart} of {largest}");
    }
    Ok(())
}

/// All layers that tiles are used for, in all of their passes.
pub(super) fn agree(used: &dyn Fn() -> usize) -> Result<()> {
    let same = &ConvConfig::same(&[3, 3, 3], &[1, 1, 1]);
    let strided = &ConvConfig::same(&[3, 3, 3], &[2, 1, 2]);
    let up = &ConvTransposeConfig::upsample(&[2, 1, 2]);
    let act = Act::LeakyRelu(0.01);
    let (x, wide): (&[usize], &[usize]) = (&[2, 3, 4, 5, 16], &[2, 3, 4, 5, 9]);
    let (weight, vector): (&[usize], &[usize]) = (&[24, 16, 3, 3, 3], &[16]);
    let backward: &[usize] = &[16, 17, 2, 1, 2];

    let layer = |t: &[Tensor]| conv(&t[0], &t[1], Some(&t[2]), same);
    check("conv", &layer, &[x, weight, &[24]], 1, used)?;
    let layer = |t: &[Tensor]| conv(&t[0], &t[1], None, strided);
    check("strided conv", &layer, &[x, weight], 1, used)?;
    let layer = |t: &[Tensor]| conv_transpose(&t[0], &t[1], Some(&t[2]), up);
    check("conv_transpose", &layer, &[x, backward, &[17]], 1, used)?;
    let layer = |t: &[Tensor]| {
        let first = Pending::instance_norm(&t[0], Some(&t[2]), Some(&t[3]), 1e-5, act)?;
        let second = Pending::from(&t[1]);
        conv_of(&[&first, &second], &t[4], Some(&t[3]), same)?.resolve()
    };
    check("conv_of", &layer, &[x, wide, vector, vector, &[16, 25, 3, 3, 3]], 2, used)?;
    let layer = |t: &[Tensor]| {
        let first = Pending::instance_norm(&t[0], Some(&t[1]), None, 1e-5, act)?;
        conv_transpose_of(&[&first], &t[2], None, up)?.resolve()
    };
    check("conv_transpose_of", &layer, &[x, vector, backward], 1, used)?;

    let alone = |isa: Isa| -> Result<[Tensor; 2]> {
        let half = |salt, shape: &[usize]| noise(salt, shape)?.to_dtype(DType::BF16);
        let (x, dy) = (half(1, x)?, half(2, &[2, 2, 4, 3, 24])?);
        with_isa(isa, || {
            let of_x = conv_input_gradient(x.dims(), &noise(3, weight)?, &dy, strided)?;
            let of_weight = conv_weight_gradient(&x, weight, &dy, strided)?;
            Ok([of_x.to_dtype(DType::F32)?, of_weight])
        })
    };
    for (found, exact) in alone(Isa::Amx)?.iter().zip(&alone(Isa::Portable)?) {
        let largest = exact.abs()?.max_all()?.to_scalar::<f32>()?;
        let apart = (found - exact)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(apart <= largest / 256.0, "gradients by themselves: by {apart} of {largest}");
    }
    Ok(())
}
