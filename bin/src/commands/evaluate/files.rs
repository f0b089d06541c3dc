//! Predictions in files, against references in files or in a data set.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sconce::data::{self, Dataset, Layout as _, PredictionFiles};
use sconce::engine::evaluate::{
    EvaluateConfig, Evaluation, Evaluator, Part, Predicted, Reference, Unmatched, class_indices,
};
use sconce::engine::{LabelSpace, RunConfig};
use sconce::preprocess::{self, Interpolation};
use sconce::volume::{Grid, Image, Label, LabelMap, SoftLabelMap};

use super::{Args, Scored};
use crate::command_line::command_line;
use crate::commands::train::title;
use crate::output::Usage;
use crate::progress::{Progress, note};
use crate::shard::Shard;

/// What predictions are held against.
enum References {
    /// One folder, or one for each rater: files by the names of cases.
    Folders(Vec<BTreeMap<String, PathBuf>>),
    DataSet(Box<dyn Dataset>),
}

/// A prediction as far as it is there.
struct Prediction {
    labels: Option<LabelMap>,
    probabilities: Option<Image>,
}

pub(super) fn evaluate(
    (args, shard): (&Args, Option<Shard>),
    folder: &Path,
    settings: &EvaluateConfig,
) -> anyhow::Result<Scored> {
    let predictions = data::prediction_files(folder)?;
    let references = References::open(args)?;
    let known = references.ids();
    let unmatched = Unmatched {
        predictions: predictions.keys().filter(|id| !known.contains(*id)).cloned().collect(),
        references: known.iter().filter(|id| !predictions.contains_key(*id)).cloned().collect(),
    };
    let matched: Vec<(&String, &PredictionFiles)> =
        predictions.iter().filter(|(id, _)| known.contains(*id)).collect();
    say_unmatched(args, folder, &unmatched, matched.len())?;
    let members = args.members.iter().map(|folder| data::prediction_files(folder));
    let members = members.collect::<Result<Vec<_>, _>>()?;
    let mut evaluator = references.evaluator(args, folder, &matched, settings)?;
    let mut progress = Progress::new("evaluate");
    let total = matched.len();
    let mut part = shard.map(|_| Part::new(&evaluator, total));
    let places: Vec<usize> =
        shard.map_or_else(|| (0..total).collect(), |it| it.places(total).collect());
    for (done, &place) in places.iter().enumerate() {
        progress.count("cases", done, places.len());
        let (id, files) = matched[place];
        let named = || format!("cannot score {}", files.any().unwrap_or(folder).display());
        let mut one = evaluator.fresh();
        score(args, &mut one, &references, (id, files), &members).with_context(named)?;
        match &mut part {
            Some(part) => part.add(place, one),
            None => evaluator.absorb(one).with_context(named)?,
        }
    }
    progress.finish();
    let scored = match part {
        Some(part) => Scored::Part(Box::new(part)),
        None => Scored::All(Box::new(evaluator.finish())),
    };
    Ok(scored
        .with(|evaluation| Evaluation { unmatched, ..evaluation }.made_by(&command_line(), None)))
}

/// Says what is missing, and goes on only where that was allowed.
fn say_unmatched(
    args: &Args,
    folder: &Path,
    unmatched: &Unmatched,
    matched: usize,
) -> anyhow::Result<()> {
    let list = |names: &[String]| match names {
        [first, second, third, _, ..] => {
            format!("{first}, {second}, {third} and {} more", names.len() - 3)
        }
        few => few.join(", "),
    };
    if matched == 0 {
        bail!(
            "no prediction in {} has the name of a reference: there are {} and {}; give folders whose files are called \
             alike",
            folder.display(),
            list(&unmatched.predictions),
            list(&unmatched.references)
        );
    }
    if !unmatched.references.is_empty() {
        let missing = list(&unmatched.references);
        if !args.allow_missing {
            bail!(
                "{} has no prediction of {missing}; predict them, or score the others alone with --allow-missing",
                folder.display()
            );
        }
        note(&format!("not scored, for want of a prediction: {missing}"));
    }
    if !unmatched.predictions.is_empty() {
        note(&format!("not scored, for want of a reference: {}", list(&unmatched.predictions)));
    }
    Ok(())
}

