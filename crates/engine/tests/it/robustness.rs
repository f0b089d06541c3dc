//! Whatever goes wrong on the way, a run ends with one error, and keeps what it had.

use std::fs;
use std::ops::ControlFlow;

use candle::Device;
use engine::checkpoint::CheckpointState;
use engine::config::{EarlyStopping, Keep};
use engine::{Error, Event, MemoryMeter, Observer, Origins, Run, RunFolder, weights};
use tempfile::{TempDir, tempdir};

use crate::fixture::{Balls, config, run_from, train_on, train_watched};

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
fn an_observer_that_breaks_ends_the_run_after_its_step_and_nothing_is_lost() -> anyhow::Result<()> {
    let (mut config, balls) = (config(3, 3), Balls::new(6, [8, 18, 20]));
    // All that a run remembers between steps.
    config.train.accumulate_grad_batches = 2;
    config.train.average = Some(nn::AverageConfig::default());
    config.train.keep = Keep::Best;
    config.optimizer = toml::from_str("[n_adam]")?;
    config.train.learning_rate = 0.01;
    config.schedule = toml::from_str("[plateau]\npatience = 1\nmin_delta = 0.2")?;
    config.warmup = Some(toml::from_str("share = 0.1")?);
    config.parameters = toml::from_str(
        "decay_vectors = false\n[[groups]]\nparameters = \"encoder\"\nlearning_rate = 0.5",
    )?;
    let whole = tempdir()?;
    train_on(&Device::Cpu, whole.path(), &config, &balls, false, None)?;
    // Within an epoch, at its first and at its last step.
    for step in [3, 8, 15] {
        let folder = tempdir()?;
        let mut breaking = At { step, act: || Ok(ControlFlow::Break(())) };

        let outcome = train_watched(folder.path(), &config, &balls, &mut breaking)?;

        assert!(outcome.stopped);
        assert_eq!(outcome.history.len(), step / 8);
        assert!(!folder.path().join("model.safetensors").exists());
        let path = folder.path().join("checkpoint.safetensors");
        let (_, state): (_, CheckpointState) = weights::load_versioned(&path)?;
        assert_eq!((state.epochs_done, state.steps_done), (step / 8, step % 8 + 1));
        train_on(&Device::Cpu, folder.path(), &config, &balls, true, None)?;
        for file in ["model.safetensors", "checkpoint.safetensors"] {
            let read = |folder: &TempDir| fs::read(folder.path().join(file));
            assert!(read(&whole)? == read(&folder)?, "{file} differs after step {step}");
        }
    }
    Ok(())
}

/// Asks for the end of a run between two steps, the first time alone.
struct Between(bool);

impl Observer for Between {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        match event {
            Event::Between { snapshot, .. } if snapshot.steps_done() == 3 && !self.0 => {
                self.0 = true;
                Ok(ControlFlow::Break(()))
            }
            _ => Ok(ControlFlow::Continue(())),
        }
    }
}

#[test]
fn a_run_that_is_ended_between_two_steps_is_saved_there() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let balls = Balls::new(6, [8, 18, 20]);

    let outcome = train_watched(folder.path(), &config(3, 2), &balls, &mut Between(false))?;

    assert!(outcome.stopped);
    let path = folder.path().join("checkpoint.safetensors");
    let (_, state): (_, CheckpointState) = weights::load_versioned(&path)?;
    assert_eq!((state.epochs_done, state.steps_done), (0, 3));
    Ok(())
}

/// Counts nothing: that a run looks at how much memory it will take is what matters.
#[derive(Debug)]
struct Nothing;

impl MemoryMeter for Nothing {
    fn held(&self) -> u64 {
        0
    }

    fn most(&self) -> u64 {
        0
    }

    fn set_back(&self) {}
}

#[test]
fn to_look_at_memory_changes_no_network() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let mut config = config(3, 1);
    // Whose statistics every batch changes.
    config.model = toml::from_str("[unet]\nfeatures_per_stage = [4, 8]\nnorm = \"batch\"")?;
    let mut networks = Vec::new();
    for meter in [None, Some(&Nothing as &dyn MemoryMeter)] {
        let folder = tempdir()?;
        let place = RunFolder::create(folder.path(), false)?;
        let origins = Origins::default();
        let run = Run { meter, ..run_from(&config, &balls, &place, &Device::Cpu, origins) };
        let none: &mut [&mut dyn Observer] = &mut [];
        engine::train(&run, none)?;
        networks.push(fs::read(folder.path().join("model.safetensors"))?);
    }
    assert!(networks[0] == networks[1], "a look at memory has changed the network");
    Ok(())
}

#[test]
fn a_run_ends_where_its_loss_no_longer_falls_and_with_its_best_weights() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (mut config, balls) = (config(3, 9), Balls::new(6, [8, 18, 20]));
    config.train.keep = Keep::Best;
    // Too much for this network after a while: the loss rises again.
    config.train.early_stopping = Some(EarlyStopping { patience: 2, min_delta: 0.5 });

    let outcome = train_on(&Device::Cpu, folder.path(), &config, &balls, false, None)?;

    let losses: Vec<f64> = outcome.history.iter().map(|epoch| epoch.validation_loss).collect();
    assert!(!outcome.stopped && losses.len() < 9, "{losses:?}");
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let (best, of): (_, serde_json::Value) =
        weights::load(&folder.path().join("best.safetensors"))?;
    let kept = losses[usize::try_from(of["epoch"].as_u64().unwrap_or(99))?];
    assert_eq!(kept.to_bits(), least.to_bits());
    for (name, tensor) in &outcome.trained.parameters {
        let both = [tensor, &best[name]].map(|it| it.flatten_all()?.to_vec1::<f32>());
        let [a, b] = both;
        assert_eq!(a?, b?, "{name}");
    }
    // A run that is over is over.
    let again = train_on(&Device::Cpu, folder.path(), &config, &balls, true, None)?;
    assert_eq!(again.history.len(), losses.len());
    fs::remove_file(folder.path().join("best.safetensors"))?;
    let error = train_on(&Device::Cpu, folder.path(), &config, &balls, true, None).unwrap_err();
    assert!(error.to_string().contains("best.safetensors"), "{error}");
    Ok(())
}

#[test]
fn a_checkpoint_with_any_byte_changed_is_refused() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (config, balls) = (config(3, 1), Balls::new(6, [8, 18, 20]));
    train_on(&Device::Cpu, folder.path(), &config, &balls, false, None)?;
    let path = folder.path().join("checkpoint.safetensors");
    let whole = fs::read(&path)?;
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged)?;

        let error = train_on(&Device::Cpu, folder.path(), &config, &balls, true, None).unwrap_err();

        assert!(
            error.to_string().contains("checkpoint.safetensors is not usable"),
            "{at}: {error}"
        );
    }
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
