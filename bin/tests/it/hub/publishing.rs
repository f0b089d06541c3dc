use std::fs;
use std::path::Path;

use anyhow::Context as _;
use sconce::engine::{NetworkConfig, Trained, WeightsMetadata};
use sconce::models::Architecture as _;
use sconce::{Device, nn};
use serde_json::{Value, json};
use test_hub::{Fault, Hub, Kind};

use super::LINE;
use crate::program::{Ran, command, contents, good, trained};

const TOKEN: &str = "token-of-the-owner";

/// A hub that takes large files in chunks.
fn hub() -> anyhow::Result<Hub> {
    let hub = Hub::start_with_xet()?;
    hub.add_user(TOKEN, "owner");
    Ok(hub)
}

/// Runs the program with that hub. Whatever comes of it, the token is not repeated.
fn online(hub: &Hub, folder: &Path, line: &str) -> anyhow::Result<Ran> {
    let output = command(folder)
        .args(line.split(' '))
        .env_remove("HF_HUB_OFFLINE")
        .env("HF_ENDPOINT", hub.endpoint())
        .env("HF_TOKEN", TOKEN)
        .output()?;
    let ran = Ran::of(&output);
    assert!(!format!("{ran:?}").contains(TOKEN), "{line}: {ran:?}");
    Ok(ran)
}

/// The same where it must succeed; its report.
fn done(hub: &Hub, folder: &Path, line: &str) -> anyhow::Result<Value> {
    let ran = online(hub, folder, &format!("{line} --format json"))?;
    assert_eq!(ran.code, Some(0), "{line}: {ran:?}");
    Ok(serde_json::from_str(&ran.out)?)
}

#[test]
fn a_model_goes_to_the_hub_and_each_version_comes_back() -> anyhow::Result<()> {
    let workplace = trained()?;
    let (folder, hub) = (workplace.path(), hub()?);
    good(folder, "zoo pack run --output first --license cc-by-4.0")?;
    good(folder, "zoo pack run --output second --license cc-by-nc-4.0 --data-set slices,cc0-1.0")?;

    let first = done(&hub, folder, "zoo push first hub:owner/model --private --tag v1")?;
    let commit = first["commit"].as_str().context("a commit")?;
    assert_eq!(first["created"], json!(true));
    let again = done(&hub, folder, "zoo push first hub:owner/model")?;
    assert_eq!((&again["commit"], &again["files"]), (&first["commit"], &json!([])));
    let second = done(&hub, folder, "zoo push second hub:owner/model")?;
    assert!(second["files"].as_array().is_some_and(|it| it.contains(&json!("datasets.json"))));

    let listed: Value = serde_json::from_slice(&fs::read(folder.join("second/datasets.json"))?)?;
    assert_eq!(listed["data_sets"], json!([{ "name": "slices", "license": "cc0-1.0" }]));

    done(&hub, folder, &format!("zoo pull hub:owner/model@{commit} --output old"))?;
    assert!(relative(folder, "old")? == relative(folder, "first")?);
    let ran = online(&hub, folder, "zoo pull hub:owner/model --output new")?;
    assert!(ran.err.contains("warning: hub:owner/model is not for commercial use"), "{ran:?}");
    assert!(relative(folder, "new")? == relative(folder, "second")?);
    let difference = done(&hub, folder, "zoo diff hub:owner/model@v1 hub:owner/model@main")?;
    assert_eq!(difference["weights"], json!("equal"));

    let ran = online(&hub, folder, LINE)?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // What was fetched is used without the hub from now on.
    let said = good(folder, "zoo verify hub:owner/model@v1 hub:owner/model --device cpu")?;
    assert_eq!(said.lines().filter(|line| line.contains(": ok, ")).count(), 2, "{said}");
    let found = done(&hub, folder, "zoo search MODEL")?;
    assert_eq!(found[0]["id"], "owner/model");
    let removed = done(&hub, folder, "zoo rm hub:owner/model@v1")?;
    assert_eq!(removed["commits"], json!([commit]));
    good(folder, "zoo show hub:owner/model")?;

    for request in hub.storage_requests() {
        assert_eq!(request.header("authorization"), None, "{request:?}");
    }
    // No file has it but what the test itself wrote.
    let written = contents(folder)?;
    let leaky = written
        .iter()
        .find(|(_, bytes)| bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()));
    assert!(leaky.is_none(), "{:?}", leaky.map(|(path, _)| path));
    Ok(())
}

/// The files of a folder, by their names in it.
fn relative(folder: &Path, name: &str) -> anyhow::Result<Vec<(std::path::PathBuf, Vec<u8>)>> {
    let folder = folder.join(name);
    let files = contents(&folder)?.into_iter();
    files.map(|(path, bytes)| Ok((path.strip_prefix(&folder)?.to_owned(), bytes))).collect()
}

