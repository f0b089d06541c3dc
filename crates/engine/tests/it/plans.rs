//! nnU-Net's plans: made of a data set, and trained by.

use std::sync::atomic::{AtomicUsize, Ordering};

use data::{Dataset as _, LayoutConfig};
use engine::{RunConfig, file, plan_data_set, planned_run};
use preprocess::Preset;
use preprocess::nnunet::Plans;

use crate::fixture::{Balls, train_into};

/// Plans in a file, and a run file that trains one of their configurations a little.
fn planned(
    folder: &std::path::Path,
    dataset: &Balls,
    preset: Preset,
    configuration: &str,
) -> engine::Result<RunConfig> {
    let path = folder.join("plans.json");
    let asked = AtomicUsize::new(0);
    let planned = plan_data_set(dataset, preset, None, &|_, total| {
        assert_eq!(total, 6);
        asked.fetch_add(1, Ordering::Relaxed);
    })?;
    assert_eq!(asked.into_inner(), 6);
    file::write_json(&path, &planned.plans)?;
    let layout = LayoutConfig::defaults().into_iter().find(|it| it.name() == "nnunet_raw");
    let text = planned_run(
        &planned.plans,
        &path,
        configuration,
        (&layout.expect("a layout"), dataset.description()),
    )?;
    let text = text
        .replace("epochs = 1000", "epochs = 1")
        .replace("iterations_per_epoch = 250", "iterations_per_epoch = 2")
        .replace("\nbatch_size = ", "\nvalidation_iterations = 1\nbatch_size = 2 # ");
    RunConfig::from_text(&format!("{text}\n[predict]\nmirror = false"))
}

#[test]
fn a_run_file_made_of_plans_trains_the_network_that_they_plan() {
    let dataset = Balls::new(6, [10, 12, 14]);
    for (preset, configuration, model) in
        [(Preset::Plain, "3d_fullres", "unet"), (Preset::ResencM, "2d", "residual_unet")]
    {
        let folder = tempfile::tempdir().unwrap();
        let config = planned(folder.path(), &dataset, preset, configuration).unwrap();
        assert_eq!(config.model.name(), model);

        let output = folder.path().join("run");
        train_into(&output, &config, &dataset, false, None).unwrap();

        let plans: Plans = file::read_json(&folder.path().join("plans.json")).unwrap();
        let expected = plans.plan(configuration).unwrap();
        let plan: preprocess::Plan = file::read_json(&output.join("plan.json")).unwrap();
        assert_eq!(plan, expected);
        let network: serde_json::Value = file::read_json(&output.join("config.json")).unwrap();
        let strides = &network["architecture"][model]["strides"];
        assert_eq!(*strides, serde_json::json!(plans.stages(configuration).unwrap().strides));
    }
}

#[test]
fn a_run_file_made_of_plans_has_the_loss_of_nnu_net() {
    let folder = tempfile::tempdir().unwrap();
    let loss = |dataset: &Balls, configuration: &str| -> serde_json::Value {
        let config = planned(folder.path(), dataset, Preset::Plain, configuration).unwrap();
        let output = folder.path().join(configuration).join(dataset.ids().len().to_string());
        train_into(&output, &config, dataset, false, None).unwrap();
        serde_json::to_value(&config.loss).unwrap()["sum"]["terms"].clone()
    };

    let classes = loss(&Balls::new(6, [8, 12, 12]), "2d");
    assert_eq!(classes[0]["loss"]["cross_entropy"]["activation"], "softmax");
    // Without the background, and of slices over the whole batch.
    assert_eq!(classes[1]["loss"]["dice"]["include_background"], false);
    assert_eq!(classes[1]["loss"]["dice"]["pool_batch"], true);

    let regions = loss(&Balls::nested(6, [8, 12, 12]), "3d_fullres");
    for (term, name) in [(0, "cross_entropy"), (1, "dice")] {
        assert_eq!(regions[term]["loss"][name]["activation"], "sigmoid");
    }
    assert_eq!(regions[1]["loss"]["dice"]["include_background"], true);
    assert_eq!(regions[1]["loss"]["dice"]["pool_batch"], false);
}

#[test]
fn plans_that_do_not_suit_a_run_are_refused_before_it_begins() {
    let (folder, dataset) = (tempfile::tempdir().unwrap(), Balls::new(6, [10, 12, 14]));
    let config = planned(folder.path(), &dataset, Preset::Plain, "2d").unwrap();
    let path = folder.path().join("plans.json");
    let refusal = |config: &RunConfig| {
        let run = tempfile::tempdir().unwrap();
        let error = train_into(run.path(), config, &dataset, false, None).unwrap_err().to_string();
        assert!(!run.path().join("plan.json").exists());
        error
    };

    let mut other = config.clone();
    other.preprocess.configuration = Some("3d_lowres".to_owned());
    let error = refusal(&other);
    assert!(error.contains("have no configuration 3d_lowres; there are 2d, 3d_fullres"), "{error}");

    let mut both = config.clone();
    both.preprocess.spacing = Some([1.0; 3]);
    assert!(refusal(&both).contains("preprocess.plans says all of [preprocess]"));

    let mut none = config.clone();
    none.preprocess.plans = None;
    assert!(refusal(&none).contains("preprocess.configuration is one of preprocess.plans"));

    let mut plans: Plans = file::read_json(&path).unwrap();
    let flat = plans.configurations.get_mut("2d").unwrap();
    flat.previous_stage = Some("3d_lowres".to_owned());
    file::write_json(&path, &plans).unwrap();
    assert!(refusal(&config).contains("2d reads what another network says"));

    let flat = plans.configurations.get_mut("2d").unwrap();
    flat.normalization_schemes = Some(vec!["ZScoreNormalization".to_owned(); 2]);
    file::write_json(&path, &plans).unwrap();
    assert!(refusal(&config).contains("are for images of 2 channels, but the data set has 1"));

    std::fs::write(&path, "{").unwrap();
    assert!(refusal(&config).contains("plans.json"));
}
