use std::collections::BTreeMap;

use anyhow::Context;
use candle::{DType, Device, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use sconce_nn::{
    Act, AdamConfig, AdamWConfig, BatchNorm, Conv, ConvConfig, ConvTranspose, ConvTransposeConfig,
    Gradients, GroupNorm, InstanceNorm, LayerNorm, NAdamConfig, OptimizerConfig, Parameters,
    RAdamConfig, RmsPropConfig, SgdConfig, clip_grad_norm, concat, frozen,
};

use crate::device::{device, values};
use crate::random::noise;

/// A small network with one of each layer that has parameters.
pub(crate) struct Network {
    stem: Conv,
    norm: InstanceNorm,
    down: Conv,
    group: GroupNorm,
    batch: BatchNorm,
    up: ConvTranspose,
    layer: LayerNorm,
    head: Conv,
}

impl Network {
    pub(crate) fn new(vb: &VarBuilder<'_>) -> Result<Self> {
        let same = ConvConfig::same(&[3, 3], &[1, 1]);
        let down = ConvConfig::same(&[3, 3], &[2, 2]);
        let up = ConvTransposeConfig::upsample(&[2, 2]);
        Ok(Self {
            stem: Conv::new(1, 8, &[3, 3], same, true, vb.pp("stem"))?,
            norm: InstanceNorm::new(8, 1e-5, true, vb.pp("norm"))?,
            down: Conv::new(8, 16, &[3, 3], down, false, vb.pp("down"))?,
            group: GroupNorm::new(4, 16, 1e-5, vb.pp("group"))?,
            batch: BatchNorm::new(16, 1e-5, vb.pp("batch"))?,
            up: ConvTranspose::new(16, 8, &[2, 2], up, true, vb.pp("up"))?,
            layer: LayerNorm::new(16, 1e-6, vb.pp("layer"))?,
            head: Conv::new(16, 2, &[1, 1], ConvConfig::new(2), true, vb.pp("head"))?,
        })
    }

    pub(crate) fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let fine = self.norm.forward(&self.stem.forward(x)?, Act::LeakyRelu(0.01))?;
        let coarse = self.group.forward(&self.down.forward(&fine)?, Act::Identity)?;
        let coarse = self.batch.forward_t(&coarse, Act::Relu, train)?;
        let joined = concat(&[&self.up.forward(&coarse)?, &fine])?;
        self.head.forward(&self.layer.forward(&joined)?)
    }

    pub(crate) fn loss(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.forward_t(x, true)?;
        (y - noise(8, &[2, 12, 8, 2], x.dtype(), x.device())?)?.sqr()?.mean_all()
    }
}

pub(crate) fn images() -> Result<Tensor> {
    noise(7, &[2, 12, 8, 1], DType::F32, &device())
}

pub(crate) fn every_optimizer() -> Vec<OptimizerConfig> {
    vec![
        OptimizerConfig::Sgd(SgdConfig::default()),
        OptimizerConfig::Adam(AdamConfig { amsgrad: true, ..AdamConfig::default() }),
        OptimizerConfig::AdamW(AdamWConfig::default()),
        OptimizerConfig::RmsProp(RmsPropConfig {
            momentum: 0.5,
            centered: true,
            ..RmsPropConfig::default()
        }),
        OptimizerConfig::RAdam(RAdamConfig::default()),
        OptimizerConfig::NAdam(NAdamConfig {
            weight_decay: 0.01,
            decoupled_weight_decay: true,
            ..NAdamConfig::default()
        }),
    ]
}

/// Parameters, and what the optimizer remembers.
pub(crate) type Saved = (BTreeMap<String, Tensor>, BTreeMap<String, Tensor>);

/// Both after so many steps, starting anew or from a saved state.
fn train(config: &OptimizerConfig, steps: usize, saved: Option<&Saved>) -> anyhow::Result<Saved> {
    let parameters = Parameters::new(3, &device());
    let network = Network::new(&parameters.builder())?;
    let mut optimizer = config.build();
    if let Some((weights, state)) = saved {
        parameters.load(weights)?;
        optimizer.load_state(state)?;
    }
    for _ in 0..steps {
        let mut gradients = parameters.gradients(&network.loss(&images()?)?)?;
        clip_grad_norm(&mut gradients, 12.0)?;
        optimizer.step(&parameters, &gradients, &1e-3.into())?;
    }
    Ok((parameters.tensors()?, optimizer.state()?))
}

