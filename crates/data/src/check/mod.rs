//! Looking at all cases of a data set: what is wrong with them, and what they are like.

mod facts;
mod looked;
mod splits;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

pub use self::looked::{Looked, check_looked, look};
pub use self::summary::{
    ChannelSummary, ClassSummary, RaterCount, Spread, Summary, summary, summary_with,
};

use self::facts::{Facts, gather, median};
use self::splits::splits;
use crate::problem::{Problem, ProblemKind, Severity};
use crate::{Dataset, Error, Fold, format};

/// How many times larger or smaller than usual a spacing may be before it is remarked upon.
const UNUSUAL: f64 = 3.0;

/// What is wrong with a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The name of the data set.
    pub dataset: String,
    /// The number of cases.
    pub cases: usize,
    /// What is wrong, errors first, then in the order of the cases.
    pub problems: Vec<Problem>,
}

impl Report {
    /// How many problems keep the data set from being used.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many problems someone should look at.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        let (errors, warnings) = (self.errors(), self.warnings());
        write!(f, "{}: {} cases, {errors} errors, {warnings} warnings", self.dataset, self.cases)
    }
}

/// Reads every case of a data set, and says what is wrong: files that are missing or damaged,
/// geometries that do not fit, label values without a class (with the classes that would fit),
/// values that are NaN or infinite, labels that are empty or missing, labels without image,
/// spacings far from the others, images that are in two groups at once, and whatever the readers
/// remarked.
///
/// `progress` hears how many of how many cases are done, from any thread.
pub fn check(dataset: &dyn Dataset, progress: &(dyn Fn(usize, usize) + Sync)) -> Report {
    check_with_folds(dataset, &[], progress)
}

