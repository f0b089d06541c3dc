//! Parameters: their names, their numbers, their way to disk and back.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use candle::Tensor;
use nn::Parameters;
use sconce_models::{Architecture, Input, Interface, ResidualUnet, Summary, Unet, canonical_name};

use crate::device::{self, device};
use crate::small;

fn names(architecture: &dyn Architecture, interface: Interface) -> Result<Vec<String>> {
    let parameters = Parameters::new(0, &device());
    architecture.build(interface, parameters.builder())?;
    Ok(parameters.vars().into_iter().map(|(name, _)| name).collect())
}

fn small(rank: usize) -> Interface {
    Interface { channels: 1, classes: 2, rank }
}

#[test]
fn a_plain_unet_of_three_stages_has_the_names_of_nnunet() -> Result<()> {
    let unet = Unet { features_per_stage: vec![2, 3, 4], ..Unet::default() };
    let mut expected = BTreeSet::new();
    let mut layer = |name: &str| {
        expected.extend(["weight", "bias"].map(|parameter| format!("{name}.{parameter}")));
    };
    for conv in 0..2 {
        for stage in 0..3 {
            layer(&format!("encoder.stages.{stage}.0.convs.{conv}.conv"));
            layer(&format!("encoder.stages.{stage}.0.convs.{conv}.norm"));
        }
        for stage in 0..2 {
            layer(&format!("decoder.stages.{stage}.convs.{conv}.conv"));
            layer(&format!("decoder.stages.{stage}.convs.{conv}.norm"));
        }
    }
    for stage in 0..2 {
        layer(&format!("decoder.transpconvs.{stage}"));
        layer(&format!("decoder.seg_layers.{stage}"));
    }

    let names = names(&unet, small(3))?;

    assert_eq!(names.len(), 48);
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected);
    Ok(())
}

#[test]
fn residual_blocks_project_after_pooling_or_in_its_place() -> Result<()> {
    let unet = ResidualUnet {
        features_per_stage: vec![2, 3, 3],
        n_blocks_per_stage: vec![1, 2, 1],
        strides: vec![vec![1, 1], vec![1, 1], vec![2, 1]],
        ..ResidualUnet::default()
    };

    let names = names(&unet, small(2))?;
    let skips: Vec<&String> = names.iter().filter(|name| name.contains("skip")).collect();

    // Only the second stage changes the channels, and it changes no resolution: no bias.
    let skip = "encoder.stages.1.blocks.0.skip.0";
    let expected = ["conv.weight", "norm.bias", "norm.weight"].map(|p| format!("{skip}.{p}"));
    assert_eq!(skips, expected.iter().collect::<Vec<_>>());
    assert!(names.contains(&"encoder.stem.convs.0.conv.weight".to_owned()));
    Ok(())
}

/// Six stages of nnU-Net's `3d_fullres` configuration.
fn full_resolution() -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
    let mut strides = vec![vec![2; 3]; 6];
    strides[0] = vec![1; 3];
    (strides, vec![vec![3; 3]; 6])
}

#[test]
fn networks_of_full_size_have_the_parameters_of_nnunet() -> Result<()> {
    let (strides, kernels) = full_resolution();
    let plain = Unet::of_topology(strides.clone(), kernels.clone());
    let residual = ResidualUnet::of_topology(strides, kernels);
    assert_eq!(plain.features_per_stage, [32, 64, 128, 256, 320, 320]);
    let features = plain.features_per_stage.clone();
    let interface = Interface { channels: 1, classes: 3, rank: 3 };

    // A convolution with its offset, and the two parameters of its norm, 3 for each channel out.
    let conv = |cin: usize, cout: usize| 27 * cin * cout + 3 * cout;
    let mut up = 0;
    for pair in features.windows(2) {
        let [fine, coarse] = [pair[0], pair[1]];
        up += 8 * coarse * fine + fine; // transposed convolution
        up += 3 * fine + 3; // head
        up += conv(2 * fine, fine);
    }
    let more: usize = features[..5].iter().map(|&fine| conv(fine, fine)).sum();
    let inputs = [1, 32, 64, 128, 256, 320];
    let down: usize =
        inputs.iter().zip(&features).map(|(&cin, &cout)| conv(cin, cout) + conv(cout, cout)).sum();

    let summary = Summary::of(&plain, interface)?;
    assert_eq!(summary.parameters, down + up + more);
    assert_eq!(summary.stride, [32, 32, 32]);

    let blocks = [1, 3, 4, 6, 6, 6];
    let mut down = conv(1, 32);
    let inputs = [32, 32, 64, 128, 256, 320];
    for ((&cin, &cout), count) in inputs.iter().zip(&features).zip(blocks) {
        down += conv(cin, cout) + conv(cout, cout) + (count - 1) * 2 * conv(cout, cout);
        down += if cin == cout { 0 } else { cin * cout + 2 * cout };
    }
    let summary = Summary::of(&residual, interface)?;
    assert_eq!(summary.parameters, down + up);
    Ok(())
}

