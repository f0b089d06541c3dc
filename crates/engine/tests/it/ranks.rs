//! Several processes train what one would: here they are threads, with the sums of processes.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use candle::{Device, Tensor};
use engine::{Observer, Origins, Outcome, Run, RunConfig, RunFolder, train};
use ranks::Local;
use tempfile::tempdir;

use crate::fixture::{Balls, config, run_from, train_on};

/// Cross entropy and the Dice of a whole batch, of which each process sees a part.
fn shared(epochs: usize) -> anyhow::Result<RunConfig> {
    let mut config = config(3, epochs);
    config.train.batch_size = 4;
    config.loss = toml::from_str(
        "[[sum.terms]]
         weight = 1.0
         loss.cross_entropy = {}
         [[sum.terms]]
         weight = 1.0
         loss.dice = { pool_batch = true }",
    )?;
    Ok(config)
}

/// Trains as so many processes would, in one folder; what the first and the last came to.
fn together(
    folder: &Path,
    config: &RunConfig,
    balls: &Balls,
    count: usize,
    resume: bool,
) -> anyhow::Result<Vec<engine::Result<Outcome>>> {
    let folder = RunFolder::create(folder, resume)?;
    Ok(thread::scope(|scope| {
        let ranks: Vec<_> = Local::group(count)
            .into_iter()
            .map(|group| {
                let folder = &folder;
                scope.spawn(move || {
                    let device = Device::Cpu;
                    let own = run_from(config, balls, folder, &device, Origins::default());
                    let run = Run { resume, group: Arc::new(group), ..own };
                    let none: &mut [&mut dyn Observer] = &mut [];
                    train(&run, none)
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().expect("no panic")).collect()
    }))
}

/// The largest difference between two networks.
fn apart(one: &Outcome, other: &Outcome) -> anyhow::Result<f32> {
    let mut most = 0f32;
    for (name, tensor) in &one.trained.parameters {
        let off: Tensor = (tensor - &other.trained.parameters[name])?.abs()?.flatten_all()?;
        most = most.max(off.max(0)?.to_scalar()?);
    }
    Ok(most)
}

#[test]
fn two_and_four_processes_come_to_what_one_comes_to() -> anyhow::Result<()> {
    let (config, balls) = (shared(2)?, Balls::new(6, [8, 18, 20]));
    let alone = tempdir()?;
    let one = train_on(&Device::Cpu, alone.path(), &config, &balls, false, None)?;
    for count in [2, 4] {
        let folder = tempdir()?;

        let all = together(folder.path(), &config, &balls, count, false)?;

        let all = all.into_iter().collect::<engine::Result<Vec<_>>>()?;
        for outcome in &all {
            assert!(apart(outcome, &all[0])?.to_bits() == 0, "of {count}");
            assert_eq!(outcome.history.len(), 2);
        }
        let off = apart(&one, &all[0])?;
        assert!(off < 1e-4, "{off} of {count}");
        for (own, expected) in all[0].history.iter().zip(&one.history) {
            approx::assert_abs_diff_eq!(own.train_loss, expected.train_loss, epsilon = 1e-4);
            approx::assert_abs_diff_eq!(
                own.validation_loss,
                expected.validation_loss,
                epsilon = 1e-4
            );
            assert_eq!(own.validation_dice.len(), expected.validation_dice.len());
        }
    }
    Ok(())
}

#[test]
fn a_run_goes_on_with_another_number_of_processes() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let (whole, parts) = (tempdir()?, tempdir()?);
    let (mut first, mut all) = (shared(1)?, shared(3)?);
    // One that does not know how long a run is.
    for config in [&mut first, &mut all] {
        config.schedule = toml::from_str("[constant]")?;
    }
    let one = train_on(&Device::Cpu, whole.path(), &all, &balls, false, None)?;

    together(parts.path(), &first, &balls, 4, false)?;
    fs::remove_file(parts.path().join("model.safetensors"))?;
    let rest = together(parts.path(), &all, &balls, 2, true)?;

    let rest = rest.into_iter().collect::<engine::Result<Vec<_>>>()?;
    let off = apart(&one, &rest[0])?;
    assert!(off < 1e-4, "{off}");
    assert_eq!(rest[1].history.len(), 3);
    Ok(())
}

#[test]
fn processes_that_cannot_share_a_batch_are_refused() -> anyhow::Result<()> {
    let (config, balls) = (shared(1)?, Balls::new(6, [8, 18, 20]));

    for outcome in together(tempdir()?.path(), &config, &balls, 3, false)? {
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("which 3 processes cannot share evenly"), "{error}");
    }
    Ok(())
}
