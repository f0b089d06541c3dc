//! CUDA kernels and how they are launched, run on the CPU, agree with the reference.

use anyhow::Context;
use candle::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use sconce_nn::{
    Act, Backend, PoolConfig, batch_norm_train, concat, group_norm, instance_norm, max_pool,
    with_backend,
};

use crate::cuda_machine::launch::{
    self, COLUMN_BYTES, Cells, Curve, Extent, Grid, Kind, Machine, Scaling, Terms, Windows,
};
use crate::cuda_machine::{Emulator, KINDS, agree, input, rounded, three, tolerance};
use crate::random::{RandomConv, noise};

fn grid(random: &RandomConv, y: &[usize]) -> Grid {
    let rank = y.len() - 2;
    let transposed = random.output_padding.is_some();
    let (fine, coarse) =
        if transposed { (y, random.input.as_slice()) } else { (random.input.as_slice(), y) };
    let config = &random.config;
    Grid {
        samples: y[0],
        fine: three(&fine[1..=rank], 1),
        coarse: three(&coarse[1..=rank], 1),
        kernel: three(&random.weight[2..], 1),
        stride: three(&config.stride, 1),
        padding: three(&config.padding, 0),
        dilation: three(&config.dilation, 1),
        fine_channels: fine[rank + 1],
        coarse_channels: coarse[rank + 1],
        groups: config.groups,
    }
}

