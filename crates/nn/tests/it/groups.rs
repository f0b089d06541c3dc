use std::collections::BTreeMap;

use candle::{DType, Tensor};
use candle_nn::Init;
use sconce_nn::{
    Act, Backend, BatchNorm, Conv, ConvConfig, Gradients, GroupConfig, GroupsConfig, InstanceNorm,
    OptimizerConfig, Parameters, Pending, RateFactors, Rates, with_backend,
};

use crate::device::{device, values};
use crate::random::noise;
use crate::training::{self, bits, every_optimizer, images};

/// What some steps with given gradients make of a parameter of two axes.
fn steps(config: &OptimizerConfig, rates: &Rates, dtype: DType) -> anyhow::Result<Vec<f64>> {
    let parameters = Parameters::with_dtype(3, dtype, &device());
    parameters.builder().get_with_hints((5, 7), "w", Init::Randn { mean: 0.0, stdev: 1.0 })?;
    let mut optimizer = config.build();
    for step in 0..4 {
        let gradient = noise(step, &[5, 7], dtype, &device())?;
        let gradients = Gradients::new(BTreeMap::from([("w".to_owned(), Some(gradient))]));
        optimizer.step(&parameters, &gradients, rates)?;
    }
    Ok(values(&parameters.tensors()?["w"])?)
}

/// The same optimizer with its weight decay multiplied.
fn decaying(config: &OptimizerConfig, weight_decay: f64) -> anyhow::Result<OptimizerConfig> {
    let mut text = serde_json::to_value(config)?;
    let settings = text.as_object_mut().and_then(|all| all.values_mut().next());
    let settings = settings.ok_or_else(|| anyhow::anyhow!("no settings"))?;
    settings["weight_decay"] = weight_decay.into();
    Ok(serde_json::from_value(text)?)
}

