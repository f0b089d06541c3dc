use anyhow::{Context, bail, ensure};
use golden::{Case, Tolerance};
use sconce_metrics::{
    Accuracy, Asd, Assd, BalancedAccuracy, Dice, Empty, Hd, Hd95, Iou, MaskPair, Mcc, Metric,
    NonNegative, Nsd, Precision, Recall, Sides, Specificity, Summary, Surface, VolumeDifference,
    VolumeError, VolumetricSimilarity,
};
use serde_json::Value;

use super::{agree, labels, mask, numbers, tolerance_of};

pub(super) fn segmentation_metrics(case: &Case) -> anyhow::Result<()> {
    let pair = MaskPair::new(&mask(case, "gt")?, &mask(case, "pred")?, &numbers(case, "spacing")?)?;
    let blocks = case.expected.as_object().context("expected blocks")?;
    for (block, expected) in blocks {
        let expected = expected.as_object().context("a block of numbers")?;
        for (name, expected) in expected {
            let tolerance = tolerance_of(case, block);
            match block.as_str() {
                "counts" => count(&pair, name, expected),
                "formula" => agree(formula(&pair, name)?, expected, tolerance),
                "medpy" => medpy(&pair, name, expected, tolerance),
                "monai" => monai(&pair, name, expected, tolerance),
                "deepmind_surface_distance" => deepmind(&pair, name, expected, tolerance),
                other => bail!("unknown block {other}"),
            }
            .with_context(|| format!("{block} {name}"))?;
        }
    }
    Ok(())
}

fn count(pair: &MaskPair, name: &str, expected: &Value) -> anyhow::Result<()> {
    let counts = pair.counts();
    let ours = match name {
        "tp" => counts.true_positives,
        "fp" => counts.false_positives,
        "fn" => counts.false_negatives,
        "tn" => counts.true_negatives,
        other => bail!("unknown count {other}"),
    };
    ensure!(Some(ours) == expected.as_u64(), "{ours}, but the reference is {expected}");
    Ok(())
}

fn formula(pair: &MaskPair, name: &str) -> anyhow::Result<Option<f64>> {
    let counts = pair.counts();
    let volume = |voxels: u64| Some(voxels as f64 * pair.voxel_volume());
    Ok(match name {
        "dice" => Dice::default().measure(pair),
        "iou" => Iou::default().measure(pair),
        "precision" => Precision {}.measure(pair),
        "recall" => Recall {}.measure(pair),
        "specificity" => Specificity {}.measure(pair),
        "accuracy" => Accuracy {}.measure(pair),
        "volume_pred_mm3" => volume(counts.prediction()),
        "volume_gt_mm3" => volume(counts.reference()),
        "abs_volume_diff_mm3" => VolumeDifference {}.measure(pair).map(f64::abs),
        "rel_volume_error" => VolumeError {}.measure(pair),
        "volumetric_similarity" => VolumetricSimilarity {}.measure(pair),
        other => bail!("unknown metric {other}"),
    })
}

fn medpy(
    pair: &MaskPair,
    name: &str,
    expected: &Value,
    tolerance: Tolerance,
) -> anyhow::Result<()> {
    let ours = match name {
        "dc" => Dice::default().measure(pair),
        "jc" => Iou { empty: Empty::Perfect }.measure(pair),
        "precision" => Precision {}.measure(pair),
        "recall" => Recall {}.measure(pair),
        "specificity" => Specificity {}.measure(pair),
        "ravd" => VolumeError {}.measure(pair),
        connectivity => {
            let surface = match (connectivity, pair.rank()) {
                ("connectivity1", _) => Surface::Voxels,
                ("connectivity2", _) => Surface::VoxelsEdges,
                ("connectivity3", 3) => Surface::VoxelsCorners,
                _ => bail!("unknown metric {name}"),
            };
            for (name, expected) in expected.as_object().context("distances")? {
                let ours = match name.as_str() {
                    "hd" => Hd { surface }.measure(pair),
                    "hd95" => Hd95 { surface, sides: Sides::Pooled }.measure(pair),
                    "asd" => Asd { surface }.measure(pair),
                    "assd" => Assd { surface }.measure(pair),
                    other => bail!("unknown distance {other}"),
                };
                agree(ours, expected, tolerance).with_context(|| name.clone())?;
            }
            return Ok(());
        }
    };
    agree(ours, expected, tolerance)
}

