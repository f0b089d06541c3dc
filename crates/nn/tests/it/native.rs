use anyhow::{Context, ensure};
use candle::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;
use sconce_nn::{
    Act, Backend, ConvConfig, ConvTransposeConfig, Interpolation, PoolConfig, avg_pool,
    batch_norm_train, concat, conv, conv_input_gradient, conv_transpose, conv_weight_gradient,
    group_norm, instance_norm, log_softmax, log_softmax_along, max_pool, resize, self_test,
    softmax, softmax_along, with_backend,
};

use crate::device::{device, values};
use crate::random::{RandomConv, noise};

/// Inputs, as variables of a precision, to a result.
pub(crate) type Layer<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

/// Where something is computed: with the digits of the first type, in the second.
#[derive(Clone)]
pub(crate) struct Place {
    drawn: DType,
    dtype: DType,
    device: Device,
}

impl Place {
    pub(crate) fn of(drawn: DType, dtype: DType, device: &Device) -> Self {
        Self { drawn, dtype, device: device.clone() }
    }

    fn noise(&self, salt: u64, shape: &[usize]) -> Result<Tensor> {
        // On the CPU: not every device converts from and to each type.
        let drawn = noise(salt, shape, self.drawn, &Device::Cpu)?;
        drawn.to_dtype(self.dtype)?.to_device(&self.device)
    }
}

/// The result of `layer`, and the gradients of all its inputs.
pub(crate) fn run(
    layer: Layer<'_>,
    shapes: &[&[usize]],
    place: &Place,
) -> anyhow::Result<Vec<Tensor>> {
    let inputs: Vec<Var> = (1..)
        .zip(shapes)
        .map(|(salt, shape)| Var::from_tensor(&place.noise(salt, shape)?))
        .collect::<Result<_>>()?;
    let tensors: Vec<Tensor> = inputs.iter().map(|x| x.as_tensor().clone()).collect();
    let y = layer(&tensors)?;
    let cotangent = place.noise(99, y.dims())?;
    let gradients = (&y * cotangent)?.sum_all()?.backward()?;
    let mut all = vec![y.detach()];
    for input in &inputs {
        let gradient = gradients.get(input).context("no gradient")?;
        ensure!(gradient.dims() == input.dims(), "a gradient of shape {:?}", gradient.dims());
        all.push(gradient.detach());
    }
    Ok(all)
}

/// Checks the native kernels in f32 of the device under test against the reference in f64, relative to
/// the largest value.
fn compare(layer: Layer<'_>, shapes: &[&[usize]], tolerance: f64) -> anyhow::Result<()> {
    // The libraries of other devices are free to choose ways that lose a digit more.
    let tolerance = if device().is_cpu() { tolerance } else { 5.0 * tolerance };
    compare_in(DType::F32, &device(), layer, shapes, tolerance)
}

/// The result of `layer` and the gradients of its inputs, by native kernels and by the reference in f64.
pub(crate) fn both(
    dtype: DType,
    device: &Device,
    layer: Layer<'_>,
    shapes: &[&[usize]],
) -> anyhow::Result<(Vec<Tensor>, Vec<Tensor>)> {
    let (there, here) =
        (Place::of(dtype, dtype, device), Place::of(dtype, DType::F64, &Device::Cpu));
    let native = with_backend(Backend::Native, || run(layer, shapes, &there))?;
    let exact = with_backend(Backend::Reference, || run(layer, shapes, &here))?;
    Ok((native, exact))
}

/// The same for another type, and on a device.
pub(crate) fn compare_in(
    dtype: DType,
    device: &Device,
    layer: Layer<'_>,
    shapes: &[&[usize]],
    tolerance: f64,
) -> anyhow::Result<()> {
    let (native, exact) = both(dtype, device, layer, shapes)?;
    for (which, (native, exact)) in native.iter().zip(&exact).enumerate() {
        ensure!(native.dims() == exact.dims(), "shapes {:?} and {:?}", native.dims(), exact.dims());
        let (native, exact) = (values(native)?, values(exact)?);
        let largest = exact.iter().fold(1e-2, |largest: f64, value| largest.max(value.abs()));
        for (at, (native, exact)) in native.iter().zip(&exact).enumerate() {
            ensure!(
                (native - exact).abs() <= tolerance * largest,
                "value {at} of {which} (0 the result, then gradients) is {native}, not {exact}",
            );
        }
    }
    Ok(())
}

