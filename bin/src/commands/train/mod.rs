//! `sconce train`: from a run file and a data folder to a trained, scored network.

mod explain;
mod folds;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sconce::data::Layout as _;
use sconce::engine::evaluate::{Calibration, Evaluation, decimals};
use sconce::engine::observe::{Log, TensorBoard};
use sconce::engine::{
    self, DeviceChoice, Observer, Opinions, Origins, PretrainedConfig, PretrainedEncoder, Run,
    RunConfig, RunFolder, Sources, Storage, Trained, device, train, validate,
};
use sconce::{models, nn};
use serde::Serialize;

use self::folds::{FoldChoice, Folds};
use crate::allocator::Meter;
use crate::command_line::command_line;
use crate::commands::prompts;
use crate::interrupt::Interrupt;
use crate::job::{self, Job};
use crate::memory_size::bytes;
use crate::output::{Output, Usage, one_line};
use crate::progress::{Progress, inform, is_quiet, note};
use crate::resolve::{resolve, resolve_weights};
use crate::tracking::{Tracking, TrackingArgs};

/// Train a network as a run file says, and score it on the cases that it never saw
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run file (see zoo/recipes)
    run: PathBuf,
    /// The data folder, laid out as the run file's [data] says
    #[arg(long, value_name = "DIR", required_unless_present = "explain")]
    data: Option<PathBuf>,
    /// Where to put the run
    #[arg(long, short, value_name = "DIR", required_unless_present = "explain")]
    output: Option<PathBuf>,
    /// Train nothing; print every setting and where it is from, and with --data what is planned
    #[arg(long)]
    explain: bool,
    /// Go on from the last checkpoint in the output folder; where there is none yet, begin
    #[arg(long)]
    resume: bool,
    /// Start from the weights of this model (a folder, or hub:owner/name), where they fit
    #[arg(long, value_name = "MODEL")]
    init: Option<String>,
    /// Another value for a setting of the run file, such as train.epochs=10
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    settings: Vec<String>,
    /// The fold that is held out, from 0, instead of split.fold; or all: each as a run of its own in a folder of the
    /// output folder, those that are done left out
    #[arg(long, value_name = "FOLD", conflicts_with = "explain")]
    fold: Option<FoldChoice>,
    /// auto, cpu, cuda, cuda:N or metal; with --fold all several, such as cuda:0,cuda:1, for a fold each
    #[arg(long, default_value = "auto", value_name = "DEVICE", value_delimiter = ',')]
    device: Vec<DeviceChoice>,
    /// Keep prepared cases in this folder, for later runs too
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// GB of prepared cases to hold in memory, where others are read from disk, patch by patch [default: half of what is
    /// free]
    #[arg(long, value_name = "GB", value_parser = bytes)]
    memory: Option<u64>,
    #[command(flatten)]
    tracking: TrackingArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    output: PathBuf,
    epochs: usize,
    stopped: bool,
    held_out: usize,
    evaluation: Option<Evaluation>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    let (data, output) = match (&args.data, &args.output) {
        (Some(data), Some(output)) if !args.explain => (data, output),
        (data, _) => return explain::run(&args.run, &args.settings, data.as_deref()),
    };
    let settings = &mut args.settings.clone();
    if let Some(FoldChoice::One(fold)) = args.fold {
        settings.push(format!("split.fold={fold}"));
    }
    let config = read_run_file(&args.run, settings)?;
    if args.fold == Some(FoldChoice::All) {
        return every_fold(args, &config, (data, output));
    }
    let [device] = args.device[..] else {
        bail!(Usage("one run computes on one device; several are for --fold all".to_owned()));
    };
    let dataset = config.data.open(data)?;
    let name = title(output);
    // Whoever is to start it again after a power cut cannot know whether there was time for a checkpoint.
    let resume = args.resume && RunFolder::at(output).has_checkpoint();
    let trained = |name: &String| -> anyhow::Result<Trained> {
        Trained::load(&resolve(name)?).with_context(|| name.clone())
    };
    // Of a run that goes on, the checkpoint has what became of them.
    let init = args.init.as_ref().filter(|_| !resume).map(trained).transpose()?;
    let supervision = config.supervision.as_ref();
    let cache = supervision.and_then(|supervision| supervision.cache.as_deref());
    let opinions = cache.map(Opinions::open).transpose()?;
    // What they said before takes their place.
    let teachers = supervision.filter(|_| opinions.is_none()).map(|it| it.teachers.as_slice());
    let teachers = teachers.unwrap_or_default().iter().map(trained);
    let teachers = teachers.collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(opinions) = &opinions {
        same_teachers(opinions, supervision.map_or(&[], |it| it.teachers.as_slice()))?;
    }
    let pretrained = config.pretrained.as_ref().filter(|_| !resume);
    let encoder = |pretrained: &PretrainedConfig| -> anyhow::Result<PretrainedEncoder> {
        Ok(PretrainedEncoder::load(&resolve_weights(&pretrained.encoder)?)?)
    };
    let encoder = pretrained.map(encoder).transpose()?;
    let told = models::Architecture::embedding(&config.model).filter(|_| !resume);
    let text = told.map(|_| prompts::encoder(&config.text.clone().unwrap_or_default().encoder));
    let text = text.transpose().context("text.encoder")?;
    // Before others could have put anything into it.
    let folder = RunFolder::create(output, resume)?;
    let device = open(device)?;
    let job = Job::join()?;
    let (device, is_first) = (&device, job.is_first());
    let command = command_line();
    let run = Run {
        config: &config,
        dataset: dataset.as_ref(),
        folder: &folder,
        device,
        resume,
        origins: Origins {
            init: init.as_ref(),
            encoder: encoder.as_ref(),
            text: text.as_ref(),
            teachers: &teachers,
            opinions: opinions.as_ref(),
        },
        storage: Storage { cache: args.cache.clone(), memory: args.memory },
        group: job.run(|| job.group_on(device))?,
        meter: Some(&Meter),
        command: &command,
    };

    announce(&run, &name, args.resume);
    // An error of one process must be said before it ends all.
    let failed = |error: anyhow::Error| job.failed(error);
    let interrupt = Interrupt::listen().context("cannot listen for signals");
    let mut interrupt = interrupt.map_err(failed)?;
    let mut progress = Progress::new(&name).on_device(device);
    // One of several processes writes for all.
    let log = is_first.then(|| Log::open(&folder.log())).transpose();
    let mut log = log.map_err(|error| failed(error.into()))?;
    let mut board = is_first.then(|| TensorBoard::new(folder.tensorboard()));
    let tracking = is_first.then(|| Tracking::begin(&args.tracking, &run)).transpose();
    let mut tracking = tracking.map_err(failed)?;
    let mut observers: Vec<&mut dyn Observer> = vec![&mut interrupt, &mut progress];
    observers.extend(log.as_mut().map(|log| log as &mut dyn Observer));
    observers.extend(board.as_mut().map(|board| board as &mut dyn Observer));
    observers.extend(tracking.as_mut().map(|tracking| tracking as &mut dyn Observer));
    let outcome = train(&run, &mut observers);
    let outcome = outcome.map_err(|error| failed(blamed(error, args)))?;
    // What follows is the first one's alone: the others need not wait for it.
    job.finish()?;
    if !is_first {
        return Ok(Job::silent(outcome.stopped));
    }
    let evaluation = if outcome.stopped {
        None
    } else {
        Some(validate(&run, &outcome, &mut observers)?.calibrated)
    };
    progress.finish();
    if let Some(mut tracking) = tracking {
        tracking.end(outcome.stopped, evaluation.as_ref());
    }
    let report = Output::of(&Report {
        output: output.clone(),
        epochs: outcome.history.len(),
        stopped: outcome.stopped,
        held_out: outcome.held_out.len(),
        evaluation,
    });
    // What is to come after a whole run must not come after half of one.
    Ok(report.failing_if(outcome.stopped))
}

