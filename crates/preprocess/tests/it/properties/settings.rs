use anyhow::Context;
use ndarray::Array4;
use sconce_preprocess::augment::TransformConfig;
use sconce_preprocess::{
    Augmentation, Error, Fingerprint, Fusion, LabelSmoothing, Normalize, NormalizeScheme, Plan,
    PlanConfig, rng,
};
use serde::{Deserialize, Serialize};
use volume::{Grid, Image, Label, LabelMap};

use super::{image, label_map, plan};

/// A run file, as far as it concerns this crate: what a run file of `engine` calls its settings.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Run {
    labels: Labels,
    preprocess: PlanConfig,
    augment: Augmentation,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Labels {
    fusion: Fusion,
}

#[test]
fn settings_survive_a_run_file() -> anyhow::Result<()> {
    let text = r#"
        [labels]
        fusion.weighted_mean = {}

        [preprocess]
        spacing = [1.0, 0.5, 0.5]
        patch_size = [40, 56, 40]
        normalize = ["rescale_to_0_1"]

        [[augment]]
        spatial = { rotation = 15.0 }
        [[augment]]
        gamma = { invert = true, probability = 0.2 }
    "#;

    let run: Run = toml::from_str(text)?;

    assert_eq!(run.labels.fusion, Fusion::WeightedMean { quirk: false });
    assert_eq!(run.preprocess.normalize, Some(vec![NormalizeScheme::RescaleTo01]));
    let names: Vec<_> = run.augment.transforms().iter().map(TransformConfig::name).collect();
    assert_eq!(names, ["spatial", "gamma"]);
    assert_eq!(toml::from_str::<Run>(&toml::to_string(&run)?)?, run);
    assert_eq!(toml::from_str::<Run>("")?, Run::default());
    assert_eq!(toml::from_str::<Run>("augment = []")?.augment, Augmentation::none());
    Ok(())
}