#[test]
fn convolutions_agree_for_awkward_extents_and_channels() -> anyhow::Result<()> {
    type Extents = &'static [usize];
    // Input (N, *S, C), outputs, kernel, stride.
    let cases: &[(Extents, usize, Extents, Extents)] = &[
        (&[2, 5, 8, 9, 31], 33, &[3, 3, 3], &[1, 1, 1]),
        (&[1, 8, 9, 7, 32], 4, &[3, 3, 3], &[2, 2, 2]),
        (&[3, 4, 6, 5, 1], 32, &[1, 3, 3], &[1, 2, 2]),
        (&[2, 3, 5, 4, 33], 3, &[3, 3, 3], &[2, 2, 1]),
        (&[1, 1, 1, 1, 4], 5, &[3, 3, 3], &[1, 1, 1]),
        (&[2, 9, 11, 3], 31, &[3, 3], &[1, 1]),
        (&[1, 70, 130, 4], 3, &[7, 5], &[2, 3]),
        (&[4, 6, 7, 32], 32, &[1, 1], &[1, 1]),
        (&[2, 37, 3], 8, &[5], &[2]),
        (&[1, 20, 18, 22, 16], 16, &[3, 3, 3], &[1, 1, 1]),
        (&[1, 4, 4, 4, 96], 128, &[3, 3, 3], &[1, 1, 1]),
    ];
    for &(input, outputs, kernel, stride) in cases {
        let config = ConvConfig::same(kernel, stride);
        let weight = [&[outputs, input[input.len() - 1]], kernel].concat();
        let layer = |t: &[Tensor]| conv(&t[0], &t[1], Some(&t[2]), &config);
        compare(&layer, &[input, &weight, &[outputs]], 1e-5)
            .with_context(|| format!("{input:?} to {outputs}, {kernel:?}, {stride:?}"))?;
    }
    Ok(())
}

#[test]
fn transposed_convolutions_agree() -> anyhow::Result<()> {
    let cases: &[(&[usize], usize, &[usize])] = &[
        (&[2, 3, 5, 4, 33], 31, &[2, 2, 2]),
        (&[1, 4, 6, 5, 8], 3, &[1, 2, 2]),
        (&[3, 7, 9, 32], 16, &[2, 2]),
        (&[1, 1, 5, 4], 1, &[4, 3]),
    ];
    for &(input, outputs, stride) in cases {
        let config = ConvTransposeConfig::upsample(stride);
        let weight = [&[input[input.len() - 1], outputs], stride].concat();
        let layer = |t: &[Tensor]| conv_transpose(&t[0], &t[1], Some(&t[2]), &config);
        compare(&layer, &[input, &weight, &[outputs]], 1e-5)
            .with_context(|| format!("{input:?} to {outputs}, {stride:?}"))?;
    }
    Ok(())
}

