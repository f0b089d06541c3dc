use std::fs;
use std::path::{Path, PathBuf};

use candle::Device;
use engine::calibrate::CalibrationFit;
use engine::evaluate::{Calibration, CaseScores, Definition, Evaluation, Scaling, Summary};
use engine::{NetworkConfig, Trained, WeightsMetadata};
use models::Architecture as _;
use sconce_zoo::{self as zoo, DataSet, PackOptions};
use serde_json::json;

/// A run folder with a 2D U-Net whose weights the seed determines.
pub(crate) fn run(folder: &Path, seed: u64) -> anyhow::Result<PathBuf> {
    let run = folder.join(format!("run-{seed}"));
    network(&run, seed, 2)?;
    fs::write(run.join("run.toml"), "schema = 1\n")?;
    fs::write(run.join("split.json"), r#"{"train": ["d", "e"], "val": ["a", "b", "c"]}"#)?;
    fs::create_dir(run.join("validation"))?;
    score(&run)?;
    Ok(run)
}

/// Writes the scores and the temperature of a run, as of its weights.
pub(crate) fn score(run: &Path) -> anyhow::Result<()> {
    let trained = Trained::load(run)?;
    let weights = Some(trained.weights_hash()?);
    let fit = engine::calibrate::fit(&[], &[], &[]);
    let (temperature, vector) = (trained.config.temperature, trained.config.vector_scaling.clone());
    let fit = CalibrationFit { weights: weights.clone(), temperature, vector, ..fit };
    engine::file::write_json(&run.join("calibration.json"), &fit)?;
    for (name, scaling) in [("summary.json", Scaling::CrossFitted), ("raw.json", Scaling::None)] {
        let scaling = Some(scaling);
        let found = Evaluation { weights: weights.clone(), scaling, ..evaluation() };
        engine::file::write_json(&run.join("validation").join(name), &found)?;
    }
    Ok(())
}

pub(crate) fn options() -> PackOptions {
    PackOptions {
        name: "tiny organ".to_owned(),
        license: "cc-by-4.0".to_owned(),
        description: "A network that was never trained.".to_owned(),
        datasets: vec![DataSet::named("nobody/nothing")],
        ..PackOptions::default()
    }
}

/// Packs a run of that seed into `folder/NAME`.
pub(crate) fn packed(folder: &Path, seed: u64, name: &str) -> anyhow::Result<PathBuf> {
    let model = folder.join(name);
    zoo::pack(&run(folder, seed)?, &model, &options())?;
    Ok(model)
}

/// A folder with a U-Net of that rank and nothing else.
pub(crate) fn network(folder: &Path, seed: u64, rank: usize) -> anyhow::Result<()> {
    let config: NetworkConfig = serde_json::from_value(json!({
        "schema": 1,
        "dataset": "Task 01",
        "architecture": { "unet": { "features_per_stage": [4, 8] } },
        "interface": { "channels": 2, "classes": 3, "rank": rank },
        "activation": "softmax",
        "channels": ["CT", "PET"],
        "classes": [
            { "name": "background", "values": [0] },
            { "name": "organ", "values": [255] },
            { "name": "lesion", "values": [2] },
        ],
        "temperature": 1.5,
    }))?;
    let plan = serde_json::from_value(json!({
        "schema": 1,
        "rank": rank,
        "canonical": true,
        "transpose": [0, 1, 2],
        "crop_to_nonzero": false,
        "normalize": ["none", { "z_score": { "masked": false } }],
        "resample": true,
        "spacing": [5.0, 0.5, 0.75],
        "interpolation": "cubic",
        "median_size": [1.0, 32.0, 32.0],
        "patch_size": [if rank == 3 { 16 } else { 1 }, 32, 48],
        "batch_size": 2,
    }))?;
    let parameters = nn::Parameters::new(seed, &Device::Cpu);
    config.architecture.build(config.interface, parameters.builder())?;
    fs::create_dir_all(folder)?;
    let metadata = WeightsMetadata::of(&config, Some(seed));
    Ok(Trained { config, plan, parameters: parameters.tensors()?, metadata }.save(folder)?)
}

fn evaluation() -> Evaluation {
    let dice = [Some(0.9), Some(0.8), None];
    let cases = dice.iter().zip(["a", "b", "c"]).map(|(value, id)| {
        let scores = [("dice".to_owned(), *value)].into();
        let masks = [("mean".to_owned(), scores)].into();
        CaseScores { id: id.to_owned(), masks, ..CaseScores::default() }
    });
    let aggregate = Summary::of(dice);
    let of = |class: &str| (class.to_owned(), [("dice".to_owned(), aggregate)].into());
    let definition =
        Definition { text: "overlap".to_owned(), unit: String::new(), larger_is_better: true };
    Evaluation {
        schema: 1,
        name: "run".to_owned(),
        dataset: "Task 01".to_owned(),
        classes: vec!["organ".to_owned(), "lesion".to_owned()],
        definitions: [("dice".to_owned(), definition)].into(),
        cases: cases.collect(),
        masks: [of("mean"), of("organ"), of("lesion")].into(),
        probabilities: [("nll".to_owned(), Summary::of([None]))].into(),
        calibration: Some(Calibration {
            pooled_ece: 0.0625,
            brier: 0.1,
            nll: 0.2,
            voxels: "all voxels".to_owned(),
            ..Calibration::default()
        }),
        ..Evaluation::default()
    }
}
