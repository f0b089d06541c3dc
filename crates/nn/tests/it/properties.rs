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

/// A layer and the shapes of its inputs.
struct Subject {
    name: &'static str,
    shapes: Vec<Vec<usize>>,
    layer: Layer,
}

fn subject(
    name: &'static str,
    shapes: &[&[usize]],
    layer: impl Fn(&[Tensor]) -> Result<Tensor> + 'static,
) -> Subject {
    let shapes = shapes.iter().map(|shape| shape.to_vec()).collect();
    Subject { name, shapes, layer: Box::new(layer) }
}

const FLAT: &[usize] = &[2, 5, 4, 4];
const DEEP: &[usize] = &[2, 3, 4, 5, 4];
const CHANNELS: &[usize] = &[4];

fn norms() -> Vec<Subject> {
    vec![
        subject("instance norm", &[DEEP, CHANNELS, CHANNELS], |t| {
            instance_norm(&t[0], Some(&t[1]), Some(&t[2]), 1e-3, Act::Silu)
        }),
        subject("group norm", &[FLAT, CHANNELS], |t| {
            group_norm(&t[0], 2, Some(&t[1]), None, 1e-3, Act::Identity)
        }),
        subject("batch norm in training", &[DEEP, CHANNELS, CHANNELS], |t| {
            Ok(batch_norm_train(&t[0], Some(&t[1]), Some(&t[2]), 1e-3, Act::Tanh)?.0)
        }),
        subject("batch norm in evaluation", &[FLAT, CHANNELS, CHANNELS], |t| {
            // Statistics are no parameters: they stay where they are.
            let mean = noise(5, CHANNELS, t[0].dtype(), t[0].device())?;
            let variance = (noise(6, CHANNELS, t[0].dtype(), t[0].device())?.sqr()? + 0.5)?;
            let running = Statistics { mean, variance };
            batch_norm(&t[0], &running, Some(&t[1]), Some(&t[2]), 1e-3, Act::Identity)
        }),
        subject("layer norm", &[FLAT, CHANNELS, CHANNELS], |t| {
            layer_norm(&t[0], Some(&t[1]), Some(&t[2]), 1e-3)
        }),
    ]
}

fn pointwise() -> Vec<Subject> {
    let mut subjects = vec![
        subject("prelu", &[FLAT, CHANNELS], |t| prelu(&t[0], &t[1])),
        subject("softmax", &[FLAT], |t| softmax(&t[0])),
        subject("log softmax", &[DEEP], |t| log_softmax(&t[0])),
        subject("to channels last", &[DEEP], |t| to_channels_last(&t[0])),
        subject("to channels first", &[DEEP], |t| to_channels_first(&t[0])),
        subject("pixel shuffle", &[FLAT], |t| pixel_shuffle(&t[0], 2)),
        subject("concat", &[FLAT, &[2, 5, 4, 3], &[2, 5, 4, 1]], |t| {
            concat(&[&t[0], &t[1], &t[2]])
        }),
        // The same tensor twice, as a skip connection does: contributions add up.
        subject("concat with itself", &[FLAT], |t| concat(&[&t[0], &(&t[0] * 3.0)?])),
    ];
    for act in [Act::Elu(1.5), Act::Gelu, Act::GeluTanh, Act::Silu, Act::Sigmoid, Act::Tanh]
        .into_iter()
        .chain([Act::Softplus, Act::LogSigmoid, Act::Mish, Act::Hardswish])
        .chain([Act::LeakyRelu(0.2), Act::Relu])
    {
        subjects.push(subject("activation", &[FLAT], move |t| act.forward(&(&t[0] * 4.0)?)));
    }
    subjects
}

fn spatial() -> Vec<Subject> {
    let pool = PoolConfig { stride: vec![2, 1], padding: vec![1, 0], ..PoolConfig::new(&[3, 2]) };
    let largest = pool.clone();
    let linear = |align_corners| Interpolation::Linear { align_corners };
    let mut subjects = vec![
        subject("max pool", &[FLAT], move |t| max_pool(&t[0], &largest)),
        subject("average pool", &[FLAT], move |t| avg_pool(&t[0], &pool)),
        subject("global pool", &[DEEP], |t| adaptive_avg_pool(&t[0], &[1, 1, 1])),
        subject("adaptive pool", &[DEEP], |t| adaptive_avg_pool(&t[0], &[2, 3, 3])),
        subject("nearest", &[DEEP], |t| resize(&t[0], &[6, 2, 7], Interpolation::Nearest)),
        subject("linear", &[DEEP], move |t| resize(&t[0], &[6, 2, 7], linear(false))),
        subject("linear, corners aligned", &[FLAT], move |t| resize(&t[0], &[3, 9], linear(true))),
        subject("cubic", &[FLAT], |t| {
            resize(&t[0], &[3, 9], Interpolation::Cubic { align_corners: false })
        }),
        subject("pad by reflection", &[FLAT], |t| pad(&t[0], &[(2, 1), (0, 3)], PadMode::Reflect)),
        subject("pad by a constant", &[FLAT], |t| {
            pad(&t[0], &[(0, 1), (2, 0)], PadMode::Constant(2.0))
        }),
    ];
    for padding in [SamplePadding::Zeros, SamplePadding::Border, SamplePadding::Reflection] {
        for align_corners in [false, true] {
            let config = GridSampleConfig { mode: SampleMode::Linear, padding, align_corners };
            subjects.push(subject("grid sample", &[FLAT, &[2, 3, 2, 2]], move |t| {
                grid_sample(&t[0], &(&t[1] * 1.4)?, config)
            }));
        }
    }
    subjects
}

/// Checks the gradients of `⟨layer(inputs), cotangent⟩` in double precision against differences.
fn check_gradients(Subject { name, shapes, layer }: &Subject) -> anyhow::Result<()> {
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
    norms().iter().chain(&pointwise()).chain(&spatial()).try_for_each(check_gradients)
}

#[test]
fn axes_of_one_voxel_have_gradients_too() -> anyhow::Result<()> {
    check_gradients(&subject("instance norm", &[&[1, 1, 1, 1, 2], &[2], &[2]], |t| {
        instance_norm(&t[0], Some(&t[1]), Some(&t[2]), 1e-3, Act::Identity)
    }))?;
    check_gradients(&subject("resize", &[&[1, 1, 3, 2]], |t| {
        resize(&t[0], &[4, 3], Interpolation::Linear { align_corners: true })
    }))
}

#[test]
fn what_several_layers_read_gets_the_sum_of_their_gradients() -> anyhow::Result<()> {
    check_gradients(&subject("skip connections", &[&[1, 2, 3, 2], &[2, 2, 2, 2]], |t| {
        let up = ConvTransposeConfig::upsample(&[2, 2]);
        let fine = conv_transpose(&t[0], &t[1], None, &up)?;
        let skip = resize(&t[0], &[4, 6], Interpolation::Nearest)?;
        let pooled = max_pool(&fine, &PoolConfig::new(&[2, 2]))?;
        let again = resize(&pooled, &[4, 6], Interpolation::Linear { align_corners: false })?;
        (concat(&[&fine, &skip])? * 3.0)? + concat(&[&again, &fine])?
    }))
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
