//! What observers leave of a run.

use std::fs;
use std::ops::ControlFlow;

use engine::observe::{Log, TensorBoard};
use engine::{EpochSummary, Event, Observer, Origins, RunFolder, train};
use serde_json::Value;

use crate::fixture::{Balls, config, device, run_from};

/// Remembers how a run began.
#[derive(Default)]
struct Starts(Vec<(usize, usize, Vec<String>, usize)>);

impl Observer for Starts {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        if let Event::Started { epoch, batch_size, classes, history, .. } = event {
            self.0.push((*epoch, *batch_size, classes.to_vec(), history.len()));
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[test]
fn a_run_that_goes_on_adds_to_log_and_curves() -> anyhow::Result<()> {
    let root = tempfile::tempdir()?;
    let (balls, device) = (Balls::nested(6, [1, 20, 20]), device());
    let mut starts = Starts::default();
    let mut history = Vec::new();
    for (epochs, resume) in [(2, false), (3, true)] {
        let mut config = config(2, epochs);
        config.loss = serde_json::from_str(r#"{"dice": {"activation": "sigmoid"}}"#)?;
        let folder = RunFolder::create(root.path(), resume)?;
        let run = run_from(&config, &balls, &folder, &device, Origins::default());
        let (mut log, mut board) =
            (Log::open(&folder.log())?, TensorBoard::new(folder.tensorboard()));
        let run = engine::Run { resume, ..run };
        history = train(&run, &mut [&mut starts, &mut log, &mut board])?.history;
    }

    let names = vec!["whole".to_owned(), "core".to_owned()];
    assert_eq!(starts.0, [(0, 2, names.clone(), 0), (2, 2, names, 2)]);
    assert_eq!(fs::read_dir(root.path().join("tensorboard"))?.count(), 2);
    // A line says more than the summary; whoever reads the summary alone still can.
    let log = fs::read_to_string(root.path().join("log.jsonl"))?;
    let mut epochs = Vec::new();
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line)?;
        if entry["event"] == "epoch" {
            assert!(entry["patches_per_second"].is_number(), "{entry}");
            let summary: EpochSummary = serde_json::from_value(entry)?;
            assert!(summary.seconds > 0.0);
            epochs.push(EpochSummary { seconds: 0.0, ..summary });
        }
    }
    // A checkpoint does not keep how long its epochs took.
    for summary in &mut history {
        summary.seconds = 0.0;
    }
    assert_eq!(epochs, history);
    Ok(())
}
