//! `sconce predict`: images → label maps, with any trained network.

mod files;
mod manifest;
mod memory;
mod pipeline;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sconce::data::{self, FoundImages, ImageFiles, Layout};
use sconce::engine::calibrate::Calibration;
use sconce::engine::{
    DeviceChoice, Ensemble, Postprocess, Precision, PredictConfig, RunConfig, RunFolder, Trained,
};
use sconce::zoo;
use serde::{Deserialize, Serialize};

use self::files::{Asked, Files, Work};
use self::manifest::{Made, Network};
use self::memory::Room;
use self::pipeline::Pipeline;
use crate::commands::prompts::prompted;
use crate::job::Job;
use crate::memory_size::bytes;
use crate::output::{Output, Usage};
use crate::progress::{Progress, note};
use crate::resolve::resolve;
use crate::shard::Shard;

/// Predict images with a trained network
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run folder, a model folder, one with a folder for each fold, or hub:owner/name[@revision]; several are averaged
    #[arg(long, short, required = true, num_args = 1.., value_name = "MODEL")]
    model: Vec<String>,
    /// Images, or folders of images; several channels of one image end in _0000, _0001, …
    #[arg(long, short, required = true, num_args = 1.., value_name = "IMAGE")]
    input: Vec<PathBuf>,
    /// Where to put the predictions
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// What to segment, in words, with a model that is told so: "left kidney"; one for each, whose values in the label map are
    /// 1, 2, … in their order, later ones over earlier ones; default: the classes that it was trained for
    #[arg(long, num_args = 1, value_name = "WORDS")]
    prompt: Vec<String>,
    #[command(flatten)]
    asked: Asked,
    /// What becomes of predictions that are there already; --overwrite alone is always
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "always", value_name = "WHEN")]
    overwrite: Overwrite,
    /// What label files end in, such as .nii.gz, .nrrd, .mha or .dcm; default: .dcm for DICOM, .png for pictures, .tif for
    /// TIFF, else .nii.gz
    #[arg(long, value_name = "ENDING", value_parser = ending)]
    file_ending: Option<String>,
    /// Memory that may be taken, such as 8GB; refused at once where that is too little; default: what is free
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    memory: Option<u64>,
    /// Average over mirrored images; default: as the model was scored
    #[arg(long, overrides_with = "no_mirror")]
    mirror: bool,
    /// Do not average over mirrored images: up to eight times faster, a little less accurate
    #[arg(long, overrides_with = "mirror")]
    no_mirror: bool,
    /// The distance between tiles, as a share of the patch; default: as the model was scored
    #[arg(long, value_name = "SHARE")]
    step_size: Option<f64>,
    /// exact, or fast: fewer multiplications on the CPU, with about twice the rounding errors of a
    /// convolution; default: as the model was scored
    #[arg(long, value_name = "PRECISION")]
    precision: Option<Precision>,
    /// A rule of post-processing, as `sconce postprocess find` writes it, or none; default: the model's own
    #[arg(long, value_name = "FILE")]
    postprocess: Option<PathBuf>,
    /// none, temperature or vector: what is done to logits before they become probabilities; default: as
    /// the model was scored
    #[arg(long, value_name = "CALIBRATION")]
    calibration: Option<Calibration>,
    /// Predict every Nth image alone, from the Ith on, so that N machines share the work; all may write to one folder
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t, value_name = "DEVICE")]
    device: DeviceChoice,
}

/// What becomes of predictions that are there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Overwrite {
    // They stay.
    #[default]
    Never,
    // They are replaced.
    Always,
}

#[derive(Debug, Serialize, Deserialize)]
struct Report {
    output: PathBuf,
    written: Vec<PathBuf>,
    /// What was there already.
    kept: Vec<PathBuf>,
    /// Label maps in the folders of images.
    left_out: Vec<PathBuf>,
    failed: Vec<Failure>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    id: String,
    reason: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    if let Some(share) = args.step_size.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
        return Err(Usage(format!("--step-size is {share}; a share above 0, at most 1")).into());
    }
    let job = Job::sharing(args.shard)?;
    let output = job.run(|| of_process(args, &job))?;
    job.finish()?;
    Ok(output)
}

