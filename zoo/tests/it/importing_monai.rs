use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use candle::{DType, Device, Tensor};
use engine::Trained;
use golden::{Case, Group};
use losses::Activation;
use models::Input;
use pytorch::Value;
use sconce_zoo::{self as zoo, MonaiOptions, PackOptions};
use serde_json::{Value as Json, json};
use zip::write::{SimpleFileOptions, ZipWriter};

/// What the bundles of these tests say beside their network.
fn configuration(network: &Json, roi: &[usize]) -> Json {
    json!({
        "imports": ["$import glob"],
        "bundle_root": "/workspace/bundle",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "image_key": "image",
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "roi": roi,
        "preprocessing": { "_target_": "Compose", "transforms": [
            { "_target_": "LoadImaged", "keys": "@image_key" },
            { "_target_": "monai.transforms.EnsureChannelFirstd", "keys": "@image_key" },
            { "_target_": "ScaleIntensityRanged", "keys": ["@image_key"], "a_min": -57,
              "a_max": 164, "b_min": 0.0, "b_max": 1.0, "clip": true },
            { "_target_": "EnsureTyped", "keys": "@image_key", "device": "@device" },
        ] },
        "inferer": { "_target_": "SlidingWindowInferer", "roi_size": "$@roi",
                     "sw_batch_size": 4, "overlap": 0.5 },
        "postprocessing": { "_target_": "Compose", "transforms": [
            { "_target_": "Activationsd", "keys": "pred", "softmax": true },
            { "_target_": "Invertd", "keys": "pred", "transform": "@preprocessing",
              "orig_keys": "@image_key", "nearest_interp": false, "to_tensor": true },
            { "_target_": "AsDiscreted", "keys": "pred", "argmax": true },
            { "_target_": "SaveImaged", "keys": "pred", "output_dir": "$@bundle_root + '/eval'" },
        ] },
    })
}

fn metadata(classes: &[&str]) -> Json {
    let classes = classes.iter().enumerate();
    let named: serde_json::Map<String, Json> =
        classes.map(|(i, name)| (i.to_string(), json!(name))).collect();
    json!({
        "name": "Spleen CT", "version": "0.5.3",
        "network_data_format": {
            "inputs": { "image": { "num_channels": 1, "channel_def": { "0": "CT" } } },
            "outputs": { "pred": { "channel_def": named } },
        },
    })
}

fn write(
    place: &Path,
    config: &Json,
    weights: &BTreeMap<String, Tensor>,
) -> anyhow::Result<PathBuf> {
    let bundle = place.join("bundle");
    fs::create_dir_all(bundle.join("configs"))?;
    fs::create_dir_all(bundle.join("models"))?;
    fs::write(bundle.join("configs/inference.json"), config.to_string())?;
    fs::write(
        bundle.join("configs/metadata.json"),
        metadata(&["background", "spleen"]).to_string(),
    )?;
    save(weights, &bundle.join("models/model.pt"))?;
    Ok(bundle)
}

fn save(weights: &BTreeMap<String, Tensor>, path: &Path) -> anyhow::Result<()> {
    let tensors = weights.iter().map(|(name, it)| (name.clone(), Value::Tensor(it.clone())));
    Ok(pytorch::write(&Value::Dict(tensors.collect()), File::create(path)?)?)
}

pub(crate) fn card() -> PackOptions {
    PackOptions { name: "spleen".to_owned(), ..PackOptions::default() }
}

const UNET: &str = r#"{ "_target_": "monai.networks.nets.UNet", "spatial_dims": 3, "in_channels": 1,
    "out_channels": 2, "channels": [2, 4, 4], "strides": [2, 2], "num_res_units": 1,
    "norm": "batch" }"#;

/// A bundle with a network that was never trained.
pub(crate) fn unet(place: &Path) -> anyhow::Result<PathBuf> {
    let network: Json = serde_json::from_str(UNET)?;
    let config = configuration(&network, &[8, 8, 8]);
    let bundle = write(place, &config, &BTreeMap::new())?;
    let settings = json!({ "monai_unet": { "channels": [2, 4, 4], "strides": [2, 2],
        "num_res_units": 1, "norm": "batch" } });
    let settings: models::ModelConfig = serde_json::from_value(settings)?;
    let parameters = nn::Parameters::new(7, &Device::Cpu);
    let interface = models::Interface { channels: 1, classes: 2, rank: 3 };
    models::Architecture::build(&settings, interface, parameters.builder())?;
    save(&parameters.tensors()?, &bundle.join("models/model.pt"))?;
    Ok(bundle)
}

