//! Whatever goes wrong on the way, a run ends with one error, and keeps what it had.

use std::ops::ControlFlow;

use engine::{Error, Event, Observer};
use tempfile::tempdir;

use crate::fixture::{Balls, config, train_watched};

/// Does something at one step.
struct At<F> {
    step: usize,
    act: F,
}

impl<F: FnMut() -> engine::Result<ControlFlow<()>>> Observer for At<F> {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        match event {
            Event::Step { step, .. } if *step == self.step => (self.act)(),
            _ => Ok(ControlFlow::Continue(())),
        }
    }
}

#[test]
fn an_observer_that_fails_ends_the_run() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let mut failing = At { step: 3, act: || Err(Error::Settings("the log is full".to_owned())) };

    let balls = Balls::new(6, [8, 18, 20]);
    let error = train_watched(folder.path(), &config(3, 2), &balls, &mut failing).unwrap_err();

    assert_eq!(error.to_string(), "the log is full");
    assert!(!folder.path().join("model.safetensors").exists());
    Ok(())
}

#[test]
fn an_observer_that_breaks_at_a_step_ends_the_run_after_its_epoch() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let mut breaking = At { step: 3, act: || Ok(ControlFlow::Break(())) };

    let balls = Balls::new(6, [8, 18, 20]);
    let outcome = train_watched(folder.path(), &config(3, 5), &balls, &mut breaking)?;

    assert!(outcome.stopped);
    assert_eq!(outcome.history.len(), 1);
    assert!(folder.path().join("checkpoint.safetensors").exists());
    Ok(())
}

#[test]
fn a_defect_that_one_case_brings_out_is_an_error_that_names_it() -> anyhow::Result<()> {
    let mut balls = Balls::new(6, [8, 18, 20]);
    balls.cursed = Some("ball_4".to_owned());
    let mut nothing = At { step: usize::MAX, act: || Ok(ControlFlow::Continue(())) };

    let error = train_watched(tempdir()?.path(), &config(3, 1), &balls, &mut nothing).unwrap_err();

    let text = error.to_string();
    assert!(text.contains("ball_4") && text.contains("a reader with a defect"), "{text}");
    Ok(())
}

#[test]
fn a_patch_that_the_network_cannot_halve_is_refused() -> anyhow::Result<()> {
    let mut config = config(3, 1);
    config.model = toml::from_str(
        "[unet]
         features_per_stage = [4, 8]
         strides = [[1, 1, 1], [3, 2, 2]]",
    )?;
    let mut nothing = At { step: usize::MAX, act: || Ok(ControlFlow::Continue(())) };

    let balls = Balls::new(6, [8, 18, 20]);
    let error = train_watched(tempdir()?.path(), &config, &balls, &mut nothing).unwrap_err();

    assert_eq!(
        error.to_string(),
        "a patch of [8, 16, 16] voxels does not divide by the network's stride [3, 2, 2]; change \
         preprocess.patch_size, or the strides of the model"
    );
    Ok(())
}
