/// The continuous ranked probability score of a forecast of equally likely numbers, such as the volumes that a model thinks possible,
/// against what came true: `E|X − y| − ½ E|X − X′|`, in the unit of the numbers.
///
/// 0 only for a forecast that is certain and right; of a single number it is the distance. It is a proper score: the best forecast is the
/// distribution that truths are drawn from. `None` where the forecast is empty, or a number is not finite.
///
/// # Source
///
/// Gneiting, Raftery: *Strictly Proper Scoring Rules, Prediction, and Estimation*, Journal of the American Statistical Association 102
/// (2007).
pub fn crps(forecast: &[f64], truth: f64) -> Option<f64> {
    if forecast.is_empty() || !truth.is_finite() || forecast.iter().any(|it| !it.is_finite()) {
        return None;
    }
    let count = forecast.len() as f64;
    let mut sorted = forecast.to_vec();
    sorted.sort_by(f64::total_cmp);
    let apart = sorted.iter().map(|it| (it - truth).abs()).sum::<f64>() / count;
    // Σ over pairs of |x − x′|: each number is added for those below it, and taken away for those above.
    let spread =
        sorted.iter().zip(0u32..).map(|(it, below)| it * (2.0 * f64::from(below) + 1.0 - count));
    let spread = 2.0 * spread.sum::<f64>() / (count * count);
    Some(apart - 0.5 * spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_number_is_off_by_its_distance_and_doubt_is_worth_something() {
        assert_eq!(crps(&[3.0], 5.0), Some(2.0));
        assert_eq!(crps(&[5.0, 5.0], 5.0), Some(0.0));
        // (0 + 2) / 2 − ½ · (2 + 2) / 4
        assert_eq!(crps(&[3.0, 5.0], 5.0), Some(0.5));
        assert_eq!(crps(&[], 5.0), None);
        assert_eq!(crps(&[f64::NAN], 5.0), None);
    }
}