fn of_process(args: &Args, job: &Job) -> anyhow::Result<Output> {
    if job.shard().is_some() && args.input.iter().any(|input| same(input, &args.output)) {
        let usage = "where the work is shared, predictions cannot go to the folder of the images, where another process would take \
                     them for images; name another --output";
        return Err(Usage(usage.to_owned()).into());
    }
    let folders = args.model.iter().map(|model| resolve(model));
    let folders = folders.collect::<anyhow::Result<Vec<_>>>()?;
    let networks = folders.iter().map(|folder| zoo::load_all(folder));
    let networks = networks.collect::<zoo::Result<Vec<_>>>()?;
    let (networks, trained) = (told(args, &folders, &networks)?, networks.concat());
    let device = crate::commands::train::open(args.device)?;
    let settings = |trained: &Trained| {
        let own = &trained.config.predict;
        PredictConfig {
            step_size: args.step_size.unwrap_or(own.step_size),
            precision: args.precision.unwrap_or(own.precision),
            calibration: args.calibration.unwrap_or(own.calibration),
            mirror: args.mirror || own.mirror && !args.no_mirror,
            ..own.clone()
        }
    };
    let found = find(&args.input, networks[0].plan.normalize.len(), &zoo::first(&folders[0])?)?;
    let cases = match job.shard() {
        Some(shard) => shard.take(found.images),
        None => found.images,
    };
    let rule = rule(args, &folders[0])?;
    let previous = previous(&folders)?;
    let made = Made {
        version: env!("CARGO_PKG_VERSION"),
        networks: made(&trained, settings)?,
        previous: made(&previous, settings)?,
        postprocess: rule.clone(),
    };
    let networks = Ensemble::new(&networks, settings, &device)
        .and_then(|networks| match previous.as_slice() {
            [] => Ok(networks),
            previous => networks.with_previous(Ensemble::new(previous, settings, &device)?),
        })
        .and_then(|networks| networks.with_postprocess(rule))
        .with_context(|| format!("cannot use the model {}", args.model.join(", ")))?;
    if args.asked.disagreement && networks.networks() < 2 {
        let usage = "--disagreement is of several networks; name the folds of a cross-validation, or several models";
        return Err(Usage(usage.to_owned()).into());
    }
    std::fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot create {}", args.output.display()))?;
    let mut report = Report {
        output: args.output.clone(),
        written: Vec::new(),
        kept: Vec::new(),
        left_out: found.left_out,
        failed: Vec::new(),
    };
    let works = works(args, cases, &networks, &mut report)?;
    let Room { overlap } = memory::plan(&works, &networks, args.memory)?;
    let progress = RefCell::new(Progress::new("predict"));
    let total = works.len();
    let mut seen = |at, share| progress.borrow_mut().part("images", at, total, share);
    let mut done = |at: usize, outcome: anyhow::Result<()>| {
        let Work { case, missing, .. } = &works[at];
        match outcome {
            Ok(()) => report.written.extend_from_slice(missing),
            Err(error) => {
                let reason = crate::output::one_line(&error);
                progress.borrow().warn(&format!("{}: {reason}", case.id));
                report.failed.push(Failure { id: case.id.clone(), reason });
            }
        }
    };
    // The first stage of a cascade speaks while an image is prepared.
    let overlap = overlap && !networks.is_cascade();
    let pipeline = Pipeline { networks: &networks, made: &made, overlap };
    pipeline.run(&works, &mut seen, &mut done);
    progress.into_inner().finish();
    let Some(reports) = job.gather(report)? else {
        // The first one ends with code 1 once it has said what failed; a launcher may end all at the first such code.
        return Ok(Job::silent(false));
    };
    let report = Report::of_all(reports);
    let failed = !report.failed.is_empty();
    Ok(Output::of(&report).failing_if(failed))
}

/// The networks of all folders, told what to segment where that is asked for: before an image is looked at.
fn told(
    args: &Args,
    folders: &[PathBuf],
    networks: &[Vec<Trained>],
) -> anyhow::Result<Vec<Trained>> {
    if args.prompt.is_empty() {
        return Ok(networks.concat());
    }
    let told = folders.iter().zip(networks);
    let told = told.map(|(folder, networks)| prompted(folder, networks, &args.prompt));
    Ok(told.collect::<anyhow::Result<Vec<_>>>()?.concat())
}

/// What is to be done; what is there already is reported.
fn works(
    args: &Args,
    cases: Vec<ImageFiles>,
    networks: &Ensemble,
    report: &mut Report,
) -> anyhow::Result<Vec<Work>> {
    let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let images: BTreeSet<PathBuf> =
        cases.iter().flat_map(|case| &case.files).map(|file| place(file)).collect();
    let mut taken = BTreeSet::new();
    let mut works = Vec::new();
    for case in cases {
        let ending = args.file_ending.as_deref().unwrap_or(case.extension());
        let files = Files::of(&case, &args.output, args.asked, ending, networks.config());
        for path in files.all() {
            if images.contains(&place(path)) {
                let usage = format!(
                    "{} is an image, and would be replaced by what is predicted; name another --output",
                    path.display()
                );
                return Err(Usage(usage).into());
            }
            if !taken.insert(path.clone()) {
                let usage =
                    format!("two images would both be predicted to {}; rename one", path.display());
                return Err(Usage(usage).into());
            }
        }
        let stays = |path: &PathBuf| args.overwrite == Overwrite::Never && path.exists();
        let (kept, missing): (Vec<_>, Vec<_>) = files.all().cloned().partition(stays);
        report.kept.extend(kept);
        if !missing.is_empty() {
            works.push(Work { case, files, missing });
        }
    }
    Ok(works)
}

