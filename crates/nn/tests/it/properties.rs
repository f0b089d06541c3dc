use anyhow::Context;
use candle::{DType, Result, Tensor, Var};
use proptest::prelude::*;
use sconce_nn::{
    Act, Backend, ConvTransposeConfig, GridSampleConfig, Interpolation, PadMode, PoolConfig,
    SampleMode, SamplePadding, Statistics, adaptive_avg_pool, avg_pool, batch_norm,
    batch_norm_train, concat, conv_transpose, grid_sample, group_norm, instance_norm, layer_norm,
    log_softmax, max_pool, pad, pixel_shuffle, prelu, resize, softmax, to_channels_first,
    to_channels_last, with_backend,
};

use crate::device::{device, values};
use crate::random::{RandomConv, noise};

type Layer = Box<dyn Fn(&[Tensor]) -> Result<Tensor>>;

/// Every layer with inputs of these shapes, but convolutions, which have tests of their own.
fn layers() -> Vec<(&'static str, Vec<Vec<usize>>, Layer)> {
    let x3 = || vec![2, 3, 4, 5, 4];
    let x2 = || vec![2, 5, 4, 4];
    let affine = |x: Vec<usize>| vec![x, vec![4], vec![4]];
    let pool = PoolConfig { stride: vec![2, 1], padding: vec![1, 0], ..PoolConfig::new(&[3, 2]) };
    let linear = |align_corners| Interpolation::Linear { align_corners };
    let sample = |padding, align_corners| GridSampleConfig {
        mode: SampleMode::Linear,
        padding,
        align_corners,
    };
    let activations = [
        Act::Elu(1.5),
        Act::Gelu,
        Act::GeluTanh,
        Act::Silu,
        Act::Sigmoid,
        Act::Tanh,
        Act::Softplus,
        Act::LogSigmoid,
        Act::Mish,
        Act::Hardswish,
        Act::LeakyRelu(0.2),
        Act::Relu,
    ];
    let mut layers: Vec<(&'static str, Vec<Vec<usize>>, Layer)> = vec![
        (
            "instance norm",
            affine(x3()),
            Box::new(|t| instance_norm(&t[0], Some(&t[1]), Some(&t[2]), 1e-3, Act::Silu)),
        ),
        (
            "group norm",
            affine(x2()),
            Box::new(|t| {
                group_norm(&t[0], 2, Some(&t[1]), None, 1e-3, Act::Identity)?
                    + t[2].sum_all()?.broadcast_as(t[0].shape())?
            }),
        ),
        (
            "batch norm in training",
            affine(x3()),
            Box::new(|t| Ok(batch_norm_train(&t[0], Some(&t[1]), Some(&t[2]), 1e-3, Act::Tanh)?.0)),
        ),
        (
            "batch norm in evaluation",
            affine(x2()),
            Box::new(|t| {
                // Statistics are no parameters: they stay where they are.
                let mean = noise(5, &[4], t[0].dtype(), t[0].device())?;
                let variance = (noise(6, &[4], t[0].dtype(), t[0].device())?.sqr()? + 0.5)?;
                let running = Statistics { mean, variance };
                batch_norm(&t[0], &running, Some(&t[1]), Some(&t[2]), 1e-3, Act::Identity)
            }),
        ),
        (
            "layer norm",
            affine(x2()),
            Box::new(|t| layer_norm(&t[0], Some(&t[1]), Some(&t[2]), 1e-3)),
        ),
        ("prelu", vec![x2(), vec![4]], Box::new(|t| prelu(&t[0], &t[1]))),
        ("softmax", vec![x2()], Box::new(|t| softmax(&t[0]))),
        ("log softmax", vec![x3()], Box::new(|t| log_softmax(&t[0]))),
        (
            "max pool",
            vec![x2()],
            Box::new({
                let pool = pool.clone();
                move |t| max_pool(&t[0], &pool)
            }),
        ),
        ("average pool", vec![x2()], Box::new(move |t| avg_pool(&t[0], &pool))),
        ("global pool", vec![x3()], Box::new(|t| adaptive_avg_pool(&t[0], &[1, 1, 1]))),
        ("adaptive pool", vec![x3()], Box::new(|t| adaptive_avg_pool(&t[0], &[2, 3, 3]))),
        ("nearest", vec![x3()], Box::new(|t| resize(&t[0], &[6, 2, 7], Interpolation::Nearest))),
        ("linear", vec![x3()], Box::new(move |t| resize(&t[0], &[6, 2, 7], linear(false)))),
        (
            "linear, corners aligned",
            vec![x2()],
            Box::new(move |t| resize(&t[0], &[3, 9], linear(true))),
        ),
        (
            "cubic",
            vec![x2()],
            Box::new(|t| resize(&t[0], &[3, 9], Interpolation::Cubic { align_corners: false })),
        ),
        (
            "pad by reflection",
            vec![x2()],
            Box::new(|t| pad(&t[0], &[(2, 1), (0, 3)], PadMode::Reflect)),
        ),
        (
            "pad by a constant",
            vec![x2()],
            Box::new(|t| pad(&t[0], &[(0, 1), (2, 0)], PadMode::Constant(2.0))),
        ),
        ("pixel shuffle", vec![x2()], Box::new(|t| pixel_shuffle(&t[0], 2))),
        ("to channels last", vec![x3()], Box::new(|t| to_channels_last(&t[0]))),
        ("to channels first", vec![x3()], Box::new(|t| to_channels_first(&t[0]))),
        (
            "concat",
            vec![x2(), vec![2, 5, 4, 3], vec![2, 5, 4, 1]],
            Box::new(|t| concat(&[&t[0], &t[1], &t[2]])),
        ),
        // The same tensor twice, as a skip connection does: contributions add up.
        (
            "concat with itself",
            vec![x2()],
            Box::new(move |t| concat(&[&t[0], &resize(&t[0], &[5, 4], linear(false))?])),
        ),
    ];
    for padding in [SamplePadding::Zeros, SamplePadding::Border, SamplePadding::Reflection] {
        for align_corners in [false, true] {
            let config = sample(padding, align_corners);
            layers.push((
                "grid sample",
                vec![x2(), vec![2, 3, 2, 2]],
                Box::new(move |t| grid_sample(&t[0], &(&t[1] * 1.4)?, config)),
            ));
        }
    }
    for act in activations {
        layers.push(("activation", vec![x2()], Box::new(move |t| act.forward(&(&t[0] * 4.0)?))));
    }
    layers
}

