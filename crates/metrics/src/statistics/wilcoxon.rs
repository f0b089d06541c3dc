use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Up to so many differences all ways to give them signs are counted; more are as good as normal.
const MOST_COUNTED: usize = 300;

/// Whether paired differences lie to one side of 0: the Wilcoxon signed-rank test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wilcoxon {
    /// Differences other than 0, which say nothing and are left out.
    pub differences: usize,
    /// The sum of the ranks of positive differences.
    pub positive: f64,
    /// The sum of the ranks of negative ones.
    pub negative: f64,
    /// How likely differences this one-sided, to either side, are if there is none: two-sided.
    pub p_value: f64,
}

impl Wilcoxon {
    /// The rank-biserial correlation: −1 where all differences are negative, 1 where all are positive, 0 where they balance.
    ///
    /// # Source
    ///
    /// Kerby: *The Simple Difference Formula*, Comprehensive Psychology 3 (2014).
    pub fn effect(&self) -> f64 {
        (self.positive - self.negative) / (self.positive + self.negative)
    }
}

/// Tests differences, such as those of one score of two models on the same cases; `None` where none is other than 0. NaN counts as none.
///
/// Equal differences share their ranks. Up to 300 differences the distribution is counted out, ties included, so that it is exact
/// for few cases; beyond that it is normal, with the usual correction for ties. It asks whether a difference is there, not whether it is
/// large, and takes cases to be independent of each other: several scans of one patient are not.
///
/// # Source
///
/// Wilcoxon: *Individual Comparisons by Ranking Methods*, Biometrics Bulletin 1 (1945).
pub fn wilcoxon(differences: impl IntoIterator<Item = f64>) -> Option<Wilcoxon> {
    let mut all: Vec<f64> = differences.into_iter().filter(|it| it.abs() > 0.0).collect();
    all.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    // Twice the ranks, which are whole where ties share them.
    let mut ranks: Vec<usize> = Vec::with_capacity(all.len());
    let (mut positive, mut ties) = (0, 0.0);
    #[expect(clippy::float_cmp, reason = "the same number, and no other, is a tie")]
    for tie in all.chunk_by(|a, b| a.abs() == b.abs()) {
        let rank = 2 * ranks.len() + tie.len() + 1;
        positive += rank * tie.iter().filter(|&&it| it > 0.0).count();
        ranks.extend(tie.iter().map(|_| rank));
        let count = tie.len() as f64;
        ties += count.powi(3) - count;
    }
    let count = all.len();
    let total = count * (count + 1);
    let p_value = match count {
        0 => return None,
        1..=MOST_COUNTED => counted(&ranks, positive, total),
        _ => normal(count as f64, positive as f64 / 2.0, ties),
    };
    Some(Wilcoxon {
        differences: count,
        positive: positive as f64 / 2.0,
        negative: (total - positive) as f64 / 2.0,
        p_value,
    })
}

/// How likely a sum of ranks is that is at least as far from the middle, where each rank counts or does not with equal chance.
fn counted(ranks: &[usize], sum: usize, total: usize) -> f64 {
    let mut chance = vec![0.0; total + 1];
    chance[0] = 1.0;
    let mut reached = 0;
    for &rank in ranks {
        reached += rank;
        for at in (0..=reached).rev() {
            let with = if at >= rank { chance[at - rank] } else { 0.0 };
            chance[at] = 0.5 * (chance[at] + with);
        }
    }
    let nearer = sum.min(total - sum);
    let tail: f64 = chance[..=nearer].iter().sum();
    (2.0 * tail).min(1.0)
}

/// The same, taken to be normal.
fn normal(count: f64, sum: f64, ties: f64) -> f64 {
    let middle = count * (count + 1.0) / 4.0;
    let variance = count * (count + 1.0) * (2.0 * count + 1.0) / 24.0 - ties / 48.0;
    libm::erfc((sum - middle).abs() / (2.0 * variance).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(test: Option<Wilcoxon>, p_value: f64) {
        approx::assert_relative_eq!(test.unwrap().p_value, p_value, max_relative = 1e-9);
    }

    #[test]
    fn few_differences_are_counted_out() {
        // Of eight differences seven are positive, the negative one the third smallest: P(W ≤ 3) = 5 / 256, twice.
        let found = wilcoxon([0.1, 0.2, -0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.0]).unwrap();

        assert_eq!((found.differences, found.positive, found.negative), (8, 33.0, 3.0));
        approx::assert_relative_eq!(found.p_value, 10.0 / 256.0, epsilon = 1e-15);
        approx::assert_relative_eq!(found.effect(), 30.0 / 36.0, epsilon = 1e-15);
        // All on one side: as unlikely as can be, 2 / 2⁵.
        close(wilcoxon([1.0, 2.0, 3.0, 4.0, 5.0]), 0.0625);
        close(wilcoxon([1.0]), 1.0);
    }

    #[test]
    fn ties_share_their_ranks() {
        // Ranks 1.5, 1.5, 3, 4, 5; the sum of negative ones is 1.5: of 32 ways three are at most that, none and either of the first two.
        close(wilcoxon([1.0, -1.0, 2.0, 3.0, 4.0]), 6.0 / 32.0);
    }

    #[test]
    fn many_differences_are_as_good_as_normal() {
        let some =
            |count: u32| (1..=count).map(|at| f64::from(at) * if at % 9 < 4 { -1.0 } else { 1.0 });
        let counted = wilcoxon(some(300)).unwrap();

        let near = normal(300.0, counted.positive, 0.0);

        assert!((0.01..0.2).contains(&near), "{near}");
        approx::assert_relative_eq!(counted.p_value, near, max_relative = 0.01);
        assert!(wilcoxon(some(301)).unwrap().p_value < 0.2);
    }

    #[test]
    fn it_says_what_scipy_says() {
        let some = [0.03, -0.01, 0.05, 0.02, -0.04, 0.06, 0.07, 0.005, -0.002, 0.011, 0.09, -0.03];

        // scipy.stats.wilcoxon 1.17.1, without the last, and with it, which is tied.
        close(wilcoxon(some[..11].iter().copied()), 0.053_710_937_5);
        close(wilcoxon(some), 0.114_257_812_5);
    }

    #[test]
    fn no_difference_is_no_test() {
        assert_eq!(wilcoxon([0.0, f64::NAN]), None);
        assert_eq!(wilcoxon([]), None);
    }
}