/// Both directions, the gradient of the weight, and those of the bias; columns in pieces of `most`
/// bytes.
fn check_convolution(random: &RandomConv, kind: Kind, most: usize) -> anyhow::Result<()> {
    let Some(machine) = Emulator::start()? else { return Ok(()) };
    let (x, weight) = (input(kind, 1, &random.input)?, input(kind, 2, &random.weight)?);
    let bias = input(Kind::F32, 4, &[random.outputs()])?;
    let (y, dy, gradients) = with_backend(Backend::Reference, || -> anyhow::Result<_> {
        let y = random.apply(&x, &weight, Some(&bias))?;
        let dy = rounded(kind, &noise(3, y.dims(), DType::F32, &Device::Cpu)?)?;
        let gradients = (&y * &dy)?.sum_all()?.backward()?;
        Ok((y.detach(), dy, gradients))
    })?;
    let grid = grid(random, y.dims());
    let (rows, channels) = (y.elem_count() / random.outputs(), random.outputs());

    let (x_there, dy_there) = (machine.upload(kind, &x)?, machine.upload(kind, &dy)?);
    // A weight comes in f32, or in the type of the activations.
    let of = if random.outputs().is_multiple_of(2) { kind } else { Kind::F32 };
    let packed = launch::pack_weight(&machine, kind, &machine.upload(of, &weight)?, of, &grid)?;
    let transposed = random.output_padding.is_some();
    let along = if transposed { launch::scatter } else { launch::gather };
    let back = if transposed { launch::gather } else { launch::scatter };
    let mut y_there = along(&machine, kind, &x_there, &packed, &grid, most)?;
    let bias_there = machine.upload(Kind::F32, &bias)?;
    launch::add_bias(&machine, kind, &mut y_there, &bias_there, rows, channels)?;
    let dx_there = back(&machine, kind, &dy_there, &packed, &grid, most)?;
    let (fine, coarse) = if transposed { (&dy_there, &x_there) } else { (&x_there, &dy_there) };
    let dw_there = launch::of_weight(&machine, kind, fine, coarse, &grid, most)?;
    let dw_there = launch::unpack_gradient(&machine, Kind::F32, &dw_there, &grid)?;
    let weight_there = launch::unpack_gradient(&machine, kind, &packed, &grid)?;
    let db_there = launch::channel_sums(&machine, kind, &dy_there, rows, channels)?;

    let near = tolerance(kind, 1e-5);
    agree("packed", &machine.download(&weight_there, weight.dims())?, &weight, 1e-9)?;
    agree("result", &machine.download(&y_there, y.dims())?, &y, near)?;
    for (what, there, var) in
        [("input", dx_there, &x), ("weight", dw_there, &weight), ("bias", db_there, &bias)]
    {
        let exact = gradients.get(var).context("no gradient")?;
        agree(what, &machine.download(&there, var.dims())?, exact, near)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_convolutions_agree(random in RandomConv::any(), pieces in any::<bool>()) {
        for kind in KINDS {
            let outcome = check_convolution(&random, kind, if pieces { 600 } else { COLUMN_BYTES });
            prop_assert!(outcome.is_ok(), "{kind:?}: {outcome:?}");
        }
    }
}

#[test]
fn convolutions_agree_for_awkward_extents_and_channels() -> anyhow::Result<()> {
    type Extents = &'static [usize];
    // Input (N, *S, C), outputs, kernel, stride, groups.
    let cases: &[(Extents, usize, Extents, Extents, usize)] = &[
        (&[2, 3, 4, 5, 31], 33, &[3, 3, 3], &[1, 1, 1], 1),
        (&[1, 5, 4, 3, 32], 8, &[3, 3, 3], &[2, 2, 2], 1),
        (&[2, 4, 3, 5, 16], 16, &[1, 3, 3], &[1, 2, 2], 2),
        (&[3, 6, 5, 4], 32, &[3, 3], &[2, 1], 1),
        (&[2, 9, 8], 4, &[5], &[2], 1),
    ];
    for &(input, outputs, kernel, stride, groups) in cases {
        let channels = input[input.len() - 1];
        let config =
            sconce_nn::ConvConfig { groups, ..sconce_nn::ConvConfig::same(kernel, stride) };
        let weight = [&[outputs, channels / groups], kernel].concat();
        let random = RandomConv { input: input.to_vec(), weight, config, output_padding: None };
        for kind in KINDS {
            for most in [COLUMN_BYTES, 20_000] {
                check_convolution(&random, kind, most)
                    .with_context(|| format!("{input:?} to {outputs}, {kernel:?} {kind:?}"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn norms_agree_for_every_activation() -> anyhow::Result<()> {
    let acts = [(Act::Silu, 6, 0.0), (Act::LeakyRelu(0.1), 2, 0.1), (Act::Identity, 0, 0.0)];
    let (instance, batch) = (Cells { samples: 1, channels: 1 }, Cells { samples: 3, channels: 1 });
    let groups = Cells { samples: 1, channels: 4 };
    // The last has more channels than a block has threads.
    let cases: &[(usize, Kind, &[Cells])] = &[
        (1, Kind::F32, &[instance, batch]),
        (3, Kind::Bf16, &[instance, batch]),
        (4, Kind::F32, &[instance, batch, groups]),
        (31, Kind::F16, &[instance]),
        (32, Kind::F32, &[batch, groups]),
        (32, Kind::Bf16, &[instance, groups]),
        (32, Kind::F16, &[batch, groups]),
        (33, Kind::F32, &[instance]),
        (33, Kind::Bf16, &[batch]),
        (260, Kind::Bf16, &[groups]),
    ];
    for (turn, &(channels, kind, all)) in cases.iter().enumerate() {
        for (of, &cells) in all.iter().enumerate() {
            let (act, code, setting) = acts[(turn + of) % acts.len()];
            check_norm(kind, channels, cells, act, Curve { code, setting })
                .with_context(|| format!("{channels} channels, {kind:?}, {cells:?}, {act:?}"))?;
        }
    }
    Ok(())
}

fn check_norm(
    kind: Kind,
    channels: usize,
    cells: Cells,
    act: Act,
    curve: Curve,
) -> anyhow::Result<()> {
    let Some(machine) = Emulator::start()? else { return Ok(()) };
    let shape = [3, 9, 13, channels];
    let extent = Extent { samples: 3, voxels: 9 * 13, channels };
    // Far from 0 where the type has the digits.
    let offset = if kind == Kind::F32 && act == Act::Identity { 30.0 } else { 0.5 };
    let shifted = (noise(1, &shape, DType::F32, &Device::Cpu)? + offset)?;
    let x = Var::from_tensor(&rounded(kind, &shifted)?)?;
    let (weight, bias) = (input(Kind::F32, 2, &[channels])?, input(Kind::F32, 3, &[channels])?);
    let dy = rounded(kind, &noise(4, &shape, DType::F32, &Device::Cpu)?)?;
    let (exact, gradients) = with_backend(Backend::Reference, || -> anyhow::Result<_> {
        let (w, b) = (Some(weight.as_tensor()), Some(bias.as_tensor()));
        let y = match cells {
            Cells { samples: 3, .. } => batch_norm_train(&x, w, b, 1e-5, act)?.0,
            Cells { channels: 1, .. } => instance_norm(&x, w, b, 1e-5, act)?,
            Cells { channels: size, .. } => group_norm(&x, channels / size, w, b, 1e-5, act)?,
        };
        let gradients = (&y * &dy)?.sum_all()?.backward()?;
        Ok((y.detach(), gradients))
    })?;

    let mut x_there = machine.upload(kind, &x)?;
    if channels == 260 {
        x_there.misalign();
    }
    let dy_there = machine.upload(kind, &dy)?;
    let (w, b) = (machine.upload(Kind::F32, &weight)?, machine.upload(Kind::F32, &bias)?);
    let scaling = Scaling { weight: Some(&w), bias: Some(&b) };
    let launch::Statistics { standard, mean, variance } =
        launch::statistics(&machine, kind, &x_there, extent, cells, 1e-5)?;
    let y = launch::normalize(&machine, kind, &x_there, extent, &standard, scaling, curve)?;
    let pair = (&x_there, &dy_there);
    let sums = launch::gradient_sums(&machine, kind, pair, extent, &standard, scaling, curve)?;
    let parameters = launch::over_samples(&machine, &sums, extent)?;
    let means = launch::cell_gradients(&machine, &sums, scaling.weight, extent, cells)?;
    let dx = launch::input_gradient(
        &machine,
        kind,
        pair,
        extent,
        &standard,
        scaling,
        Some(&means),
        curve,
    )?;

    let near = tolerance(kind, 1e-4);
    agree("result", &machine.download(&y, &shape)?, &exact, near)?;
    let gradient = |var: &Var| gradients.get(var).context("no gradient");
    agree("input", &machine.download(&dx, &shape)?, gradient(&x)?, near)?;
    let parameters = machine.download(&parameters, &[2, channels])?;
    agree("bias", &parameters.get(0)?, gradient(&bias)?, near)?;
    agree("weight", &parameters.get(1)?, gradient(&weight)?, near)?;

    let count = 3 / cells.samples * channels / cells.channels;
    let axes: &[usize] = if cells.samples == 3 { &[0, 1] } else { &[1] };
    let grouped = x.reshape((3, 117, channels / cells.channels, cells.channels))?;
    let grouped = grouped.transpose(2, 3)?.contiguous()?;
    let axes: Vec<usize> = axes.iter().copied().chain([2]).collect();
    let exact_mean = grouped.mean_keepdim(axes.as_slice())?;
    let centered = grouped.broadcast_sub(&exact_mean)?;
    let exact_variance = centered.sqr()?.mean_keepdim(axes.as_slice())?;
    agree("mean", &machine.download(&mean, &[count])?, &exact_mean, 1e-6)?;
    agree("variance", &machine.download(&variance, &[count])?, &exact_variance, 1e-5)
}

#[test]
fn statistics_that_are_given_standardize_all_samples() -> anyhow::Result<()> {
    let Some(machine) = Emulator::start()? else { return Ok(()) };
    let (shape, extent) = ([2, 5, 4], Extent { samples: 2, voxels: 5, channels: 4 });
    let x = noise(1, &shape, DType::F32, &Device::Cpu)?;
    let (mean, factor) = (input(Kind::F32, 2, &[4])?, input(Kind::F32, 3, &[4])?);
    let standard = launch::Standard {
        mean: machine.upload(Kind::F32, &mean)?,
        factor: machine.upload(Kind::F32, &factor)?,
        shared: true,
    };
    let scaling = Scaling { weight: None, bias: None };
    let curve = Curve { code: 0, setting: 0.0 };
    let x_there = machine.upload(Kind::F32, &x)?;

    let y = launch::normalize(&machine, Kind::F32, &x_there, extent, &standard, scaling, curve)?;
    let pair = (&x_there, &x_there);
    let dx =
        launch::input_gradient(&machine, Kind::F32, pair, extent, &standard, scaling, None, curve)?;

    let x = x.to_dtype(DType::F64)?;
    let exact = x.broadcast_sub(&mean)?.broadcast_mul(&factor)?;
    agree("result", &machine.download(&y, &shape)?, &exact, 1e-6)?;
    agree("gradient", &machine.download(&dx, &shape)?, &x.broadcast_mul(&factor)?, 1e-6)
}

#[test]
fn activations_agree() -> anyhow::Result<()> {
    let acts = [(Act::Relu, 0.0), (Act::LeakyRelu(0.2), 0.2), (Act::Elu(0.7), 0.7)];
    let acts = acts.into_iter().chain(
        [Act::Gelu, Act::GeluTanh, Act::Silu, Act::Sigmoid, Act::Tanh, Act::Softplus]
            .into_iter()
            .chain([Act::LogSigmoid, Act::Mish, Act::Hardswish])
            .map(|act| (act, 0.0)),
    );
    let Some(machine) = Emulator::start()? else { return Ok(()) };
    for (code, (act, setting)) in (1..).zip(acts) {
        for kind in KINDS {
            let x =
                Var::from_tensor(&rounded(kind, &(input(kind, 1, &[5, 37])?.as_tensor() * 8.0)?)?)?;
            let dy = input(kind, 2, &[5, 37])?;
            let (y, gradients) = with_backend(Backend::Reference, || -> anyhow::Result<_> {
                let y = act.forward(&x)?;
                Ok((y.detach(), (y * dy.as_tensor())?.sum_all()?.backward()?))
            })?;
            let curve = Curve { code, setting };
            let (x_there, dy_there) = (machine.upload(kind, &x)?, machine.upload(kind, &dy)?);
            let y_there = launch::activate(&machine, kind, &x_there, 185, curve)?;
            let pair = (&x_there, &dy_there);
            let dx_there = launch::activate_gradient(&machine, kind, pair, 185, curve)?;
            let near = tolerance(kind, 1e-5);
            let what = format!("{act:?} {kind:?}");
            agree(&what, &machine.download(&y_there, &[5, 37])?, &y, near)?;
            let exact = gradients.get(&x).context("no gradient")?;
            agree(&what, &machine.download(&dx_there, &[5, 37])?, exact, near)?;
        }
    }
    Ok(())
}

#[test]
fn pooling_maps_and_concatenation_agree() -> anyhow::Result<()> {
    let config =
        PoolConfig { stride: vec![2, 1, 3], padding: vec![1, 0, 1], ..PoolConfig::new(&[3, 2, 3]) };
    for channels in [1, 3, 8, 33] {
        for kind in KINDS {
            let Some(machine) = Emulator::start()? else { return Ok(()) };
            let shape = [2, 5, 4, 7, channels];
            // Few values, so that several share the largest.
            let levels = (noise(1, &shape, DType::F32, &Device::Cpu)? * 3.0)?.round()?;
            let x = Var::from_tensor(&levels.to_dtype(DType::F64)?)?;
            let (y, dy, gradients) = with_backend(Backend::Reference, || -> anyhow::Result<_> {
                let y = max_pool(&x, &config)?;
                let dy = rounded(kind, &noise(2, y.dims(), DType::F32, &Device::Cpu)?)?;
                let gradients = (&y * &dy)?.sum_all()?.backward()?;
                Ok((y.detach(), dy, gradients))
            })?;
            let windows = Windows {
                samples: 2,
                channels,
                input: [5, 4, 7],
                output: three(&y.dims()[1..4], 1),
                kernel: three(&config.kernel, 1),
                stride: three(&config.stride, 1),
                padding: three(&config.padding, 0),
            };
            let (x_there, dy_there) = (machine.upload(kind, &x)?, machine.upload(kind, &dy)?);
            let y_there = launch::max_pool(&machine, kind, &x_there, &windows)?;
            agree("pool", &machine.download(&y_there, y.dims())?, &y, 1e-9)?;
            let pair = (&x_there, &dy_there);
            let dx_there = launch::max_pool_gradient(&machine, kind, pair, &windows)?;
            let exact = gradients.get(&x).context("no gradient")?;
            let near = tolerance(kind, 1e-6);
            agree("gradient", &machine.download(&dx_there, &shape)?, exact, near)?;

            // Along the second axis, with an output of no terms.
            let terms = Terms {
                starts: vec![0, 2, 2, 3],
                inputs: vec![0, 3, 4],
                weights: vec![0.5, -2.0, 1.0],
            };
            let inner = 4 * 7 * channels;
            let mapped = launch::map_axis(&machine, kind, &x_there, [2, 5, inner], &terms)?;
            let row = |at: usize| x.narrow(1, at, 1);
            let first = ((row(0)? * 0.5)? - (row(3)? * 2.0)?)?;
            let exact = Tensor::cat(&[first, row(0)?.zeros_like()?, row(4)?], 1)?;
            agree("map", &machine.download(&mapped, exact.dims())?, &exact, near)?;

            let other = input(kind, 5, &[2, 5, 4, 7, 16])?;
            let there = machine.upload(kind, &other)?;
            let joined = launch::concat(&machine, kind, [(&x_there, channels), (&there, 16)], 280)?;
            let exact = with_backend(Backend::Reference, || concat(&[&x, &other]))?;
            agree("concat", &machine.download(&joined, exact.dims())?, &exact, 1e-9)?;
            let part = launch::split(&machine, kind, &joined, 280, (channels + 16, channels, 16))?;
            agree("split", &machine.download(&part, other.dims())?, &other, 1e-9)?;
        }
    }
    Ok(())
}

#[test]
fn not_a_number_is_the_largest_of_its_window() -> anyhow::Result<()> {
    let Some(machine) = Emulator::start()? else { return Ok(()) };
    let x = Tensor::new(&[1f32, f32::NAN, 3.0, 2.0], &Device::Cpu)?;
    let windows = Windows {
        samples: 1,
        channels: 1,
        input: [1, 1, 4],
        output: [1, 1, 2],
        kernel: [1, 1, 2],
        stride: [1, 1, 2],
        padding: [0; 3],
    };
    let x_there = machine.upload(Kind::F32, &x)?;

    let y = launch::max_pool(&machine, Kind::F32, &x_there, &windows)?;

    let exact = Tensor::new(&[f32::NAN, 3.0], &Device::Cpu)?;
    agree("pool", &machine.download(&y, &[2])?, &exact, 0.0)?;
    assert_eq!(machine.launched(), ["max_pool"]);
    assert!(machine.empty(Kind::F32, 1).is_ok());
    Ok(())
}

#[test]
fn values_are_rounded_as_everywhere() -> anyhow::Result<()> {
    let Some(machine) = Emulator::start()? else { return Ok(()) };
    // Ties to either side, the smallest and the largest of f16, what is below and beyond them.
    let ties = [1.0 + 2f32.powi(-8), 1.0 + 3.0 * 2f32.powi(-8), 1.0 + 2f32.powi(-11)];
    let small = [2f32.powi(-24), 2f32.powi(-25), 1.5 * 2f32.powi(-24), 6.1e-5, 1e-9];
    let large = [65504.0, 65519.9, 65520.0, f32::MAX, f32::INFINITY, f32::NAN, 0.0];
    let plain = noise(1, &[500], DType::F32, &Device::Cpu)?.to_vec1::<f32>()?;
    let positive = ties.into_iter().chain(small).chain(large).chain(plain);
    let all: Vec<f32> = positive.flat_map(|value| [value, -value]).collect();
    let count = all.len();
    let x = Tensor::new(all, &Device::Cpu)?;
    let grid = Grid {
        samples: 1,
        fine: [1; 3],
        coarse: [1; 3],
        kernel: [1; 3],
        stride: [1; 3],
        padding: [0; 3],
        dilation: [1; 3],
        fine_channels: count,
        coarse_channels: 1,
        groups: 1,
    };
    for kind in KINDS {
        let there = machine.upload(Kind::F32, &x)?;
        let packed = launch::pack_weight(&machine, kind, &there, Kind::F32, &grid)?;
        let found = machine.download(&packed, &[count])?.to_vec1::<f32>()?;
        let exact = rounded(kind, &x)?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        for (found, exact) in found.into_iter().zip(exact) {
            let same = found.to_bits() == exact.to_bits() || found.is_nan() && exact.is_nan();
            assert!(same, "{kind:?}: {found}, not {exact}");
        }
    }
    Ok(())
}