/// Scores one case.
fn score(
    args: &Args,
    evaluator: &mut Evaluator,
    references: &References,
    (id, files): (&str, &PredictionFiles),
    members: &[BTreeMap<String, PredictionFiles>],
) -> anyhow::Result<()> {
    let reference = references.read(args, id)?;
    let grid = &reference.hard.grid;
    let prediction = read(files, references.description(), grid, args.resample)?;
    let regions = references.description().is_some_and(data::Description::has_regions);
    let soft = match &prediction.probabilities {
        Some(image) if !regions => Some(SoftLabelMap::new(image.grid.clone(), image.data.clone())?),
        _ => None,
    };
    let labels = match (&prediction.labels, &soft) {
        (Some(labels), _) => labels.clone(),
        (None, Some(soft)) => evaluator.most_probable(soft)?,
        (None, None) => bail!("regions that may overlap need their label map beside probabilities"),
    };
    let predicted = match (&soft, &prediction.probabilities) {
        (Some(soft), _) => Predicted::Classes(soft),
        (None, Some(image)) => Predicted::Regions(image),
        (None, None) => Predicted::Unknown,
    };
    evaluator.add(id, &labels, predicted, &reference)?;
    let file = files.any().map(|path| path.display().to_string()).unwrap_or_default();
    evaluator.note_files(&file, &references.file(id));
    let mut all = vec![labels];
    for member in members {
        let Some(files) = member.get(id) else {
            bail!("one of --members has no prediction of {id}");
        };
        let read = read(files, references.description(), grid, args.resample)?;
        all.push(read.labels.context("a member has no label map")?);
    }
    let mut apart = Vec::new();
    for (at, one) in all.iter().enumerate() {
        for other in &all[..at] {
            apart.extend(evaluator.agreement(one, other)?.map(|dice| 1.0 - dice));
        }
    }
    if !members.is_empty() {
        let pairs = apart.len().max(1) as f64;
        evaluator.note_doubt("disagreement", apart.iter().sum::<f64>() / pairs);
    }
    Ok(())
}

/// What was predicted of a case, on the grid of its reference.
fn read(
    files: &PredictionFiles,
    description: Option<&data::Description>,
    grid: &Grid,
    resample: bool,
) -> anyhow::Result<Prediction> {
    let mut labels = files.labels.as_ref().map(data::read_label_map).transpose()?;
    if let (Some(map), Some(description)) = (labels.take_if(|_| description.is_some()), description)
    {
        labels = Some(class_indices(map, description)?);
    }
    if let Some(map) = labels.as_mut().filter(|map| resample && map.grid.difference(grid).is_some())
    {
        *map = preprocess::resample_labels_onto(map, grid, 0)?;
    }
    let probabilities = files.probabilities.as_ref();
    let mut probabilities = probabilities
        .map(|path| -> anyhow::Result<Image> {
            if path.extension().is_some_and(|it| it == "npz") {
                // It knows no grid of its own.
                let SoftLabelMap { data, .. } = data::read_soft_labels(path)?;
                return Ok(Image::new(grid.clone(), data)?);
            }
            Ok(data::read_image(path)?)
        })
        .transpose()?;
    if let Some(image) =
        probabilities.as_mut().filter(|it| resample && it.grid.difference(grid).is_some())
    {
        *image = preprocess::resample_onto(image, grid, Interpolation::Linear, 0.0)?;
    }
    Ok(Prediction { labels, probabilities })
}

impl References {
    fn open(args: &Args) -> anyhow::Result<Self> {
        if let Some(data) = &args.data {
            let layout = match &args.run {
                Some(run) => RunConfig::read(run)?.data,
                None => data::recognize(data)?,
            };
            return Ok(Self::DataSet(layout.open(data)?));
        }
        let folders = args.references.iter().map(|folder| data::label_files(folder));
        Ok(Self::Folders(folders.collect::<Result<_, _>>()?))
    }

