use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, ensure};
use golden::{Case, Group, Tolerance, close, number};
use ndarray::{Array3, Axis};
use sconce_preprocess::{
    Fusion, GridRule, Interpolation, Normalize, NormalizeScheme, Plan, Prepared, Truth, rng,
};
use serde_json::Value;
use volume::{Image, Label};

use super::{EXEMPT, channels, wide};

#[test]
fn golden_nnunet_preprocessing() {
    let mine = |case: &Case| case.function == "DefaultPreprocessor.run_case";
    Group::load("nnunet").check(mine, EXEMPT, run);
}

fn run(case: &Case) -> anyhow::Result<()> {
    let file = |name: &Value| {
        let name = name.as_str().context("not the name of a file")?;
        anyhow::Ok(case.file("nnunet", name))
    };
    let files = case.inputs["files"].as_array().context("no files")?;
    let images: Vec<Image> = files
        .iter()
        .map(|name| Ok(data::read_image(file(name)?)?))
        .collect::<anyhow::Result<_>>()?;
    let label = data::read_label_map(file(&case.inputs["label"])?)?;
    let classes = usize::from(label.values().into_iter().max().context("no label")?) + 1;
    let text = fs::read_to_string(file(&case.params["plans"])?)?;
    let plan = plan(case, &serde_json::from_str(&text)?)?;

    let mut rng = rng(0, 0, "golden");
    let annotation = (&Label::Hard(label), classes, &Fusion::Mean, &mut rng);
    let prepared = plan.prepare(&Image::stack(&images)?, Some(annotation))?;

    compare(case, &prepared)?;
    locations(case, &prepared)
}

fn compare(case: &Case, prepared: &Prepared) -> anyhow::Result<()> {
    let region = prepared.restore.region();
    let bounds: [[usize; 2]; 3] =
        std::array::from_fn(|axis| [region.start[axis], region.start[axis] + region.size[axis]]);
    let expected: [[usize; 2]; 3] =
        serde_json::from_value(case.expected["bbox_used_for_cropping"].clone())?;
    ensure!(bounds == expected, "cropped to {bounds:?}, not to {expected:?}");

    let tolerance = Tolerance::new(0.0, 1e-3);
    let expected = case.output("data")?;
    ensure!(prepared.image.shape() == expected.shape, "{:?}", prepared.image.shape());
    close(&wide(&prepared.image), &expected.values, case.tolerance("data", tolerance))?;

    let Some(Truth::Hard(labels)) = &prepared.truth else { anyhow::bail!("no hard truth") };
    // −1 is outside there, and background here.
    let expected = channels::<f64>(&case.output("seg")?)?;
    let expected: Array3<u16> = expected.index_axis(Axis(0), 0).mapv(|label| label.max(0.0) as u16);
    let different = labels.iter().zip(&expected).filter(|(a, e)| a != e).count();
    let allowed = number(&case.tolerance["seg"]["max_mismatch_fraction"])?;
    ensure!(different as f64 <= allowed * labels.len() as f64, "{different} labels differ");
    Ok(())
}

/// As many voxels of each class, or union of classes, as long as none had to be left out.
fn locations(case: &Case, prepared: &Prepared) -> anyhow::Result<()> {
    const MOST: usize = 10_000;
    let voxels = prepared.image.len() / prepared.image.shape()[0];
    let allowed = number(&case.tolerance["seg"]["max_mismatch_fraction"])? * voxels as f64;
    let expected: BTreeMap<String, usize> =
        serde_json::from_value(case.expected["class_location_counts"].clone())?;
    for (names, count) in expected.into_iter().filter(|&(_, count)| count < MOST) {
        let mut found = 0;
        for class in names.split(',') {
            found += prepared.locations.classes[class.trim().parse::<usize>()?].len();
        }
        let far = found.abs_diff(count) as f64 > allowed;
        ensure!(!far, "{found} voxels of class {names}, not {count}");
    }
    Ok(())
}

fn plan(case: &Case, plans: &Value) -> anyhow::Result<Plan> {
    let name = case.params["configuration"].as_str().context("no configuration")?;
    let configuration = &plans["configurations"][name];
    let spacing: Vec<f64> = serde_json::from_value(configuration["spacing"].clone())?;
    let patch: Vec<usize> = serde_json::from_value(configuration["patch_size"].clone())?;
    let rank = spacing.len();
    let schemes: Vec<String> =
        serde_json::from_value(configuration["normalization_schemes"].clone())?;
    let masks: Vec<bool> = serde_json::from_value(configuration["use_mask_for_norm"].clone())?;
    let normalize = schemes.iter().zip(masks).enumerate().map(|(channel, (scheme, masked))| {
        let known = &plans["foreground_intensity_properties_per_channel"][channel.to_string()];
        let known = |key: &str| number(&known[key]);
        Ok(match NormalizeScheme::for_channel(scheme.trim_end_matches("Normalization"), masked) {
            NormalizeScheme::Ct => Normalize::Ct {
                mean: known("mean")?,
                std: known("std")?,
                lower: known("percentile_00_5")?,
                upper: known("percentile_99_5")?,
            },
            _ => Normalize::ZScore { masked },
        })
    });
    let threefold =
        |axis: usize, values: &[f64]| (axis + rank).checked_sub(3).map_or(1.0, |axis| values[axis]);
    Ok(Plan {
        schema: Plan::SCHEMA,
        rank,
        canonical: false,
        transpose: serde_json::from_value(plans["transpose_forward"].clone())?,
        crop_to_nonzero: true,
        normalize: normalize.collect::<anyhow::Result<_>>()?,
        resample: true,
        spacing: std::array::from_fn(|axis| threefold(axis, &spacing)),
        interpolation: Interpolation::Cubic,
        grid: GridRule::Nnunet,
        median_size: [1.0; 3],
        patch_size: std::array::from_fn(|axis| {
            (axis + rank).checked_sub(3).map_or(1, |axis| patch[axis])
        }),
        context: 0,
        batch_size: 2,
    })
}
