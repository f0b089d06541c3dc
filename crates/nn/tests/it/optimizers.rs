//! Steps of optimizers that are one pass are those out of candle operations, bit for bit.

use std::collections::BTreeMap;

use candle::{DType, Result, Tensor};
use sconce_nn::{
    AdamConfig, Backend, Optimizer, OptimizerConfig, Parameters, SgdConfig, with_backend,
};

use crate::device::device;
use crate::random::noise;
use crate::training::{Network, Saved, bits, every_optimizer, images};

/// What parameters and memory become in some steps on given gradients, some values being 0 of either
/// sign, subnormal or infinite.
fn steps(config: &OptimizerConfig, backend: Backend) -> anyhow::Result<Saved> {
    let parameters = Parameters::new(3, &device());
    let vb = parameters.builder();
    for (name, length) in [("long", 40_000), ("short", 3), ("line", 128)] {
        vb.get(length, name)?;
    }
    let awkward = [0.0, -0.0, 1e-40, -1e-40, f32::INFINITY, 1e30, -1e-20];
    let odd = Tensor::new(&awkward, &device())?;
    let mut optimizer = config.build();
    for step in 0..4 {
        let mut loss = Tensor::zeros((), DType::F32, &device())?;
        for (salt, (name, var)) in (1..).zip(parameters.vars()) {
            let mut given = noise(salt + 10 * step, var.dims(), DType::F32, &device())?;
            if name == "long" {
                given = Tensor::cat(&[&given.narrow(0, 7, 39_993)?, &odd], 0)?;
            }
            loss = (loss + (var.as_tensor() * given)?.sum_all()?)?;
        }
        let gradients = parameters.gradients(&loss)?;
        with_backend(backend, || optimizer.step(&parameters, &gradients, &0.3.into()))?;
    }
    Ok((parameters.tensors()?, optimizer.state()?))
}

#[test]
fn one_pass_gives_the_bits_of_many() -> anyhow::Result<()> {
    if !device().is_cpu() {
        return Ok(()); // other devices may fuse a product and a sum
    }
    let sgd = |momentum, dampening, nesterov, weight_decay| {
        OptimizerConfig::Sgd(SgdConfig { momentum, dampening, nesterov, weight_decay })
    };
    let decayed = AdamConfig { weight_decay: 0.1, ..AdamConfig::default() };
    let all = every_optimizer().into_iter().chain([
        sgd(0.0, 0.0, false, 0.0),
        sgd(0.0, 0.0, false, 0.1),
        sgd(0.9, 0.25, false, 0.1),
        sgd(0.9, 0.25, true, 0.0),
        OptimizerConfig::Adam(decayed),
    ]);
    let exact = |tensors: &BTreeMap<String, Tensor>| -> Result<Vec<(String, Vec<u32>)>> {
        let bits = |tensor: &Tensor| -> Result<Vec<u32>> {
            let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            // What NaN it is no one asks.
            let bits =
                |value: f32| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() };
            Ok(values.into_iter().map(bits).collect())
        };
        tensors.iter().map(|(name, tensor)| Ok((name.clone(), bits(tensor)?))).collect()
    };
    for config in all {
        let (one, many) = (steps(&config, Backend::Auto)?, steps(&config, Backend::Reference)?);

        assert!(exact(&one.0)? == exact(&many.0)?, "parameters by {config:?}");
        assert!(exact(&one.1)? == exact(&many.1)?, "memory of {config:?}");
    }
    Ok(())
}

#[test]
fn later_steps_do_not_change_what_was_saved() -> anyhow::Result<()> {
    for config in every_optimizer() {
        let parameters = Parameters::new(3, &device());
        let network = Network::new(&parameters.builder())?;
        let mut optimizer = config.build();
        let step = |optimizer: &mut Box<dyn Optimizer>| -> anyhow::Result<()> {
            let gradients = parameters.gradients(&network.loss(&images()?)?)?;
            Ok(optimizer.step(&parameters, &gradients, &1e-2.into())?)
        };
        step(&mut optimizer)?;
        let saved = optimizer.state()?;
        let before = bits(&saved)?;

        step(&mut optimizer)?;
        assert_eq!(bits(&saved)?, before, "{config:?}");

        optimizer.load_state(&saved)?;
        step(&mut optimizer)?;
        assert_eq!(bits(&saved)?, before, "{config:?}");
    }
    Ok(())
}
