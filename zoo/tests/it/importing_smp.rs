use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use candle::{Device, Tensor};
use engine::Trained;
use golden::{Case, Group, number};
use losses::Activation;
use models::{Architecture as _, Input, Interface, ModelConfig};
use preprocess::Normalize;
use pytorch::Value;
use sconce_zoo::{self as zoo, PackOptions, SmpNormalization, SmpOptions};
use serde_json::{Value as Json, json};

type Weights = BTreeMap<String, Tensor>;

fn card() -> PackOptions {
    PackOptions { name: "polyps".to_owned(), ..PackOptions::default() }
}

/// With a normalisation, which weights do not say.
fn options() -> SmpOptions {
    SmpOptions {
        normalize: Some(SmpNormalization::None),
        patch: Some([64, 32]),
        ..SmpOptions::default()
    }
}

fn only(mut model: zoo::ImportedModel) -> anyhow::Result<Trained> {
    ensure!(model.networks.len() == 1);
    Ok(model.networks.remove(0).1)
}

/// Random weights of a network.
fn weights(model: &Json, channels: usize, classes: usize) -> anyhow::Result<Weights> {
    let model: ModelConfig = serde_json::from_value(model.clone())?;
    let parameters = nn::Parameters::new(5, &Device::Cpu);
    model.build(Interface { channels, classes, rank: 2 }, parameters.builder())?;
    Ok(parameters.tensors()?)
}

fn save_checkpoint(weights: &Weights, prefix: &str, path: &Path) -> anyhow::Result<()> {
    let tensors = weights.iter();
    let tensors = tensors.map(|(name, it)| (format!("{prefix}{name}"), Value::Tensor(it.clone())));
    let dict = Value::Dict(vec![("state_dict".to_owned(), Value::Dict(tensors.collect()))]);
    Ok(pytorch::write(&dict, File::create(path)?)?)
}

/// A folder as `save_pretrained` writes it.
fn save_pretrained(folder: &Path, weights: &Weights, config: &Json) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("config.json"), config.to_string())?;
    let tensors: HashMap<String, Tensor> = weights.clone().into_iter().collect();
    candle::safetensors::save(&tensors, folder.join("model.safetensors"))?;
    Ok(folder.to_owned())
}

/// What 0.6.0 writes of a U-Net of default size.
fn unet_config() -> Json {
    json!({
        "_model_class": "Unet", "activation": null, "aux_params": null, "classes": 2,
        "decoder_attention_type": null, "decoder_channels": [16, 8, 8, 8, 4],
        "decoder_interpolation": "nearest", "decoder_use_norm": "batchnorm",
        "encoder_depth": 5, "encoder_name": "resnet18", "encoder_weights": "imagenet",
        "in_channels": 3,
    })
}

fn unet() -> anyhow::Result<Weights> {
    let model =
        json!({ "smp_unet": { "encoder": "resnet18", "decoder_channels": [16, 8, 8, 8, 4] } });
    weights(&model, 3, 2)
}

fn refused(source: &Path, options: &SmpOptions) -> anyhow::Result<String> {
    let output = source.with_extension("refused");
    let error = zoo::import_smp(source, &output, options, &card()).expect_err("it is refused");
    ensure!(!output.exists(), "something was written");
    Ok(format!("{:#}", anyhow::Error::from(error)))
}

/// The weights that the golden cases have by a formula.
fn generated(case: &Case) -> anyhow::Result<Weights> {
    let mut weights = Weights::new();
    for tensor in case.generated_state.as_array().context("a list")? {
        let name = tensor["name"].as_str().context("a name")?;
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone())?;
        let [scale, offset] = [number(&tensor["scale"])?, number(&tensor["offset"])?];
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        let count: usize = shape.iter().product();
        let values = (0..count).map(|_| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            let uniform = (z >> 40) as f64 / 16_777_216.0;
            (2.0 * uniform - 1.0).mul_add(scale, offset)
        });
        let values: Vec<f64> = values.collect();
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
        weights.insert(name.to_owned(), tensor.to_dtype(candle::DType::F32)?);
    }
    Ok(weights)
}

