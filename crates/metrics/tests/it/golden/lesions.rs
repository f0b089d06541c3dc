use anyhow::{Context, bail, ensure};
use golden::{Case, Tolerance};
use ndarray::ArrayD;
use sconce_metrics::{Brats, Lesions, MaskPair};
use serde_json::{Value, json};
use volume::Connectivity;

use super::{agree, labels, numbers};

/// Components matched by any overlap, and the rules of BraTS 2023.
pub(super) fn lesion_wise(case: &Case) -> anyhow::Result<()> {
    let (reference, prediction) = (labels(case, "gt")?, labels(case, "pred")?);
    let spacing = numbers(case, "spacing")?;
    let pair = |region: &str| -> anyhow::Result<MaskPair> {
        let members: &[u16] = match region {
            "WT" => &[1, 2, 3],
            "TC" => &[1, 3],
            "ET" => &[3],
            other => bail!("unknown region {other}"),
        };
        let mask = |labels: &ArrayD<u16>| labels.mapv(|label| members.contains(&label));
        Ok(MaskPair::new(&mask(&reference), &mask(&prediction), &spacing)?)
    };
    let tolerance = case.tolerance("", Tolerance::new(1e-6, 0.0));
    for (name, expected) in case.expected.as_object().context("expected")? {
        let expected = expected.as_object().context("a block")?;
        for (key, expected) in expected {
            let context = || format!("{name} {key}");
            if let Some(region) = name.strip_prefix("simple_") {
                let connectivity = match key.as_str() {
                    "6" => Connectivity::Faces,
                    "18" => Connectivity::Edges,
                    "26" => Connectivity::Corners,
                    other => bail!("no voxel has {other} neighbours"),
                };
                let lesions = Lesions::of(&pair(region)?, connectivity);
                simple(&lesions, expected, tolerance).with_context(context)?;
            } else {
                let rules = match name.as_str() {
                    "BraTS-GLI" | "BraTS-SSA" | "BraTS-PED" => Brats::glioma_2023(),
                    "BraTS-MEN" => Brats::meningioma_2023(),
                    "BraTS-MET" => Brats::metastasis_2023(),
                    other => bail!("unknown challenge {other}"),
                };
                brats(&rules, &pair(key)?, expected, tolerance).with_context(context)?;
            }
        }
    }
    Ok(())
}

fn simple(lesions: &Lesions, expected: &Value, tolerance: Tolerance) -> anyhow::Result<()> {
    let descending = |mut sizes: Vec<usize>| {
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        json!(sizes)
    };
    for (name, expected) in expected.as_object().context("numbers")? {
        let exact = match name.as_str() {
            "n_gt" => json!(lesions.reference.len()),
            "n_pred" => json!(lesions.prediction.len()),
            "gt_detected" => json!(lesions.found()),
            "pred_matched" => json!(lesions.matched()),
            "fp_lesions" => json!(lesions.false_alarms()),
            "fn_lesions" => json!(lesions.missed()),
            "gt_component_sizes" => {
                descending(lesions.reference.iter().map(|lesion| lesion.voxels).collect())
            }
            "pred_component_sizes" => {
                descending(lesions.prediction.iter().map(|candidate| candidate.voxels).collect())
            }
            "per_gt_lesion" => {
                per_lesion(lesions, expected, tolerance)?;
                continue;
            }
            score => {
                let ours = match score {
                    "lesion_sensitivity" => lesions.sensitivity(),
                    "lesion_precision" => lesions.precision(),
                    "lesion_f1" => lesions.f1(),
                    other => bail!("unknown score {other}"),
                };
                agree(ours, expected, tolerance).with_context(|| name.clone())?;
                continue;
            }
        };
        ensure!(exact == *expected, "{name} is {exact}, but the reference has {expected}");
    }
    Ok(())
}

fn per_lesion(lesions: &Lesions, expected: &Value, tolerance: Tolerance) -> anyhow::Result<()> {
    let expected = expected.as_array().context("a list of lesions")?;
    ensure!(expected.len() == lesions.reference.len(), "{} lesions", expected.len());
    for (lesion, expected) in lesions.reference.iter().zip(expected) {
        let labels: Vec<usize> = lesion.candidates.iter().map(|at| at + 1).collect();
        ensure!(json!(lesion.voxels) == expected["volume"], "{} voxels", lesion.voxels);
        ensure!(json!(labels) == expected["pred_ids"], "matched by {labels:?}");
        agree(Some(lesion.dice), &expected["dice"], tolerance)?;
    }
    Ok(())
}

fn brats(
    rules: &Brats,
    pair: &MaskPair,
    expected: &Value,
    tolerance: Tolerance,
) -> anyhow::Result<()> {
    let score = rules.measure(pair);
    for (name, expected) in expected.as_object().context("numbers")? {
        let ours = match name.as_str() {
            "Num_TP" => score.found as f64,
            "Num_FP" => score.false_alarms as f64,
            "Num_FN" => score.missed as f64,
            "Sensitivity" => score.sensitivity,
            "Specificity" => score.specificity,
            "Legacy_Dice" => score.dice,
            "Legacy_HD95" => score.hd95,
            "GT_Complete_Volume" => score.volume,
            "LesionWise_Score_Dice" => score.lesion_dice,
            "LesionWise_Score_HD95" => score.lesion_hd95,
            other => bail!("unknown number {other}"),
        };
        agree(Some(ours), expected, tolerance).with_context(|| name.clone())?;
    }
    Ok(())
}
