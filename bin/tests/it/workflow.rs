use std::fs;

use serde_json::json;

use crate::program::{assert_no_partial, json, workplace};

#[test]
fn every_step_from_data_to_model_speaks_json() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();

    let check = json(folder, "dataset check data")?;
    assert_eq!((&check["cases"], &check["problems"]), (&json!(6), &json!([])));
    let summary = json(folder, "dataset summary data")?;
    assert!(summary.is_object(), "{summary}");

    let train = json(folder, "train run.toml --data data --output run --device cpu")?;
    assert_eq!((&train["epochs"], &train["stopped"]), (&json!(2), &json!(false)));
    let held_out = train["held_out"].as_u64().expect("a number of cases");
    let dice = &train["evaluation"]["masks"]["organ"]["dice"]["mean"];
    assert!(dice.as_f64().is_some_and(|dice| (0.0..=1.0).contains(&dice)), "{dice}");

    let line = "predict -m run -i data/case01/image.nii.gz -o predictions --device cpu";
    let predict = json(folder, line)?;
    assert_eq!(predict["written"], json!(["predictions/image.nii.gz"]));
    assert_eq!((&predict["kept"], &predict["failed"]), (&json!([]), &json!([])));

    // The same network on the same cases comes to the same scores.
    let again = json(folder, "evaluate -m run --data data --device cpu")?;
    assert_eq!(again["cases"].as_array().map(|cases| cases.len() as u64), Some(held_out));
    assert_eq!(&again["masks"]["organ"]["dice"]["mean"], dice);
    let summary = fs::read(folder.join("run/validation/summary.json"))?;
    let mut summary: serde_json::Value = serde_json::from_slice(&summary)?;
    let trained = summary["provenance"]["command"].take();
    assert_eq!(
        trained,
        "sconce train run.toml --data data --output run --device cpu --format json"
    );
    let mut other = again.clone();
    let evaluated = other["provenance"]["command"].take();
    assert_eq!(evaluated, "sconce evaluate -m run --data data --device cpu --format json");
    assert_eq!(other, summary);
    assert_eq!(again["scaling"], "cross_fitted");
    // One name, one number.
    assert!(again["probabilities"]["case_ece"].is_object(), "{again}");
    assert!(again["calibration"]["pooled_ece"].is_number(), "{again}");
    assert!(!again.to_string().contains("\"ece\""), "{again}");
    let all = json(folder, "evaluate -m run --data data --all --device cpu -o all.json")?;
    assert_eq!(all["cases"].as_array().map(Vec::len), Some(6));
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&fs::read(folder.join("all.json"))?)?,
        all
    );

    fs::create_dir(folder.join("references"))?;
    fs::copy(
        folder.join("data/case01/task01_seg01.nii.gz"),
        folder.join("references/image.nii.gz"),
    )?;
    let masks = json(folder, "evaluate --predictions predictions --references references")?;
    assert_eq!(masks["cases"][0]["id"], "image");
    assert_eq!(masks["calibration"], json!(null));
    let same = json(folder, "evaluate --predictions references --references references")?;
    assert_eq!(same["masks"]["label 1"]["dice"]["mean"], json!(1.0));

    let report = json(folder, "report run --output report.html")?;
    assert_eq!(report["runs"], json!(1));
    let page = fs::read_to_string(folder.join("report.html"))?;
    assert!(page.contains("<html") && page.trim_end().ends_with("</html>"));
    let provenance: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("run/provenance.json"))?)?;
    assert_eq!(provenance["cases"].as_object().map(serde_json::Map::len), Some(6));
    let data = provenance["data"].as_str().expect("a hash");
    assert!(page.contains(&format!("<code>{data}</code>")) && page.contains("train run.toml"));
    assert_eq!(again["provenance"]["training_data"], data);

    json(folder, "zoo pack run --output models/tiny --license cc0-1.0")?;
    let verify = json(folder, "zoo verify models/tiny --device cpu")?;
    assert_eq!(verify.as_array().map(Vec::len), Some(1));
    let show = json(folder, "zoo show models/tiny")?;
    assert_eq!(show["model"]["name"], "tiny");
    let list = json(folder, "zoo list models")?;
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    assert_eq!(json(folder, "zoo list data")?, json!([]));

    let losses = json(folder, "losses")?;
    assert!(losses.as_array().is_some_and(|rows| rows.len() >= 5), "{losses}");
    let models = json(folder, "models")?;
    assert!(models.as_array().is_some_and(|rows| rows.len() >= 2), "{models}");
    let device = json(folder, "device --device cpu --threads 2")?;
    assert_eq!((&device["threads"], &device["devices"][0]["passed"]), (&json!(2), &json!(true)));

    assert_no_partial(folder)
}

#[test]
fn a_model_that_was_tampered_with_is_refused() -> anyhow::Result<()> {
    let workplace = crate::program::trained()?;
    let folder = workplace.path();
    crate::program::good(folder, "zoo pack run --output model")?;
    let weights = folder.join("model/model.safetensors");
    let mut bytes = fs::read(&weights)?;
    *bytes.last_mut().expect("weights") ^= 1;
    fs::write(&weights, bytes)?;

    let verify = crate::program::sconce(folder, ["zoo", "verify", "model", "--device", "cpu"])?;
    assert_eq!(verify.code, Some(1), "{verify:?}");
    assert!(verify.out.contains("model.safetensors"), "{verify:?}");
    let line = "predict -m model -i data/case01/image.nii.gz -o out --device cpu";
    let predict = crate::program::sconce(folder, line.split(' '))?;
    assert_eq!(predict.code, Some(1), "{predict:?}");
    assert!(predict.error().contains("model.safetensors"), "{predict:?}");
    assert!(!folder.join("out").exists());
    Ok(())
}