fn monai(
    pair: &MaskPair,
    name: &str,
    expected: &Value,
    tolerance: Tolerance,
) -> anyhow::Result<()> {
    let ours = match name {
        "dice_ignore_empty_True" => Dice { empty: Empty::SkipReference }.measure(pair),
        "iou_ignore_empty_True" => Iou { empty: Empty::SkipReference }.measure(pair),
        "dice_ignore_empty_False" => Dice { empty: Empty::Perfect }.measure(pair),
        "iou_ignore_empty_False" => Iou { empty: Empty::Perfect }.measure(pair),
        "precision" => Precision {}.measure(pair),
        "sensitivity" => Recall {}.measure(pair),
        "specificity" => Specificity {}.measure(pair),
        "accuracy" => Accuracy {}.measure(pair),
        "f1_score" => Dice::default().measure(pair),
        "threat_score" => Iou::default().measure(pair),
        "balanced_accuracy" => BalancedAccuracy {}.measure(pair),
        "matthews_correlation_coefficient" => Mcc {}.measure(pair),
        "hd" => Hd { surface: Surface::Voxels }.measure(pair),
        "hd95" => Hd95::monai().measure(pair),
        "hd_directed" => pair.surfaces(Surface::Voxels).from_prediction.maximum(),
        "asd" => Asd { surface: Surface::Voxels }.measure(pair),
        "assd" => Assd { surface: Surface::Voxels }.measure(pair),
        "nsd" => return surface_dice(pair, Surface::Voxels, expected, tolerance),
        "nsd_subvoxels" => return surface_dice(pair, Surface::Elements, expected, tolerance),
        other => bail!("unknown metric {other}"),
    };
    agree(ours, expected, tolerance)
}

fn deepmind(
    pair: &MaskPair,
    name: &str,
    expected: &Value,
    tolerance: Tolerance,
) -> anyhow::Result<()> {
    let surfaces = pair.surfaces(Surface::Elements);
    let (gt, pred) = (&surfaces.from_reference, &surfaces.from_prediction);
    let ours = match name {
        "n_surfels_gt" => Some(gt.len() as f64),
        "n_surfels_pred" => Some(pred.len() as f64),
        "total_surface_area_gt" => Some(gt.area()),
        "total_surface_area_pred" => Some(pred.area()),
        "average_surface_distance_gt_to_pred" => gt.mean(),
        "average_surface_distance_pred_to_gt" => pred.mean(),
        "robust_hausdorff_95" => Hd95::deepmind().measure(pair),
        "robust_hausdorff_100" => Hd { surface: Surface::Elements }.measure(pair),
        "surface_dice_at_tolerance" => {
            return surface_dice(pair, Surface::Elements, expected, tolerance);
        }
        "surface_overlap_at_tolerance" => {
            for (mm, expected) in expected.as_object().context("tolerances")? {
                agree(gt.share_within(mm.parse()?), &expected[0], tolerance)?;
                agree(pred.share_within(mm.parse()?), &expected[1], tolerance)?;
            }
            return Ok(());
        }
        other => bail!("unknown metric {other}"),
    };
    agree(ours, expected, tolerance)
}

fn surface_dice(
    pair: &MaskPair,
    surface: Surface,
    expected: &Value,
    tolerance: Tolerance,
) -> anyhow::Result<()> {
    for (mm, expected) in expected.as_object().context("tolerances")? {
        let nsd = Nsd {
            tolerance: NonNegative::try_from(mm.parse::<f64>()?)?,
            surface,
            empty: Empty::Undefined,
        };
        agree(nsd.measure(pair), expected, tolerance).with_context(|| format!("at {mm} mm"))?;
    }
    Ok(())
}

