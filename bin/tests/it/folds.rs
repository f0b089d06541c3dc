//! Every fold by one command.

use std::fs;

use crate::program::{assert_no_partial, good, json, sconce, workplace};

#[test]
fn every_fold_is_a_run_of_its_own_and_what_is_done_is_left_alone() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    let line = "train run.toml --data data --output folds --fold all";
    let weights = |run: &str| fs::read(folder.join(run).join("model.safetensors"));

    let said = good(folder, &format!("{line} --device cpu"))?;

    assert!(said.starts_with("fold  cases  mean Dice\n0     2 "), "{said}");
    assert!(said.contains("organ: Dice 0."), "{said}");
    good(folder, "train run.toml --data data --output alone --device cpu --fold 1")?;
    assert!(weights("alone")? == weights("folds/fold_1")?, "a fold differs from its run alone");
    assert!(weights("alone")? != weights("folds/fold_2")?, "folds do not differ");

    let refused = sconce(folder, format!("{line} --device cpu").split(' '))?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.error().contains("continue them with --resume"), "{refused:?}");
    // One that is gone is made again, beside others or alone.
    let before = weights("folds/fold_0")?;
    fs::remove_dir_all(folder.join("folds/fold_0"))?;
    let report = json(folder, &format!("{line} --device cpu,cpu --resume"))?;
    assert_eq!(report["folds"].as_array().map(Vec::len), Some(3), "{report}");
    assert!(weights("folds/fold_0")? == before, "the fold is another one");
    // The folder is a model: the folds are averaged.
    good(folder, "predict -m folds -i data/case01/image.nii.gz -o out --device cpu")?;
    assert!(folder.join("out/image.nii.gz").is_file());
    assert_no_partial(folder)
}

#[test]
fn a_fold_that_fails_is_named() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let line = "train run.toml --data data --output folds --fold all --device cpu \
                --set train.learning_rate=1e30";

    let failed = sconce(workplace.path(), line.split_whitespace())?;

    assert_eq!(failed.code, Some(1), "{failed:?}");
    let last = failed.err.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: fold 0 failed, as said above"), "{failed:?}");
    Ok(())
}

#[test]
fn a_run_on_two_devices_is_refused() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let line = "train run.toml --data data --output run --device cpu,cpu";

    let refused = sconce(workplace.path(), line.split(' '))?;

    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.error().contains("several are for --fold all"), "{refused:?}");
    assert!(!workplace.path().join("run").exists());
    Ok(())
}