pub(crate) fn edit(bundle: &Path, change: impl FnOnce(&mut Json)) -> anyhow::Result<()> {
    let path = bundle.join("configs/inference.json");
    let mut value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    change(&mut value);
    Ok(fs::write(path, value.to_string())?)
}

/// The only network of what was read.
pub(crate) fn only(mut model: zoo::ImportedModel) -> anyhow::Result<Trained> {
    ensure!(model.networks.len() == 1);
    Ok(model.networks.remove(0).1)
}

fn is_monai(case: &Case) -> bool {
    ["UNet", "BasicUNet", "SegResNet"].contains(&case.function.as_str())
}

/// Every golden network of MONAI through a bundle: the logits are MONAI's.
#[test]
fn golden_networks_of_monai_are_imported() {
    Group::load("nets").check(is_monai, &[], |case| {
        let place = tempfile::tempdir()?;
        let mut network = case.params.clone();
        network["_target_"] = json!(case.function);
        let images = case.input("input")?;
        let images = Tensor::from_vec(images.to_f32(), images.shape.as_slice(), &Device::Cpu)?;
        let mut weights = BTreeMap::new();
        for (name, tensor) in case.inputs_below("state")? {
            let values = tensor.to_f32();
            let tensor = Tensor::from_vec(values, tensor.shape.as_slice(), &Device::Cpu)?;
            weights.insert(name, tensor);
        }
        let bundle = write(place.path(), &configuration(&network, &images.dims()[2..]), &weights)?;
        let channels = images.dim(1)?;

        let model = place.path().join("model");
        zoo::import_monai(&bundle, &model, &MonaiOptions::default(), &card())?;

        let trained = zoo::load(&model)?;
        ensure!(trained.plan.normalize.len() == channels);
        let logits = trained.build(&Device::Cpu)?.forward_t(&Input::images(images), false)?;
        let expected = case.output("output_eval")?.to_f32();
        let actual = logits.main().flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        ensure!(actual.len() == expected.len());
        let apart = actual.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        ensure!(apart < 1e-4, "{apart} apart");
        Ok(())
    });
}

#[test]
fn a_bundle_becomes_a_model_with_its_plan_and_its_names() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let bundle = unet(place.path())?;
    edit(&bundle, |config| {
        let transforms = &mut config["preprocessing"]["transforms"];
        let list = transforms.as_array_mut().expect("a list");
        list.insert(2, json!({ "_target_": "Orientationd", "keys": "image", "axcodes": "RAS" }));
        list.insert(
            3,
            json!({ "_target_": "Spacingd", "keys": ["image", "label"],
            "pixdim": [1.5, 1.5, 2.0], "mode": ["bilinear", "nearest"] }),
        );
        list.push(json!({ "_target_": "NormalizeIntensityd", "keys": "image", "nonzero": true }));
        list.push(json!({ "_target_": "RandFlipd", "keys": "label" }));
        list.push(json!({ "_target_": "Lambdad", "keys": "image", "_disabled_": true }));
    })?;

    let model = place.path().join("model");
    let made = zoo::import_monai(&bundle, &model, &MonaiOptions::default(), &card())?;

    assert_eq!(made.origin, "Spleen CT 0.5.3");
    assert_eq!(made.notes, Vec::<String>::new());
    assert!(zoo::verify(&model, &Device::Cpu)?.ok());
    let Trained { config, plan, .. } = zoo::load(&model)?;
    assert_eq!(config.channels, ["CT"]);
    assert_eq!(
        config.classes,
        [data::Class::new("background", [0]), data::Class::new("spleen", [1])]
    );
    assert_eq!(config.activation, Activation::Softmax);
    let predict = (config.predict.step_size, config.predict.gaussian, config.predict.mirror);
    assert_eq!(predict, (0.5, false, false));
    let plan = serde_json::to_value(plan)?;
    for (key, expected) in [
        ("canonical", json!(true)),
        ("transpose", json!([2, 1, 0])),
        ("spacing", json!([1.5, 1.5, 2.0])),
        ("interpolation", json!("linear")),
        ("grid", json!("monai")),
        ("patch_size", json!([8, 8, 8])),
        ("crop_to_nonzero", json!(false)),
        (
            "normalize",
            json!([{ "steps": [
            { "range": { "from": [-57.0, 164.0], "to": [0.0, 1.0], "clip": true } },
            { "standardize": { "subtrahend": null, "divisor": null, "nonzero": true } },
        ] }]),
        ),
    ] {
        assert_eq!(plan[key], expected, "{key}");
    }
    let text = fs::read_to_string(model.join("README.md"))?;
    assert!(text.contains("Imported from a bundle of MONAI: Spleen CT 0.5.3."));
    Ok(())
}

