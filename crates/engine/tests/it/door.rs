//! What a run asks for is checked at its door: before a case is read, and before memory is asked for.

use engine::{Error, RunConfig};
use losses::LossConfig;
use models::ModelConfig;
use tempfile::tempdir;

use crate::fixture::{Balls, config, train_into};

fn unet(settings: &str) -> ModelConfig {
    toml::from_str(&format!("[unet]\n{settings}")).expect("a network")
}

/// Why a run with changed settings is refused; its settings must be to blame.
fn refusal(balls: &Balls, change: impl FnOnce(&mut RunConfig)) -> String {
    let mut config = config(3, 1);
    change(&mut config);
    let folder = tempdir().expect("a folder");
    let error = train_into(folder.path(), &config, balls, false, None).expect_err("a refusal");
    assert!(matches!(error, Error::Unsuitable(_)), "{error}");
    assert!(!folder.path().join("run.toml").exists(), "nothing is written down");
    error.to_string()
}

/// As [`refusal`], where reading a case would panic.
fn unread(change: impl FnOnce(&mut RunConfig)) -> String {
    let mut balls = Balls::new(6, [8, 18, 20]);
    balls.cursed = Some("ball_4".to_owned());
    refusal(&balls, change)
}

#[test]
fn patches_and_batches_that_no_memory_holds_are_refused_before_a_case_is_read() {
    let patch = |patch_size: [usize; 3]| {
        unread(|config| {
            config.preprocess.rank = None;
            config.preprocess.patch_size = Some(patch_size);
        })
    };

    for extent in [100_000, 10_000_000_000, usize::MAX] {
        assert_eq!(
            patch([1, extent, extent]),
            format!(
                "preprocess.patch_size is [1, {extent}, {extent}], more than 2^32 voxels; use a \
                 smaller patch"
            )
        );
    }
    assert_eq!(
        patch([1, 30_000, 30_000]),
        "train.batch_size 2 of patches of [1, 30000, 30000] voxels, with 1 channels and 2 classes, \
         is 5400000000 values, but a step takes 2147483648 at most (8 GiB); use a smaller \
         train.batch_size or preprocess.patch_size"
    );
    for count in [100_000_000_000, usize::MAX] {
        let error = unread(|config| config.train.batch_size = count);
        assert!(error.starts_with(&format!("train.batch_size {count} of patches of")), "{error}");
    }
    // Where the plan decides how large patches are, no patch is small enough.
    let error = unread(|config| {
        config.preprocess.patch_size = None;
        config.train.batch_size = 100_000_000_000;
    });
    assert!(error.starts_with("train.batch_size 100000000000 of patches of"), "{error}");
}

#[test]
fn networks_that_no_memory_holds_are_refused_before_a_case_is_read() {
    let too_large = |settings: &str| {
        let error = unread(|config| config.model = unet(settings));
        let start = "model.unet asks for more parameters than can be trained (";
        let end = "); lower its features_per_stage, its kernel_sizes, or the number of its layers";
        assert!(error.starts_with(start) && error.ends_with(end), "{error}");
        error
    };

    let error = too_large("features_per_stage = [1000000000000, 1000000000000]");
    assert!(
        error.contains(
            "with encoder.stages.0.0.convs.0.conv.weight, of shape [1000000000000, 1, 3, 3, 3]"
        ),
        "{error}"
    );
    let wide = "kernel_sizes = [[3, 3, 3], [9999999, 9999999, 9999999]]";
    too_large(&format!("features_per_stage = [4, 8]\n{wide}"));
    let deep = "n_conv_per_stage = [1000000000000, 2]";
    let error = too_large(&format!("features_per_stage = [4, 8]\n{deep}"));
    assert!(error.contains("in more than 100000 tensors"), "{error}");
}

#[test]
fn settings_that_contradict_each_other_are_refused_before_a_case_is_read() {
    assert_eq!(
        unread(|config| config.preprocess.rank = Some(4)),
        "preprocess.rank is 4; use 2 for slices, 3 for volumes"
    );
    assert_eq!(
        unread(|config| config.preprocess.rank = Some(2)),
        "a patch of [8, 16, 16] voxels does not suit rank 2: its first extent is 1 at rank 2, and \
         more at rank 3; change preprocess.patch_size or preprocess.rank"
    );
    let two = "features_per_stage = [4, 8]";
    let strides = |strides: &str| unet(&format!("{two}\nstrides = {strides}"));
    assert_eq!(
        unread(|config| config.model = strides("[[2, 2, 2], [2, 2, 2]]")),
        "model.unet: the first of strides is [2, 2, 2], but the first stage sees the images as they \
         are: 1"
    );
    let error = unread(|config| config.model = strides("[[1, 1], [2, 2]]"));
    assert!(error.starts_with("model.unet: stage 0 of strides is [1, 1]"), "{error}");
    // Neither slices nor volumes.
    let error = unread(|config| {
        (config.preprocess.rank, config.preprocess.patch_size) = (None, None);
        config.model = strides("[[1], [2]]");
    });
    assert!(error.starts_with("model.unet: stage 0 of strides is [1]"), "{error}");
}

#[test]
fn a_loss_that_does_not_suit_the_number_of_classes_is_refused_before_a_case_is_read() {
    let loss: LossConfig =
        toml::from_str("[cross_entropy]\nclass_weights = [1.0, 2.0, 3.0]").expect("a loss");

    assert_eq!(
        unread(|config| config.loss = loss),
        "loss.cross_entropy: class_weights has 3 entries, but the logits have 2 classes"
    );
}

#[test]
fn a_loss_that_is_not_for_soft_labels_is_refused_where_raters_are_averaged() {
    let loss: LossConfig = toml::from_str("[dice]").expect("a loss");
    let rated = || {
        let mut balls = Balls::new(6, [8, 18, 20]);
        balls.cursed = Some("ball_4".to_owned());
        balls.rate_by(&["a", "b"]);
        balls
    };

    let error = refusal(&rated(), |config| config.loss = loss.clone());

    assert!(error.starts_with("loss.dice: dice is not smallest where"), "{error}");
    let mut config = RunConfig { loss, ..config(3, 1) };
    config.labels.fusion = preprocess::Fusion::Majority;
    let folder = tempdir().expect("a folder");
    let error = train_into(folder.path(), &config, &rated(), false, None).unwrap_err();
    assert!(error.to_string().contains("a reader with a defect"), "{error}");
}

#[test]
fn a_network_that_does_not_suit_the_plan_is_refused_before_a_case_is_prepared() {
    let mut balls = Balls::new(6, [8, 18, 20]);
    // Found where it is prepared.
    balls.broken = Some("ball_4".to_owned());

    let error = refusal(&balls, |config| {
        config.model = unet("features_per_stage = [4, 8]\nstrides = [[1, 1, 1], [3, 2, 2]]");
    });
    assert!(error.starts_with("a patch of [8, 16, 16] voxels does not divide by"), "{error}");
    let error = refusal(&balls, |config| {
        config.model = unet("features_per_stage = [2, 2, 2, 2, 2, 2, 2]");
    });
    assert!(error.contains("the network has 7 stages"), "{error}");
}