pub(crate) fn bits(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<(String, Vec<f64>)>> {
    tensors.iter().map(|(name, tensor)| Ok((name.clone(), values(tensor)?))).collect()
}

#[test]
fn a_resumed_training_is_the_uninterrupted_one() -> anyhow::Result<()> {
    for config in every_optimizer() {
        let whole = train(&config, 4, None)?;
        let half = train(&config, 2, None)?;

        let resumed = train(&config, 2, Some(&half))?;

        assert_eq!(bits(&whole.0)?, bits(&resumed.0)?, "{config:?}");
        assert_eq!(bits(&whole.1)?, bits(&resumed.1)?, "{config:?}");
        assert_ne!(bits(&whole.0)?, bits(&half.0)?, "{config:?}");
    }
    Ok(())
}

#[test]
fn training_lowers_the_loss() -> anyhow::Result<()> {
    let parameters = Parameters::new(3, &device());
    let network = Network::new(&parameters.builder())?;
    let mut optimizer = OptimizerConfig::AdamW(AdamWConfig::default()).build();
    let mut losses = Vec::new();
    for _ in 0..30 {
        let loss = network.loss(&images()?)?;
        losses.push(loss.to_scalar::<f32>()?);
        optimizer.step(&parameters, &parameters.gradients(&loss)?, &1e-2.into())?;
    }
    assert!(losses[29] < 0.7 * losses[0], "{losses:?}");
    Ok(())
}

#[test]
fn a_parameter_without_gradient_is_left_alone() -> anyhow::Result<()> {
    for config in every_optimizer() {
        let parameters = Parameters::new(5, &device());
        let vb = parameters.builder();
        vb.get_with_hints(3, "used", Init::Const(1.0))?;
        vb.get_with_hints(3, "unused", Init::Const(1.0))?;
        let used = parameters.vars()[1].1.clone();
        let gradients = parameters.gradients(&used.sqr()?.sum_all()?)?;
        assert_eq!(gradients.without(), ["unused"]);

        let mut optimizer = config.build();
        optimizer.step(&parameters, &gradients, &0.1.into())?;

        let after = parameters.tensors()?;
        assert_eq!(values(&after["unused"])?, [1.0, 1.0, 1.0], "{config:?}");
        assert!(values(&after["used"])?.iter().all(|value| *value < 1.0), "{config:?}");
        assert!(optimizer.state()?.keys().all(|entry| !entry.ends_with("/unused")), "{config:?}");
    }
    Ok(())
}

#[test]
fn optimizer_state_of_another_kind_is_refused() -> anyhow::Result<()> {
    let state = BTreeMap::from([("exp_avg/w".to_owned(), Tensor::new(&[1f32], &Device::Cpu)?)]);

    let error = OptimizerConfig::default().build().load_state(&state).unwrap_err().to_string();

    assert!(error.starts_with("optimizer state exp_avg/w is not known"), "{error}");
    Ok(())
}

#[test]
fn optimizers_are_named_by_their_table() -> anyhow::Result<()> {
    let config: OptimizerConfig = serde_json::from_str(r#"{"adam_w": {"weight_decay": 0.05}}"#)?;

    let expected = AdamWConfig { weight_decay: 0.05, ..AdamWConfig::default() };
    assert_eq!(config, OptimizerConfig::AdamW(expected));
    assert!(serde_json::from_str::<OptimizerConfig>(r#"{"sgd": {"lr": 1}}"#).is_err());
    Ok(())
}

#[test]
fn fresh_parameters_do_not_depend_on_the_order_of_creation() -> anyhow::Result<()> {
    let create = |seed: u64, names: [&str; 2]| -> Result<Vec<(String, Vec<f64>)>> {
        let parameters = Parameters::new(seed, &device());
        let init = Init::Randn { mean: 0.0, stdev: 1.0 };
        for name in names {
            parameters.builder().get_with_hints((4, 3), name, init)?;
        }
        bits(&parameters.tensors()?)
    };

    assert_eq!(create(1, ["a", "b"])?, create(1, ["b", "a"])?);
    assert_ne!(create(1, ["a", "b"])?, create(2, ["a", "b"])?);
    Ok(())
}

#[test]
fn loading_is_strict_and_changes_nothing_where_it_fails() -> anyhow::Result<()> {
    let parameters = Parameters::new(1, &device());
    Network::new(&parameters.builder())?;
    let before = parameters.tensors()?;
    let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &device());

    let mut renamed = before.clone();
    let moved = renamed.remove("stem.bias").context("stem.bias")?;
    renamed.insert("stem.offset".to_owned(), moved);
    let error = parameters.load(&renamed).unwrap_err().to_string();
    assert_eq!(error, "parameters differ: missing stem.bias; not known stem.offset");

    let mut reshaped: BTreeMap<String, Tensor> = before
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), ones(tensor.dims())?)))
        .collect::<Result<_>>()?;
    reshaped.insert("up.weight".to_owned(), ones(&[16, 8, 2])?);
    let error = parameters.load(&reshaped).unwrap_err().to_string();
    assert_eq!(
        error,
        "parameter up.weight has shape [16, 8, 2], but the network asks for [16, 8, 2, 2]",
    );
    assert_eq!(bits(&before)?, bits(&parameters.tensors()?)?);

    // What was read can be loaded back, though it may share memory with the parameters.
    let live: BTreeMap<String, Tensor> =
        parameters.vars().into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect();
    parameters.load(&live)?;
    assert_eq!(bits(&before)?, bits(&parameters.tensors()?)?);
    Ok(())
}

#[test]
fn a_name_has_one_shape() -> anyhow::Result<()> {
    let parameters = Parameters::new(1, &device());
    parameters.builder().get(3, "a")?;

    let error = parameters.builder().get(4, "a").unwrap_err().to_string();

    assert_eq!(error, "parameter a has shape [3], but the network asks for [4]");
    Ok(())
}