#[test]
fn networks_of_full_size_have_as_many_tensors_as_nnunet() -> Result<()> {
    let (strides, kernels) = full_resolution();
    let narrow = |stages: usize| (0..stages).map(|s| [2, 3, 4, 5, 6, 6][s]).collect::<Vec<_>>();
    let plain = Unet {
        features_per_stage: narrow(6),
        ..Unet::of_topology(strides.clone(), kernels.clone())
    };
    let residual = ResidualUnet {
        features_per_stage: narrow(6),
        ..ResidualUnet::of_topology(strides, kernels)
    };

    assert_eq!(names(&plain, small(3))?.len(), 108);
    assert_eq!(names(&residual, small(3))?.len(), 264);
    let toy = ResidualUnet {
        features_per_stage: narrow(3),
        n_blocks_per_stage: vec![1, 2, 2],
        ..ResidualUnet::default()
    };
    assert_eq!(names(&toy, small(2))?.len(), 66);
    Ok(())
}

#[test]
fn a_summary_lists_each_layer_once_and_sums_up() -> Result<()> {
    let unet = Unet { features_per_stage: vec![2, 3], ..Unet::default() };
    let summary = Summary::of(&unet, Interface { channels: 4, classes: 5, rank: 2 })?;

    let first = &summary.layers[0];
    assert_eq!(first.name, "encoder.stages.0.0.convs.0.conv");
    assert_eq!(first.shape, [2, 4, 3, 3]);
    assert_eq!(first.parameters, 2 * 4 * 9 + 2);
    assert_eq!(summary.layers.iter().map(|l| l.parameters).sum::<usize>(), summary.parameters);
    let names: BTreeSet<&String> = summary.layers.iter().map(|layer| &layer.name).collect();
    assert_eq!(names.len(), summary.layers.len());
    let table = summary.to_string();
    assert_eq!(table.lines().count(), summary.layers.len() + 2);
    assert!(table.ends_with(&summary.parameters.to_string()), "{table}");
    Ok(())
}

#[test]
fn weights_travel_to_a_frozen_network_and_nothing_is_left_over() -> Result<()> {
    for architecture in small::networks()? {
        let interface = Interface { channels: 2, classes: 3, rank: 2 };
        let parameters = Parameters::new(3, &device());
        let trained = architecture.build(interface, parameters.builder())?;

        let frozen = nn::frozen(parameters.tensors()?);
        let loaded = architecture.build(interface, frozen.builder())?;
        frozen.finish()?;

        let [height, width] = [trained.stride()[0], trained.stride()[1]];
        let images = Tensor::rand(-1f32, 1., (1, 2, height, width), &device())?;
        let of = |model: &dyn sconce_models::Model| -> Result<Vec<f32>> {
            let logits = model.forward_t(&Input::images(images.clone()), false)?;
            Ok(logits.main().flatten_all()?.to_vec1()?)
        };
        assert_eq!(of(trained.as_ref())?, of(loaded.as_ref())?, "{}", architecture.name());

        let again = Parameters::new(4, &device());
        architecture.build(interface, again.builder())?;
        again.load(&parameters.tensors()?)?;
        let mut incomplete = parameters.tensors()?;
        let (name, _) = incomplete.pop_last().context("parameters")?;
        let error = again.load(&incomplete).unwrap_err().to_string();
        assert!(error.contains(&format!("missing {name}")), "{error}");
    }
    Ok(())
}

#[test]
fn a_fresh_residual_block_passes_its_input_on() -> Result<()> {
    let parameters = Parameters::new(0, &device());
    let unet = ResidualUnet { features_per_stage: vec![2, 3], ..ResidualUnet::default() };
    unet.build(small(2), parameters.builder())?;

    for (name, var) in parameters.vars() {
        let values = device::values(&var)?;
        let zero = values.iter().all(|&value| value == 0.0);
        let is_last = name.contains("conv2.norm") || name.rsplit('.').next() == Some("bias");
        assert_eq!(zero, is_last, "{name}");
    }
    Ok(())
}

#[test]
fn wrappers_and_aliases_of_a_state_dict_are_recognized() {
    let name = "decoder.stages.0.convs.1.norm.weight";

    assert_eq!(canonical_name(&format!("module._orig_mod.{name}")), Some(name));
    assert_eq!(canonical_name("decoder.stages.0.convs.1.all_modules.1.weight"), None);
    assert_eq!(canonical_name("encoder.stem.convs.0.norm.num_batches_tracked"), None);
    assert_eq!(canonical_name("act_mod.weight"), None);
    assert_eq!(canonical_name("encoder.conv_head.weight"), None);
    let name = "encoder.layer1.0.bn2.weight";
    assert_eq!(canonical_name(name), Some(name));
}