#[test]
fn archives_and_yaml_say_the_same_as_folders_and_json() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let bundle = unet(place.path())?;
    let expected = only(zoo::read_monai(&bundle, &MonaiOptions::default())?)?;
    let path = place.path().join("spleen.zip");
    let mut archive = ZipWriter::new(File::create(&path)?);
    for name in ["configs/inference.json", "configs/metadata.json", "models/model.pt"] {
        archive.start_file(format!("spleen/{name}"), SimpleFileOptions::default())?;
        archive.write_all(&fs::read(bundle.join(name))?)?;
    }
    archive.start_file("spleen/scripts/run.py", SimpleFileOptions::default())?;
    archive.write_all(b"raise SystemExit")?;
    archive.finish()?;

    let same = |other: Trained| -> anyhow::Result<()> {
        ensure!(other.plan == expected.plan && other.config == expected.config);
        ensure!(other.weights_hash()? == expected.weights_hash()?);
        Ok(())
    };
    same(only(zoo::read_monai(&path, &MonaiOptions::default())?)?)?;
    // JSON is YAML, too.
    let json = bundle.join("configs/inference.json");
    fs::rename(&json, bundle.join("configs/inference.yaml"))?;
    same(only(zoo::read_monai(&bundle, &MonaiOptions::default())?)?)?;
    // Weights below a key, with a wrapper's names, and as safetensors.
    let checkpoint = bundle.join("models/model.pt");
    let wrapped = expected.parameters.iter();
    let wrapped = wrapped.map(|(name, it)| (format!("module.{name}"), Value::Tensor(it.clone())));
    let dict = Value::Dict(wrapped.collect());
    let value = Value::Dict(vec![("epoch".into(), Value::Int(3)), ("model".into(), dict)]);
    pytorch::write(&value, File::create(&checkpoint)?)?;
    same(only(zoo::read_monai(&bundle, &MonaiOptions::default())?)?)?;
    fs::remove_file(&checkpoint)?;
    let tensors: std::collections::HashMap<_, _> =
        expected.parameters.clone().into_iter().collect();
    candle::safetensors::save(&tensors, bundle.join("models/model.safetensors"))?;
    same(only(zoo::read_monai(&bundle, &MonaiOptions::default())?)?)?;
    Ok(())
}

#[test]
fn channels_that_may_overlap_are_regions() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let bundle = unet(place.path())?;
    edit(&bundle, |config| {
        let list = &mut config["postprocessing"]["transforms"];
        list[0] = json!({ "_target_": "Activationsd", "keys": "pred", "sigmoid": true });
        list[1]["nearest_interp"] = json!(true);
        list[2] = json!({ "_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5 });
    })?;

    let found = zoo::read_monai(&bundle, &MonaiOptions::default())?;

    let notes = found.notes.join("\n");
    assert!(notes.contains("nearest_interp") && notes.contains("may overlap"), "{notes}");
    let config = only(found)?.config;
    assert_eq!(config.activation, Activation::Sigmoid);
    assert_eq!(config.regions_class_order, [1, 2]);
    assert_eq!(config.classes.len(), 3);
    Ok(())
}
