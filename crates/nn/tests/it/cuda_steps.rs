//! CUDA kernels of what ends a step, run on the CPU, agree with the reference: softmax and optimizers.

use anyhow::Context;
use candle::{DType, Device, Tensor};
use sconce_nn::{
    AdamConfig, AdamWConfig, Backend, Gradients, OptimizerConfig, Parameters, SgdConfig,
    log_softmax_along, softmax_along, with_backend,
};

use crate::cuda_machine::launch::{self, Adaption, Along, Descent, Kind, Row};
use crate::cuda_machine::{Array, Emulator, KINDS, agree, input, tolerance};
use crate::random::noise;

#[test]
fn probabilities_agree() -> anyhow::Result<()> {
    for (shape, axis) in [([2, 3, 5, 7], 1), ([2, 5, 7, 3], 3), ([1, 40, 3, 2], 1)] {
        for kind in KINDS {
            for logarithm in [false, true] {
                let Some(machine) = Emulator::start()? else { return Ok(()) };
                let x = input(kind, 1, &shape)?;
                let dy = input(kind, 2, &shape)?;
                let (y, gradients) = with_backend(Backend::Reference, || -> anyhow::Result<_> {
                    let along = if logarithm { log_softmax_along } else { softmax_along };
                    let y = along(&x, axis)?;
                    Ok((y.detach(), (y * dy.as_tensor())?.sum_all()?.backward()?))
                })?;
                let along = Along {
                    outer: shape[..axis].iter().product(),
                    classes: shape[axis],
                    inner: shape[axis + 1..].iter().product(),
                    logarithm,
                };
                let (x_there, dy_there) = (machine.upload(kind, &x)?, machine.upload(kind, &dy)?);
                let y_there = launch::softmax(&machine, kind, &x_there, along)?;
                let pair = (&y_there, &dy_there);
                let dx_there = launch::softmax_gradient(&machine, kind, pair, along)?;
                let near = tolerance(kind, 1e-6);
                let what = format!("{kind:?} {along:?}");
                agree(&what, &machine.download(&y_there, &shape)?, &y, near)?;
                let exact = gradients.get(&x).context("no gradient")?;
                agree(&what, &machine.download(&dx_there, &shape)?, exact, near)?;
            }
        }
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "computed in single precision")]
fn single(number: f64) -> f32 {
    number as f32
}

/// Lengths of parameters: within a block, of whole blocks, and beyond.
const LENGTHS: [usize; 4] = [5, 4096, 8195, 1];
const STEPS: usize = 3;
const RATE: f64 = 0.1;

/// Parameters after some steps of candle operations.
fn exact(config: &OptimizerConfig) -> anyhow::Result<Vec<Tensor>> {
    let parameters = Parameters::new(1, &Device::Cpu);
    let vb = parameters.builder();
    for (at, length) in LENGTHS.into_iter().enumerate() {
        vb.get(length, &format!("p{at}"))?;
    }
    let value = |at: usize, step: usize| {
        noise(at as u64 + 10 * step as u64, &[LENGTHS[at]], DType::F32, &Device::Cpu)
    };
    let named = |step: usize| -> candle::Result<std::collections::BTreeMap<String, Tensor>> {
        (0..LENGTHS.len()).map(|at| Ok((format!("p{at}"), value(at, step)?))).collect()
    };
    parameters.load(&named(0)?)?;
    let mut optimizer = config.build();
    for step in 1..=STEPS {
        let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for ((name, var), given) in parameters.vars().into_iter().zip(named(step)?.into_values()) {
            assert!(name.starts_with('p'));
            loss = (loss + (var.as_tensor() * given)?.sum_all()?)?;
        }
        let gradients: Gradients = parameters.gradients(&loss)?;
        with_backend(Backend::Reference, || optimizer.step(&parameters, &gradients, &RATE.into()))?;
    }
    Ok(parameters.tensors()?.into_values().collect())
}

