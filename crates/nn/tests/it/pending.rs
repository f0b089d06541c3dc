use anyhow::{Context as _, ensure};
use candle::{DType, Result, Tensor, Var};
use sconce_nn::{
    Act, Backend, ConvConfig, ConvTransposeConfig, Pending, batch_norm_train, concat, conv,
    conv_of, conv_transpose, conv_transpose_of, group_norm, instance_norm, with_backend,
};

use crate::device::{device, values};
use crate::random::noise;

const EPS: f64 = 1e-5;

/// The result of `layer` and the gradients of all its inputs; those with an entry in `frozen` have
/// none.
fn run(
    layer: impl Fn(&[Tensor]) -> Result<Tensor>,
    shapes: &[&[usize]],
    frozen: &[usize],
) -> anyhow::Result<Vec<Tensor>> {
    let inputs: Vec<Var> = (1..)
        .zip(shapes)
        .map(|(salt, shape)| Var::from_tensor(&noise(salt, shape, DType::F32, &device())?))
        .collect::<Result<_>>()?;
    let tensors: Vec<Tensor> = inputs
        .iter()
        .enumerate()
        .map(|(at, x)| if frozen.contains(&at) { x.detach() } else { x.as_tensor().clone() })
        .collect();
    let y = layer(&tensors)?;
    let cotangent = noise(99, y.dims(), DType::F32, &device())?;
    let gradients = (&y * cotangent)?.sum_all()?.backward()?;
    let mut all = vec![y.detach()];
    for (at, input) in inputs.iter().enumerate() {
        let found = gradients.get(input);
        ensure!(found.is_none() == frozen.contains(&at), "input {at}");
        all.extend(found.map(Tensor::detach));
    }
    Ok(all)
}