/// Says what is about to be trained.
fn announce(run: &Run<'_>, name: &str, wants_to_resume: bool) {
    inform(&format!(
        "{name}: {} on {} cases of {}, loss {}, {}, {} threads",
        run.config.model.name(),
        run.dataset.ids().len(),
        run.dataset.description().name,
        run.config.loss.name(),
        device::name(run.device),
        rayon::current_num_threads(),
    ));
    if wants_to_resume && !run.resume {
        inform(&format!("{name}: no checkpoint yet; the run begins"));
    }
}

/// Trains each fold in a process of its own.
fn every_fold(
    args: &Args,
    config: &RunConfig,
    (data, output): (&Path, &Path),
) -> anyhow::Result<Output> {
    let path = |path: &Path| path.display().to_string();
    let mut arguments = vec![path(&args.run), "--data".to_owned(), path(data)];
    if let Some(init) = &args.init {
        arguments.extend(["--init".to_owned(), init.clone()]);
    }
    for setting in &args.settings {
        arguments.extend(["--set".to_owned(), setting.clone()]);
    }
    if let Some(cache) = &args.cache {
        arguments.extend(["--cache".to_owned(), path(cache)]);
    }
    if let Some(memory) = args.memory {
        arguments.extend(["--memory".to_owned(), format!("{}", memory as f64 / 1e9)]);
    }
    arguments.extend(args.tracking.arguments());
    if is_quiet() {
        arguments.push("--quiet".to_owned());
    }
    let devices = args.device.clone();
    let count = config.split.folds;
    if !args.resume && output.join("fold_0").exists() {
        bail!(
            "{} holds folds already; continue them with --resume, or choose another folder",
            output.display()
        );
    }
    Folds { count, output, arguments, devices }.run()
}

