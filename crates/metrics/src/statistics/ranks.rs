use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bootstrap::Draws;

/// How firmly a model holds its rank among others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RankStability {
    /// Its rank by the mean over all cases, 1 the best; equal means share the mean of their ranks.
    pub rank: f64,
    /// The interval that 95 % of its ranks lie in when cases are drawn anew.
    pub interval: [f64; 2],
    /// How often it is first, alone or together with others, when cases are drawn anew.
    pub first: f64,
}

/// Ranks models by their mean score, and says how much of that would stay with other cases: they are drawn anew, with repetition,
/// `resamples` times.
///
/// `scores` holds one list for each model, all over the same cases; a case counts where all of them are defined. Empty where there are
/// fewer than two such cases, or lists of different length.
///
/// # Source
///
/// Wiesenfarth, Reinke, Landman, Eisenmann, Aguilera Saiz, Cardoso, Maier-Hein, Kopp-Schneider: *Methods and Open-Source Toolkit for
/// Analyzing and Visualizing Challenge Results*, Scientific Reports 11 (2021), [arXiv:1910.05121](https://arxiv.org/abs/1910.05121).
pub fn rank_stability(
    scores: &[Vec<Option<f64>>],
    larger_is_better: bool,
    resamples: usize,
    seed: u64,
) -> Vec<RankStability> {
    let cases = scores.iter().map(Vec::len).max().unwrap_or(0);
    if scores.iter().any(|of_model| of_model.len() != cases) {
        return Vec::new();
    }
    let defined = |case: &usize| {
        scores.iter().all(|of_model| of_model[*case].is_some_and(|score| !score.is_nan()))
    };
    let cases: Vec<usize> = (0..cases).filter(defined).collect();
    if cases.len() < 2 || resamples == 0 {
        return Vec::new();
    }
    let sign = if larger_is_better { -1.0 } else { 1.0 };
    let ranked = |drawn: &[usize]| {
        let sum = |of_model: &Vec<Option<f64>>| {
            sign * drawn.iter().filter_map(|&case| of_model[case]).sum::<f64>()
        };
        ranks(&scores.iter().map(sum).collect::<Vec<_>>())
    };
    let mut draws = Draws(seed);
    let again: Vec<Vec<f64>> = (0..resamples)
        .map(|_| {
            let drawn: Vec<usize> = cases.iter().map(|_| cases[draws.below(cases.len())]).collect();
            ranked(&drawn)
        })
        .collect();
    let stability = |(model, rank): (usize, f64)| {
        let mut all: Vec<f64> = again.iter().map(|ranks| ranks[model]).collect();
        let best = |ranks: &&Vec<f64>| ranks.iter().all(|&other| ranks[model] <= other);
        let first = again.iter().filter(best).count() as f64 / resamples as f64;
        all.sort_by(f64::total_cmp);
        let outside = resamples / 40;
        RankStability { rank, interval: [all[outside], all[resamples - 1 - outside]], first }
    };
    ranked(&cases).into_iter().enumerate().map(stability).collect()
}

/// The rank of each value, 1 the smallest; equal ones share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    #[expect(clippy::float_cmp, reason = "the same value, and no other, is a tie")]
    let rank = |value: &f64| {
        let below = values.iter().filter(|&other| other < value).count();
        let equal = values.iter().filter(|&other| other == value).count();
        below as f64 + f64::midpoint(equal as f64, 1.0)
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_always_better_is_always_first() {
        let scores = [[0.9, 0.8, 0.95], [0.5, 0.6, 0.4], [0.5, 0.6, 0.4]];
        let scores = scores.map(|of_model| of_model.map(Some).to_vec());

        let found = rank_stability(&scores, true, 200, 1);

        assert_eq!(found[0], RankStability { rank: 1.0, interval: [1.0, 1.0], first: 1.0 });
        assert_eq!(found[1], RankStability { rank: 2.5, interval: [2.5, 2.5], first: 0.0 });
        let errors = rank_stability(&scores, false, 200, 1);
        assert_eq!((errors[0].rank, errors[1].rank), (3.0, 1.5));
    }

    #[test]
    fn models_that_win_by_turns_change_places() {
        let one = vec![Some(0.9), Some(0.1), None, Some(0.8), Some(0.2)];
        let other = vec![Some(0.1), Some(0.8), Some(1.0), Some(0.2), Some(0.8)];

        let found = rank_stability(&[one, other], true, 1000, 1);

        assert_eq!((found[0].rank, found[0].interval), (1.0, [1.0, 2.0]));
        assert!((0.4..0.8).contains(&found[0].first), "{found:?}");
        assert!(rank_stability(&[vec![Some(1.0)], vec![Some(2.0)]], true, 10, 1).is_empty());
        assert!(rank_stability(&[vec![Some(1.0)], vec![]], true, 10, 1).is_empty());
        assert!(rank_stability(&[], true, 10, 1).is_empty());
    }
}
