//! Pretrained weights of encoders. The state dicts' names and shapes are those of timm 1.0.22, and of
//! segmentation-models-pytorch 0.6.0 for `mit_b0`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use candle::{DType, Device, Tensor, Var};
use nn::Parameters;
use sconce_models::{Architecture, EncoderKind, EncoderSlot, Interface, ModelConfig, Summary};

use crate::device::values;

fn listed(kind: EncoderKind) -> &'static str {
    match kind {
        EncoderKind::Resnet18 => include_str!("../fixtures/timm/resnet18.txt"),
        EncoderKind::Resnet34 => include_str!("../fixtures/timm/resnet34.txt"),
        EncoderKind::Resnet50 => include_str!("../fixtures/timm/resnet50.txt"),
        EncoderKind::MobilenetV2 => include_str!("../fixtures/timm/mobilenet_v2.txt"),
        EncoderKind::EfficientnetB0 => include_str!("../fixtures/timm/efficientnet_b0.txt"),
        EncoderKind::MitB0 => include_str!("../fixtures/timm/mit_b0.txt"),
        other => panic!("{other:?} has no list"),
    }
}

/// A state dict of timm: 0 everywhere, but for what `given` has.
fn state(kind: EncoderKind, given: &[(&str, Tensor)]) -> Result<BTreeMap<String, Tensor>> {
    let mut state = BTreeMap::new();
    for line in listed(kind).lines() {
        let (name, shape) = line.split_once(' ').context("a name and a shape")?;
        let extents = shape.split('x').filter(|&extent| extent != "-").map(str::parse);
        let shape = extents.collect::<Result<Vec<usize>, _>>()?;
        let zeros = Tensor::zeros((), DType::F32, &Device::Cpu)?.broadcast_as(shape)?;
        state.insert(name.to_owned(), zeros);
    }
    state.extend(given.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())));
    Ok(state)
}

/// Filters of 64 channels: red is 1, green 10, and blue 100 everywhere, and each grows with its position.
fn stem() -> Result<Tensor> {
    let values: Vec<f32> = (0..64 * 3 * 49)
        .map(|at| [1.0, 10.0, 100.0][at / 49 % 3] + (at % 49) as f32 / 1024.0)
        .collect();
    Ok(Tensor::from_vec(values, (64, 3, 7, 7), &Device::Cpu)?)
}

fn slot(kind: EncoderKind, channels: usize) -> EncoderSlot {
    EncoderSlot { prefix: "encoder.", kind, channels, rank: 2 }
}

#[test]
fn a_state_dict_of_timm_is_an_encoder_and_nothing_is_left_over() -> Result<()> {
    for &kind in EncoderKind::ALL {
        let text = format!("[segformer]\nencoder = \"{}\"", kind.name());
        let model: ModelConfig = toml::from_str(&text)?;
        for channels in [1, 3, 4] {
            let interface = Interface { channels, classes: 2, rank: 2 };
            let [slot] = model.encoders(interface)[..] else { panic!("one encoder") };

            let weights = slot.weights(&state(kind, &[])?)?;

            // Every layer of the network's encoder, and no other.
            let layers = Summary::of(&model, interface)?.layers.into_iter().map(|layer| layer.name);
            let own: BTreeSet<String> =
                layers.filter(|name| name.starts_with("encoder.")).collect();
            let layer = |name: &String| name.rsplit_once('.').map(|(layer, _)| layer.to_owned());
            assert_eq!(weights.keys().filter_map(layer).collect::<BTreeSet<_>>(), own);
        }
    }
    Ok(())
}

#[test]
fn a_network_loads_the_weights_of_its_encoder() -> Result<()> {
    let model: ModelConfig = toml::from_str(
        "[smp_unet]\nencoder = \"mobilenet_v2\"\ndecoder_channels = [8, 8, 8, 8, 8]",
    )?;
    let interface = Interface { channels: 1, classes: 2, rank: 2 };
    let parameters = Parameters::new(0, &Device::Cpu);
    model.build(interface, parameters.builder())?;
    let mut all = parameters.tensors()?;
    let names: Vec<String> = all.keys().cloned().collect();

    for slot in model.encoders(interface) {
        all.extend(slot.weights(&state(slot.kind, &[])?)?);
    }

    assert!(all.keys().eq(&names));
    parameters.load(&all)?;
    let zero = |(name, var): (String, Var)| -> Result<bool> {
        Ok(!name.starts_with("encoder.") || values(&var)?.iter().all(|&value| value == 0.0))
    };
    for parameter in parameters.vars() {
        assert!(zero(parameter)?);
    }
    Ok(())
}

