//! Scores of several models over the same cases: means with intervals, ranks, and tests of pairs.

use metrics::{Summary, bootstrap_interval, holm, rank_stability, wilcoxon};

use super::compare::{ModelScore, Pair};

/// Draws of the bootstrap over cases that ranks are made from, its seed, and the level of intervals.
const RESAMPLES: usize = 2000;
const SEED: u64 = 0;
const LEVEL: f64 = 0.95;

/// Each model by itself and among the others; `values` are of each model, over the same cases.
pub(crate) fn ranked(values: &[Vec<Option<f64>>], larger_is_better: bool) -> Vec<ModelScore> {
    let ranks = rank_stability(values, larger_is_better, RESAMPLES, SEED);
    let model = |(at, of_model): (usize, &Vec<Option<f64>>)| ModelScore {
        summary: Summary::of(of_model.iter().copied()),
        interval: bootstrap_interval(of_model.iter().copied(), LEVEL, SEED),
        rank: ranks.get(at).cloned(),
    };
    values.iter().enumerate().map(model).collect()
}

/// Pairs of models, case by case, their p-values corrected by Holm for all of these pairs.
pub(crate) fn paired(
    values: &[Vec<Option<f64>>],
    pairs: impl IntoIterator<Item = [usize; 2]>,
) -> Vec<Pair> {
    let pair = |models: [usize; 2]| {
        let both = values[models[0]].iter().zip(&values[models[1]]);
        let differences: Vec<Option<f64>> =
            both.map(|(one, other)| Some((*one)? - (*other)?)).collect();
        Pair {
            models,
            difference: Summary::of(differences.iter().copied()),
            interval: bootstrap_interval(differences.iter().copied(), LEVEL, SEED),
            test: wilcoxon(differences.into_iter().flatten()),
            p_corrected: None,
        }
    };
    let mut pairs: Vec<Pair> = pairs.into_iter().map(pair).collect();
    let tested: Vec<f64> = pairs.iter().filter_map(|pair| pair.test).map(|it| it.p_value).collect();
    let mut corrected = holm(&tested).into_iter();
    for pair in pairs.iter_mut().filter(|pair| pair.test.is_some()) {
        pair.p_corrected = corrected.next();
    }
    pairs
}