/// What label files may end in.
fn ending(text: &str) -> Result<String, String> {
    let known = [".nii.gz", ".nii", ".nrrd", ".mha", ".dcm", ".png", ".tif", ".tiff"];
    let dotted = if text.starts_with('.') { text.to_owned() } else { format!(".{text}") };
    if known.contains(&dotted.as_str()) {
        return Ok(dotted);
    }
    Err(format!("labels are written as {}", known.join(", ")))
}

/// What is to be said of networks beside each prediction.
fn made(
    networks: &[Trained],
    settings: impl Fn(&Trained) -> PredictConfig,
) -> anyhow::Result<Vec<Network>> {
    let network = |trained: &Trained| {
        let (dataset, weights) = (trained.config.dataset.clone(), trained.weights_hash()?);
        Ok(Network { dataset, weights, settings: settings(trained) })
    };
    networks.iter().map(network).collect()
}

/// The networks that speak first, where the model is a cascade.
fn previous(folders: &[PathBuf]) -> anyhow::Result<Vec<Trained>> {
    let before = folders.iter().map(|folder| zoo::load_previous(folder));
    let before = before.collect::<zoo::Result<Vec<_>>>()?;
    if folders.len() > 1 && before.iter().any(|networks| !networks.is_empty()) {
        let usage = "one of the models is a cascade, which is predicted alone; name it alone";
        return Err(Usage(usage.to_owned()).into());
    }
    Ok(before.concat())
}

/// What is done to labels: by the rule that is asked for, or that of the first model's folder.
fn rule(args: &Args, model: &Path) -> anyhow::Result<Postprocess> {
    let own = model.join(Postprocess::FILE);
    Ok(match &args.postprocess {
        Some(path) if path.as_os_str() == "none" => Postprocess::default(),
        Some(path) => Postprocess::read(path)?,
        None if own.exists() && args.model.len() > 1 => {
            note(&format!(
                "{} is left out, as a rule for one model and not for the mean of several; --postprocess names it",
                own.display()
            ));
            Postprocess::default()
        }
        None if own.exists() && !args.prompt.is_empty() => {
            note(&format!(
                "{} is left out, as a rule for the classes of the model and not for prompts; --postprocess names it",
                own.display()
            ));
            Postprocess::default()
        }
        None if own.exists() => Postprocess::read(&own)?,
        None => Postprocess::default(),
    })
}

impl Report {
    /// What all processes have to say, which found the same images.
    fn of_all(reports: Vec<Self>) -> Self {
        let merge = |mut all: Self, one: Self| {
            all.written.extend(one.written);
            all.kept.extend(one.kept);
            all.failed.extend(one.failed);
            all
        };
        let mut all = reports.into_iter().reduce(merge).expect("at least that of this process");
        all.written.sort();
        all.kept.sort();
        all.failed.sort_by(|one, other| one.id.cmp(&other.id));
        all
    }
}

/// Whether two paths are one place.
fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The images of the inputs, and what is said of the rest.
fn find(inputs: &[PathBuf], channels: usize, model: &Path) -> anyhow::Result<FoundImages> {
    // A model without its run file still says by what names labels are known elsewhere.
    let layout = RunConfig::read(&RunFolder::at(model).settings()).ok().map(|config| config.data);
    let layout = layout.as_ref().map(|layout| layout as &dyn Layout);
    let found = data::find_images(inputs, channels, layout)?;
    if !found.left_out.is_empty() {
        let names = found.left_out.iter().map(|path| path.display().to_string());
        note(&format!(
            "left out, as label maps by their names: {}; a file that --input names itself is \
             predicted",
            names.collect::<Vec<_>>().join(", ")
        ));
    }
    Ok(found)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (written, kept, failed) = (self.written.len(), self.kept.len(), self.failed.len());
        write!(f, "written to {}: {written}", self.output.display())?;
        if kept > 0 {
            write!(f, "\nthere already: {kept}; --overwrite replaces them")?;
        }
        if failed > 0 {
            write!(f, "\nfailed: {failed}")?;
        }
        Ok(())
    }
}