/// The same, and what is wrong with a division into folds: cases that there are not, that are trained on and
/// held out at once, by themselves, by their group or by their image, and cases that no fold holds out, or
/// several do.
pub fn check_with_folds(
    dataset: &dyn Dataset,
    folds: &[Fold],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Report {
    let facts = gather(dataset, &|_, _| (), progress);
    let facts = dataset.ids().iter().zip(facts);
    let facts = facts.map(|(id, facts)| facts.map_err(|error| Problem::from_error(id, &error)));
    report(dataset, folds, &facts.collect::<Vec<_>>())
}

/// What is wrong, of what was seen of each case.
fn report(dataset: &dyn Dataset, folds: &[Fold], facts: &[Result<Facts, Problem>]) -> Report {
    let readable: Vec<(&String, &Facts)> = dataset
        .ids()
        .iter()
        .zip(facts)
        .filter_map(|(id, facts)| facts.as_ref().ok().map(|facts| (id, facts)))
        .collect();
    let labelled = readable.iter().filter(|(_, facts)| facts.voxels.is_some()).count();

    let mut problems: Vec<Problem> = dataset.problems().to_vec();
    explain_strays(&mut problems, &readable);
    for (id, facts) in dataset.ids().iter().zip(facts) {
        match facts {
            Ok(facts) => case(dataset, id, facts, labelled, &mut problems),
            Err(problem) => problems.push(problem.clone()),
        }
    }
    raters(dataset, &mut problems);
    spacings(dataset, &readable, &mut problems);
    duplicates(dataset, &readable, &mut problems);
    splits(dataset, folds, &readable, &mut problems);
    classes(dataset, &readable, labelled, &mut problems);
    remarks(dataset, &mut problems);
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    let dataset_name = dataset.description().name.clone();
    Report { dataset: dataset_name, cases: dataset.ids().len(), problems }
}

/// What is wrong with a case that could be read.
fn case(
    dataset: &dyn Dataset,
    id: &str,
    facts: &Facts,
    labelled: usize,
    problems: &mut Vec<Problem>,
) {
    let mut add = |severity, kind, message: String| {
        let problem = Problem::new(severity, kind, message).of_case(id);
        problems.push(match dataset.files(id).first() {
            Some(path) => problem.of_file(path),
            None => problem,
        });
    };
    let names = &dataset.description().channels;
    for (channel, found) in names.iter().zip(&facts.channels) {
        if let Some((voxel, count)) = found.non_finite {
            let message = format!(
                "case {id}, channel {channel}: {count} values are NaN or infinite, the first at \
                 voxel {voxel:?} (z, y, x); replace them, for instance by 0"
            );
            add(Severity::Error, ProblemKind::NonFinite, message);
        }
        let constant = found.finite > 0 && found.minimum.to_bits() == found.maximum.to_bits();
        if constant {
            let value = found.minimum;
            let message = format!(
                "case {id}, channel {channel}: all values are {value}; check that it is an image"
            );
            add(Severity::Warning, ProblemKind::ConstantImage, message);
        }
    }
    match &facts.voxels {
        None if labelled > 0 => {
            let message =
                format!("case {id} has no label; add one, or leave the case out of training");
            add(Severity::Error, ProblemKind::NoLabel, message);
        }
        Some(voxels) if voxels[1..].iter().sum::<f64>() == 0.0 => {
            let message =
                format!("case {id}: the label is empty; check that nothing is to be seen there");
            add(Severity::Warning, ProblemKind::EmptyLabel, message);
        }
        _ => {}
    }
}

/// A label without image cannot be used, but its size may show whether it belongs here at all.
fn explain_strays(problems: &mut [Problem], readable: &[(&String, &Facts)]) {
    let usual: Vec<Option<f64>> = (0..3)
        .map(|axis| {
            let extents = readable.iter().map(|(_, facts)| facts.grid.size[axis] as f64);
            median(&mut extents.collect::<Vec<_>>())
        })
        .collect();
    let strays = problems.iter_mut().filter(|problem| problem.kind == ProblemKind::NoImage);
    for (problem, path) in strays.filter_map(|problem| problem.path.clone().map(|it| (problem, it)))
    {
        let more = match format::meta(&path) {
            Err(error) => format!("besides, {error}"),
            Ok(meta) => {
                let size = meta.grid.size;
                let strange = usual.iter().zip(size).any(|(usual, extent)| {
                    usual.is_some_and(|usual| {
                        extent as f64 > UNUSUAL * usual || UNUSUAL * (extent as f64) < usual
                    })
                });
                let usual: Vec<f64> = usual.iter().flatten().copied().collect();
                let far = if strange { "far from " } else { "" };
                format!("its size is {size:?} voxels, {far}the median of images {usual:?}")
            }
        };
        problem.message = format!("{}; {more}", problem.message);
    }
}

/// Cases that not all raters have seen, in one remark: it may be meant so.
fn raters(dataset: &dyn Dataset, problems: &mut Vec<Problem>) {
    let all = dataset.description().raters.len();
    let fewer = |id: &&String| (1..all).contains(&dataset.raters(id).len());
    let mut ids = dataset.ids().iter().filter(fewer);
    let Some(first) = ids.next() else { return };
    let others = ids.count();
    let more =
        if others > 0 { format!(" (and {others} others have fewer, too)") } else { String::new() };
    let found = dataset.raters(first).join(", ");
    let message = format!(
        "case {first} has masks of {found} only, of {all} raters{more}; complete them, or know that such cases count \
         for fewer opinions"
    );
    let problem = Problem::new(Severity::Warning, ProblemKind::MissingRater, message);
    problems.push(problem.of_case(first));
}

fn spacings(dataset: &dyn Dataset, readable: &[(&String, &Facts)], problems: &mut Vec<Problem>) {
    for axis in 0..3 {
        let mut all: Vec<f64> =
            readable.iter().map(|(_, facts)| facts.grid.spacing[axis]).collect();
        let Some(usual) = median(&mut all) else { return };
        for (id, facts) in readable {
            let own = facts.grid.spacing[axis];
            if own > UNUSUAL * usual || UNUSUAL * own < usual {
                let message = format!(
                    "case {id}: a spacing of {own} mm along {} is far from the median of {usual} \
                     mm; check its header",
                    ["z", "y", "x"][axis]
                );
                let problem = Problem::new(Severity::Warning, ProblemKind::SpacingOutlier, message);
                problems.push(match dataset.files(id).first() {
                    Some(path) => problem.of_case(id).of_file(path),
                    None => problem.of_case(id),
                });
            }
        }
    }
}

/// The same image in two groups would be trained on and held out at once.
fn duplicates(dataset: &dyn Dataset, readable: &[(&String, &Facts)], problems: &mut Vec<Problem>) {
    let mut first: BTreeMap<u64, &str> = BTreeMap::new();
    for &(id, facts) in readable {
        let other = *first.entry(facts.hash).or_insert(id);
        if dataset.group(other) != dataset.group(id) {
            let message = format!(
                "cases {other} and {id} have the same image; remove one, or set `group` so that \
                 they stay together"
            );
            let problem = Problem::new(Severity::Warning, ProblemKind::DuplicateImage, message);
            problems.push(problem.of_case(id));
        }
    }
}

fn classes(
    dataset: &dyn Dataset,
    readable: &[(&String, &Facts)],
    labelled: usize,
    problems: &mut Vec<Problem>,
) {
    let mut warn = |kind, message| problems.push(Problem::new(Severity::Warning, kind, message));
    if labelled == 0 {
        let message = "no case has a label that can be read; this serves for prediction only";
        return warn(ProblemKind::NoLabel, message.to_owned());
    }
    for (index, class) in dataset.description().classes.iter().enumerate() {
        let of_case = |facts: &Facts| facts.voxels.as_ref().map_or(0.0, |voxels| voxels[index]);
        if readable.iter().all(|(_, facts)| of_case(facts) == 0.0) {
            let message = format!(
                "class {} ({:?}) occurs in no case; correct `classes`, or leave it out",
                class.name, class.values
            );
            warn(ProblemKind::UnusedClass, message);
        }
    }
}

/// What readers remark of files, once for each remark.
fn remarks(dataset: &dyn Dataset, problems: &mut Vec<Problem>) {
    let mut files = BTreeSet::new();
    for id in dataset.ids() {
        files.extend(dataset.files(id));
    }
    let mut remarks = BTreeMap::new();
    for path in files {
        for note in format::notes(&path) {
            remarks.entry(note).or_insert_with(|| (path.clone(), 0)).1 += 1;
        }
    }
    for (note, (path, count)) in remarks {
        let others = if count > 1 { format!(" and {} others", count - 1) } else { String::new() };
        let message = format!("{}{others}: {note}", path.display());
        let problem = Problem::new(Severity::Warning, ProblemKind::Remark, message);
        problems.push(problem.of_file(&path));
    }
}

/// The error that opening a data set ended with, as the only problem of a report.
impl From<&Error> for Report {
    fn from(error: &Error) -> Self {
        let problem = Problem { case: None, ..Problem::from_error("", error) };
        Self { dataset: String::new(), cases: 0, problems: vec![problem] }
    }
}