#[test]
fn gradients_by_themselves_are_those_of_a_backward_pass() -> anyhow::Result<()> {
    let config = ConvConfig::same(&[3, 3, 3], &[1, 2, 1]);
    let shapes: [&[usize]; 2] = [&[2, 4, 5, 6, 9], &[10, 9, 3, 3, 3]];
    for backend in [Backend::Native, Backend::Reference] {
        with_backend(backend, || -> anyhow::Result<()> {
            let x = Var::from_tensor(&noise(1, shapes[0], DType::F32, &device())?)?;
            let weight = Var::from_tensor(&noise(2, shapes[1], DType::F32, &device())?)?;
            let y = conv(&x, &weight, None, &config)?;
            let dy = noise(3, y.dims(), DType::F32, &device())?;
            let gradients = (y * &dy)?.sum_all()?.backward()?;
            let alone = [
                conv_input_gradient(shapes[0], &weight, &dy, &config)?,
                conv_weight_gradient(&x, shapes[1], &dy, &config)?,
            ];
            for (var, alone) in [&x, &weight].into_iter().zip(&alone) {
                let whole = gradients.get(var).context("no gradient")?;
                ensure!(whole.dims() == alone.dims() && !alone.track_op());
                let apart = (whole - alone)?.abs()?.max_all()?.to_scalar::<f32>()?;
                ensure!(apart < 1e-4, "{apart}");
            }
            ensure!(conv_input_gradient(shapes[0], &weight, &x, &config).is_err());
            Ok(())
        })?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_convolutions_agree(random in RandomConv::any()) {
        let layer = |t: &[Tensor]| random.apply(&t[0], &t[1], Some(&t[2]));
        let bias = [random.outputs()];
        let outcome = compare(&layer, &[&random.input, &random.weight, &bias], 1e-5);
        prop_assert!(outcome.is_ok(), "{outcome:?}");
    }
}

#[test]
fn norms_agree_for_every_activation() -> anyhow::Result<()> {
    let cases = [
        (Act::Silu, [7, 3]),
        (Act::Relu, [5, 4]),
        (Act::Identity, [40, 30]),
        (Act::LeakyRelu(0.01), [9, 5]),
        (Act::Gelu, [2, 3]),
        (Act::Mish, [3, 3]),
    ];
    for channels in [1, 3, 4, 32, 33, 130] {
        for (act, space) in cases {
            let input: &[usize] = &[2, space[0], space[1], channels];
            // Far from 0, where digits are easily lost; but not where a lost digit may change the
            // side of a kink, or where the gradient is itself a small difference of large terms.
            let kinked = matches!(act, Act::Relu | Act::LeakyRelu(_));
            let offset = if kinked || space[0] * space[1] < 16 { 0.0 } else { 20.0 };
            let shifted = |t: &Tensor| (t * 0.5)? + offset;
            let shapes: &[&[usize]] = &[input, &[channels], &[channels]];
            let context = || format!("{act:?}, {input:?}");
            let instance =
                |t: &[Tensor]| instance_norm(&shifted(&t[0])?, Some(&t[1]), Some(&t[2]), 1e-5, act);
            compare(&instance, shapes, 1e-4).with_context(context)?;
            let batch = |t: &[Tensor]| {
                Ok(batch_norm_train(&shifted(&t[0])?, Some(&t[1]), Some(&t[2]), 1e-5, act)?.0)
            };
            compare(&batch, shapes, 1e-4).with_context(context)?;
            let plain = |t: &[Tensor]| instance_norm(&t[0], None, None, 1e-5, act);
            compare(&plain, &shapes[..1], 1e-4).with_context(context)?;
            if channels % 4 == 0 {
                let group = |t: &[Tensor]| {
                    group_norm(&shifted(&t[0])?, channels / 2, Some(&t[1]), Some(&t[2]), 1e-5, act)
                };
                compare(&group, shapes, 1e-4).with_context(context)?;
            }
        }
    }
    Ok(())
}

#[test]
fn pooling_resizing_and_activations_agree() -> anyhow::Result<()> {
    let input: &[usize] = &[2, 6, 9, 7, 5];
    let overlapping =
        PoolConfig { stride: vec![2, 1, 3], padding: vec![1, 0, 1], ..PoolConfig::new(&[3, 2, 3]) };
    let linear = Interpolation::Linear { align_corners: false };
    compare(&|t| max_pool(&t[0], &overlapping), &[input], 1e-6)?;
    compare(&|t| avg_pool(&t[0], &overlapping), &[input], 1e-6)?;
    compare(&|t| resize(&t[0], &[12, 5, 7], linear), &[input], 1e-6)?;
    compare(&|t| concat(&[&t[0], &t[1], &t[0]]), &[input, &[2, 6, 9, 7, 2]], 1e-6)?;
    for act in [Act::Relu, Act::Elu(0.7), Act::Gelu, Act::GeluTanh, Act::Silu, Act::Sigmoid]
        .into_iter()
        .chain([Act::Tanh, Act::Softplus, Act::LogSigmoid, Act::Mish, Act::Hardswish])
    {
        compare(&|t| act.forward(&(&t[0] * 8.0)?), &[input], 1e-5)
            .with_context(|| format!("{act:?}"))?;
    }
    Ok(())
}

#[test]
fn probabilities_agree_along_any_axis() -> anyhow::Result<()> {
    // More voxels than a tile has, and more classes.
    for shape in [[2, 3, 20, 19, 11], [1, 5, 2, 300, 2], [2, 2, 1, 3, 700]] {
        // Rounding logits moves probabilities the more, the larger they are.
        for axis in 0..5 {
            compare(&|t| softmax_along(&(&t[0] * 8.0)?, axis), &[&shape], 3e-6)?;
            compare(&|t| log_softmax_along(&(&t[0] * 8.0)?, axis), &[&shape], 3e-6)?;
        }
        compare(&|t| softmax(&t[0]), &[&shape], 1e-6)?;
        compare(&|t| log_softmax(&(&t[0] * 80.0)?), &[&shape], 1e-5)?;
    }
    Ok(())
}

#[test]
fn views_are_read_as_what_they_show() -> anyhow::Result<()> {
    let (weight, config) = ([6, 4, 3, 3], ConvConfig::same(&[3, 3], &[1, 1]));
    // Channels 2 to 6 of rows 1 to 8, and then axes exchanged.
    let layer = |t: &[Tensor]| {
        let offset = t[0].narrow(1, 1, 7)?.narrow(3, 2, 4)?;
        let exchanged = offset.transpose(1, 2)?;
        let y = conv(&exchanged, &t[1], None, &config)?;
        let y = instance_norm(&y.transpose(1, 2)?, None, None, 1e-5, Act::LeakyRelu(0.1))?;
        max_pool(&y.narrow(1, 1, 5)?, &PoolConfig::new(&[2, 2]))
    };
    compare(&layer, &[&[2, 9, 8, 7], &weight], 1e-4)
}

/// A small network, all of whose layers are native: results and gradients.
pub(crate) fn network(dtype: DType) -> anyhow::Result<Vec<Tensor>> {
    let same = ConvConfig::same(&[3, 3, 3], &[1, 1, 1]);
    let down = ConvConfig::same(&[3, 3, 3], &[2, 2, 2]);
    let up = ConvTransposeConfig::upsample(&[2, 2, 2]);
    let act = Act::LeakyRelu(0.01);
    let layer = |t: &[Tensor]| {
        let fine = instance_norm(&conv(&t[0], &t[1], None, &same)?, None, None, 1e-5, act)?;
        let coarse = conv(&fine, &t[2], None, &down)?;
        let coarse = group_norm(&coarse, 4, Some(&t[5]), None, 1e-5, act)?;
        let joined = concat(&[&conv_transpose(&coarse, &t[3], None, &up)?, &fine])?;
        conv(&joined, &t[4], None, &same)
    };
    let shapes: &[&[usize]] = &[
        &[2, 12, 14, 10, 2],
        &[24, 2, 3, 3, 3],
        &[40, 24, 3, 3, 3],
        &[40, 24, 2, 2, 2],
        &[3, 48, 3, 3, 3],
        &[40],
    ];
    let place = Place::of(dtype, dtype, &device());
    with_backend(Backend::Native, || run(&layer, shapes, &place))
}

#[test]
fn one_thread_and_many_give_the_same_bits() -> anyhow::Result<()> {
    let on = |threads: usize| -> anyhow::Result<Vec<Vec<f64>>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let tensors = pool.install(|| network(DType::F32))?;
        Ok(tensors.iter().map(values).collect::<Result<_>>()?)
    };

    let one = on(1)?;

    assert_eq!(one, on(2)?);
    assert_eq!(one, on(5)?);
    Ok(())
}

