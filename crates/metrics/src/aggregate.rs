use serde::{Deserialize, Serialize};

/// What a metric gave over several cases: the mean of those where it is defined, and how many it is
/// not.
///
/// Undefined values are neither 0 nor the worst possible: they are left out, and counted, so that
/// a mean over half of the cases is not mistaken for one over all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// How many values are defined.
    pub defined: usize,
    /// How many are not.
    pub undefined: usize,
    /// Their mean; `None` where none is defined.
    pub mean: Option<f64>,
    /// Their standard deviation, of a sample; `None` where fewer than two are defined.
    #[serde(alias = "sd")]
    pub standard_deviation: Option<f64>,
    /// The smallest.
    pub minimum: Option<f64>,
    /// The median.
    pub median: Option<f64>,
    /// The largest.
    pub maximum: Option<f64>,
}

impl Summary {
    /// Summarizes values, of which some may be undefined.
    ///
    /// NaN counts as undefined.
    pub fn of(values: impl IntoIterator<Item = Option<f64>>) -> Self {
        let all: Vec<Option<f64>> = values.into_iter().collect();
        let mut defined: Vec<f64> =
            all.iter().flatten().copied().filter(|value| !value.is_nan()).collect();
        let count = defined.len();
        // In the order that they came in, so that the same values give the same bits.
        let mean = (count > 0).then(|| defined.iter().sum::<f64>() / count as f64);
        let standard_deviation = mean.filter(|_| count > 1).map(|mean| {
            let squares = defined.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            (squares / (count - 1) as f64).sqrt()
        });
        defined.sort_by(f64::total_cmp);
        let middle = |at: usize| defined.get(at).copied();
        Self {
            defined: count,
            undefined: all.len() - count,
            mean,
            standard_deviation,
            minimum: defined.first().copied(),
            median: middle(count / 2)
                .zip(middle(count.saturating_sub(1) / 2))
                .map(|(a, b)| f64::midpoint(a, b)),
            maximum: defined.last().copied(),
        }
    }
}

/// The interval in which the mean lies with the given `level` of confidence, such as 0.95, by the
/// percentile bootstrap; undefined values are left out.
///
/// `None` where fewer than two values are defined, or `level` is not between 0 and 1. The same seed
/// gives the same interval. With few cases it is too narrow: it knows nothing but them.
///
/// # Source
///
/// Efron: *Bootstrap Methods: Another Look at the Jackknife*, The Annals of Statistics 7 (1979).
pub fn bootstrap_interval(
    values: impl IntoIterator<Item = Option<f64>>,
    level: f64,
    seed: u64,
) -> Option<[f64; 2]> {
    const RESAMPLES: usize = 10_000;
    let values: Vec<f64> = values.into_iter().flatten().filter(|value| !value.is_nan()).collect();
    if values.len() < 2 || !(level > 0.0 && level < 1.0) {
        return None;
    }
    let mut state = seed;
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = values.iter().map(|_| values[below(&mut state, values.len())]);
            drawn.sum::<f64>() / values.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in the list"
    )]
    let outside = ((1.0 - level) / 2.0 * RESAMPLES as f64) as usize;
    Some([means[outside], means[RESAMPLES - 1 - outside]])
}

/// The next number below `bound` of the generator `SplitMix64` (Steele, Lea, Flood, OOPSLA 2014).
fn below(state: &mut u64, bound: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // The high half of the product with the bound: even to within bound / 2⁶⁴.
    #[expect(clippy::cast_possible_truncation, reason = "below the bound, which is a usize")]
    let place = ((u128::from(z) * bound as u128) >> 64) as usize;
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_values_are_counted_and_left_out() {
        let summary = Summary::of([Some(1.0), None, Some(4.0), Some(f64::NAN), Some(1.0)]);

        assert_eq!((summary.defined, summary.undefined), (3, 2));
        assert_eq!((summary.mean, summary.median), (Some(2.0), Some(1.0)));
        // (1 + 4 + 1) / 2
        assert_eq!(summary.standard_deviation, Some(3f64.sqrt()));
        assert_eq!((summary.minimum, summary.maximum), (Some(1.0), Some(4.0)));
    }

    #[test]
    fn nothing_has_no_mean() {
        assert_eq!(Summary::of([]), Summary::default());
        let one = Summary::of([Some(3.0)]);
        assert_eq!((one.mean, one.median, one.standard_deviation), (Some(3.0), Some(3.0), None));
    }

    #[test]
    fn the_interval_is_about_two_standard_errors_to_both_sides() {
        // 0, 1, …, 99: the mean is 49.5, its standard error 29.01 / 10.
        let values = (0..100).map(|value| Some(f64::from(value)));

        let [low, high] = bootstrap_interval(values.clone(), 0.95, 7).unwrap();

        approx::assert_abs_diff_eq!(low, 49.5 - 1.96 * 2.9, epsilon = 0.3);
        approx::assert_abs_diff_eq!(high, 49.5 + 1.96 * 2.9, epsilon = 0.3);
        assert_eq!(bootstrap_interval(values, 0.95, 7), Some([low, high]));
        assert_eq!(bootstrap_interval([Some(1.0), None], 0.95, 7), None);
    }
}
