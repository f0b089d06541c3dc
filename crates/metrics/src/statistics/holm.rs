/// What p-values of several tests are worth together, in their order: those of Holm, of which the ones below a level `α` are all
/// rejected with a chance of at most `α` that any of them should not have been. At most 1.
///
/// # Source
///
/// Holm: *A Simple Sequentially Rejective Multiple Test Procedure*, Scandinavian Journal of Statistics 6 (1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least: f64 = 0.0;
    for (rank, &at) in order.iter().enumerate() {
        let left = (p_values.len() - rank) as f64;
        // One that is no smaller than the one before cannot be rejected without it.
        least = least.max((left * p_values[at]).min(1.0));
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_weighed_by_how_many_are_left() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.5]);

        let expected = [0.04, 0.09, 0.09, 0.5];
        approx::assert_relative_eq!(adjusted[..], expected[..], epsilon = 1e-12);
        assert_eq!(holm(&[0.7, 0.9]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