/// Checks that a layer that reads values with a norm to come does what the norm and the layer do one
/// after the other, whatever is frozen.
fn compare(
    one: impl Fn(&[Tensor]) -> Result<Tensor>,
    after_the_other: impl Fn(&[Tensor]) -> Result<Tensor>,
    shapes: &[&[usize]],
) -> anyhow::Result<()> {
    for backend in [Backend::Native, Backend::Reference] {
        let all: Vec<Vec<usize>> = std::iter::once(Vec::new())
            .chain((0..shapes.len()).map(|at| vec![at]))
            .chain([(1..shapes.len()).collect()])
            .collect();
        for frozen in all {
            let both = with_backend(backend, || -> anyhow::Result<_> {
                let expected = run(&after_the_other, shapes, &frozen)?;
                Ok((run(&one, shapes, &frozen)?, expected))
            });
            let (found, expected) = both.with_context(|| format!("{backend:?} {frozen:?}"))?;
            ensure!(found.len() == expected.len());
            for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
                ensure!(found.dims() == expected.dims());
                let (found, expected) = (values(found)?, values(expected)?);
                let largest = expected.iter().fold(1e-2, |most: f64, value| most.max(value.abs()));
                let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
                let apart = apart.fold(0.0, f64::max);
                ensure!(apart <= 1e-5 * largest, "{backend:?} {frozen:?}: {which} by {apart}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_norm_to_come_is_the_norm() -> anyhow::Result<()> {
    let strides = [[1, 2, 1], [1, 1, 1]];
    let acts = [Act::LeakyRelu(0.01), Act::Relu, Act::Identity, Act::Silu];
    for (channels, act) in [1, 3, 17, 32, 70].into_iter().zip(acts.into_iter().cycle()) {
        for stride in strides {
            let config = ConvConfig::same(&[3, 3, 3], &stride);
            let input: &[usize] = &[2, 3, 5, 4, channels];
            let shapes: [&[usize]; 5] =
                [input, &[channels], &[channels], &[9, channels, 3, 3, 3], &[9]];
            compare(
                |t| {
                    let x = Pending::instance_norm(&t[0], Some(&t[1]), Some(&t[2]), EPS, act)?;
                    conv_of(&[&x], &t[3], Some(&t[4]), &config)?.resolve()
                },
                |t| {
                    let x = instance_norm(&t[0], Some(&t[1]), Some(&t[2]), EPS, act)?;
                    conv(&x, &t[3], Some(&t[4]), &config)
                },
                &shapes,
            )
            .with_context(|| format!("{channels} channels, {act:?}, strides {stride:?}"))?;
        }
    }
    Ok(())
}

/// A convolution says what it knows of its result; here that is far from 0, and of several rows and strips,
/// or of weights so large that planes are computed one by one.
#[test]
fn norms_take_the_statistics_of_the_convolution_before_them() -> anyhow::Result<()> {
    let (act, config) = (Act::LeakyRelu(0.01), ConvConfig::same(&[3, 3], &[1, 1]));
    let cases: [(&[usize; 4], usize, &[&str]); 2] = [
        (&[2, 9, 70, 8], 16, &["instance", "group", "batch"]),
        (&[2, 2, 5, 256], 256, &["instance"]),
    ];
    for (input, middle, norms) in cases {
        let shapes: [&[usize]; 5] =
            [input, &[middle, input[3], 3, 3], &[middle], &[middle], &[9, middle, 3, 3]];
        // A constant: norms take its gradient away, but for rounding.
        let far = Tensor::full(30f32, middle, &device())?;
        for &norm in norms {
            compare(
                |t| {
                    let (weight, bias) = (Some(&t[2]), Some(&t[3]));
                    let y = conv_of(&[&Pending::from(&t[0])], &t[1], Some(&far), &config)?;
                    let y = match norm {
                        "instance" => Pending::instance_norm(y, weight, bias, EPS, act)?,
                        "group" => Pending::group_norm(y, 4, weight, bias, EPS, act)?,
                        _ => Pending::batch_norm_train(y, weight, bias, EPS, act)?.0,
                    };
                    conv_of(&[&y], &t[4], None, &config)?.resolve()
                },
                |t| {
                    let (weight, bias) = (Some(&t[2]), Some(&t[3]));
                    let y = conv(&t[0], &t[1], Some(&far), &config)?;
                    let y = match norm {
                        "instance" => instance_norm(&y, weight, bias, EPS, act)?,
                        "group" => group_norm(&y, 4, weight, bias, EPS, act)?,
                        _ => batch_norm_train(&y, weight, bias, EPS, act)?.0,
                    };
                    conv(&y, &t[4], None, &config)
                },
                &shapes,
            )
            .with_context(|| format!("{norm} norm, {input:?} to {middle}"))?;
        }
    }
    Ok(())
}

#[test]
fn channels_side_by_side_are_read_as_one_tensor() -> anyhow::Result<()> {
    let act = Act::Relu;
    let config = ConvConfig::same(&[3, 3], &[1, 1]);
    for [first, second] in [[4, 8], [3, 5], [32, 16]] {
        let shapes: [&[usize]; 5] = [
            &[3, 6, 5, first],
            &[3, 6, 5, second],
            &[second],
            &[second],
            &[9, first + second, 3, 3],
        ];
        compare(
            |t| {
                let skip = Pending::group_norm(&t[1], 1, Some(&t[2]), Some(&t[3]), EPS, act)?;
                conv_of(&[&Pending::from(&t[0]), &skip], &t[4], None, &config)?.resolve()
            },
            |t| {
                let skip = group_norm(&t[1], 1, Some(&t[2]), Some(&t[3]), EPS, act)?;
                conv(&concat(&[&t[0], &skip])?, &t[4], None, &config)
            },
            &shapes,
        )
        .with_context(|| format!("{first} and {second} channels"))?;
    }
    Ok(())
}

#[test]
fn transposed_convolutions_read_them_too() -> anyhow::Result<()> {
    let config = ConvTransposeConfig::upsample(&[1, 2, 2]);
    let shapes: [&[usize]; 5] = [&[2, 3, 4, 5, 6], &[2, 3, 4, 5, 3], &[6], &[6], &[9, 4, 1, 2, 2]];
    compare(
        |t| {
            let (weight, bias) = (Some(&t[2]), Some(&t[3]));
            let (x, _) = Pending::batch_norm_train(&t[0], weight, bias, EPS, Act::Silu)?;
            conv_transpose_of(&[&x, &Pending::from(&t[1])], &t[4], None, &config)?.resolve()
        },
        |t| {
            let (x, _) = batch_norm_train(&t[0], Some(&t[2]), Some(&t[3]), EPS, Act::Silu)?;
            conv_transpose(&concat(&[&x, &t[1]])?, &t[4], None, &config)
        },
        &shapes,
    )
}

#[test]
fn values_with_two_readers_get_the_gradients_of_both() -> anyhow::Result<()> {
    let config = ConvConfig::same(&[3, 3], &[2, 2]);
    let shapes: [&[usize]; 4] = [&[2, 6, 5, 8], &[8], &[8], &[8, 8, 3, 3]];
    compare(
        |t| {
            let x = Pending::instance_norm(&t[0], Some(&t[1]), Some(&t[2]), EPS, Act::Gelu)?;
            let y = conv_of(&[&x], &t[3], None, &config)?.resolve()?.sum_all()?;
            x.resolve()?.sqr()?.mean_all()? + y
        },
        |t| {
            let x = instance_norm(&t[0], Some(&t[1]), Some(&t[2]), EPS, Act::Gelu)?;
            let y = conv(&x, &t[3], None, &config)?.sum_all()?;
            x.sqr()?.mean_all()? + y
        },
        &shapes,
    )
}

#[test]
fn what_does_not_fit_side_by_side_is_refused() -> anyhow::Result<()> {
    let tensor = |shape: &[usize]| noise(1, shape, DType::F32, &device());
    let (first, second) = (tensor(&[1, 4, 4, 2])?.into(), tensor(&[1, 4, 5, 2])?.into());
    let weight = tensor(&[3, 4, 3, 3])?;
    let config = ConvConfig::same(&[3, 3], &[1, 1]);

    let error = conv_of(&[&first, &second], &weight, None, &config).unwrap_err().to_string();
    assert!(error.contains("[1, 4, 4, 2] and [1, 4, 5, 2]"), "{error}");
    let error = conv_of(&[&first], &weight, None, &config).unwrap_err().to_string();
    assert!(error.contains("(Cout, 2, *K)"), "{error}");
    assert!(conv_of(&[], &weight, None, &config).is_err());
    Ok(())
}

#[test]
fn gradients_go_from_convolution_to_convolution() -> anyhow::Result<()> {
    let (act, same) = (Act::LeakyRelu(0.01), ConvConfig::same(&[3, 3], &[1, 1]));
    let (down, up) = (ConvConfig::same(&[3, 3], &[2, 2]), ConvTransposeConfig::upsample(&[2, 2]));
    let shapes: [&[usize]; 7] =
        [&[2, 6, 4, 3], &[8, 3, 3, 3], &[8], &[8], &[6, 8, 3, 3], &[6, 8, 2, 2], &[5, 16, 3, 3]];
    // A skip connection, and a reader outside of the graph of convolutions.
    compare(
        |t| {
            let x = conv_of(&[&Pending::from(&t[0])], &t[1], None, &same)?;
            let skip = Pending::instance_norm(x, Some(&t[2]), Some(&t[3]), EPS, act)?;
            let deep = conv_of(&[&skip], &t[4], None, &down)?;
            let deep = Pending::group_norm(deep, 2, None, None, EPS, act)?;
            let back = conv_transpose_of(&[&deep], &t[5], None, &up)?;
            let y = conv_of(&[&back, &skip], &t[6], None, &same)?.resolve()?;
            y.broadcast_mul(&back.resolve()?.mean_all()?)
        },
        |t| {
            let x = conv(&t[0], &t[1], None, &same)?;
            let skip = instance_norm(&x, Some(&t[2]), Some(&t[3]), EPS, act)?;
            let deep = group_norm(&conv(&skip, &t[4], None, &down)?, 2, None, None, EPS, act)?;
            let back = conv_transpose(&deep, &t[5], None, &up)?;
            let y = conv(&concat(&[&back, &skip])?, &t[6], None, &same)?;
            y.broadcast_mul(&back.mean_all()?)
        },
        &shapes,
    )
}
