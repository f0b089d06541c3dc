use std::fs;

use crate::program::{assert_no_partial, good, json, sconce};
use crate::readme::root;

#[test]
fn a_model_that_ships_is_made_again_and_compared() -> anyhow::Result<()> {
    let workplace = tempfile::tempdir()?;
    let folder = workplace.path();
    let few = "--device cpu --set train.epochs=1 --set train.iterations_per_epoch=2 \
               --set train.validation_iterations=1";
    // What somebody else keeps under a name like the run's.
    fs::create_dir(folder.join("one.run.recipe"))?;
    fs::write(folder.join("one.run.recipe/mine"), "")?;

    let first = json(folder, &format!("zoo rebuild phantom-3d -o one {few}"))?;
    assert!(first["same_weights"].is_null(), "{first}");
    fs::create_dir_all(folder.join("models"))?;
    fs::rename(folder.join("one"), folder.join("models/phantom-3d"))?;
    let second = json(folder, &format!("zoo rebuild phantom-3d -o two --models models {few}"))?;

    assert_eq!(second["same_weights"], true, "{second}");
    let dice = |score: &&serde_json::Value| score["score"] == "dice";
    let scores = second["scores"].as_array().expect("scores");
    let dice = scores.iter().find(dice).expect("Dice is a score");
    assert_eq!(dice["value"], dice["shipped"]);
    good(folder, "zoo verify two --device cpu")?;
    let card = fs::read_to_string(folder.join("two/README.md"))?;
    assert!(card.contains("never seen an image of a patient"), "{card}");
    assert!(folder.join("one.run.recipe/mine").exists());
    assert_no_partial(folder)
}

#[test]
fn what_cannot_be_made_again_is_said_at_once() -> anyhow::Result<()> {
    let workplace = tempfile::tempdir()?;
    let folder = workplace.path();

    for (line, reason) in [
        ("zoo rebuild kidney -o out", "there is no model kidney; there are hippocampus-3d,"),
        ("zoo rebuild nuclei-2d -o out", "name the folder of its data with --data"),
        ("zoo rebuild phantom-3d --data . -o out", "is trained on generated data"),
        (
            "zoo rebuild hippocampus-3d-student --data . -o out",
            "there is no zoo/models/hippocampus-3d",
        ),
    ] {
        let ran = sconce(folder, line.split(' '))?;
        assert_eq!((ran.code, ran.err.lines().count()), (Some(2), 1), "{line}: {ran:?}");
        assert!(ran.error().contains(reason), "{line}: {ran:?}");
        assert!(!folder.join("out").exists());
    }
    assert_no_partial(folder)
}

#[test]
fn models_that_ship_predict_a_picture_at_once() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = root().join("zoo/models/nuclei-2d").display().to_string();
    // Any picture will do.
    let picture = root().join("crates/sconce/guide/report.png").display().to_string();

    let arguments = ["predict", "-m", &model, "-i", &picture, "-o", "out", "--device", "cpu"];
    let ran = sconce(folder.path(), arguments)?;

    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(folder.path().join("out/report.png").is_file());
    Ok(())
}
