//! Files against files: several raters, whose definition, challenges, tables, and comparisons.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::program::{good, json, sconce};

/// Three cases in the plane, of which three raters' masks lie in folders of their own, and are predictions too.
fn raters(folder: &Path) -> anyhow::Result<()> {
    good(folder, "dataset phantom data --cases 3 --raters 3 --rank 2")?;
    for rater in 1..=3 {
        let own = folder.join(format!("rater{rater}"));
        fs::create_dir(&own)?;
        for case in 1..=3 {
            let file = format!("data/case{case:02}/task01_seg{rater:02}.nii.gz");
            fs::copy(folder.join(file), own.join(format!("case{case}.nii.gz")))?;
        }
    }
    Ok(())
}

const RATERS: &str = "--references rater1 rater2 rater3 --classes 1=organ,2=lesion";

#[test]
fn a_rater_is_as_good_as_another_rater() -> anyhow::Result<()> {
    let workplace = tempfile::tempdir()?;
    let folder = workplace.path();
    raters(folder)?;

    let line = format!("evaluate --predictions rater1 {RATERS} --members rater2 rater3 -o scores");
    let found = json(folder, &line)?;

    let organ = &found["raters"]["organ"];
    assert_eq!(organ["as_good_as_a_rater"], json!(true));
    assert!(organ["difference"]["mean"].as_f64() > Some(0.0), "{organ}");
    assert_eq!(found["cases"][0]["raters"]["organ"]["dice"][0], json!(1.0));
    assert!(found["cases"][0]["doubt"]["disagreement"].as_f64() > Some(0.0));
    // As nnU-Net has it, too.
    assert_eq!(found["metric_per_case"][0]["prediction_file"], "rater1/case1.nii.gz");
    assert!(found["foreground_mean"]["Dice"].as_f64() > Some(0.5), "{found}");
    let table = fs::read_to_string(folder.join("scores/cases.csv"))?;
    assert!(table.starts_with("case,class,score,value,unit\ncase1,"), "{table}");
    let summary = fs::read(folder.join("scores/summary.json"))?;
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&summary)?, found);
    #[cfg(feature = "hub")]
    assert!(fs::read(folder.join("scores/cases.parquet"))?.starts_with(b"PAR1"));
    let text = good(folder, &format!("evaluate --predictions rater1 {RATERS}"))?;
    assert!(text.contains("organ: dice") && text.contains("with raters"), "{text}");
    Ok(())
}

#[test]
fn definitions_and_challenges_have_their_own_names() -> anyhow::Result<()> {
    let workplace = tempfile::tempdir()?;
    let folder = workplace.path();
    raters(folder)?;
    let line = "evaluate --predictions rater1 --references rater2 --classes 1=organ,2=lesion";

    let medpy = json(folder, &format!("{line} --definitions medpy --metrics hd95,nsd,mcc"))?;
    let names: Vec<&String> = medpy["masks"]["organ"].as_object().expect("scores").keys().collect();
    assert_eq!(names, ["hd95_medpy", "mcc"]);
    let text = medpy["definitions"]["hd95_medpy"]["text"].as_str().unwrap_or_default();
    assert!(text.contains("both directions together"), "{text}");

    let kits = json(folder, &format!("{line} --challenge kits23 --tolerance 1,2.5"))?;
    let regions = kits["challenge"]["regions"].as_object().expect("regions");
    assert!(regions.keys().eq(["kidney_and_mass", "mass", "tumor"]), "{regions:?}");
    assert!(kits["masks"]["organ"]["nsd_2.5mm"].is_object(), "{kits}");
    let text = good(folder, &format!("{line} --challenge lits"))?;
    assert!(text.contains("dice_global_liver"), "{text}");

    let wrong = |more: &str| sconce(folder, format!("{line} {more}").split(' '));
    assert_eq!(wrong("--challenge brats23:heart")?.code, Some(2));
    assert_eq!(wrong("--goal luck=1")?.code, Some(2));
    let unknown = wrong("--metrics fid")?;
    assert!(unknown.error().contains("fid is no score; there are dice"), "{unknown:?}");
    Ok(())
}

#[test]
fn what_has_no_other_half_is_named() -> anyhow::Result<()> {
    let workplace = tempfile::tempdir()?;
    let folder = workplace.path();
    raters(folder)?;
    fs::remove_file(folder.join("rater1/case2.nii.gz"))?;
    fs::copy(folder.join("rater1/case1.nii.gz"), folder.join("rater1/other.nii.gz"))?;
    let line = "evaluate --predictions rater1 --references rater2";

    let ran = sconce(folder, line.split(' '))?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        ran.error(),
        "error: rater1 has no prediction of case2; predict them, or score the others alone with --allow-missing"
    );
    let found = json(folder, &format!("{line} --allow-missing"))?;
    let unmatched = json!({ "predictions": ["other"], "references": ["case2"] });
    assert_eq!(
        (&found["unmatched"], found["cases"].as_array().map(Vec::len)),
        (&unmatched, Some(2))
    );
    // Nobody's names.
    fs::create_dir(folder.join("strangers"))?;
    fs::copy(folder.join("rater1/case1.nii.gz"), folder.join("strangers/x.nii.gz"))?;
    let ran = sconce(folder, "evaluate --predictions strangers --references rater2".split(' '))?;
    assert!(
        ran.error().contains("no prediction in strangers has the name of a reference"),
        "{ran:?}"
    );
    Ok(())
}

#[test]
fn predictions_are_held_against_a_data_set_and_compared() -> anyhow::Result<()> {
    let workplace = tempfile::tempdir()?;
    let folder = workplace.path();
    raters(folder)?;
    for rater in 1..=2 {
        for case in 1..=3 {
            let own = folder.join(format!("rater{rater}"));
            fs::rename(
                own.join(format!("case{case}.nii.gz")),
                own.join(format!("case{case:02}.nii.gz")),
            )?;
        }
        let line = format!("evaluate --predictions rater{rater} --data data -o scores{rater}");
        let found = json(folder, &line)?;
        assert_eq!(found["cases"].as_array().map(Vec::len), Some(3), "{found}");
        assert!(found["raters"].is_object(), "{found}");
    }

    let found = json(folder, "compare scores1 scores2 --metrics dice,hd95 -o comparison.json")?;
    assert_eq!(found["models"], json!(["rater1", "rater2"]));
    assert_eq!(found["scores"].as_array().map(Vec::len), Some(2));
    assert!(folder.join("comparison.json").is_file());
    let text = good(folder, "compare scores1 scores2 --class organ")?;
    assert!(text.contains("rater1 − rater2: ") && text.contains("3 cases"), "{text}");
    let ran = sconce(folder, "compare scores1 data".split(' '))?;
    assert!(ran.error().contains("data is not usable: it holds no evaluation"), "{ran:?}");
    Ok(())
}