/// Dice of each image and class, and the means that MONAI makes of them.
pub(super) fn multiclass_dice(case: &Case) -> anyhow::Result<()> {
    let (reference, prediction) = (labels(case, "gt")?, labels(case, "pred")?);
    let classes = u16::try_from(case.params["num_classes"].as_u64().context("num_classes")?)?;
    let spacing = vec![1.0; reference.ndim() - 1];
    let mut pairs = Vec::new();
    for (reference, prediction) in reference.outer_iter().zip(prediction.outer_iter()) {
        let of_class = |class| {
            let mask = |labels: &ndarray::ArrayViewD<'_, u16>| labels.mapv(|label| label == class);
            MaskPair::new(&mask(&reference), &mask(&prediction), &spacing)
        };
        pairs.push((0..classes).map(of_class).collect::<Result<Vec<_>, _>>()?);
    }
    let scores = |first: usize, metric: &dyn Metric| -> Table {
        let image = |pairs: &Vec<MaskPair>| {
            pairs[first..].iter().map(|pair| metric.measure(pair)).collect()
        };
        pairs.iter().map(image).collect()
    };
    let tolerance = tolerance_of(case, "");
    for (name, expected) in case.expected.as_object().context("expected")? {
        let context = || name.clone();
        if name == "per_class_counts" {
            counts(&pairs, expected).with_context(context)?;
        } else if name == "generalized_dice_score" {
            // Of one class at a time, the weights cancel.
            let ours = scores(0, &Dice { empty: Empty::Perfect });
            reduced(&ours, "none", expected, tolerance).with_context(context)?;
        } else {
            let rest = name.strip_prefix("dice_bg").or(name.strip_prefix("iou_bg"));
            let (background, rest) =
                rest.and_then(|rest| rest.split_once('_')).with_context(context)?;
            let (reduction, ignore) = rest.split_once("_ignore_empty").unwrap_or((rest, "1"));
            let empty = if ignore == "1" { Empty::SkipReference } else { Empty::Perfect };
            let metric: &dyn Metric =
                if name.starts_with("iou") { &Iou { empty } } else { &Dice { empty } };
            let first = usize::from(background == "0");
            reduced(&scores(first, metric), reduction, expected, tolerance)
                .with_context(context)?;
        }
    }
    Ok(())
}

/// One row for each image, one column for each class.
type Table = Vec<Vec<Option<f64>>>;

fn counts(pairs: &[Vec<MaskPair>], expected: &Value) -> anyhow::Result<()> {
    for (i, image) in pairs.iter().enumerate() {
        for (class, pair) in image.iter().enumerate() {
            for name in ["tp", "fp", "fn"] {
                count(pair, name, &expected[i][class][name])?;
            }
        }
    }
    Ok(())
}

/// MONAI's reductions: means over what is defined, then over the means that are.
fn reduced(
    table: &Table,
    reduction: &str,
    expected: &Value,
    tolerance: Tolerance,
) -> anyhow::Result<()> {
    let columns: Table =
        (0..table[0].len()).map(|class| table.iter().map(|image| image[class]).collect()).collect();
    let means = |lists: &Table| -> Vec<Option<f64>> {
        lists.iter().map(|list| Summary::of(list.iter().copied()).mean).collect()
    };
    let compare = |ours: &[Option<f64>], expected: &Value| {
        let expected = expected.as_array().context("a list")?;
        ensure!(ours.len() == expected.len(), "{} values", ours.len());
        let mut pairs = ours.iter().zip(expected);
        pairs.try_for_each(|(&ours, expected)| agree(ours, expected, tolerance))
    };
    match reduction {
        "none" => {
            let expected = expected.as_array().context("a table")?;
            ensure!(table.len() == expected.len(), "{} images", table.len());
            table.iter().zip(expected).try_for_each(|(ours, expected)| compare(ours, expected))
        }
        "mean" => agree(Summary::of(means(table)).mean, expected, tolerance),
        "mean_batch" => compare(&means(&columns), expected),
        "mean_channel" => compare(&means(table), expected),
        "sum" => agree(Some(table.iter().flatten().flatten().sum()), expected, tolerance),
        other => bail!("unknown reduction {other}"),
    }
}
