use std::ops::ControlFlow;
use std::path::PathBuf;

use super::curves::curves;
use super::event_file::EventFile;
use super::pace::Pace;
use crate::{EpochSummary, Event, Observer, Result};

/// Writes what TensorBoard shows: a value of each of these for each epoch.
///
/// | tag | value |
/// |---|---|
/// | `loss/train` | mean loss of the batches of the epoch |
/// | `loss/validation` | mean loss of held-out patches; left out where it is undefined |
/// | `dice/NAME` | Dice of that class over all held-out patches; left out where it is undefined |
/// | `dice/mean` | their mean |
/// | `learning_rate` | that of the last step |
/// | `gradient_norm` | mean over the steps, before clipping |
/// | `seconds_per_epoch` | how long it took |
/// | `steps_per_second` | without what comes between epochs |
///
/// A step of TensorBoard is an epoch, the first is 1. Each start of a run begins a file of its own,
/// in which it says from which epoch on earlier files no longer hold: a run that was killed between
/// two checkpoints does some epochs again.
///
/// Steps are not written one by one: [`Log`](super::Log) has them.
#[derive(Debug)]
pub struct TensorBoard {
    folder: PathBuf,
    file: Option<EventFile>,
    classes: Vec<String>,
    gradient_norms: f64,
    steps: usize,
    pace: Pace,
}

impl TensorBoard {
    /// Into this folder, which is made when training begins.
    pub fn new(folder: PathBuf) -> Self {
        let (file, classes, pace) = (None, Vec::new(), Pace::default());
        Self { folder, file, classes, gradient_norms: 0.0, steps: 0, pace }
    }

    fn values(&self, summary: &EpochSummary) -> Vec<(String, f64)> {
        let mut values = curves(summary, &self.classes);
        if self.steps > 0 {
            let mean = self.gradient_norms / self.steps as f64;
            values.push(("gradient_norm".to_owned(), mean));
        }
        let pace = self.pace.per_second();
        values.extend(pace.map(|(steps, _)| ("steps_per_second".to_owned(), steps)));
        values
    }
}

impl Observer for TensorBoard {
    fn on(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        self.pace.on(event);
        match *event {
            Event::Started { epoch, classes, .. } => {
                classes.clone_into(&mut self.classes);
                let mut file = EventFile::create(&self.folder)?;
                file.start(epoch + 1)?;
                file.flush()?;
                self.file = Some(file);
            }
            Event::Step { gradient_norm, .. } => {
                self.gradient_norms += gradient_norm;
                self.steps += 1;
            }
            Event::Epoch(summary) => {
                let values = self.values(summary);
                (self.gradient_norms, self.steps) = (0.0, 0);
                if let Some(file) = &mut self.file {
                    file.scalars(summary.epoch + 1, &values)?;
                    file.flush()?;
                }
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::event_file::tests::records;
    use super::*;

    fn summary(epoch: usize) -> EpochSummary {
        EpochSummary {
            epoch,
            epochs: 3,
            train_loss: 0.5,
            validation_loss: f64::NAN,
            validation_dice: vec![Some(0.75), None],
            learning_rate: 0.01,
            seconds: 2.0,
        }
    }

    /// Lets a run begin at an epoch and do it.
    fn epoch(board: &mut TensorBoard, epoch: usize) -> Result<()> {
        let classes = ["liver".to_owned(), "tumour".to_owned()];
        let (epochs, iterations, batch_size, parameters) = (3, 2, 2, 1);
        _ = board.on(&Event::Started {
            epoch,
            step: 0,
            epochs,
            iterations,
            batch_size,
            parameters,
            classes: &classes,
            history: &[],
        })?;
        for gradient_norm in [1.0, 2.0] {
            let (step, loss, learning_rate) = (epoch * iterations, 0.5, 0.01);
            _ = board.on(&Event::Step { epoch, step, loss, learning_rate, gradient_norm })?;
        }
        board.on(&Event::Epoch(&summary(epoch))).map(drop)
    }

    #[test]
    fn each_start_has_a_file_with_its_epochs() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("tensorboard");
        let mut board = TensorBoard::new(path.clone());
        assert!(!path.exists(), "nothing has begun");

        for start in [0, 1] {
            epoch(&mut board, start)?;
        }

        let mut files = fs::read_dir(&path)?
            .map(|entry| Ok(fs::read(entry?.path())?))
            .collect::<anyhow::Result<Vec<_>>>()?;
        files.sort_by_key(Vec::len);
        assert_eq!(files.len(), 2);
        for file in files {
            let records = records(&file);
            assert_eq!(records.len(), 3, "version, start, an epoch");
            let scalars = String::from_utf8_lossy(&records[2]);
            for tag in ["loss/train", "dice/liver", "dice/mean", "learning_rate", "gradient_norm"] {
                assert!(scalars.contains(tag), "{tag}: {scalars}");
            }
            for undefined in ["loss/validation", "dice/tumour"] {
                assert!(!scalars.contains(undefined), "{undefined}: {scalars}");
            }
            // The mean of 1 and 2, after its tag and the key of field 2.
            let norm = [b"gradient_norm\x15".as_slice(), &1.5f32.to_le_bytes()].concat();
            assert!(records[2].windows(norm.len()).any(|part| part == norm), "{scalars}");
        }
        Ok(())
    }
}
