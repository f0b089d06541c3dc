use std::fs;
use std::path::Path;

use anyhow::Context as _;
use engine::Trained;
use engine::calibrate::{Calibration, VectorScaling};
use onnx::proto::{GraphProto, ModelProto};
use prost::Message as _;
use sconce_zoo::{self as zoo, Error};
use serde_json::{Value as Json, json};

use crate::fixture;

/// What a file says of itself.
struct File {
    graph: GraphProto,
    metadata: Json,
}

fn read(path: &Path) -> anyhow::Result<File> {
    let model = ModelProto::decode(&fs::read(path)?[..])?;
    assert_eq!(model.producer_name(), "sconce");
    let entries = model.metadata_props.iter();
    let entries = entries.map(|it| Ok((it.key().to_owned(), serde_json::from_str(it.value())?)));
    let metadata = entries.collect::<anyhow::Result<serde_json::Map<_, _>>>()?;
    Ok(File { graph: model.graph.context("a graph")?, metadata: Json::Object(metadata) })
}

/// The constant that a file keeps under a name, and its shape.
fn constant(graph: &GraphProto, name: &str) -> anyhow::Result<(Vec<i64>, Vec<f32>)> {
    let found =
        graph.initializer.iter().find(|it| it.name() == name).context("no such constant")?;
    let (numbers, rest) = found.raw_data().as_chunks::<4>();
    assert!(rest.is_empty());
    Ok((found.dims.clone(), numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()))
}

/// That nothing is left beside what was asked for.
fn assert_no_partial(place: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(place)? {
        let name = entry?.file_name();
        assert!(!name.to_string_lossy().ends_with(".partial"), "{}", name.display());
    }
    Ok(())
}

#[test]
fn a_file_says_all_that_is_needed_to_use_it() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    let model = fixture::packed(place, 1, "model")?;
    let path = place.join("made/for/it.onnx");

    let exported = zoo::export_onnx(&model, &path)?;

    assert_eq!((exported.files.as_slice(), exported.opset), ([path.clone()].as_slice(), 17));
    assert!(exported.calibrated && exported.bytes == fs::metadata(&path)?.len());
    assert!(exported.to_string().starts_with("exported opset 17, "), "{exported}");
    let File { graph, metadata } = read(&path)?;
    assert_eq!(graph.input[0].name(), "image");
    assert_eq!(graph.output[0].name(), "logits");
    for (key, expected) in [
        ("schema", json!(1)),
        ("name", json!("tiny organ")),
        ("license", json!("cc-by-4.0")),
        ("dataset", json!("Task 01")),
        ("axes", json!(["y", "x"])),
        ("channels", json!(["CT", "PET"])),
        ("activation", json!("softmax")),
        ("stride", json!([2, 2])),
        ("patch_size", json!([32, 48])),
        ("spacing", json!([0.5, 0.75])),
        ("label_values", json!([0, 255, 2])),
        ("previous_labels", json!([])),
        ("grid", json!("nnunet")),
        ("normalize", json!(["none", { "z_score": { "masked": false } }])),
        ("weights_sha256", json!(Trained::load(&model)?.weights_hash()?)),
    ] {
        assert_eq!(metadata[key], expected, "{key}");
    }
    assert_eq!(
        metadata["classes"][1],
        json!({ "name": "organ", "values": [255], "color": [230, 75, 60] })
    );
    let again = place.join("again.onnx");
    zoo::export_onnx(&model, &again)?;
    assert!(fs::read(&path)? == fs::read(&again)?, "the same model makes the same bytes");
    assert_no_partial(place)?;
    assert_no_partial(&place.join("made/for"))
}

#[test]
fn what_was_fitted_is_in_the_graph() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    let model = place.join("model");
    let export = |calibration: Calibration, name: &str| -> anyhow::Result<File> {
        fixture::network(&model, 1, 3)?;
        let mut trained = Trained::load(&model)?;
        trained.config.predict.calibration = calibration;
        let (weights, biases) = (vec![0.5, 1.0, 2.0], vec![0.0, -1.0, 1.0]);
        trained.config.vector_scaling = Some(VectorScaling { weights, biases });
        trained.save(&model)?;
        let path = place.join(name);
        zoo::export_onnx(&model, &path)?;
        read(&path)
    };

    let File { graph, metadata } = export(Calibration::Temperature, "temperature.onnx")?;
    assert_eq!(constant(&graph, "calibration.weight")?, (vec![1; 4], vec![1.0 / 1.5]));
    assert!(constant(&graph, "calibration.bias").is_err());
    assert_eq!(
        metadata["calibration"],
        json!({ "method": "temperature", "temperature": 1.5, "vector": null, "in_graph": true })
    );

    let File { graph, metadata } = export(Calibration::Vector, "vector.onnx")?;
    let dims = vec![3, 1, 1, 1];
    assert_eq!(constant(&graph, "calibration.weight")?, (dims.clone(), vec![0.5, 1.0, 2.0]));
    assert_eq!(constant(&graph, "calibration.bias")?, (dims, vec![0.0, -1.0, 1.0]));
    assert_eq!(metadata["calibration"]["vector"]["biases"], json!([0.0, -1.0, 1.0]));

    let File { graph, metadata } = export(Calibration::None, "none.onnx")?;
    assert!(constant(&graph, "calibration.weight").is_err());
    assert_eq!(metadata["calibration"]["in_graph"], json!(false));
    Ok(())
}

#[test]
fn several_folds_are_a_file_each() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    for fold in [0, 1, 10] {
        fixture::network(&place.join(format!("folds/fold_{fold}")), fold, 2)?;
    }

    let exported = zoo::export_onnx(&place.join("folds"), &place.join("out"))?;

    let files = ["fold_0.onnx", "fold_1.onnx", "fold_10.onnx"].map(|it| place.join("out").join(it));
    assert_eq!(exported.files, files);
    assert!(exported.to_string().contains("3 folds"), "{exported}");
    let hashes = files.iter().map(|file| Ok(read(file)?.metadata["weights_sha256"].clone()));
    let hashes = hashes.collect::<anyhow::Result<Vec<_>>>()?;
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2]);
    let again = zoo::export_onnx(&place.join("folds"), &place.join("out"));
    assert!(matches!(again, Err(Error::Occupied { .. })));
    assert_no_partial(place)
}

#[test]
fn what_cannot_be_exported_leaves_nothing_behind() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    let model = place.join("model");
    fixture::network(&model, 1, 2)?;
    let refusal = |output: &str| {
        let error = zoo::export_onnx(&model, &place.join(output)).expect_err("it is refused");
        format!("{:#}", anyhow::Error::from(error))
    };

    fs::write(place.join("taken.onnx"), "mine")?;
    fs::create_dir(place.join("folder"))?;
    for taken in ["taken.onnx", "folder"] {
        let refused = refusal(taken);
        assert!(
            refused
                .ends_with(&format!("{taken} is there already; remove it, or choose another name"))
        );
    }
    assert_eq!(fs::read_to_string(place.join("taken.onnx"))?, "mine");
    // A folder that would have to be made where there is a file.
    assert!(refusal("taken.onnx/model.onnx").starts_with("cannot access"));

    let mut trained = Trained::load(&model)?;
    trained.config.predict.calibration = Calibration::Vector;
    trained.save(&model)?;
    assert!(refusal("out.onnx").contains("no weight and bias"));
    let (name, _) = trained.parameters.pop_last().context("a parameter")?;
    trained.save(&model)?;
    assert!(refusal("out.onnx").contains(&name));
    assert!(!place.join("out.onnx").exists());
    assert_no_partial(place)
}