#[test]
fn label_smoothing_survives_a_file() -> anyhow::Result<()> {
    let text = r#"{ "boundary": { "epsilon": 0.5, "kernel": 3 } }"#;

    let smoothing: LabelSmoothing = serde_json::from_str(text)?;

    let again = serde_json::from_str(&serde_json::to_string(&smoothing)?)?;
    assert_eq!(smoothing, again);
    assert!(serde_json::from_str::<LabelSmoothing>(r#"{ "boundary": { "kernels": 3 } }"#).is_err());
    Ok(())
}

#[test]
fn settings_out_of_range_are_refused_where_they_stand() {
    let refusals = [
        ("[preprocess]\nspaceing = [1, 1, 1]", "unknown field `spaceing`"),
        ("[[augment]]\nnoise = { probability = 1.5 }", "1.5 is not a number from 0 to 1"),
        ("[[augment]]\nblur = { sigma = [1.0, 0.5] }", "[1.0, 0.5] is not a range"),
        ("[[augment]]\ngamma = { gamma = [0.0, 1.0] }", "[0.0, 1.0] is not a range"),
        ("[[augment]]\nspatial = { rotation = 200.0 }", "200 is not an angle"),
        ("[[augment]]\nelastic = {}", "unknown variant `elastic`"),
        ("labels.fusion = \"median\"", "unknown variant `median`"),
    ];
    for (text, expected) in refusals {
        let error = toml::from_str::<Run>(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn every_transform_has_settings_that_survive_a_file() -> anyhow::Result<()> {
    for transform in TransformConfig::defaults() {
        let augmentation = Augmentation::new(vec![transform]);
        let text = serde_json::to_string(&augmentation)?;
        assert_eq!(serde_json::from_str::<Augmentation>(&text)?, augmentation);
    }
    Ok(())
}

#[test]
fn plans_and_fingerprints_survive_a_file() -> anyhow::Result<()> {
    let grid = Grid::new([6, 7, 8], [2.0, 1.0, 1.0])?;
    let (image, mut random) = image(&grid, 4);
    let label = Label::Hard(label_map(&grid, 2, &mut random));
    let mut fingerprint = Fingerprint::new(2);
    fingerprint.add(&image, Some(&label));
    let plan = plan(&image, &label, &PlanConfig::default());

    let text = serde_json::to_string(&fingerprint)?;
    assert_eq!(serde_json::from_str::<Fingerprint>(&text)?, fingerprint);
    let text = serde_json::to_string(&plan)?;
    assert_eq!(serde_json::from_str::<Plan>(&text)?, plan);
    let case = plan.prepare(&image, None)?;
    let text = serde_json::to_string(&case.restore)?;
    assert_eq!(serde_json::from_str::<sconce_preprocess::Restore>(&text)?, case.restore);
    Ok(())
}

/// Three cases of thick coronal slices, one of them thinner.
fn thick() -> anyhow::Result<Fingerprint> {
    let mut fingerprint = Fingerprint::new(1);
    for (seed, thickness) in [(1, 5.0), (2, 8.0), (3, 8.0)] {
        let direction = [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]];
        let spacing = [thickness, 1.0, 1.0];
        let grid = Grid { size: [10, 64, 60], spacing, origin: [0.0; 3], direction };
        let mut random = rng(seed, 0, "thick");
        let label = label_map(&Grid { size: [10, 10, 10], ..grid.clone() }, 1, &mut random);
        let data =
            ndarray::Array3::from_shape_fn(grid.size, |(z, y, x)| label.data[[z, y % 10, x % 10]]);
        let label = Label::Hard(LabelMap::new(grid.clone(), data)?);
        let data = Array4::from_shape_fn((1, 10, 64, 60), |(_, z, y, x)| (1 + z * y + x) as f32);
        fingerprint.add(&Image::new(grid, data)?, Some(&label));
    }
    Ok(fingerprint)
}

#[test]
fn thick_slices_come_first_and_are_made_thinner() -> anyhow::Result<()> {
    let plan = Plan::new(&PlanConfig::default(), &thick()?, &["CT".to_owned()])?;

    // Slices run along A, the second of the turned axes; the tenth percentile of 5, 8, 8 is 5.6.
    assert_eq!((plan.rank, plan.transpose), (3, [1, 0, 2]));
    approx::assert_abs_diff_eq!(plan.spacing[0], 5.6, epsilon = 1e-9);
    assert_eq!(plan.topology().kernel_sizes[0], [1, 3, 3]);
    let Normalize::Ct { lower, mean, upper, .. } = plan.normalize[0] else {
        anyhow::bail!("CT is clipped")
    };
    assert!(lower < mean && mean < upper);
    Ok(())
}

#[test]
fn what_cannot_be_planned_is_refused() -> anyhow::Result<()> {
    let names = ["CT".to_owned()];
    let new = |config: &PlanConfig, fingerprint: &Fingerprint| {
        Plan::new(config, fingerprint, &names).unwrap_err()
    };
    let default = PlanConfig::default();

    assert_eq!(new(&default, &Fingerprint::new(1)), Error::NoCases);
    let mut unlabelled = Fingerprint::new(1);
    let grid = Grid::new([4, 4, 4], [1.0; 3])?;
    unlabelled.add(&Image::new(grid, Array4::ones((1, 4, 4, 4)))?, None);
    assert_eq!(new(&default, &unlabelled), Error::NoForeground { channel: "CT".to_owned() });
    let two = Plan::new(&default, &unlabelled, &["CT".to_owned(), "PET".to_owned()]).unwrap_err();
    assert_eq!(two, Error::Channels { expected: 2, actual: 1 });

    let refusals = [
        (PlanConfig { rank: Some(4), ..default.clone() }, "preprocess.rank is 4"),
        (PlanConfig { spacing: Some([1.0, 0.0, 1.0]), ..default.clone() }, "preprocess.spacing"),
        (PlanConfig { patch_size: Some([0, 4, 4]), ..default.clone() }, "preprocess.patch_size"),
        (PlanConfig { transpose: Some([0, 0, 1]), ..default.clone() }, "preprocess.transpose"),
        (PlanConfig { memory: Some(-1.0), ..default.clone() }, "preprocess.memory is -1 GB"),
        (PlanConfig { patch_size: Some([1, 8, 8]), ..default.clone() }, "does not suit rank 3"),
        (
            PlanConfig { patch_size: Some([1, 100_000, 100_000]), ..default.clone() },
            "preprocess.patch_size is [1, 100000, 100000], more than 2^32 voxels; use a smaller patch",
        ),
        (
            PlanConfig { patch_size: Some([usize::MAX; 3]), ..default.clone() },
            "more than 2^32 voxels; use a smaller patch",
        ),
        (
            PlanConfig { normalize: Some(vec![NormalizeScheme::Ct; 3]), ..default.clone() },
            "preprocess.normalize lists 3 schemes for 1 channels",
        ),
    ];
    let fingerprint = thick()?;
    for (config, expected) in refusals {
        let error = new(&config, &fingerprint).to_string();
        assert!(error.contains(expected), "{error}");
    }
    Ok(())
}

#[test]
fn cases_that_do_not_suit_the_plan_are_refused() -> anyhow::Result<()> {
    let grid = Grid::new([4, 4, 4], [1.0; 3])?;
    let (image, mut random) = image(&grid, 1);
    let label = Label::Hard(label_map(&grid, 1, &mut random));
    let plan = plan(&image, &label, &PlanConfig::default());

    let elsewhere = Grid { origin: [50.0, 0.0, 0.0], ..grid.clone() };
    let moved = Label::Hard(label_map(&elsewhere, 1, &mut random));
    let error = plan.prepare(&image, Some((&moved, 2, &Fusion::Mean, &mut random))).unwrap_err();
    assert!(error.to_string().starts_with("label and image lie on different grids: origin"));

    let mut broken = image.clone();
    broken.data[[1, 2, 3, 0]] = f32::NAN;
    let error = plan.prepare(&broken, None).unwrap_err().to_string();
    assert!(error.starts_with("channel 1 is NaN at voxel [2, 3, 0]"), "{error}");

    let fine = Plan { spacing: [1e-9; 3], ..plan.clone() };
    let error = fine.prepare(&image, None).unwrap_err().to_string();
    assert!(error.ends_with("use a coarser preprocess.spacing"), "{error}");
    let twisted = Plan { transpose: [0, 0, 1], ..plan.clone() };
    let error = twisted.prepare(&image, None).unwrap_err().to_string();
    assert_eq!(error, "the plan's transpose is [0, 0, 1]; use 0, 1 and 2 once each");

    let one = Image::new(grid, Array4::ones((1, 4, 4, 4)))?;
    let error = plan.prepare(&one, None).err().context("refused")?;
    assert_eq!(error, Error::Channels { expected: 2, actual: 1 });
    Ok(())
}
