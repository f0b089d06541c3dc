/// How well a quantity tells those with a property from those without, such as a case's uncertainty those that failed: the chance that
/// one with the property has the larger value, ties counting half; the area under the receiver operating characteristic.
///
/// `None` where either kind is missing, or a value is NaN.
///
/// # Source
///
/// Hanley, `McNeil`: *The Meaning and Use of the Area under a Receiver Operating Characteristic (ROC) Curve*, Radiology 143 (1982).
pub fn discrimination(values: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut before, mut wins) = (0.0, 0.0);
    #[expect(clippy::float_cmp, reason = "the same value, and no other, is a tie")]
    for tie in sorted.chunk_by(|a, b| a.0 == b.0) {
        let with = tie.iter().filter(|it| it.1).count() as f64;
        let without = tie.len() as f64 - with;
        wins += with * (before + without / 2.0);
        before += without;
    }
    let with = values.len() as f64 - before;
    let defined = values.iter().all(|it| !it.0.is_nan());
    (defined && with > 0.0 && before > 0.0).then(|| wins / (with * before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_in_the_right_order_count_and_ties_half() {
        let values = [(0.1, false), (0.4, false), (0.4, true), (0.8, true)];

        // Of four pairs three are in order, and one is tied.
        assert_eq!(discrimination(&values), Some(3.5 / 4.0));
        assert_eq!(discrimination(&values[2..]), None);
        assert_eq!(discrimination(&[(f64::NAN, false), (1.0, true)]), None);
    }
}