/// Checks the gradients of `⟨layer(inputs), cotangent⟩` in double precision against differences.
fn check_gradients(name: &str, shapes: &[Vec<usize>], layer: &Layer) -> anyhow::Result<()> {
    const STEP: f64 = 1e-5;
    let dtype = DType::F64;
    let inputs: Vec<Var> = (1..)
        .zip(shapes)
        .map(|(salt, shape)| Var::from_tensor(&noise(salt, shape, dtype, &device())?))
        .collect::<Result<_>>()?;
    let tensors = |inputs: &[Var]| inputs.iter().map(|x| x.as_tensor().clone()).collect::<Vec<_>>();
    let y = layer(&tensors(&inputs))?;
    let cotangent = noise(99, y.dims(), dtype, &device())?;
    let gradients = (y * &cotangent)?.sum_all()?.backward()?;
    for (which, input) in inputs.iter().enumerate() {
        let gradient = gradients.get(input).with_context(|| format!("{name}: no gradient"))?;
        let gradient = values(gradient)?;
        let start = values(input)?;
        for at in (0..start.len()).step_by(start.len().div_ceil(7)) {
            let shifted = |by: f64| -> Result<f64> {
                let mut moved = start.clone();
                moved[at] += by;
                let moved = Tensor::from_vec(moved, input.shape(), &device())?;
                let mut all = tensors(&inputs);
                all[which] = moved;
                (layer(&all)?.detach() * &cotangent)?.sum_all()?.to_scalar()
            };
            let expected = (shifted(STEP)? - shifted(-STEP)?) / (2.0 * STEP);
            anyhow::ensure!(
                (gradient[at] - expected).abs() <= 1e-6 * expected.abs().max(1.0),
                "{name}: gradient {} of value {at} of input {which}, but the difference says {expected}",
                gradient[at],
            );
        }
    }
    Ok(())
}

