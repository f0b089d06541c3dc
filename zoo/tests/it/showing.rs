use std::fs;

use sconce_zoo::{self as zoo, Content};
use serde_json::json;

use crate::fixture::{packed, run};

#[test]
fn a_summary_says_what_the_model_is() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;

    let summary = zoo::show(&model)?;

    let Content::Model(details) = &summary.content else { panic!("{summary}") };
    assert_eq!(details.name, "tiny organ");
    assert_eq!((details.architecture.as_str(), details.rank), ("unet", 2));
    assert_eq!(details.channels, ["CT", "PET"]);
    assert_eq!(details.classes, ["background", "organ", "lesion"]);
    assert_eq!(details.patch_size, [32, 48]);
    assert_eq!(details.spacing, Some(vec![0.5, 0.75]));
    assert_eq!(details.license.as_deref(), Some("cc-by-4.0"));
    let trained = zoo::load(&model)?;
    let count: usize = trained.parameters.values().map(candle::Tensor::elem_count).sum();
    assert_eq!(details.parameters, u64::try_from(count)?);
    let scores: Vec<_> =
        details.scores.iter().map(|headline| (headline.score.as_str(), headline.value)).collect();
    assert_eq!(scores[1..], [("nll", None), ("pooled_ece", Some(0.0625))]);
    assert!(summary.one_line().contains("tiny organ, unet 2D, "), "{}", summary.one_line());
    assert!(summary.one_line().contains(", Dice 0.850, cc-by-4.0, "), "{}", summary.one_line());
    let text = summary.to_string();
    assert!(text.contains("nll                 –\n"), "{text}");
    assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    Ok(())
}

#[test]
fn broken_models_are_listed_with_the_reason() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let good = packed(folder.path(), 1, "b/good")?;
    let cut = packed(folder.path(), 2, "a-cut")?;
    let whole = fs::read(cut.join("model.safetensors"))?;
    fs::write(cut.join("model.safetensors"), &whole[..100])?;
    let run = run(folder.path(), 3)?;
    fs::create_dir(folder.path().join("empty"))?;
    fs::remove_dir_all(folder.path().join("run-1"))?;
    fs::remove_dir_all(folder.path().join("run-2"))?;

    let found = zoo::list(folder.path())?;

    let folders: Vec<_> = found.iter().map(|summary| summary.folder.clone()).collect();
    assert_eq!(folders, [cut, good, run]);
    assert!(matches!(found[1].content, Content::Model(_)));
    let line = found[0].one_line();
    assert!(line.contains("NOT usable: ") && line.contains("header is cut short"), "{line}");
    let problem = "it has no SHA256SUMS; it looks like a run: pack it with `sconce zoo pack`";
    assert_eq!(found[2].content, Content::Problem(problem.to_owned()));
    assert_eq!(
        serde_json::to_value(&found[2])?,
        json!({ "folder": found[2].folder, "problem": problem })
    );
    Ok(())
}

#[test]
fn nothing_is_an_empty_list_and_nowhere_an_error() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;

    assert!(zoo::list(folder.path())?.is_empty());
    assert!(zoo::list(&folder.path().join("nowhere")).is_err());
    Ok(())
}