#[test]
fn nothing_is_computed_for_what_needs_no_gradient() -> anyhow::Result<()> {
    let device = &device();
    let constant = noise(1, &[1, 5, 6, 2], DType::F32, device)?;
    let weight = Var::from_tensor(&noise(2, &[3, 2, 3, 3], DType::F32, device)?)?;
    let config = ConvConfig::same(&[3, 3], &[1, 1]);

    let y = conv(&constant, &weight, None, &config)?;
    let gradients = y.sum_all()?.backward()?;

    assert!(gradients.get(&constant).is_none());
    let gradient = gradients.get(&weight).context("no gradient")?;
    assert_eq!(gradient.dims(), weight.dims());
    // Without variables there is no graph.
    let plain = conv(&constant, &weight.as_detached_tensor(), None, &config)?;
    assert!(!plain.track_op());
    assert!(!instance_norm(&plain, None, None, 1e-5, Act::Relu)?.track_op());
    Ok(())
}

#[test]
fn the_device_passes_its_self_test() -> anyhow::Result<()> {
    let report = self_test(&device())?;

    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.differences.len(), 8);
    Ok(())
}

#[test]
fn the_gradients_of_a_norm_by_themselves_are_those_of_the_graph() -> anyhow::Result<()> {
    let act = Act::Silu;
    let device = &device();
    let x = noise(1, &[2, 3, 5, 4, 6], DType::F32, device)?;
    let dy = noise(2, &[2, 3, 5, 4, 6], DType::F32, device)?;
    let (weight, bias) = (noise(3, &[6], DType::F32, device)?, noise(4, &[6], DType::F32, device)?);
    let alone =
        || sconce_nn::instance_norm_gradients(&x, Some(&weight), Some(&bias), 1e-5, act, &dy);

    let exact = with_backend(Backend::Reference, alone)?;
    let native = alone()?;

    for (native, exact) in native.iter().zip(&exact) {
        ensure!(native.dims() == exact.dims());
        for (native, exact) in values(native)?.iter().zip(values(exact)?) {
            ensure!((native - exact).abs() < 1e-4 * (1.0 + exact.abs()), "{native} {exact}");
        }
    }
    Ok(())
}
