//! `sconce predict`: images → label maps, with any trained network.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sconce::engine::{DeviceChoice, PredictConfig, Prediction, Predictor};
use sconce::{data, zoo};
use serde::Serialize;

use crate::output::{Output, Usage};
use crate::progress::{Progress, note};

/// Predict images with a trained network
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run folder, a model folder, or hub:owner/name[@revision]
    #[arg(long, short, value_name = "MODEL")]
    model: String,
    /// Images, or folders of images; several channels of one image end in _0000, _0001, …
    #[arg(long, short, required = true, num_args = 1.., value_name = "IMAGE")]
    input: Vec<PathBuf>,
    /// Where to put the predictions
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// Write class probabilities beside the labels
    #[arg(long)]
    probabilities: bool,
    /// Replace predictions that are there already
    #[arg(long)]
    overwrite: bool,
    /// Do not average over mirrored images: up to eight times faster, a little less accurate
    #[arg(long)]
    no_mirror: bool,
    /// The distance between tiles, as a share of the patch
    #[arg(long, default_value_t = 0.5, value_name = "SHARE")]
    step_size: f64,
    /// auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t, value_name = "DEVICE")]
    device: DeviceChoice,
}

#[derive(Debug, Serialize)]
struct Report {
    output: PathBuf,
    written: Vec<PathBuf>,
    skipped: Vec<PathBuf>,
    failed: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct Failure {
    id: String,
    reason: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    if !(args.step_size > 0.0 && args.step_size <= 1.0) {
        return Err(Usage(format!(
            "--step-size is {}; a share above 0, at most 1",
            args.step_size
        ))
        .into());
    }
    let folder = zoo::resolve(&args.model)?;
    let trained = zoo::load(&folder)?;
    let device = super::train::open(args.device)?;
    let settings = PredictConfig {
        step_size: args.step_size,
        mirror: !args.no_mirror,
        ..PredictConfig::default()
    };
    let cases = data::find_images(&args.input, trained.config.interface.channels)?;
    let predictor = Predictor::new(&trained, settings, &device)
        .with_context(|| format!("cannot use the model {}", args.model))?;
    std::fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot create {}", args.output.display()))?;

    let mut report = Report {
        output: args.output.clone(),
        written: Vec::new(),
        skipped: Vec::new(),
        failed: Vec::new(),
    };
    let mut progress = Progress::new("predict");
    let total = cases.len();
    for (done, case) in cases.iter().enumerate() {
        progress.count("images", done, total);
        let path = args.output.join(format!("{}{}", case.id, case.extension()));
        if path.exists() && !args.overwrite {
            report.skipped.push(path);
            continue;
        }
        // One bad image must not cost the others.
        match predict(&predictor, case, &path, args.probabilities) {
            Ok(written) => report.written.extend(written),
            Err(error) => {
                let reason = crate::output::one_line(&error);
                progress.say(&format!("{}: {reason}", case.id));
                report.failed.push(Failure { id: case.id.clone(), reason });
            }
        }
    }
    progress.finish();
    if !report.skipped.is_empty() {
        note(&format!(
            "{} predictions were there already; --overwrite replaces them",
            report.skipped.len()
        ));
    }
    let failed = !report.failed.is_empty();
    Ok(Output::of(&report).failing_if(failed))
}

fn predict(
    predictor: &Predictor,
    case: &data::ImageFiles,
    path: &Path,
    probabilities: bool,
) -> anyhow::Result<Vec<PathBuf>> {
    let prediction: Prediction = predictor.predict(&case.read()?)?;
    let labels = prediction.labels()?;
    let mut written = vec![path.to_owned()];
    data::write_label_map(path, &labels)?;
    if probabilities {
        let path = path.with_file_name(format!("{}_probabilities.nii.gz", case.id));
        data::write_soft_labels(&path, &prediction.probabilities()?)?;
        written.push(path);
    }
    Ok(written)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} files written to {}, {} kept, {} images failed",
            self.written.len(),
            self.output.display(),
            self.skipped.len(),
            self.failed.len()
        )
    }
}