/// Every golden network of segmentation-models-pytorch from a checkpoint alone, which says what it is by its names.
#[test]
fn golden_networks_of_smp_are_imported() {
    let is_smp = |case: &Case| ["Unet", "FPN", "DeepLabV3Plus"].contains(&case.function.as_str());
    Group::load("nets").check(is_smp, &[], |case| {
        let place = tempfile::tempdir()?;
        let path = place.path().join("best.pth");
        save_checkpoint(&generated(case)?, "model.", &path)?;

        let found = zoo::read_smp(&path, &options())?;

        ensure!(found.origin == format!("{} on resnet18", case.function), "{}", found.origin);
        let images = case.input("input")?;
        let images = Tensor::from_vec(images.to_f32(), images.shape.as_slice(), &Device::Cpu)?;
        let model = only(found)?.build(&Device::Cpu)?;
        let logits = model.forward_t(&Input::images(images), false)?;
        let expected = case.output("output_eval")?.to_f32();
        let actual = logits.main().flatten_all()?.to_vec1::<f32>()?;
        ensure!(actual.len() == expected.len());
        let size = expected.iter().map(|it| it.abs()).fold(1.0, f32::max);
        let apart = actual.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        ensure!(apart < 1e-4 * size, "{apart} of {size} apart");
        Ok(())
    });
}

#[test]
fn a_folder_of_save_pretrained_becomes_a_model() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let folder = save_pretrained(&place.path().join("smp"), &unet()?, &unet_config())?;
    let settings = SmpOptions {
        normalize: None,
        classes: vec!["background".to_owned(), "polyp".to_owned()],
        ..options()
    };

    let model = place.path().join("model");
    let made = zoo::import_smp(&folder, &model, &settings, &card())?;

    assert_eq!(made.origin, "Unet on resnet18");
    assert!(
        made.notes.len() == 1 && made.notes[0].contains("one of its classes"),
        "{:?}",
        made.notes
    );
    assert!(zoo::verify(&model, &Device::Cpu)?.ok());
    let Trained { config, plan, .. } = zoo::load(&model)?;
    assert_eq!(config.channels, ["red", "green", "blue"]);
    assert_eq!(config.classes[1], data::Class::new("polyp", [1]));
    assert_eq!((plan.patch_size, plan.rank, plan.resample), ([1, 64, 32], 2, false));
    let red = Normalize::Standardize {
        subtrahend: Some(255.0 * 0.485),
        divisor: Some(255.0 * 0.229),
        nonzero: false,
    };
    assert_eq!(plan.normalize[0], red);
    Ok(())
}

#[test]
fn encoders_and_decoders_are_told_by_their_weights() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let path = place.path().join("model.pth");
    let fpn = json!({ "decoder_pyramid_channels": 16, "decoder_segmentation_channels": 32 });
    let deeplab = json!({ "decoder_channels": 16, "decoder_aspp_separable": false });
    for (name, encoder, mut settings, said) in [
        ("fpn", "resnet34", fpn, "FPN on resnet34"),
        ("deeplabv3_plus", "resnet50", deeplab, "DeepLabV3Plus on resnet50"),
    ] {
        settings["encoder"] = json!(encoder);
        let model = json!({ name: settings });
        save_checkpoint(&weights(&model, 1, 1)?, "", &path)?;

        let found = zoo::read_smp(&path, &options())?;

        assert_eq!(found.origin, said);
        let config = only(found)?.config;
        let expected: ModelConfig = serde_json::from_value(model)?;
        assert_eq!(config.architecture, expected);
        // One channel is a region of its own.
        assert_eq!(config.activation, Activation::Sigmoid);
        assert_eq!(config.regions_class_order, [1]);
    }
    Ok(())
}