#[test]
fn one_channel_takes_the_sum_of_the_filters() -> Result<()> {
    let weights = slot(EncoderKind::Resnet18, 1)
        .weights(&state(EncoderKind::Resnet18, &[("conv1.weight", stem()?)])?)?;

    let first = &weights["encoder.conv1.weight"];
    assert_eq!(first.dims(), [64, 1, 7, 7]);
    assert_eq!(values(first)?[..2], [111.0, 111.0 + 3.0 / 1024.0]);
    Ok(())
}

#[test]
fn other_channels_take_the_filters_in_turn() -> Result<()> {
    for (channels, expected) in [
        (2, vec![1.5, 15.0]),
        (3, vec![1.0, 10.0, 100.0]),
        (4, vec![0.75, 7.5, 75.0, 0.75]),
        (6, vec![0.5, 5.0, 50.0, 0.5, 5.0, 50.0]),
    ] {
        let weights = slot(EncoderKind::Resnet18, channels)
            .weights(&state(EncoderKind::Resnet18, &[("conv1.weight", stem()?)])?)?;

        let first = weights["encoder.conv1.weight"].narrow(0, 0, 1)?.narrow(2, 0, 1)?;
        assert_eq!(values(&first.narrow(3, 0, 1)?)?, expected);
    }
    Ok(())
}

#[test]
fn both_halves_of_a_w_net_take_weights() -> Result<()> {
    let model: ModelConfig = toml::from_str("[w_net]")?;
    let interface = Interface { channels: 3, classes: 1, rank: 2 };
    let parameters = Parameters::new(0, &Device::Cpu);
    model.build(interface, parameters.builder())?;
    let state = state(EncoderKind::Resnet18, &[("conv1.weight", stem()?)])?;
    let mut all = parameters.tensors()?;

    for slot in model.encoders(interface) {
        all.extend(slot.weights(&state)?);
    }

    parameters.load(&all)?;
    let first = |name: &str| -> Result<Vec<f64>> {
        Ok(values(&all[name].narrow(0, 0, 1)?.narrow(2, 0, 1)?.narrow(3, 0, 1)?)?)
    };
    assert_eq!(first("m1.encoder.conv1.weight")?, [1.0, 10.0, 100.0]);
    // Red, green, blue and red again, times 3 / 4.
    assert_eq!(first("m2.encoder.conv1.weight")?, [0.75, 7.5, 75.0, 0.75]);
    Ok(())
}

#[test]
fn weights_of_another_encoder_are_refused_by_name() -> Result<()> {
    let refusal = |kind: EncoderKind, state: &BTreeMap<String, Tensor>| {
        let error = slot(kind, 3).weights(state).expect_err("a refusal").to_string();
        error.lines().next().unwrap_or_default().to_owned()
    };

    let other = refusal(EncoderKind::Resnet18, &state(EncoderKind::Resnet34, &[])?);
    let mut incomplete = state(EncoderKind::Resnet18, &[])?;
    incomplete.remove("layer4.1.bn2.running_var");
    let missing = refusal(EncoderKind::Resnet18, &incomplete);
    let ones = Tensor::ones((64, 3, 3, 3), DType::F32, &Device::Cpu)?;
    let shape = state(EncoderKind::Resnet18, &[("conv1.weight", ones)])?;
    let shape = refusal(EncoderKind::Resnet18, &shape);

    assert_eq!(other, "weights of resnet18: layer1.2.bn1.bias is not one of its tensors");
    assert_eq!(missing, "weights of resnet18: layer4.1.bn2.running_var is missing");
    assert_eq!(
        shape,
        "weights of resnet18: conv1.weight has shape [64, 3, 3, 3], not [64, 3, 7, 7]"
    );
    Ok(())
}

#[test]
fn an_encoder_of_volumes_refuses_weights_of_photographs() -> Result<()> {
    let slot = EncoderSlot { rank: 3, ..slot(EncoderKind::Resnet18, 3) };
    let error = slot.weights(&state(EncoderKind::Resnet18, &[])?).unwrap_err().to_string();
    assert!(
        error.contains("conv1.weight has shape [64, 3, 7, 7], not [64, 3, 7, 7, 7]"),
        "{error}"
    );
    Ok(())
}
