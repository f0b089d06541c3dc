//! `sconce compare`: whether one model is better than another, case by case.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::bail;
use sconce::engine::evaluate::{
    ChallengeRanking, ComparedScore, Comparison, Evaluation, compare, decimals, evaluation_file,
};
use sconce::engine::file;
use serde::Serialize;

use crate::output::Output;
use crate::progress::note;
use crate::resolve::resolve;

/// Compare evaluations of the same cases: means with intervals, ranks, and tests of every difference
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Evaluations: folders of runs or models, hub:owner/name[@revision], folders that `sconce evaluate --output` wrote, or JSON files
    #[arg(required = true, num_args = 2.., value_name = "EVALUATION")]
    evaluations: Vec<PathBuf>,
    /// Compare this class; default: the mean over classes
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Only these scores, such as dice,hd95
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    metrics: Vec<String>,
    /// Also write the comparison, as JSON, to this file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Comparison);

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    let read = args.evaluations.iter().map(|path| read(path));
    let mut evaluations = read.collect::<anyhow::Result<Vec<Evaluation>>>()?;
    tell_apart(&mut evaluations, &args.evaluations);
    let mut comparison = compare(&evaluations, args.class.as_deref())?;
    if !args.metrics.is_empty() {
        let known: Vec<String> = comparison.scores.iter().map(|it| it.score.clone()).collect();
        if let Some(unknown) = args.metrics.iter().find(|name| !known.contains(name)) {
            bail!("{unknown} is not among the scores that all of them have: {}", known.join(", "));
        }
        comparison.scores.retain(|score| args.metrics.contains(&score.score));
    }
    if let [first, ..] = comparison.left_out.as_slice() {
        let count = comparison.left_out.len();
        note(&format!(
            "left out, since not all were scored on them: {count} cases, such as {first}"
        ));
    }
    if let Some(path) = &args.output {
        file::write_json(path, &comparison)?;
    }
    Ok(Output::of(&Report(comparison)))
}

/// The evaluation of a run, a model, a folder of scores, or a file.
fn read(path: &Path) -> anyhow::Result<Evaluation> {
    let of_hub = path.to_str().filter(|name| name.starts_with("hub:")).map(resolve).transpose()?;
    let path = of_hub.as_deref().unwrap_or(path);
    Ok(file::read_versioned(&evaluation_file(path)?)?)
}

/// Evaluations of one name get that of their path.
fn tell_apart(evaluations: &mut [Evaluation], paths: &[PathBuf]) {
    let names: Vec<String> = evaluations.iter().map(|it| it.name.clone()).collect();
    for ((evaluation, path), name) in evaluations.iter_mut().zip(paths).zip(&names) {
        if names.iter().filter(|other| *other == name).count() > 1 {
            evaluation.name = path.display().to_string();
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Comparison { models, cases, scores, challenge, .. }) = self;
        writeln!(f, "{} cases", cases.len())?;
        for score in scores {
            writeln!(f)?;
            write_score(f, score, models)?;
        }
        if let Some(challenge) = challenge {
            writeln!(f)?;
            write_places(f, challenge, models)?;
        }
        write!(
            f,
            "\np-values are Wilcoxon's, corrected by Holm for all pairs of a score; intervals are 95 %, by the bootstrap over cases"
        )
    }
}

/// The models in the order of a challenge, the best first.
fn write_places(
    f: &mut fmt::Formatter<'_>,
    challenge: &ChallengeRanking,
    models: &[String],
) -> fmt::Result {
    writeln!(f, "order of {}, by the mean of ranks", challenge.name)?;
    let width = models.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut placed: Vec<_> = models.iter().zip(&challenge.models).collect();
    placed.sort_by_key(|(_, model)| model.place);
    for (name, model) in placed {
        write!(
            f,
            "  {}. {name:<width$}  mean rank {}",
            model.place,
            decimals(Some(model.mean_rank), 1)
        )?;
        for (score, mean) in &model.means {
            write!(f, "  {score} {}", decimals(Some(*mean), 4))?;
        }
        writeln!(f)?;
    }
    Ok(())
}

fn write_score(
    f: &mut fmt::Formatter<'_>,
    score: &ComparedScore,
    models: &[String],
) -> fmt::Result {
    let better = if score.larger_is_better { "larger is better" } else { "smaller is better" };
    let of = if score.class.is_empty() { String::new() } else { format!(" of {}", score.class) };
    writeln!(f, "{}{of} ({better})", score.score)?;
    let width = models.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let interval = |interval: Option<[f64; 2]>| {
        interval.map_or_else(String::new, |[low, high]| {
            format!(" [{}, {}]", decimals(Some(low), 4), decimals(Some(high), 4))
        })
    };
    for (name, model) in models.iter().zip(&score.models) {
        let mean = decimals(model.summary.mean, 4);
        write!(f, "  {name:<width$}  {mean}{}", interval(model.interval))?;
        if let Some(rank) = &model.rank {
            let [low, high] = rank.interval;
            write!(f, "  rank {} [{low}, {high}]", rank.rank)?;
        }
        if model.summary.undefined > 0 {
            write!(f, "  undefined in {}", model.summary.undefined)?;
        }
        writeln!(f)?;
    }
    for pair in &score.pairs {
        let [one, other] = pair.models.map(|at| models[at].as_str());
        let mean = decimals(pair.difference.mean, 4);
        let p =
            pair.p_corrected.map_or_else(|| "no difference".to_owned(), |p| format!("p = {p:.3}"));
        writeln!(f, "  {one} − {other}: {mean}{}  {p}", interval(pair.interval))?;
    }
    Ok(())
}
