//! `sconce evaluate`: how good predictions are, in overlap, distance and calibration.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sconce::data::{self, Dataset, Layout as _};
use sconce::engine::evaluate::{self, Evaluation, Evaluator, Reference, Temperatures};
use sconce::engine::{DeviceChoice, Predictor, RunConfig, RunFolder, file};
use sconce::zoo;
use serde::Serialize;

use super::train::{title, write_scores};
use crate::output::{Output, Usage};
use crate::progress::{Progress, note};
use crate::resolve::resolve;

/// Score a trained network on a data set, or label files against reference files
#[derive(Debug, clap::Args)]
#[command(after_help = "Give either --model and --data, or --predictions and --references.")]
pub(crate) struct Args {
    /// A run folder, a model folder, or hub:owner/name[@revision]
    #[arg(long, short, value_name = "MODEL", requires = "data")]
    model: Option<String>,
    /// The data folder to predict and score
    #[arg(long, value_name = "DIR", requires = "model")]
    data: Option<PathBuf>,
    /// The run file whose [data] says how the folder is laid out; default: the model's own
    #[arg(long, value_name = "FILE", requires = "model")]
    run: Option<PathBuf>,
    /// Score every case, not the held-out ones alone
    #[arg(long, requires = "model")]
    all: bool,
    /// A folder of predicted label files
    #[arg(long, value_name = "DIR", requires = "references", conflicts_with = "model")]
    predictions: Option<PathBuf>,
    /// A folder of reference label files with the same names
    #[arg(long, value_name = "DIR", requires = "predictions")]
    references: Option<PathBuf>,
    /// Names of label values, such as 1=liver,2=tumour; default: the values found in either folder
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "predictions")]
    classes: Vec<String>,
    /// Also write the evaluation, as JSON, to this file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t, value_name = "DEVICE")]
    device: DeviceChoice,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Evaluation);

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    let evaluation = match (&args.model, &args.data, &args.predictions, &args.references) {
        (Some(model), Some(data), None, None) => of_model(args, model, data)?,
        (None, None, Some(predictions), Some(references)) => {
            of_files(args, predictions, references)?
        }
        _ => {
            let usage = "give either --model and --data, or --predictions and --references";
            return Err(Usage(usage.to_owned()).into());
        }
    };
    if let Some(path) = &args.output {
        file::write_json(path, &evaluation)?;
    }
    Ok(Output::of(&Report(evaluation)))
}

fn of_model(args: &Args, model: &str, data: &Path) -> anyhow::Result<Evaluation> {
    let folder = resolve(model)?;
    let mut trained = zoo::load(&folder)?;
    let settings = args.run.clone().unwrap_or_else(|| RunFolder::at(&folder).settings());
    if args.run.is_none() && !settings.is_file() {
        bail!(
            "there is no {}, which would say how the data folder is laid out; give a run file with \
             --run",
            settings.display()
        );
    }
    let config = RunConfig::read(&settings)?;
    let dataset = config.data.open(data)?;
    let run = RunFolder::at(&folder);
    let ids = cases(args, &run, dataset.as_ref())?;
    let temperatures = Temperatures::of_folder(&run, &trained, dataset.as_ref())?;
    let device = super::train::open(args.device)?;
    let weights = Some(trained.weights_hash()?);
    // Each case is divided by a temperature of its own, as it was when the run ended.
    trained.config.temperature = 1.0;
    let predictor = Predictor::new(&trained, trained.config.predict.clone(), &device)?;
    let mut progress = Progress::new("evaluate");
    let evaluation = evaluate::on_dataset(
        &predictor,
        dataset.as_ref(),
        &ids,
        &temperatures,
        &title(&folder),
        &mut [&mut progress],
    )?;
    progress.finish();
    Ok(Evaluation { weights, ..evaluation })
}

/// The held-out cases of a run or model, or all.
fn cases(args: &Args, run: &RunFolder, dataset: &dyn Dataset) -> anyhow::Result<Vec<String>> {
    let (folder, split) = (run.root().display(), run.read_split()?);
    if args.all {
        let seen = split.map(|split| split.train).unwrap_or_default();
        let seen = seen.iter().filter(|id| dataset.ids().contains(id)).count();
        if seen > 0 {
            note(&format!("{folder} was trained on {seen} of the {} cases", dataset.ids().len()));
        }
        return Ok(dataset.ids().to_vec());
    }
    let Some(split) = split else {
        bail!(
            "{folder} does not say which cases it was trained on: it has no split.json; give --all \
             to score every case"
        );
    };
    if let Some(missing) = split.val.iter().find(|id| !dataset.ids().contains(id)) {
        bail!(
            "case {missing}, held out when {folder} was trained, is not in the data folder; give \
             the folder that it was trained on, or --all"
        );
    }
    Ok(split.val)
}

fn of_files(args: &Args, predictions: &Path, references: &Path) -> anyhow::Result<Evaluation> {
    let pairs = data::pair_label_files(predictions, references)?;
    let mut names = named(&args.classes)?;
    if names.is_empty() {
        let mut values = BTreeSet::new();
        for path in pairs.iter().flat_map(|pair| [&pair.prediction, &pair.reference]) {
            values.extend(data::read_label_map(path)?.values());
        }
        values.remove(&0);
        if values.is_empty() {
            bail!(
                "neither {} nor {} has a label other than 0, so that there is no class to score; \
                 check the folders, or name the classes with --classes",
                predictions.display(),
                references.display()
            );
        }
        names = values.into_iter().map(|value| (value, format!("label {value}"))).collect();
    }
    let (name, dataset) = (title(predictions), title(references));
    let mut evaluator = Evaluator::of_values(&name, &dataset, &names);
    let mut progress = Progress::new("evaluate");
    for (done, pair) in pairs.iter().enumerate() {
        progress.count("files", done, pairs.len());
        let prediction = data::read_label_map(&pair.prediction)?;
        let reference = data::read_label_map(&pair.reference)?;
        evaluator
            .add(&pair.id, &prediction, None, &Reference::hard(reference))
            .with_context(|| format!("cannot score {}", pair.prediction.display()))?;
    }
    progress.finish();
    Ok(evaluator.finish())
}

/// The classes of `--classes`, each a label value and a name.
fn named(classes: &[String]) -> anyhow::Result<Vec<(u16, String)>> {
    let mut names: Vec<(u16, String)> = Vec::new();
    for class in classes {
        let parsed = class.split_once('=').and_then(|(value, name)| {
            value.trim().parse::<u16>().ok().map(|value| (value, name.trim().to_owned()))
        });
        let usage = || Usage(format!("--classes: {class} is not of the form value=name"));
        names.push(parsed.ok_or_else(usage)?);
    }
    Ok(names)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scores(f, &self.0)
    }
}
