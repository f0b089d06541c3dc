use anyhow::{Context, ensure};
use candle::{DType, Device, Tensor, Var};
use sconce_nn::{
    Act, Activation, ConvConfig, Pending, Statistics, batch_norm, batch_norm_train, conv_of,
    group_norm, instance_norm, prelu,
};

use crate::device::{device, values};
use crate::native::{Layer, compare_in};
use crate::random::noise;

fn compare(layer: Layer<'_>, shapes: &[&[usize]]) -> anyhow::Result<()> {
    compare_in(DType::F32, &device(), layer, shapes, 1e-4)
}

#[test]
fn norms_with_learned_slopes_agree() -> anyhow::Result<()> {
    for channels in [1, 3, 4, 32, 33, 130] {
        let input: &[usize] = &[2, 9, 7, channels];
        for slopes in [channels, 1] {
            let shapes: &[&[usize]] = &[input, &[channels], &[channels], &[slopes]];
            let context = || format!("{channels} channels, {slopes} slopes");
            compare(
                &|t| {
                    let act = Activation::Prelu(&t[3]);
                    instance_norm(&t[0], Some(&t[1]), Some(&t[2]), 1e-5, act)
                },
                shapes,
            )
            .with_context(context)?;
            compare(
                &|t| {
                    let act = Activation::Prelu(&t[3]);
                    Ok(batch_norm_train(&t[0], Some(&t[1]), Some(&t[2]), 1e-5, act)?.0)
                },
                shapes,
            )
            .with_context(context)?;
            compare(
                &|t| {
                    let mean = noise(5, &[channels], t[0].dtype(), &Device::Cpu)?;
                    let variance =
                        (noise(6, &[channels], t[0].dtype(), &Device::Cpu)?.sqr()? + 0.5)?;
                    let there = |x: Tensor| x.to_device(t[0].device());
                    let running = Statistics { mean: there(mean)?, variance: there(variance)? };
                    let act = Activation::Prelu(&t[3]);
                    batch_norm(&t[0], &running, Some(&t[1]), Some(&t[2]), 1e-5, act)
                },
                shapes,
            )
            .with_context(context)?;
            // Without scale and offset, and without an offset.
            compare(
                &|t| instance_norm(&t[0], None, None, 1e-5, Activation::Prelu(&t[1])),
                &[input, &[slopes]],
            )
            .with_context(context)?;
            compare(
                &|t| group_norm(&t[0], 1, Some(&t[1]), None, 1e-5, Activation::Prelu(&t[2])),
                &[input, &[channels], &[slopes]],
            )
            .with_context(context)?;
        }
    }
    Ok(())
}

#[test]
fn learned_slopes_alone_agree() -> anyhow::Result<()> {
    for (input, slopes) in [
        (vec![2, 5, 4, 3], 3),
        (vec![2, 3, 4, 5, 33], 1),
        (vec![1, 40, 40, 64], 64),
        (vec![3, 1, 1], 1),
    ] {
        compare(&|t| prelu(&t[0], &t[1]), &[&input, &[slopes]])?;
    }
    Ok(())
}

#[test]
fn convolutions_read_through_learned_slopes() -> anyhow::Result<()> {
    let config = ConvConfig::same(&[3, 3], &[1, 1]);
    let shapes: &[&[usize]] =
        &[&[2, 6, 5, 8], &[8], &[8], &[8], &[7, 8, 3, 3], &[1], &[9, 15, 3, 3], &[9]];
    compare(
        &|t| {
            let (weight, bias) = (Some(&t[1]), Some(&t[2]));
            let x = Pending::instance_norm(&t[0], weight, bias, 1e-5, Activation::Prelu(&t[3]))?;
            let y = conv_of(&[&x], &t[4], None, &config)?;
            let y = Pending::group_norm(y, 7, None, None, 1e-5, Activation::Prelu(&t[5]))?;
            conv_of(&[&y, &x], &t[6], Some(&t[7]), &config)?.resolve()
        },
        shapes,
    )
}

/// Slopes that take no part in training, beside scales that do, and the other way round.
#[test]
fn what_is_not_learned_gets_no_gradient() -> anyhow::Result<()> {
    let x = noise(1, &[1, 4, 5, 6], DType::F32, &device())?;
    let variable = |salt| -> anyhow::Result<Var> {
        Ok(Var::from_tensor(&noise(salt, &[6], DType::F32, &device())?)?)
    };
    let (scale, slopes) = (variable(2)?, variable(3)?);
    let norm = |scale: &Tensor, slopes: &Tensor| {
        instance_norm(&x, Some(scale), None, 1e-5, Activation::Prelu(slopes))?.sum_all()
    };
    let both = norm(&scale, &slopes)?.backward()?;

    let one = norm(&scale, &slopes.as_detached_tensor())?.backward()?;
    let other = norm(&scale.as_detached_tensor(), &slopes)?.backward()?;

    let gradient = |store: &candle::backprop::GradStore, var: &Var| {
        values(store.get(var).context("no gradient")?).map_err(anyhow::Error::from)
    };
    ensure!(gradient(&both, &scale)? == gradient(&one, &scale)? && one.get(&slopes).is_none());
    ensure!(gradient(&both, &slopes)? == gradient(&other, &slopes)? && other.get(&scale).is_none());
    ensure!(!norm(&scale.as_detached_tensor(), &slopes.as_detached_tensor())?.track_op());
    Ok(())
}

/// As [`Act::LeakyRelu`] with the same slope, bit for bit, in each type.
#[test]
fn a_slope_that_is_learned_is_a_slope() -> anyhow::Result<()> {
    let x = noise(1, &[2, 7, 9, 5], DType::F32, &device())?;
    let (scale, bias) =
        (noise(2, &[5], DType::F32, &device())?, noise(3, &[5], DType::F32, &device())?);
    let slopes = Tensor::full(0.125f32, 1, &device())?;
    for dtype in [DType::F32, DType::BF16] {
        let x = x.to_dtype(dtype)?;
        let norm = |act: Activation<'_>| instance_norm(&x, Some(&scale), Some(&bias), 1e-5, act);

        let learned = norm(Activation::Prelu(&slopes))?;

        let given = norm(Act::LeakyRelu(0.125).into())?;
        ensure!(learned.dtype() == dtype);
        ensure!(values(&learned.to_dtype(DType::F32)?)? == values(&given.to_dtype(DType::F32)?)?);
        let alone = prelu(&x, &slopes)?;
        let given = Act::LeakyRelu(0.125).forward(&x)?;
        ensure!(values(&alone.to_dtype(DType::F32)?)? == values(&given.to_dtype(DType::F32)?)?);
    }
    Ok(())
}

#[test]
fn gradients_of_slopes_have_the_same_bits_for_any_number_of_threads() -> anyhow::Result<()> {
    let on = |threads: usize| -> anyhow::Result<Vec<f64>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        pool.install(|| {
            let x = noise(1, &[2, 60, 70, 24], DType::F32, &device())?;
            let slopes = Var::from_tensor(&noise(2, &[24], DType::F32, &device())?)?;
            let y = instance_norm(&x, None, None, 1e-5, Activation::Prelu(&slopes))?;
            let gradients = (y * &x)?.sum_all()?.backward()?;
            Ok(values(gradients.get(&slopes).context("no gradient")?)?)
        })
    };

    let one = on(1)?;

    ensure!(one == on(2)? && one == on(5)?);
    Ok(())
}