    fn ids(&self) -> BTreeSet<String> {
        match self {
            Self::Folders(folders) => folders.iter().flat_map(BTreeMap::keys).cloned().collect(),
            Self::DataSet(dataset) => dataset.ids().iter().cloned().collect(),
        }
    }

    fn description(&self) -> Option<&data::Description> {
        match self {
            Self::Folders(_) => None,
            Self::DataSet(dataset) => Some(dataset.description()),
        }
    }

    /// The file of a case, or its name in a data set.
    fn file(&self, id: &str) -> String {
        match self {
            Self::Folders(folders) => {
                let file = folders.iter().find_map(|folder| folder.get(id));
                file.map(|path| path.display().to_string()).unwrap_or_default()
            }
            Self::DataSet(_) => id.to_owned(),
        }
    }

    fn read(&self, args: &Args, id: &str) -> anyhow::Result<Reference> {
        match self {
            Self::Folders(folders) => {
                let files: Vec<&PathBuf> = folders.iter().filter_map(|it| it.get(id)).collect();
                let label = match files[..] {
                    [file] if args.soft => Label::Soft(data::read_soft_labels(file)?),
                    _ if args.soft => {
                        bail!("soft references are one folder, not one for each rater")
                    }
                    [file] => Label::Hard(data::read_label_map(file)?),
                    _ => {
                        let raters = files.into_iter().map(data::read_label_map);
                        Label::raters(raters.collect::<Result<_, _>>()?)?
                    }
                };
                let classes = match &label {
                    Label::Soft(soft) => soft.classes(),
                    Label::Hard(map) => greatest(map) + 1,
                    Label::Raters(maps) => maps.iter().map(greatest).max().unwrap_or(0) + 1,
                };
                Ok(Reference::of(&label, classes, None)?)
            }
            Self::DataSet(dataset) => {
                let (case, description) = (dataset.read(id)?, dataset.description());
                let label = case.label.context("it has no label to be scored against")?;
                let labels = LabelSpace::of(description)?.labels();
                let reference = Reference::of(&label, labels, description.ignore)?;
                Ok(reference.labelling(dataset.labelled(id)))
            }
        }
    }

    fn evaluator(
        &self,
        args: &Args,
        folder: &Path,
        matched: &[(&String, &PredictionFiles)],
        settings: &EvaluateConfig,
    ) -> anyhow::Result<Evaluator> {
        let name = title(folder);
        let folders = match self {
            Self::DataSet(dataset) => {
                return Ok(Evaluator::of_description(&name, dataset.description(), settings));
            }
            Self::Folders(folders) => folders,
        };
        let mut names = named(&args.classes)?;
        if names.is_empty() {
            let (mut values, mut channels) = (BTreeSet::new(), 0);
            for (id, files) in matched {
                let references = folders.iter().filter_map(|it| it.get(*id));
                for path in references.filter(|_| !args.soft).chain(&files.labels) {
                    values.extend(data::read_label_map(path)?.values());
                }
                let soft = files.probabilities.as_ref().filter(|_| files.labels.is_none());
                if let Some(soft) = soft {
                    channels = channels.max(data::read_soft_labels(soft)?.classes());
                }
            }
            values.remove(&0);
            // As many as there are labels are theirs, as of 255 alone; others are label values.
            if values.len() + 1 != channels {
                values.extend((1u16..).take(channels.saturating_sub(1)));
            }
            if values.is_empty() {
                bail!(
                    "neither {} nor {} has a label other than 0, so that there is no class to score; \
                     check the folders, or name the classes with --classes",
                    folder.display(),
                    args.references[0].display()
                );
            }
            names = values.into_iter().map(|value| (value, format!("label {value}"))).collect();
        }
        Ok(Evaluator::of_values(&name, &title(&args.references[0]), &names, settings))
    }
}

fn greatest(map: &LabelMap) -> usize {
    map.values().into_iter().max().map_or(0, usize::from)
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
