use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use pytorch::Value;
use sconce_zoo::{self as zoo, MonaiOptions};
use serde_json::{Value as Json, json};
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::importing_monai::{card, edit, only, unet};

fn set(pairs: &[(&str, &str)]) -> MonaiOptions {
    let set = pairs.iter().map(|&(id, value)| (id.to_owned(), value.to_owned()));
    MonaiOptions { set: set.collect(), ..MonaiOptions::default() }
}

fn refused(source: &Path, options: &MonaiOptions) -> anyhow::Result<String> {
    let output = source.with_extension("refused");
    let error = zoo::import_monai(source, &output, options, &card()).expect_err("it is refused");
    ensure!(!output.exists(), "something was written");
    Ok(format!("{:#}", anyhow::Error::from(error)))
}

type Change = fn(&mut Json);

#[test]
fn what_is_not_known_is_refused_by_name() -> anyhow::Result<()> {
    let changes: &[(Change, &str)] = &[
        (|it| it["network_def"]["_target_"] = json!("SwinUNETR"), "the network SwinUNETR"),
        (|it| it["network_def"]["act"] = json!("softplus"), "network_def#act is \"softplus\""),
        (|it| it["network_def"]["norm"] = json!("layer"), "a norm that there is not here"),
        (|it| it["network_def"]["norm"] = json!(["batch", { "eps": 0.1 }]), "network_def#norm"),
        (|it| it["network_def"]["mystery"] = json!(1), "network_def#mystery is 1"),
        (|it| it["network_def"]["channels"] = json!([2, 4]), "weights are not those"),
        (|it| it["network_def"]["strides"] = Json::Null, "has no strides; give it with --set"),
        (|it| it["network_def"]["in_channels"] = json!(1_u64 << 40), "maps 1099511627776 channels"),
        (|it| it["network_def"] = Json::Null, "network is \"$@network_def.to(@device)\""),
        (|it| it["inferer"]["_target_"] = json!("SimpleInferer"), "the inferer SimpleInferer"),
        (|it| it["inferer"]["roi_size"] = json!([8, 8, -1]), "inferer#roi_size is [8, 8, -1]"),
        (|it| it["inferer"]["roi_size"] = json!([9, 8, 8]), "takes multiples of [4, 4, 4]"),
        (|it| it["inferer"]["overlap"] = json!(1.5), "inferer#overlap is no share"),
        (|it| it["inferer"]["padding_mode"] = json!("reflect"), "padding_mode is \"reflect\""),
        (|it| it["preprocessing"] = Json::Null, "it has no preprocessing"),
        (|it| it["postprocessing"] = Json::Null, "give --activation"),
        (
            |it| {
                it["postprocessing"]["transforms"][2] = json!({
                "_target_": "KeepLargestConnectedComponentd", "keys": "pred" });
            },
            "--without KeepLargestConnectedComponentd",
        ),
        (
            |it| it["postprocessing"]["transforms"][0]["sigmoid"] = json!(true),
            "asks for sigmoid and softmax",
        ),
    ];
    let place = tempfile::tempdir()?;
    let bundle = unet(place.path())?;
    let whole = fs::read(bundle.join("configs/inference.json"))?;
    for (change, reason) in changes {
        edit(&bundle, change)?;
        let error = refused(&bundle, &MonaiOptions::default())?;
        assert!(error.contains(reason), "{reason}: {error}");
        fs::write(bundle.join("configs/inference.json"), &whole)?;
    }
    Ok(())
}

