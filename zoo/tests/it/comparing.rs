use std::fs;

use sconce_zoo::{self as zoo, DataSet, WeightsDifference};

use crate::fixture::{options, packed, run};

#[test]
fn a_model_differs_in_nothing_from_itself() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;

    let difference = zoo::diff(&model, &model)?;

    assert!(difference.is_empty() && difference.settings.is_empty(), "{difference}");
    assert!(difference.to_string().contains("weights  the same"), "{difference}");
    assert!(difference.scores.iter().all(|score| score.values[0] == score.values[1]));
    assert!(difference.scores.iter().any(|score| score.score == "dice"), "{difference}");
    Ok(())
}

#[test]
fn files_settings_and_weights_are_told_apart() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    let source = run(folder.path(), 2)?;
    let plan = source.join("plan.json");
    fs::write(&plan, fs::read_to_string(&plan)?.replace("\"batch_size\": 2", "\"batch_size\": 4"))?;
    fs::remove_dir_all(source.join("validation"))?;
    let other = folder.path().join("other");
    zoo::pack(&source, &other, &options())?;

    let difference = zoo::diff(&model, &other)?;

    let WeightsDifference::Apart { tensors, of, max_abs, relative } = difference.weights else {
        panic!("{difference}")
    };
    assert!(tensors > 0 && tensors <= of && max_abs > 0.0 && relative > 0.1, "{difference}");
    assert!(
        difference.settings.iter().any(|it| it.file == "plan.json" && it.key == "batch_size"),
        "{difference}"
    );
    let summary = difference.files.iter().find(|file| file.name == "eval/summary.json");
    assert_eq!(summary.map(|file| file.there), Some([true, false]));
    assert!(
        difference
            .files
            .iter()
            .any(|file| file.name == "model.safetensors" && file.there == [true; 2])
    );
    assert!(!difference.files.iter().any(|file| file.name == "run.toml"), "{difference}");
    let dice =
        difference.scores.iter().find(|score| score.score == "dice" && score.class == "mean");
    assert!(
        dice.is_some_and(|dice| dice.values[0].is_some() && dice.values[1].is_none()),
        "{difference}"
    );
    Ok(())
}

#[test]
fn networks_that_are_not_alike_are_not_subtracted() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (flat, solid) = (folder.path().join("flat"), folder.path().join("solid"));
    crate::fixture::network(&flat, 1, 2)?;
    crate::fixture::network(&solid, 1, 3)?;

    let difference = zoo::diff(&flat, &solid)?;

    assert!(matches!(difference.weights, WeightsDifference::Unlike { .. }), "{difference}");
    Ok(())
}

#[test]
fn data_sets_are_listed_and_their_licenses_warn() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let free = packed(folder.path(), 1, "free")?;
    assert_eq!(zoo::license_warning(&free), None);
    let data: DataSet = "KiTS23 | kidneys,cc-by-nc-sa-4.0,https://kits-challenge.org".parse()?;
    let of_hub: DataSet = "owner/data,cc-by-4.0".parse()?;
    let bound = folder.path().join("bound");
    let wish = zoo::PackOptions { datasets: vec![data.clone(), of_hub], ..options() };

    zoo::pack(&folder.path().join("run-1"), &bound, &wish)?;

    let card = fs::read_to_string(bound.join("README.md"))?;
    assert!(
        card.contains("| KiTS23 \\| kidneys | cc-by-nc-sa-4.0 | https://kits-challenge.org |"),
        "{card}"
    );
    assert!(
        card.contains("datasets:\n- \"owner/data\"\ntags")
            || card.contains("datasets:\n- \"owner/data\"\nmetrics"),
        "{card}"
    );
    let listed = fs::read_to_string(bound.join("datasets.json"))?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    assert_eq!(listed["data_sets"][0], serde_json::to_value(&data)?);
    assert_eq!((&listed["schema"], &listed["license"]), (&1.into(), &"cc-by-4.0".into()));
    assert_eq!(
        zoo::license_warning(&bound).as_deref(),
        Some("not for commercial use, by that of its data set KiTS23 | kidneys, cc-by-nc-sa-4.0")
    );
    let closed = folder.path().join("closed");
    let wish = zoo::PackOptions { license: "cc-by-nc-4.0".to_owned(), ..options() };
    zoo::pack(&folder.path().join("run-1"), &closed, &wish)?;
    assert_eq!(
        zoo::license_warning(&closed).as_deref(),
        Some("not for commercial use, by its license, cc-by-nc-4.0")
    );
    Ok(())
}
