//! When a run is saved, by the observer that every run has and by those of others.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use engine::checkpoint::CheckpointState;
use engine::observe::Checkpoint;
use engine::{Error, Event, Observer, weights};
use tempfile::tempdir;

use crate::fixture::{Balls, config, train_into, train_watched};

fn epochs(path: &Path) -> engine::Result<usize> {
    let (_, state): (_, CheckpointState) = weights::load_versioned(path)?;
    Ok(state.epochs_done)
}

/// Reads the checkpoint at each step, and fails in one epoch.
struct Reader {
    path: PathBuf,
    /// The epochs that the checkpoint held in each epoch; none where there was no checkpoint.
    held: Vec<Option<usize>>,
    fails_in: usize,
}

impl Observer for Reader {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        if let Event::Step { epoch, .. } = event
            && *epoch == self.held.len()
        {
            if *epoch == self.fails_in {
                return Err(Error::Settings("the log is full".to_owned()));
            }
            self.held.push(self.path.exists().then(|| epochs(&self.path)).transpose()?);
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[test]
fn a_run_is_saved_as_often_as_it_asks_and_where_it_ends() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (mut config, balls) = (config(3, 5), Balls::new(6, [8, 18, 20]));
    config.train.checkpoint_every = 2;
    let path = folder.path().join("checkpoint.safetensors");
    let mut reader = Reader { path: path.clone(), held: Vec::new(), fails_in: usize::MAX };

    train_watched(folder.path(), &config, &balls, &mut reader)?;

    assert_eq!(reader.held, [None, None, Some(2), Some(2), Some(4)]);
    assert_eq!(epochs(&path)?, 5);
    let stopped = tempdir()?;
    train_into(stopped.path(), &config, &balls, false, Some(3))?;
    assert_eq!(epochs(&stopped.path().join("checkpoint.safetensors"))?, 3);
    Ok(())
}

#[test]
fn an_observer_that_fails_leaves_the_last_checkpoint() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let path = folder.path().join("checkpoint.safetensors");
    let mut reader = Reader { path: path.clone(), held: Vec::new(), fails_in: 2 };

    let balls = Balls::new(6, [8, 18, 20]);
    let error = train_watched(folder.path(), &config(3, 5), &balls, &mut reader).unwrap_err();

    assert_eq!(error.to_string(), "the log is full");
    assert_eq!(epochs(&path)?, 2);
    Ok(())
}

#[test]
fn a_run_can_be_saved_elsewhere_too() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (mut config, balls) = (config(3, 3), Balls::new(6, [8, 18, 20]));
    config.train.checkpoint_every = 2;
    let other = folder.path().join("mine.safetensors");
    let mut mine = Checkpoint::new(other.clone(), 1);

    train_watched(folder.path(), &config, &balls, &mut mine)?;

    let own = folder.path().join("checkpoint.safetensors");
    assert!(fs::read(other)? == fs::read(own)?, "the checkpoints differ");
    Ok(())
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_run() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let nowhere = folder.path().join("nowhere").join("mine.safetensors");
    let mut mine = Checkpoint::new(nowhere, 1);

    let balls = Balls::new(6, [8, 18, 20]);
    let error = train_watched(folder.path(), &config(3, 2), &balls, &mut mine).unwrap_err();

    assert!(error.to_string().contains("mine.safetensors"), "{error}");
    assert_eq!(epochs(&folder.path().join("checkpoint.safetensors"))?, 1);
    Ok(())
}
