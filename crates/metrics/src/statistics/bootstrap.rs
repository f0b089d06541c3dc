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
    let mut draws = Draws(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = values.iter().map(|_| values[draws.below(values.len())]);
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

/// Random numbers of the generator `SplitMix64` (Steele, Lea, Flood, OOPSLA 2014), which a seed decides.
pub(super) struct Draws(pub(super) u64);

impl Draws {
    /// The next number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // The high half of the product with the bound: even to within bound / 2⁶⁴.
        #[expect(clippy::cast_possible_truncation, reason = "below the bound, which is a usize")]
        let place = ((u128::from(z) * bound as u128) >> 64) as usize;
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