#[test]
fn frozen_parameters_give_the_same_output_without_a_graph() -> anyhow::Result<()> {
    let parameters = Parameters::new(1, &device());
    let network = Network::new(&parameters.builder())?;
    network.forward_t(&images()?, true)?;
    let mut tensors = parameters.tensors()?;
    tensors.insert("batch.num_batches_tracked".to_owned(), Tensor::new(5i64, &device())?);
    tensors.insert("surplus".to_owned(), Tensor::new(0f32, &device())?);

    let frozen = frozen(tensors);
    let y = Network::new(&frozen.builder())?.forward_t(&images()?, false)?;

    assert!(!y.track_op());
    assert_eq!(values(&y)?, values(&network.forward_t(&images()?, false)?)?);
    let error = frozen.finish().unwrap_err().to_string();
    assert_eq!(error, "parameters differ: not known surplus");
    let error = frozen.builder().get(1, "absent").unwrap_err().to_string();
    assert_eq!(error, "there is no parameter absent");
    Ok(())
}

#[test]
fn running_statistics_move_in_training_alone() -> anyhow::Result<()> {
    let parameters = Parameters::with_dtype(1, DType::F64, &device());
    let norm = BatchNorm::new(1, 1e-5, parameters.builder())?.with_momentum(0.5);
    let x = Tensor::new(&[[[1f64], [3.0]]], &device())?.reshape((1, 1, 2, 1))?;

    norm.forward_t(&x, Act::Identity, false)?;
    assert_eq!(values(&norm.running().mean)?, [0.0]);
    let y = norm.forward_t(&x, Act::Identity, true)?;

    // Mean 2 and unbiased variance 2, halfway from 0 and 1.
    assert_eq!(values(&norm.running().mean)?, [1.0]);
    assert_eq!(values(&norm.running().variance)?, [1.5]);
    assert_eq!(values(&parameters.tensors()?["running_mean"])?, [1.0]);
    let gradients = parameters.gradients(&y.sqr()?.sum_all()?)?;
    assert_eq!(gradients.without(), ["running_mean", "running_var"]);
    Ok(())
}

#[test]
fn gradients_hold_no_graph_and_add_up() -> anyhow::Result<()> {
    let parameters = Parameters::new(1, &device());
    let network = Network::new(&parameters.builder())?;
    let first = parameters.gradients(&network.loss(&images()?)?)?;

    let mut sum = Gradients::default();
    sum.add_assign(&first)?;
    sum.add_assign(&first)?;

    for gradients in [&first, &sum] {
        assert!(gradients.iter().all(|(_, gradient)| gradient.is_none_or(|g| !g.track_op())));
        assert_eq!(gradients.without(), ["batch.running_mean", "batch.running_var"]);
    }
    let (one, two) = (first.norm()?, sum.norm()?);
    approx::assert_relative_eq!(two, 2.0 * one, max_relative = 1e-6);
    // What was added is as it was.
    assert_eq!(first.norm()?.to_bits(), one.to_bits());
    sum.scale(0.5)?;
    assert!(sum.iter().all(|(_, gradient)| gradient.is_none_or(|g| !g.track_op())));
    approx::assert_relative_eq!(sum.norm()?, one, max_relative = 1e-6);
    assert!(sum.all_finite()?);
    Ok(())
}

#[test]
fn a_gradient_that_is_not_finite_is_found() -> anyhow::Result<()> {
    let tensor = |values: &[f32]| Ok::<_, candle::Error>(Some(Tensor::new(values, &device())?));
    for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let gradients = Gradients::new(BTreeMap::from([
            ("a".to_owned(), tensor(&[1e30, -2.0])?),
            ("b".to_owned(), tensor(&[0.0, poison])?),
            ("c".to_owned(), None),
        ]));

        assert!(!gradients.all_finite()?);
        assert_eq!(gradients.largest()?.map(|(name, _)| name), Some("b"));
    }
    Ok(())
}

/// Resident memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> anyhow::Result<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    Ok(pages.split(' ').nth(1).context("statm")?.parse::<usize>()? * 4096)
}

#[test]
#[cfg(target_os = "linux")]
fn two_hundred_steps_leave_memory_as_it_was() -> anyhow::Result<()> {
    let parameters = Parameters::new(1, &device());
    let network = Network::new(&parameters.builder())?;
    let mut optimizer = OptimizerConfig::default().build();
    let x = noise(7, &[2, 48, 32, 1], DType::F32, &device())?;
    let mut after_warm_up = 0;
    for step in 0..200 {
        if step == 40 {
            after_warm_up = resident()?;
        }
        let loss = network.forward_t(&x, true)?.sqr()?.mean_all()?;
        optimizer.step(&parameters, &parameters.gradients(&loss)?, &1e-4.into())?;
    }
    // One step makes about 2 MiB of activations: a leak would be 300 MiB.
    let growth = resident()?.saturating_sub(after_warm_up);
    assert!(growth < 48 << 20, "grew by {growth} bytes");
    Ok(())
}
