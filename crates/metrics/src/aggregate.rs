use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a metric gave over several cases: the mean of those where it is defined, and how many it is
/// not.
///
/// Undefined values are neither 0 nor the worst possible: they are left out, and counted, so that
/// a mean over half of the cases is not mistaken for one over all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
}