#[test]
fn gradients_agree_with_central_differences() -> anyhow::Result<()> {
    for (name, shapes, layer) in layers() {
        check_gradients(name, &shapes, &layer)?;
    }
    Ok(())
}

#[test]
fn axes_of_one_voxel_have_gradients_too() -> anyhow::Result<()> {
    let shapes = vec![vec![1, 1, 1, 1, 2], vec![2], vec![2]];
    check_gradients(
        "instance norm",
        &shapes,
        &(Box::new(|t: &[Tensor]| {
            instance_norm(&t[0], Some(&t[1]), Some(&t[2]), 1e-3, Act::Identity)
        }) as Layer),
    )?;
    check_gradients(
        "resize",
        &[vec![1, 1, 3, 2]],
        &(Box::new(|t: &[Tensor]| {
            resize(&t[0], &[4, 3], Interpolation::Linear { align_corners: true })
        }) as Layer),
    )
}

#[test]
fn what_several_layers_read_gets_the_sum_of_their_gradients() -> anyhow::Result<()> {
    let layer: Layer = Box::new(|t| {
        let up = ConvTransposeConfig::upsample(&[2, 2]);
        let fine = conv_transpose(&t[0], &t[1], None, &up)?;
        let skip = resize(&t[0], &[4, 6], Interpolation::Nearest)?;
        let pooled = max_pool(&fine, &PoolConfig::new(&[2, 2]))?;
        let again = resize(&pooled, &[4, 6], Interpolation::Linear { align_corners: false })?;
        (concat(&[&fine, &skip])? * 3.0)? + concat(&[&again, &fine])?
    });
    check_gradients("skip connections", &[vec![1, 2, 3, 2], vec![2, 2, 2, 2]], &layer)
}

/// `⟨y, dy⟩` for `y` linear in `of`, by its gradient: `⟨of, gradient⟩`.
fn pairing(a: &Tensor, b: &Tensor) -> Result<f64> {
    Ok(values(a)?.into_iter().zip(values(b)?).map(|(a, b)| a * b).sum())
}

fn check_adjoints(conv: &RandomConv, dtype: DType, tolerance: f64) -> anyhow::Result<()> {
    let x = Var::from_tensor(&noise(1, &conv.input, dtype, &device())?)?;
    let weight = Var::from_tensor(&noise(2, &conv.weight, dtype, &device())?)?;
    let y = conv.apply(&x, &weight, None)?;
    let dy = noise(3, y.dims(), dtype, &device())?;
    let gradients = (&y * &dy)?.sum_all()?.backward()?;

    let expected = pairing(&y.detach(), &dy)?;
    let norms = pairing(&y.detach(), &y.detach())?.sqrt() * pairing(&dy, &dy)?.sqrt();
    for of in [&x, &weight] {
        let gradient = gradients.get(of).context("no gradient")?;
        let actual = pairing(of, gradient)?;
        anyhow::ensure!(
            (actual - expected).abs() <= tolerance * norms.max(1.0),
            "⟨y, dy⟩ is {expected}, but ⟨·, gradient⟩ is {actual}",
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn convolutions_and_their_gradients_are_adjoint(conv in RandomConv::any()) {
        let exact = with_backend(Backend::Reference, || check_adjoints(&conv, DType::F64, 1e-12));
        prop_assert!(exact.is_ok(), "{exact:?}");
        let native = check_adjoints(&conv, DType::F32, 1e-5);
        prop_assert!(native.is_ok(), "{native:?}");
    }
}