/// That teachers which are at hand are still those who gave the opinions.
fn same_teachers(opinions: &Opinions, teachers: &[String]) -> anyhow::Result<()> {
    for (name, before) in teachers.iter().zip(&opinions.record().teachers) {
        if !Path::new(name).is_dir() {
            continue;
        }
        let now = Trained::load(Path::new(name)).with_context(|| name.clone())?;
        if now.weights_hash()? != before.weights {
            bail!(
                "{name} has other weights than those who gave the opinions of supervision.cache; run \
                 `sconce distill cache` again, into another folder"
            );
        }
    }
    Ok(())
}

/// An error of training: where the settings are to blame, with the file that they are from, and what
/// was changed of them.
fn blamed(error: engine::Error, args: &Args) -> anyhow::Error {
    let context = if matches!(error, engine::Error::Unsuitable(_)) {
        let changed = args.settings.iter().map(|setting| format!(" --set {setting}"));
        format!("{}{}", args.run.display(), changed.collect::<String>())
    } else {
        "training stopped".to_owned()
    };
    anyhow::Error::from(error).context(context)
}

/// One value of `--set`, whose setting is only known once the run file is read.
pub(super) fn assignment(text: &str) -> Result<String, &'static str> {
    match text.split_once('=') {
        None => Err("it is not of the form key=value"),
        Some((key, _)) if key.trim().is_empty() => Err("it names no setting"),
        Some(_) => Ok(text.to_owned()),
    }
}

/// Reads the run file with the settings of the command line; where the file is right by itself,
/// the command line is what is wrong.
pub(super) fn read_run_file(path: &Path, settings: &[String]) -> anyhow::Result<RunConfig> {
    Ok(read_traced(path, settings)?.0)
}

/// The same, with where each setting is from.
fn read_traced(path: &Path, settings: &[String]) -> anyhow::Result<(RunConfig, Sources)> {
    RunConfig::read_traced(path, settings).map_err(|error| {
        let error = error.into();
        if RunConfig::read(path).is_ok() { Usage(one_line(&error)).into() } else { error }
    })
}