#[test]
fn factors_are_other_settings_for_one_parameter() -> anyhow::Result<()> {
    let dtypes: &[DType] =
        if device().is_metal() { &[DType::F32] } else { &[DType::F32, DType::F64] };
    for config in every_optimizer() {
        for dtype in dtypes {
            // Powers of two, so that products of factors are exact.
            let (decayed, more) = (decaying(&config, 0.125)?, decaying(&config, 0.25)?);
            let none = decaying(&config, 0.0)?;
            let with = |learning_rate, weight_decay| {
                Rates::uniform(0.03125).with("w", RateFactors { learning_rate, weight_decay })
            };
            let plain = steps(&decayed, &0.03125.into(), *dtype)?;

            for (factors, other, rate) in [
                (with(4.0, 1.0), &decayed, 0.125),
                (with(1.0, 2.0), &more, 0.03125),
                (with(1.0, 0.0), &none, 0.03125),
                (with(4.0, 2.0), &more, 0.125),
            ] {
                let by_factor = steps(&decayed, &factors, *dtype)?;
                assert_eq!(
                    by_factor,
                    steps(other, &rate.into(), *dtype)?,
                    "{config:?} {factors:?}"
                );
                assert_ne!(by_factor, plain, "{config:?} {factors:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn factors_are_of_one_parameter_alone() -> anyhow::Result<()> {
    for config in every_optimizer() {
        let run = |rates: &Rates| -> anyhow::Result<BTreeMap<String, Tensor>> {
            let parameters = Parameters::new(3, &device());
            let mut gradients = BTreeMap::new();
            for (salt, name) in (1..).zip(["a", "b", "c"]) {
                let init = Init::Randn { mean: 0.0, stdev: 1.0 };
                parameters.builder().get_with_hints(9, name, init)?;
                gradients.insert(name.to_owned(), Some(noise(salt, &[9], DType::F32, &device())?));
            }
            let gradients = Gradients::new(gradients);
            let mut optimizer = config.build();
            for _ in 0..2 {
                optimizer.step(&parameters, &gradients, rates)?;
            }
            Ok(parameters.tensors()?)
        };
        let factors = RateFactors { learning_rate: 10.0, weight_decay: 0.0 };

        let (same, other) = (run(&0.01.into())?, run(&Rates::uniform(0.01).with("b", factors))?);

        for name in ["a", "b", "c"] {
            let alike = values(&same[name])? == values(&other[name])?;
            assert_eq!(alike, name != "b", "{name} by {config:?}");
        }
    }
    Ok(())
}

fn group(pattern: &str) -> GroupConfig {
    GroupConfig::new(pattern.parse().expect("a pattern"))
}

fn named() -> anyhow::Result<Parameters> {
    let parameters = Parameters::new(1, &device());
    let vb = parameters.builder();
    vb.get((4, 3), "encoder.0.weight")?;
    vb.get(4, "encoder.0.bias")?;
    vb.get((4, 3), "encoder.1.weight")?;
    vb.get((2, 4), "head.weight")?;
    vb.get((), "temperature")?;
    Ok(parameters)
}

#[test]
fn the_last_group_that_matches_holds() -> anyhow::Result<()> {
    let fast = GroupConfig { learning_rate: 10.0, weight_decay: 0.5, ..group("**") };
    let first = GroupConfig { learning_rate: 2.0, ..group("encoder.0") };
    let groups = GroupsConfig { groups: vec![fast, first], decay_vectors: false };

    let rates = groups.rates(&named()?)?.at(0.5);

    // As a whole: the weight decay of the first group is not left over.
    for (name, learning_rate, weight_decay) in [
        ("encoder.0.weight", 1.0, 1.0),
        ("encoder.0.bias", 1.0, 0.0),
        ("encoder.1.weight", 5.0, 0.5),
        ("head.weight", 5.0, 0.5),
        ("temperature", 5.0, 0.0),
    ] {
        approx::assert_relative_eq!(rates.learning_rate(name), learning_rate);
        approx::assert_relative_eq!(rates.factors(name).weight_decay, weight_decay);
    }
    let none = GroupsConfig::default().rates(&named()?)?;
    assert_eq!(none, Rates::uniform(1.0));
    Ok(())
}

#[test]
fn a_group_without_effect_is_refused() -> anyhow::Result<()> {
    let refusal = |patterns: &[&str]| -> anyhow::Result<String> {
        let groups = patterns.iter().map(|pattern| group(pattern)).collect();
        let groups = GroupsConfig { groups, ..GroupsConfig::default() };
        Ok(groups.rates(&named()?).unwrap_err().to_string())
    };

    assert_eq!(
        refusal(&["encoder", "encodr.1"])?,
        "no parameter matches encodr.1; names begin with encoder, head, temperature",
    );
    assert_eq!(
        refusal(&["encoder.0", "head", "encoder"])?,
        "every parameter that encoder.0 matches is matched by a later pattern, which holds for it; \
         give encoder.0 behind that",
    );
    Ok(())
}

#[test]
fn settings_of_groups_are_checked_as_they_are_read() -> anyhow::Result<()> {
    let read = |text: &str| serde_json::from_str::<GroupsConfig>(text);
    for (text, expected) in [
        (r#"{"groups": [{"learning_rate": 2.0}]}"#, "missing field `parameters`"),
        (r#"{"groups": [{"parameters": "a", "lr": 2.0}]}"#, "unknown field `lr`"),
        (r#"{"groups": [{"parameters": "a", "weight_decay": -1.0}]}"#, "is not a finite number"),
        (r#"{"groups": [{"parameters": "a..b"}]}"#, "a part between dots is empty"),
        (r#"{"decay": true}"#, "unknown field `decay`"),
    ] {
        let error = read(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let whole =
        read(r#"{"decay_vectors": false, "groups": [{"parameters": "a.*", "frozen": true}]}"#)?;
    let frozen = GroupConfig { frozen: true, ..group("a.*") };
    assert_eq!(whole, GroupsConfig { groups: vec![frozen], decay_vectors: false });
    assert_eq!(read(&serde_json::to_string(&whole)?)?, whole);
    Ok(())
}

/// An encoder with a batch norm, and a head.
struct Network {
    encoder: Conv,
    norm: BatchNorm,
    head: Conv,
}

impl Network {
    fn new(parameters: &Parameters) -> candle::Result<Self> {
        let vb = parameters.builder();
        let same = ConvConfig::same(&[3, 3], &[1, 1]);
        Ok(Self {
            encoder: Conv::new(1, 8, &[3, 3], same.clone(), true, vb.pp("encoder.conv"))?,
            norm: BatchNorm::new(8, 1e-5, vb.pp("encoder.norm"))?,
            head: Conv::new(8, 2, &[3, 3], same, true, vb.pp("head"))?,
        })
    }

    fn encode(&self, x: &Tensor, train: bool) -> candle::Result<Tensor> {
        self.norm.forward_t(&self.encoder.forward(x)?, Act::Relu, train)
    }
}

fn frozen_encoder() -> GroupsConfig {
    let encoder = GroupConfig { frozen: true, ..group("encoder") };
    GroupsConfig { groups: vec![encoder], ..GroupsConfig::default() }
}

#[test]
fn nothing_is_computed_for_gradients_of_frozen_parameters() -> anyhow::Result<()> {
    for backend in [Backend::Auto, Backend::Reference] {
        with_backend(backend, || -> anyhow::Result<()> {
            let parameters = Parameters::new(1, &device());
            frozen_encoder().freeze(&parameters)?;
            let network = Network::new(&parameters)?;
            let before = parameters.tensors()?;

            let encoded = network.encode(&images()?, true)?;
            assert!(!encoded.track_op(), "a frozen encoder leaves no graph");
            let loss = network.head.forward(&encoded)?.sqr()?.mean_all()?;
            let gradients = parameters.gradients(&loss)?;

            let untouched: Vec<&str> = gradients.without();
            assert!(untouched.iter().all(|name| name.starts_with("encoder.")), "{untouched:?}");
            assert_eq!(untouched.len(), 6);
            for config in every_optimizer() {
                config.build().step(&parameters, &gradients, &0.1.into())?;
            }
            let after = parameters.tensors()?;
            for (name, tensor) in &before {
                let stayed = values(tensor)? == values(&after[name])?;
                assert_eq!(stayed, name.starts_with("encoder."), "{name}");
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The gradients of a network with all kinds of layers, those below `frozen` being frozen, by convolutions
/// that normalize what they read where `deferred`.
fn gradients_around(frozen: &'static [&'static str], deferred: bool) -> anyhow::Result<Gradients> {
    let parameters = Parameters::new(3, &device());
    parameters.freeze(|name| frozen.iter().any(|layer| name.starts_with(layer)))?;
    if !deferred {
        let network = training::Network::new(&parameters.builder())?;
        return Ok(parameters.gradients(&network.loss(&images()?)?)?);
    }
    let (vb, act) = (parameters.builder(), Act::LeakyRelu(0.01));
    let same = ConvConfig::same(&[3, 3], &[1, 1]);
    let stem = Conv::new(1, 8, &[3, 3], same.clone(), true, vb.pp("stem"))?;
    let norm = InstanceNorm::new(8, 1e-5, true, vb.pp("norm"))?;
    let down = Conv::new(8, 16, &[3, 3], same.clone(), true, vb.pp("down"))?;
    let group = InstanceNorm::new(16, 1e-5, true, vb.pp("group"))?;
    let head = Conv::new(16, 2, &[3, 3], same, true, vb.pp("head"))?;
    let fine = norm.defer(stem.forward_of(&[&Pending::from(&images()?)])?, act)?;
    let coarse = group.defer(down.forward_of(&[&fine])?, act)?;
    let loss = head.forward_of(&[&coarse])?.resolve()?.sqr()?.mean_all()?;
    Ok(parameters.gradients(&loss)?)
}

#[test]
fn gradients_pass_through_what_is_frozen() -> anyhow::Result<()> {
    for backend in [Backend::Auto, Backend::Reference] {
        with_backend(backend, || -> anyhow::Result<()> {
            for deferred in [false, true] {
                let all = gradients_around(&[], deferred)?;
                let layers: &[&'static [&'static str]] = &[
                    &["stem", "norm"],
                    &["down", "group"],
                    &["norm", "down"],
                    &["batch.weight", "batch.bias"],
                    &["up", "head"],
                ];
                for frozen in layers {
                    let some = gradients_around(frozen, deferred)?;
                    for (name, gradient) in some.iter() {
                        let expected = all.get(name).map(values).transpose()?;
                        let is_frozen = frozen.iter().any(|layer| name.starts_with(layer));
                        let expected = expected.filter(|_| !is_frozen);
                        assert_eq!(
                            gradient.map(values).transpose()?,
                            expected,
                            "{name} {frozen:?}"
                        );
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_frozen_norm_is_in_training_what_it_is_later() -> anyhow::Result<()> {
    let parameters = Parameters::new(1, &device());
    frozen_encoder().freeze(&parameters)?;
    let network = Network::new(&parameters)?;

    let (training, later) = (network.encode(&images()?, true)?, network.encode(&images()?, false)?);

    assert_eq!(values(&training)?, values(&later)?);
    assert!(values(&parameters.tensors()?["encoder.norm.running_mean"])?.iter().all(|x| *x == 0.0));
    Ok(())
}

#[test]
fn frozen_parameters_are_listed_saved_and_loaded() -> anyhow::Result<()> {
    let (learning, partly) = (Parameters::new(1, &device()), Parameters::new(2, &device()));
    Network::new(&learning)?;
    frozen_encoder().freeze(&partly)?;
    let network = Network::new(&partly)?;
    let names = |parameters: &Parameters| -> Vec<String> {
        parameters.vars().into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(&learning), names(&partly));
    let before = values(&network.encode(&images()?, false)?)?;

    let mut other = learning.tensors()?;
    let statistics = noise(4, &[8], DType::F32, &device())?;
    other.insert("encoder.norm.running_mean".to_owned(), statistics);
    partly.load(&other)?;

    // What the network has is what was loaded.
    assert_ne!(values(&network.encode(&images()?, false)?)?, before);
    assert_eq!(bits(&partly.tensors()?)?, bits(&other)?);
    learning.load(&other)?;
    let learned = Network::new(&learning)?.encode(&images()?, false)?;
    assert_eq!(values(&network.encode(&images()?, false)?)?, values(&learned)?);
    Ok(())
}

#[test]
fn a_gradient_from_elsewhere_leaves_a_frozen_parameter_alone() -> anyhow::Result<()> {
    for config in every_optimizer() {
        let parameters = Parameters::new(1, &device());
        parameters.freeze(|name| name == "w")?;
        parameters.builder().get_with_hints(3, "w", Init::Const(1.0))?;
        let ones = Tensor::ones(3, DType::F32, &device())?;
        let gradients = Gradients::new(BTreeMap::from([("w".to_owned(), Some(ones))]));

        config.build().step(&parameters, &gradients, &0.1.into())?;

        assert_eq!(values(&parameters.tensors()?["w"])?, [1.0; 3], "{config:?}");
    }
    Ok(())
}

#[test]
fn freezing_what_a_network_has_is_refused() -> anyhow::Result<()> {
    let expected = "parameter encoder.0.bias is in use already: say what is frozen before the \
                    network is built";

    let error = frozen_encoder().freeze(&named()?).unwrap_err().to_string();
    assert_eq!(error, expected);
    // Nor is it forgotten.
    let error = frozen_encoder().rates(&named()?).unwrap_err().to_string();
    assert_eq!(error, expected);
    // What changes nothing is no matter.
    named()?.freeze(|name| name == "decoder")?;
    Ok(())
}
