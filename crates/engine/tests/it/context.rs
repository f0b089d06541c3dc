//! Networks that see slices with those on either side.

use engine::{Origins, PredictConfig, Predictor, RunFolder};
use ndarray::s;

use crate::fixture::{Balls, config, device, run_from, train_into, validated};

#[test]
fn a_network_for_slices_sees_as_many_on_either_side_as_it_is_told() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let balls = Balls::new(6, [6, 20, 20]);
    let mut config = config(2, 1);
    config.preprocess.context = Some(1);

    let outcome = train_into(folder.path(), &config, &balls, false, None)?;

    assert_eq!(outcome.trained.config.interface.channels, 3);
    assert_eq!(outcome.trained.config.channels, ["MR"]);
    validated(folder.path(), &config, &balls, &outcome)?;
    let settings = PredictConfig { mirror: false, ..PredictConfig::default() };
    let predictor = Predictor::new(&outcome.trained, settings, &device())?;
    let image = ndarray::Array4::from_shape_fn((1, 6, 20, 20), |(_, z, y, x)| {
        ((z * 7 + y * 3 + x) % 5) as f32
    });
    let before = predictor.logits(&image)?;
    assert_eq!(before.dim(), (2, 6, 20, 20));
    let mut other = image;
    other.slice_mut(s![.., 3, .., ..]).fill(9.0);
    let after = predictor.logits(&other)?;
    let changed: Vec<bool> =
        (0..6).map(|z| before.slice(s![.., z, .., ..]) != after.slice(s![.., z, .., ..])).collect();
    assert_eq!(changed, [false, false, true, true, true, false]);
    Ok(())
}

#[test]
fn a_run_that_starts_from_another_network_keeps_its_own_context() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let balls = Balls::new(6, [6, 20, 20]);
    let mut config = config(2, 1);
    let first = train_into(&folder.path().join("first"), &config, &balls, false, None)?;
    config.preprocess.context = Some(1);
    let second = RunFolder::create(&folder.path().join("second"), false)?;
    let device = device();
    let origins = Origins { init: Some(&first.trained), ..Origins::default() };

    let outcome = engine::train(&run_from(&config, &balls, &second, &device, origins), &mut [])?;

    assert_eq!(first.trained.config.interface.channels, 1);
    assert_eq!(outcome.trained.config.interface.channels, 3);
    Ok(())
}

#[test]
fn volumes_have_no_slices_beside_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(3, 1);
    config.preprocess.context = Some(1);

    let error = train_into(folder.path(), &config, &Balls::new(3, [8, 16, 16]), false, None);

    let message = error.expect_err("volumes").to_string();
    assert!(message.contains("preprocess.context") && message.contains("rank = 2"), "{message}");
}