/// Opens a device, and says so where `auto` fell back to the CPU.
pub(super) fn open(choice: DeviceChoice) -> anyhow::Result<sconce::Device> {
    let opened = job::own(choice)?.open()?;
    if let Some(reason) = &opened.fallback {
        // That a build for the CPU computes there is no warning.
        if cfg!(any(feature = "cuda", feature = "metal")) { note(reason) } else { inform(reason) }
    }
    // The one that a command computes on.
    nn::assume_one_stream(&opened.device);
    Ok(opened.device)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let output = self.output.display();
        if self.stopped {
            return write!(
                f,
                "stopped after {} epochs; the same command with --resume goes on",
                self.epochs
            );
        }
        if let Some(evaluation) = &self.evaluation {
            write_scores(f, evaluation)?;
        }
        writeln!(f, "run      {output}")?;
        writeln!(f, "report   sconce report {output} --output report.html")?;
        write!(f, "predict  sconce predict -m {output} -i IMAGE -o FOLDER")
    }
}

/// The scores of an evaluation as a small table: means over the cases.
pub(super) fn write_scores(f: &mut fmt::Formatter<'_>, evaluation: &Evaluation) -> fmt::Result {
    let metrics: Vec<&String> = evaluation
        .definitions
        .keys()
        .filter(|name| evaluation.masks.values().any(|scores| scores.contains_key(*name)))
        .collect();
    let number = |mean: Option<f64>| decimals(mean, 4);
    let cases = evaluation.cases.len();
    write!(f, "{:<16}", format!("{cases} case{}", if cases == 1 { "" } else { "s" }))?;
    for metric in &metrics {
        let unit = evaluation.definitions.get(*metric).map_or("", |definition| &definition.unit);
        write!(f, " {:>10}", format!("{metric} {unit}").trim_end())?;
    }
    writeln!(f)?;
    // The mean of the classes comes last, and says nothing where there is one class alone.
    let mean = (evaluation.classes.len() > 1).then(|| MEAN.to_owned());
    let mut undefined = Vec::new();
    for class in evaluation.classes.iter().chain(&mean) {
        let Some(scores) = evaluation.masks.get(class) else { continue };
        write!(f, "{class:<16}")?;
        for metric in &metrics {
            let aggregate = scores.get(*metric);
            write!(f, " {:>10}", number(aggregate.and_then(|aggregate| aggregate.mean)))?;
            if let Some(aggregate) = aggregate.filter(|it| it.undefined > 0 && class != MEAN) {
                undefined.push(format!("{metric} of {class} in {}", aggregate.undefined));
            }
        }
        writeln!(f)?;
    }
    if !undefined.is_empty() {
        writeln!(f, "undefined, and left out: {}", undefined.join(", "))?;
    }
    if !evaluation.probabilities.is_empty() {
        let each = evaluation.probabilities.iter();
        let each = each.map(|(name, aggregate)| format!("{name} {}", number(aggregate.mean)));
        writeln!(f, "{:<16} {}", "probabilities", each.collect::<Vec<_>>().join("  "))?;
    }
    if let Some(Calibration { pooled_ece, brier, nll, .. }) = &evaluation.calibration {
        let [brier, ece, nll] = [brier, pooled_ece, nll].map(|value| number(Some(*value)));
        writeln!(f, "{:<16} brier {brier}  pooled_ece {ece}  nll {nll}", "pooled voxels")?;
    }
    if let Some(scaling) = evaluation.scaling {
        let (name, of_cases) = if evaluation.cases.iter().any(|it| it.vector_scaling.is_some()) {
            ("vector scaling", String::new())
        } else {
            let mut each: Vec<String> =
                evaluation.cases.iter().map(|case| number(case.temperature)).collect();
            each.sort();
            each.dedup();
            ("temperature", format!("{}: ", each.join(", ")))
        };
        writeln!(f, "{name:<16} {of_cases}{}", scaling.in_words())?;
    }
    Ok(())
}

/// What the mean over classes is called in an evaluation.
const MEAN: &str = "mean";

/// The folder's own name, for titles.
pub(super) fn title(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
