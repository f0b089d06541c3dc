//! One network of two data sets, each of which labels one organ: told in words which to segment.

use std::fs;
use std::path::Path;

use ndarray::Axis;
use sconce::data;

use crate::program::{Ran, assert_no_partial, good, json, sconce};
use crate::readme::root;

/// Phrases that neither the text encoder nor the network ever saw, each with its organ.
const HELD_OUT: &str = include_str!("../../../crates/text/examples/tiny/held_out.txt");

/// The value of an organ in `truth.nii.gz`.
const ORGANS: [(&str, usize); 2] = [("liver", 1), ("kidney", 2)];

const CASES: usize = 6;

/// The program, told some words.
fn told(folder: &Path, prompts: &[&str], more: &str) -> anyhow::Result<Ran> {
    let mut arguments: Vec<&str> = "predict -m packed -i images --device cpu".split(' ').collect();
    arguments.extend(more.split(' '));
    for prompt in prompts {
        arguments.extend(["--prompt", prompt]);
    }
    sconce(folder, arguments)
}

/// The mean Dice over cases of the label `value` in the predictions `output` with an organ's true extent.
fn dice(folder: &Path, output: &str, value: u16, organ: &str) -> anyhow::Result<f64> {
    let channel = ORGANS.iter().find(|(name, _)| *name == organ).expect("an organ").1;
    let mut sum = 0.0;
    for case in 1..=CASES {
        let truth =
            data::read_soft_labels(folder.join(format!("whole/case{case:02}/truth.nii.gz")))?;
        let found = data::read_label_map(folder.join(format!("{output}/case{case:02}.nii.gz")))?;
        let truth = truth.data.index_axis(Axis(0), channel).mapv(|p| p > 0.5);
        let found = found.data.mapv(|label| label == value);
        let both = truth.iter().zip(&found).filter(|(truth, found)| **truth && **found).count();
        let all = truth.iter().chain(&found).filter(|&&inside| inside).count();
        sum += 2.0 * both as f64 / all as f64;
    }
    Ok(sum / CASES as f64)
}

/// Two data sets, a network of both, packed, and images of a third with the truth.
fn workplace() -> anyhow::Result<tempfile::TempDir> {
    let workplace = tempfile::tempdir()?;
    let folder = workplace.path();
    let phantom = "dataset phantom --rank 2 --raters 2";
    good(folder, &format!("{phantom} organs/kidneys --cases 20 --organs kidney --seed 1"))?;
    good(folder, &format!("{phantom} organs/livers --cases 20 --organs liver --seed 2"))?;
    good(folder, &format!("{phantom} whole --cases {CASES} --organs liver,kidney --seed 3"))?;
    fs::create_dir(folder.join("images"))?;
    for case in 1..=CASES {
        let name = format!("case{case:02}");
        fs::copy(
            folder.join(format!("whole/{name}/image.nii.gz")),
            folder.join(format!("images/{name}.nii.gz")),
        )?;
    }
    let recipe = root().join("zoo/recipes/phantom-prompts.toml").canonicalize()?;
    fs::copy(recipe, folder.join("run.toml"))?;
    good(folder, "train run.toml --data organs --output run --device cpu")?;
    good(folder, "zoo pack run -o packed --name Organs --license cc0-1.0")?;
    assert_no_partial(folder)?;
    Ok(workplace)
}

#[test]
fn a_network_of_partial_labels_segments_what_it_is_told_in_any_words() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();

    // Both at once, by their names; and by phrases that nobody ever saw, a pair for each run.
    let phrases = |organ: &str| -> Vec<&str> {
        let lines = HELD_OUT.lines().filter_map(|line| line.split_once(": "));
        let own = lines.filter(|(of, _)| *of == organ).map(|(_, phrase)| phrase);
        std::iter::once(if organ == "liver" { "liver" } else { "kidney" }).chain(own).collect()
    };
    for (at, (kidney, liver)) in phrases("kidney").into_iter().zip(phrases("liver")).enumerate() {
        let output = format!("out{at}");
        let ran = told(folder, &[kidney, liver], &format!("-o {output}"))?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for (value, organ, prompt) in [(1, "kidney", kidney), (2, "liver", liver)] {
            let dice = dice(folder, &output, value, organ)?;
            assert!(dice >= 0.85, "{organ}, told {prompt:?}: Dice {dice}");
        }
    }

    // Without words, the classes in the order of the data sets.
    good(folder, "predict -m packed -i images -o plain --device cpu")?;
    assert_eq!(
        fs::read(folder.join("plain/case01.nii.gz"))?,
        fs::read(folder.join("out0/case01.nii.gz"))?
    );
    let mask = told(folder, &["left kidney"], "-o masks --masks")?;
    assert_eq!(mask.code, Some(0), "{mask:?}");
    assert!(folder.join("masks/masks/case01/left_kidney.nii.gz").is_file());

    what_it_does_not_know_is_not_guessed(folder)?;
    half_of_the_labels_are_never_scored_as_absent(folder)
}

fn what_it_does_not_know_is_not_guessed(folder: &Path) -> anyhow::Result<()> {
    for words in ["spleen", "the urinary bladder", "banana"] {
        let ran = told(folder, &["kidney", words], "-o unknown")?;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let start = format!("error: {words:?} is not among what this model knows; nearest: ");
        assert!(ran.error().starts_with(&start), "{ran:?}");
        assert!(ran.error().contains("kidney (") && ran.error().contains("liver ("), "{ran:?}");
        assert!(!folder.join("unknown").exists(), "something was written for {words}");
    }
    let shown = good(folder, "zoo show packed")?;
    assert!(shown.contains("kidney, liver") && shown.contains("prompts"), "{shown}");
    // Another encoder than its own.
    let path = folder.join("packed/text/model.safetensors");
    let own = fs::read(&path)?;
    fs::write(&path, &own[..own.len() - 1])?;
    let ran = told(folder, &["kidney"], "-o unknown")?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.error().contains("text/model.safetensors"), "{ran:?}");
    Ok(fs::write(&path, own)?)
}

fn half_of_the_labels_are_never_scored_as_absent(folder: &Path) -> anyhow::Result<()> {
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("run/validation/summary.json"))?)?;
    let cases = summary["cases"].as_array().expect("a list");
    for case in cases {
        let other = if case["id"].as_str().unwrap_or_default().starts_with("kidneys") {
            "liver"
        } else {
            "kidney"
        };
        assert_eq!(case["not_labelled"], serde_json::json!([other]));
        assert!(case["masks"][other]["dice"].is_null(), "{case}");
        assert!(case["voxels"].get(other).is_none(), "{case}");
    }
    let dice = &summary["masks"]["kidney"]["dice"];
    let defined = dice["defined"].as_u64().unwrap_or_default();
    let undefined = dice["undefined"].as_u64().unwrap_or_default();
    assert!(defined > 0 && undefined > 0, "{dice}");
    assert_eq!(defined + undefined, cases.len() as u64);
    let again = json(folder, "evaluate --model run --data organs")?;
    assert_eq!(again["masks"]["kidney"]["dice"]["undefined"], undefined);
    good(folder, "report run --output report.html").map(drop)
}
