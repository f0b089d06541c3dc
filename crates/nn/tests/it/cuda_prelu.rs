//! Norms on CUDA devices whose activation has learned slopes.

use anyhow::Context;
use candle::{DType, Device, Tensor, Var};
use sconce_nn::{Activation, Backend, batch_norm_train, instance_norm, with_backend};

use crate::cuda_machine::launch::{self, Cells, Curve, Extent, Kind, Scaling};
use crate::cuda_machine::{Emulator, agree, input, rounded, tolerance};
use crate::random::noise;

const PRELU: Curve = Curve { code: 13, setting: 0.0 };
/// The same, for the gradient of the slopes.
const SLOPES: Curve = Curve { code: 14, setting: 0.0 };

fn check(kind: Kind, channels: usize, samples: usize) -> anyhow::Result<()> {
    let Some(machine) = Emulator::start()? else { return Ok(()) };
    let shape = [3, 9, 13, channels];
    let extent = Extent { samples: 3, voxels: 9 * 13, channels };
    let x = input(kind, 1, &shape)?;
    let vector = |salt: u64| input(Kind::F32, salt, &[channels]);
    let (weight, bias, slopes) = (vector(2)?, vector(3)?, vector(5)?);
    let dy = rounded(kind, &noise(4, &shape, DType::F32, &Device::Cpu)?)?;
    let (exact, gradients) = with_backend(Backend::Reference, || -> anyhow::Result<_> {
        let (w, b) = (Some(weight.as_tensor()), Some(bias.as_tensor()));
        let act = Activation::Prelu(&slopes);
        let y = match samples {
            1 => instance_norm(&x, w, b, 1e-5, act)?,
            _ => batch_norm_train(&x, w, b, 1e-5, act)?.0,
        };
        let gradients = (&y * &dy)?.sum_all()?.backward()?;
        Ok((y.detach(), gradients))
    })?;

    let (x_there, dy_there) = (machine.upload(kind, &x)?, machine.upload(kind, &dy)?);
    let w = machine.upload(Kind::F32, &weight)?;
    // Slopes come after the offsets.
    let both = machine.upload(Kind::F32, &Tensor::cat(&[bias.as_tensor(), &slopes], 0)?)?;
    let scaling = Scaling { weight: Some(&w), bias: Some(&both) };
    let cells = Cells { samples, channels: 1 };
    let launch::Statistics { standard, .. } =
        launch::statistics(&machine, kind, &x_there, extent, cells, 1e-5)?;
    let y = launch::normalize(&machine, kind, &x_there, extent, &standard, scaling, PRELU)?;
    let pair = (&x_there, &dy_there);
    let sums =
        |curve| launch::gradient_sums(&machine, kind, pair, extent, &standard, scaling, curve);
    let (first, second) = (sums(PRELU)?, sums(SLOPES)?);
    let means = launch::cell_gradients(&machine, &first, scaling.weight, extent, cells)?;
    let dx = launch::input_gradient(
        &machine,
        kind,
        pair,
        extent,
        &standard,
        scaling,
        Some(&means),
        PRELU,
    )?;

    let near = tolerance(kind, 1e-4);
    let gradient = |var: &Var| gradients.get(var).context("no gradient");
    let totals = |sums| -> anyhow::Result<Tensor> {
        let totals = launch::over_samples(&machine, sums, extent)?;
        Ok(machine.download(&totals, &[2, channels])?)
    };
    let (first, second) = (totals(&first)?, totals(&second)?);
    agree("result", &machine.download(&y, &shape)?, &exact, near)?;
    agree("input", &machine.download(&dx, &shape)?, gradient(&x)?, near)?;
    agree("bias", &first.get(0)?, gradient(&bias)?, near)?;
    agree("weight", &first.get(1)?, gradient(&weight)?, near)?;
    agree("slopes", &second.get(0)?, gradient(&slopes)?, near)
}

#[test]
fn norms_with_learned_slopes_agree() -> anyhow::Result<()> {
    for (kind, channels, samples) in [
        (Kind::F32, 1, 1),
        (Kind::F32, 33, 3),
        (Kind::Bf16, 32, 1),
        (Kind::F16, 4, 3),
        (Kind::F32, 32, 1),
    ] {
        check(kind, channels, samples).with_context(|| format!("{kind:?}, {channels} channels"))?;
    }
    Ok(())
}