/// A network of 7 MB that was never trained.
fn large(folder: &Path) -> anyhow::Result<()> {
    let config: NetworkConfig = serde_json::from_value(json!({
        "schema": 1,
        "dataset": "Task 01",
        "architecture": { "unet": { "features_per_stage": [64, 128, 256] } },
        "interface": { "channels": 1, "classes": 2, "rank": 2 },
        "activation": "softmax",
        "channels": ["CT"],
        "classes": [{ "name": "background", "values": [0] }, { "name": "organ", "values": [1] }],
        "temperature": 1.0,
    }))?;
    let plan = serde_json::from_value(json!({
        "schema": 1,
        "rank": 2,
        "canonical": true,
        "transpose": [0, 1, 2],
        "crop_to_nonzero": false,
        "normalize": ["none"],
        "resample": false,
        "spacing": [1.0, 1.0, 1.0],
        "interpolation": "cubic",
        "median_size": [1.0, 32.0, 32.0],
        "patch_size": [1, 32, 32],
        "batch_size": 2,
    }))?;
    let parameters = nn::Parameters::new(1, &Device::Cpu);
    config.architecture.build(config.interface, parameters.builder())?;
    fs::create_dir_all(folder)?;
    let metadata = WeightsMetadata::of(&config, Some(1));
    Ok(Trained { config, plan, parameters: parameters.tensors()?, metadata }.save(folder)?)
}

#[test]
fn large_files_go_in_chunks_both_ways() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (folder, hub) = (folder.path(), hub()?);
    large(&folder.join("run"))?;
    good(folder, "zoo pack run --output packed --license mit")?;
    let weights = fs::read(folder.join("packed/model.safetensors"))?;
    assert!(weights.len() > 5_000_000, "{}", weights.len());
    let asked =
        |path: &str| hub.requests().iter().filter(|request| request.target.contains(path)).count();

    done(&hub, folder, "zoo push packed hub:owner/model")?;

    assert!(hub.xet_name("models/owner/model", "main", "model.safetensors").is_some());
    assert!(asked("/xet-write-token/") > 0 && asked("/xet-read-token/") == 0);
    done(&hub, folder, "zoo pull hub:owner/model --output pulled")?;

    assert!(asked("/xet-read-token/") > 0);
    assert!(relative(folder, "pulled")? == relative(folder, "packed")?);
    // Neither whole nor in parts: all of it came in chunks.
    assert!(hub.storage_requests().is_empty(), "{:?}", hub.storage_requests());
    let cache = folder.join("hf/hub/models--owner--model");
    let left = contents(&cache)?.into_iter().map(|(path, _)| path.display().to_string());
    let left: Vec<String> =
        left.filter(|path| path.contains(".chunks-") || path.contains(".whole")).collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn what_goes_wrong_with_a_hub_is_one_line_and_no_token() -> anyhow::Result<()> {
    let workplace = trained()?;
    let (folder, hub) = (workplace.path(), hub()?);
    good(folder, "zoo pack run --output packed --license cc-by-4.0")?;
    done(&hub, folder, "zoo push packed hub:owner/model")?;
    let model = "cannot get hub:owner/model from the hub: ";
    let cases = [
        (
            401,
            format!(
                "{model}the hub does not accept the token; log in to it again, or set HF_TOKEN"
            ),
        ),
        (
            403,
            format!("{model}the hub forbids it to this user; ask its owner, or use another token"),
        ),
        (500, format!("{model}the hub itself fails (status 500); try again later")),
    ];
    for (status, said) in cases {
        hub.fail(Fault::new(Kind::Status(status), 100, "", "/api/models/owner/model"));
        let ran = online(&hub, folder, LINE)?;
        assert_eq!((ran.code, ran.error()), (Some(1), format!("error: {said}").as_str()));
        hub.recover();
    }
    let nobody = online(&hub, folder, &LINE.replace("owner", "nobody"))?;
    assert!(nobody.error().contains("there is nothing of that name, or it is not public"));
    assert!(!folder.join("out").exists());
    Ok(())
}

#[test]
fn a_model_is_signed_and_its_signature_travels() -> anyhow::Result<()> {
    let workplace = trained()?;
    let (folder, hub) = (workplace.path(), hub()?);
    good(folder, "zoo pack run --output packed --license cc-by-4.0")?;
    fs::write(folder.join("password"), "correct horse\n")?;
    good(folder, "zoo keygen key --password-file password")?;

    let none = crate::program::sconce(folder, "zoo sign packed --key key".split(' '))?;
    assert_eq!(none.error(), "error: key: it has a password; give it with --password-file");
    let with = command(folder)
        .args("zoo sign packed --key key".split(' '))
        .env("SCONCE_KEY_PASSWORD", "correct horse")
        .output()?;
    assert_eq!(Ran::of(&with).code, Some(0));
    good(folder, "zoo sign packed --key key --password-file password")?;

    done(&hub, folder, "zoo push packed hub:owner/model")?;
    let pulled = done(&hub, folder, "zoo verify hub:owner/model --signature key.pub --device cpu")?;
    assert!(pulled[0]["signature"]["key_id"].as_str().is_some_and(|id| id.len() == 16));
    let unsigned = "zoo pack run --output other --license cc-by-4.0";
    good(folder, unsigned)?;
    let line = "zoo verify other --signature key.pub --device cpu";
    let ran = crate::program::sconce(folder, line.split(' '))?;
    assert!(ran.error().contains("other: it is not signed"), "{ran:?}");
    Ok(())
}