/// Launches the step of that number.
type Step<'a> = &'a dyn Fn(&Emulator, &[Row<'_, Array>], usize) -> candle::Result<()>;

/// Checks that the steps of `step` on the machine lead to the same parameters.
fn check(config: &OptimizerConfig, memories: usize, step: Step<'_>) -> anyhow::Result<()> {
    let Some(machine) = Emulator::start()? else { return Ok(()) };
    let upload = |step: usize| -> anyhow::Result<Vec<Array>> {
        let mut all = Vec::new();
        for (at, length) in LENGTHS.into_iter().enumerate() {
            let salt = at as u64 + 10 * step as u64;
            let values = noise(salt, &[length], DType::F32, &Device::Cpu)?;
            all.push(machine.upload(Kind::F32, &values)?);
        }
        Ok(all)
    };
    let values = upload(0)?;
    let mut memory = Vec::new();
    for length in LENGTHS {
        let zeros = Tensor::zeros(length, DType::F32, &Device::Cpu)?;
        let arrays = (0..memories).map(|_| machine.upload(Kind::F32, &zeros));
        memory.push(arrays.collect::<candle::Result<Vec<_>>>()?);
    }
    for number in 1..=STEPS {
        let gradients = upload(number)?;
        let tensors = values.iter().zip(&gradients).zip(&memory).zip(LENGTHS);
        let row = |(((value, gradient), memory), count): (_, usize)| {
            let ((value, gradient), memory): ((&Array, &Array), &Vec<Array>) =
                ((value, gradient), memory);
            Row { value, gradient, memory: memory.iter().collect(), count }
        };
        let rows: Vec<_> = tensors.map(row).collect();
        step(&machine, &rows, number)?;
    }
    for ((value, exact), length) in values.iter().zip(exact(config)?).zip(LENGTHS) {
        agree("parameter", &machine.download(value, &[length])?, &exact, 2e-6)?;
    }
    assert_eq!(machine.launched().len(), STEPS);
    Ok(())
}

#[test]
fn descent_agrees() -> anyhow::Result<()> {
    for (momentum, dampening, nesterov, weight_decay) in
        [(0.99, 0.0, true, 3e-2), (0.9, 0.3, false, 0.0), (0.0, 0.0, false, 0.1)]
    {
        let config =
            OptimizerConfig::Sgd(SgdConfig { momentum, dampening, nesterov, weight_decay });
        let memories = usize::from(momentum > 0.0);
        check(&config, memories, &|machine, rows, number| {
            let step = Descent {
                decay: single(weight_decay),
                momentum: single(momentum),
                fresh: single(1.0 - dampening),
                nesterov,
                first: number == 1,
                rate: single(RATE),
            };
            launch::descend(machine, rows, &step)
        })?;
    }
    Ok(())
}

#[test]
fn adaption_agrees() -> anyhow::Result<()> {
    let largest = AdamConfig { amsgrad: true, weight_decay: 0.1, ..AdamConfig::default() };
    let shrinking = AdamWConfig { weight_decay: 0.2, ..AdamWConfig::default() };
    for (config, decay, shrink, amsgrad) in [
        (OptimizerConfig::Adam(largest), 0.1, 1.0, true),
        (OptimizerConfig::AdamW(shrinking), 0.0, 1.0 - RATE * 0.2, false),
    ] {
        check(&config, 2 + usize::from(amsgrad), &|machine, rows, number| {
            let (power, keep) = (number as f64, [0.9, 0.999]);
            let step = Adaption {
                decay: single(decay),
                shrink: single(shrink),
                keep: keep.map(single),
                take: keep.map(|keep| single(1.0 - keep)),
                unit: single(1.0 / (1.0 - f64::powf(keep[1], power)).sqrt()),
                eps: 1e-8,
                amsgrad,
                rate: single(RATE / (1.0 - f64::powf(keep[0], power))),
            };
            launch::adapt(machine, rows, &step)
        })?;
    }
    Ok(())
}