#[test]
fn transforms_that_are_not_known_are_refused_by_name() -> anyhow::Result<()> {
    let transforms: &[(&str, &str)] = &[
        (r#""_target_": "CropForegroundd", "source_key": "image""#, "--without CropForegroundd"),
        (r#""_target_": "monai.transforms.Lambdad", "func": "$x""#, "the transform Lambdad"),
        (r#""_target_": "Orientationd", "axcodes": "LPS""#, "axcodes is \"LPS\""),
        (r#""_target_": "Spacingd", "pixdim": [1, 1, 1]"#, "after intensities were changed"),
        (r#""_target_": "ScaleIntensityd", "factor": 0.1"#, "#factor is 0.1"),
        (r#""_target_": "ScaleIntensityRanged", "a_min": 1, "a_max": 1"#, "an a_min of 1"),
        (r#""_target_": "ScaleIntensityRanged", "a_min": 0"#, "has no a_max"),
        (r#""_target_": "NormalizeIntensityd", "subtrahend": [1, 2]"#, "#subtrahend is [1,2]"),
        (r#""_target_": "CastToTyped", "dtype": "$torch.uint8""#, "here values are float32"),
        (r#""_target_": "LoadImaged", "reader": "$make()""#, "an expression of Python"),
    ];
    let place = tempfile::tempdir()?;
    let bundle = unet(place.path())?;
    let whole = fs::read(bundle.join("configs/inference.json"))?;
    for (transform, reason) in transforms {
        let added: Json = serde_json::from_str(&format!("{{ {transform}, \"keys\": \"image\" }}"))?;
        edit(&bundle, |config| {
            let list = config["preprocessing"]["transforms"].as_array_mut().expect("a list");
            list.push(added);
        })?;
        let error = refused(&bundle, &MonaiOptions::default())?;
        assert!(error.contains(reason), "{reason}: {error}");
        fs::write(bundle.join("configs/inference.json"), &whole)?;
    }
    // What is left out is said, and what is not there cannot be.
    edit(&bundle, |config| {
        let list = config["preprocessing"]["transforms"].as_array_mut().expect("a list");
        list.push(json!({ "_target_": "CropForegroundd", "keys": "image" }));
    })?;
    let without =
        |name: &str| MonaiOptions { without: vec![name.to_owned()], ..MonaiOptions::default() };
    let found = zoo::read_monai(&bundle, &without("CropForegroundd"))?;
    assert!(found.notes[0].contains("CropForegroundd is left out"), "{:?}", found.notes);
    let options =
        MonaiOptions { without: vec!["CropForegroundd".into(), "Flipd".into()], ..without("") };
    let error = refused(&bundle, &options)?;
    assert!(error.contains("no transform Flipd"), "{error}");
    Ok(())
}

#[test]
fn expressions_and_references_that_lead_nowhere_are_refused_with_a_remedy() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let bundle = unet(place.path())?;
    let planted = place.path().join("planted");
    let run = format!("$__import__('os').system('touch {}') or [2, 4, 4]", planted.display());
    for (value, reason) in [
        (json!(run), "an expression of Python, and none is evaluated; give its value with --set"),
        (json!("@nowhere"), "there is no nowhere"),
        (json!("@network_def#channels"), "round in a circle"),
        (json!("%../other.json#channels"), "leads out of this file"),
        (json!(["@roi#0", 4, "$2 + 2"]), "network_def#channels#2"),
        (json!([["@network_def#channels"]]), "too deep"),
    ] {
        edit(&bundle, |config| config["network_def"]["channels"] = value)?;
        let error = refused(&bundle, &MonaiOptions::default())?;
        assert!(error.contains(reason), "{reason}: {error}");
    }
    assert!(!planted.exists());
    // The remedy helps, as do values that are literal in Python.
    let channels = set(&[("network_def::channels", "[2, 4, 4]")]);
    let expected = only(zoo::read_monai(&bundle, &channels)?)?;
    edit(&bundle, |config| {
        config["network_def"]["channels"] = json!(["@roi#1", "%widths#0", "$ 4"]);
        config["widths"] = json!(["$4"]);
        config["roi"] = json!([8, "@two", 8]);
        config["two"] = json!("$2");
        config["inferer"]["roi_size"] = json!([8, 8, 8]);
    })?;
    let found = only(zoo::read_monai(&bundle, &MonaiOptions::default())?)?;
    assert_eq!(found.config, expected.config);
    let error = refused(&bundle, &set(&[("roi#9", "1")]))?;
    assert!(error.contains("roi#9 cannot be set: there are 3 entries"), "{error}");
    Ok(())
}

#[test]
fn bundles_without_what_is_needed_say_what_they_lack() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let bundle = unet(place.path())?;
    let options = MonaiOptions::default();
    let config = |name: &str| MonaiOptions { config: Some(name.to_owned()), ..options.clone() };

    let error = refused(&bundle.join("models"), &options)?;
    assert!(error.contains("there is no folder configs"), "{error}");
    let error = refused(&bundle, &config("train.json"))?;
    assert!(error.contains("there is no train.json, no configs/train.json"), "{error}");
    zoo::read_monai(&bundle, &config("inference.json"))?;
    let weights = bundle.join("models/model.pt");
    fs::rename(&weights, bundle.join("models/model.ts"))?;
    let error = refused(&bundle, &options)?;
    assert!(error.contains("a TorchScript archive alone"), "{error}");
    fs::remove_file(bundle.join("models/model.ts"))?;
    let error = refused(&bundle, &options)?;
    assert!(error.contains("large_files.yml"), "{error}");
    for name in ["a.pt", "b.pt"] {
        fs::write(bundle.join("models").join(name), "")?;
    }
    let error = refused(&bundle, &options)?;
    assert!(error.contains("a.pt, b.pt; name one with --checkpoint"), "{error}");
    Ok(())
}

#[test]
fn hostile_files_run_nothing() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let bundle = unet(place.path())?;
    let weights = bundle.join("models/model.pt");
    let planted = place.path().join("planted");
    let command = format!("touch {}", planted.display());
    let archive = |files: &[(&str, &[u8])]| -> anyhow::Result<()> {
        let mut archive = ZipWriter::new(File::create(&weights)?);
        let stored = zip::CompressionMethod::Stored;
        for (name, bytes) in files {
            let options = SimpleFileOptions::default().compression_method(stored);
            archive.start_file(*name, options)?;
            archive.write_all(bytes)?;
        }
        archive.finish()?;
        Ok(())
    };

    // The program `os.system(command)`.
    let length = u32::try_from(command.len()).context("a short command")?.to_le_bytes();
    let call = [b"\x80\x02cos\nsystem\nX", &length[..], command.as_bytes(), b"\x85R."].concat();
    archive(&[("archive/data.pkl", &call)])?;
    let error = refused(&bundle, &MonaiOptions::default())?;
    assert!(error.contains("it holds an object, os.system"), "{error}");
    archive(&[("model/data.pkl", &call), ("model/constants.pkl", &call)])?;
    let error = refused(&bundle, &MonaiOptions::default())?;
    assert!(error.contains("it is a TorchScript archive, a program with its weights"), "{error}");
    let empty = Value::Dict(vec![("epoch".to_owned(), Value::Int(1))]);
    pytorch::write(&empty, File::create(&weights)?)?;
    let error = refused(&bundle, &MonaiOptions::default())?;
    assert!(error.contains("it holds no tensors"), "{error}");
    assert!(!planted.exists());
    // Lists of lists of lists: a few lines that unfold to 10^9 values.
    edit(&bundle, |config| {
        for level in 0..9 {
            let below = format!("@bomb{level}");
            config[format!("bomb{}", level + 1)] = json!(vec![below; 10]);
        }
        config["bomb0"] = json!(1);
        config["network_def"]["channels"] = json!("@bomb9");
    })?;
    let error = refused(&bundle, &MonaiOptions::default())?;
    assert!(error.contains("unfolds to more than"), "{error}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    fs::write(bundle.join("configs/inference.json"), deep)?;
    let error = refused(&bundle, &MonaiOptions::default())?;
    assert!(error.contains("recursion limit"), "{error}");
    Ok(())
}
