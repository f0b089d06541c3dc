//! `sconce postprocess`: what is done to labels once networks have spoken.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sconce::data;
use sconce::engine::{Postprocess, PostprocessFound, file, search_postprocess};
use sconce::volume::LabelMap;
use sconce::zoo;
use serde::Serialize;

use crate::output::{Output, Usage};
use crate::progress::Progress;
use crate::resolve::resolve;

/// Find and apply rules of post-processing: largest parts, holes, small parts
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Find out by held-out predictions whether keeping the largest part of a class helps, as nnU-Net does
    Find(Find),
    /// Apply a rule to label maps
    Apply(Apply),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Find {
    /// A folder with held-out predictions, such as those of a cross-validation
    #[arg(long, short, value_name = "DIR")]
    predictions: PathBuf,
    /// A folder with their references, of the same names
    #[arg(long, short, value_name = "DIR")]
    references: PathBuf,
    /// The model whose classes these are; default: each label of the references is a class
    #[arg(long, short, value_name = "MODEL")]
    model: Option<String>,
    /// A class, or a region that overlaps others, by its labels, such as 1+2; once for each, instead of a model
    #[arg(long, value_name = "LABELS", value_parser = labels, conflicts_with = "model")]
    class: Vec<Class>,
    /// A label of the references that does not count
    #[arg(long, value_name = "LABEL")]
    ignore: Option<u16>,
    /// Where to put the rule; in the folder of a model as postprocess.json, predictions mind it
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// The labels of a class or region.
#[derive(Clone, Debug)]
struct Class(Vec<u16>);

/// Labels as the command line has them.
fn labels(text: &str) -> Result<Class, &'static str> {
    let labels: Vec<u16> = text
        .split('+')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| "it is none such as 2, or 1+2")?;
    if labels.contains(&0) { Err("0 is the background") } else { Ok(Class(labels)) }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// The rule
    #[arg(long, value_name = "FILE")]
    rule: PathBuf,
    /// A label map, or a folder with some
    #[arg(long, short, required = true, num_args = 1.., value_name = "LABELS")]
    input: Vec<PathBuf>,
    /// Where to put the results; not the folder of the labels
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
}

#[derive(Debug, Serialize)]
struct FindReport {
    output: PathBuf,
    #[serde(flatten)]
    found: PostprocessFound,
}

#[derive(Debug, Serialize)]
struct ApplyReport {
    output: PathBuf,
    written: Vec<PathBuf>,
    failed: Vec<String>,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<Output> {
    match command {
        Command::Find(args) => find(args),
        Command::Apply(args) => apply(args),
    }
}

fn find(args: &Find) -> anyhow::Result<Output> {
    let folder = args.output.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!("{} is no folder; make it, or name another --output", folder.display());
    }
    let predictions = data::label_files(&args.predictions)?;
    let references = data::label_files(&args.references)?;
    let pairs: Vec<(&String, &PathBuf, &PathBuf)> =
        predictions.iter().filter_map(|(id, path)| Some((id, path, references.get(id)?))).collect();
    if pairs.is_empty() {
        bail!(
            "no label map in {} has the name of one in {}; give folders whose files are called alike",
            args.predictions.display(),
            args.references.display()
        );
    }
    let missing: Vec<&str> =
        references.keys().filter(|id| !predictions.contains_key(*id)).map(String::as_str).collect();
    let mut progress = Progress::new("postprocess");
    if let [first, ..] = missing.as_slice() {
        let count = missing.len();
        progress.warn(&format!(
            "{count} references, such as {first}, have no prediction; a rule is best found with all cases"
        ));
    }
    let groups = match &args.model {
        Some(model) => of_model(model)?,
        None if !args.class.is_empty() => args.class.iter().map(|class| class.0.clone()).collect(),
        None => of_labels(&pairs, args.ignore)?,
    };
    let mut seen = 0;
    let total = pairs.len();
    let found = search_postprocess(total, &groups, args.ignore, |case| {
        progress.count("cases", seen % total, total);
        seen += 1;
        let (_, prediction, reference) = pairs[case];
        read_pair(prediction, reference)
    })?;
    progress.finish();
    file::write_json(&args.output, &found.rule)?;
    Ok(Output::of(&FindReport { output: args.output.clone(), found }))
}

fn read_pair(prediction: &Path, reference: &Path) -> sconce::engine::Result<(LabelMap, LabelMap)> {
    let maps = (data::read_label_map(prediction)?, data::read_label_map(reference)?);
    match maps.1.grid.difference(&maps.0.grid) {
        None => Ok(maps),
        Some(difference) => Err(sconce::engine::Error::Settings(format!(
            "{} and {} lie apart: {difference}; give predictions of these references",
            prediction.display(),
            reference.display()
        ))),
    }
}

/// The label values of each class or region of a model.
fn of_model(model: &str) -> anyhow::Result<Vec<Vec<u16>>> {
    let networks = zoo::load_all(&resolve(model)?)?;
    let members = networks[0].config.label_members();
    Ok(members.into_iter().skip(1).collect())
}

/// Each label of the references.
fn of_labels(
    pairs: &[(&String, &PathBuf, &PathBuf)],
    ignore: Option<u16>,
) -> anyhow::Result<Vec<Vec<u16>>> {
    let mut labels = BTreeSet::new();
    for (_, _, reference) in pairs {
        labels.extend(data::read_label_map(reference)?.values());
    }
    labels.retain(|&label| label != 0 && Some(label) != ignore);
    Ok(labels.into_iter().map(|label| vec![label]).collect())
}

fn apply(args: &Apply) -> anyhow::Result<Output> {
    let rule = Postprocess::read(&args.rule)?;
    if !rule.thresholds.is_empty() {
        let usage = format!(
            "{} has thresholds, which are of probabilities and not of labels; give it to `sconce predict --postprocess`",
            args.rule.display()
        );
        return Err(Usage(usage).into());
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for input in &args.input {
        if input.is_dir() {
            files.extend(data::label_files(input)?.into_values());
        } else {
            files.push(input.clone());
        }
    }
    std::fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot create {}", args.output.display()))?;
    let mut progress = Progress::new("postprocess");
    let mut report =
        ApplyReport { output: args.output.clone(), written: Vec::new(), failed: Vec::new() };
    for (done, path) in files.iter().enumerate() {
        progress.count("label maps", done, files.len());
        // One bad file must not cost the others.
        match apply_to(&rule, path, &args.output) {
            Ok(written) => report.written.push(written),
            Err(error) => {
                let reason = crate::output::one_line(&error);
                progress.warn(&reason);
                report.failed.push(reason);
            }
        }
    }
    progress.finish();
    let failed = !report.failed.is_empty();
    Ok(Output::of(&report).failing_if(failed))
}

fn apply_to(rule: &Postprocess, path: &Path, output: &Path) -> anyhow::Result<PathBuf> {
    let target = output.join(path.file_name().unwrap_or_default());
    if target.exists() {
        bail!("{} is there already; name another --output", target.display());
    }
    let mut labels = data::read_label_map(path)?;
    rule.apply(&mut labels);
    data::write_label_map(&target, &labels)?;
    Ok(target)
}

impl fmt::Display for FindReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nwritten to {}", self.found, self.output.display())
    }
}

impl fmt::Display for ApplyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "written to {}: {}", self.output.display(), self.written.len())?;
        if !self.failed.is_empty() {
            write!(f, "\nfailed: {}", self.failed.len())?;
        }
        Ok(())
    }
}