#[test]
fn what_is_not_known_is_refused_by_name() -> anyhow::Result<()> {
    type Change = fn(&mut Json);
    let changes: &[(Change, &str)] = &[
        (|it| it["_model_class"] = json!("UnetPlusPlus"), "its architecture is UnetPlusPlus"),
        (|it| it["_model_class"] = json!("FPN"), "it has no decoder.p5.weight"),
        (|it| it["encoder_name"] = json!("mit_b5"), "its encoder is mit_b5"),
        (
            |it| it["encoder_name"] = json!("resnet34"),
            "said to be resnet34, and has the weights of resnet18",
        ),
        (|it| it["encoder_depth"] = json!(4), "encoder_depth 4"),
        (|it| it["decoder_attention_type"] = json!("scse"), "decoder_attention_type \"scse\""),
        (|it| it["decoder_use_norm"] = json!("identity"), "decoder_use_norm \"identity\""),
        (|it| it["decoder_channels"] = json!([1, 2]), "decoder_channels [1, 2]"),
        (|it| it["decoder_interpolation"] = json!("bicubic"), "it is no Unet"),
        (|it| it["classes"] = json!(7), "classes 7, and the weights have 2"),
        (|it| it["activation"] = json!("tanh"), "activation \"tanh\""),
        (|it| it["encoder_weights"] = Json::Null, "give --normalize"),
        (|it| it["mystery"] = json!(1), "mystery 1, which is not known here"),
        (|it| *it = json!([]), "it is no mapping"),
    ];
    let place = tempfile::tempdir()?;
    let weights = unet()?;
    let folder = place.path().join("smp");
    let settings = SmpOptions { normalize: None, ..options() };
    for (change, reason) in changes {
        let mut config = unet_config();
        change(&mut config);
        save_pretrained(&folder, &weights, &config)?;
        let error = refused(&folder, &settings)?;
        assert!(error.contains(reason), "{reason}: {error}");
    }
    save_pretrained(&folder, &weights, &unet_config())?;
    let given = |mean: &[f64], std: &[f64]| SmpOptions {
        normalize: Some(SmpNormalization::Given { mean: mean.into(), std: std.into() }),
        ..settings.clone()
    };
    for (options, reason) in [
        (SmpOptions { patch: Some([60, 32]), ..settings.clone() }, "no multiple of [32, 32]"),
        (SmpOptions { classes: vec!["a".into()], ..settings.clone() }, "1 classes are named"),
        (given(&[0.5], &[0.5]), "1 means and 1 deviations are given for 3 channels"),
        (given(&[0.5; 3], &[0.5, 0.0, 0.5]), "is not positive"),
    ] {
        let error = refused(&folder, &options)?;
        assert!(error.contains(reason), "{reason}: {error}");
    }
    Ok(())
}

#[test]
fn weights_of_other_networks_are_refused() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let path = place.path().join("model.pth");
    let mut given = unet()?;
    let extra = given["encoder.layer1.0.conv1.weight"].clone();
    for block in 2..4 {
        given.insert(format!("encoder.layer1.{block}.conv1.weight"), extra.copy()?);
    }
    save_checkpoint(&given, "", &path)?;
    let error = refused(&path, &options())?;
    assert!(error.contains("a network of [4, 2, 2, 2] blocks, which there is not here"), "{error}");
    given.retain(|name, _| !name.starts_with("encoder.conv1"));
    save_checkpoint(&given, "", &path)?;
    let error = refused(&path, &options())?;
    assert!(error.contains("it has no encoder.conv1.weight"), "{error}");
    fs::write(&path, b"nothing")?;
    let error = refused(&path, &options())?;
    assert!(error.contains("no checkpoint of PyTorch"), "{error}");
    let error = refused(place.path(), &options())?;
    assert!(error.contains("neither model.safetensors nor pytorch_model.bin"), "{error}");
    fs::write(place.path().join("model.safetensors"), b"nothing")?;
    let error = refused(place.path(), &options())?;
    assert!(error.contains("it is no file of safetensors"), "{error}");
    Ok(())
}
