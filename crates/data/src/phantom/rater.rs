use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::random::below;

/// How the raters of a phantom differ from the truth and from one another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    /// Standard deviation of how far a rater's outlines lie outside (or inside), mm.
    pub(super) bias: f64,
    /// Standard deviation of how far an outline strays from place to place, mm.
    pub(super) boundary: f64,
    /// The probability that a rater overlooks a lesion.
    pub(super) miss_rate: f64,
}

/// The mask that one rater draws: 0 background, 1 organ, 2 lesion.
///
/// With `g(x) = bias · β + boundary · n(x)`, a voxel is organ where the organ's level is below
/// `g`, and lesion where that of a lesion is which the rater has not overlooked.
pub(super) fn draw(
    levels: &[Vec<f64>],
    habits: Habits,
    person: &mut ChaCha8Rng,
    field: &[f64],
    eye: &mut ChaCha8Rng,
) -> Vec<u16> {
    let bias = habits.bias * person.sample::<f64, _>(StandardNormal);
    let seen: Vec<&Vec<f64>> =
        levels[1..].iter().filter(|_| !eye.random_bool(habits.miss_rate)).collect();
    field
        .iter()
        .enumerate()
        .map(|(voxel, noise)| {
            let reach = bias + habits.boundary * noise;
            if seen.iter().any(|level| level[voxel] < reach) {
                2
            } else {
                u16::from(levels[0][voxel] < reach)
            }
        })
        .collect()
}

/// The probabilities of background, organ and lesion at one voxel, over all raters there could be.
///
/// `g` is normal with variance `bias² + boundary²`. Order the lesions by their level: the lowest
/// that was not overlooked is lesion `j` with probability `(1 − m) mʲ`, and then the voxel is
/// lesion where `g` exceeds its level, and marked at all where `g` exceeds the lower of that and
/// the organ's.
pub(super) fn truth(organ: f64, lesions: &mut [f64], habits: Habits) -> [f64; 3] {
    let spread = habits.bias.hypot(habits.boundary);
    let exceeds = |level: f64| {
        if spread > 0.0 { below(-level / spread) } else { f64::from(u8::from(level < 0.0)) }
    };
    lesions.sort_by(f64::total_cmp);
    let (mut marked, mut lesion, mut overlooked) = (0.0, 0.0, 1.0);
    for &level in &*lesions {
        let first = overlooked * (1.0 - habits.miss_rate);
        lesion += first * exceeds(level);
        marked += first * exceeds(level.min(organ));
        overlooked *= habits.miss_rate;
    }
    marked += overlooked * exceeds(organ);
    [1.0 - marked, (marked - lesion).max(0.0), lesion]
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "certainty is exact")]
mod tests {
    use super::*;

    const HABITS: Habits = Habits { bias: 0.6, boundary: 0.8, miss_rate: 0.25 };

    #[test]
    fn truth_on_the_edge_of_the_organ_is_one_half() {
        let [background, organ, lesion] = truth(0.0, &mut [], HABITS);

        assert_eq!((background, organ, lesion), (0.5, 0.5, 0.0));
    }

    #[test]
    fn truth_within_two_lesions_is_that_neither_is_overlooked_by_all() {
        // Deep inside both: overlooked with probability 0.25², else lesion.
        let [background, organ, lesion] = truth(-50.0, &mut [-20.0, -30.0], HABITS);

        approx::assert_abs_diff_eq!(background, 0.0, epsilon = 1e-12);
        approx::assert_abs_diff_eq!(organ, 0.0625, epsilon = 1e-12);
        approx::assert_abs_diff_eq!(lesion, 0.9375, epsilon = 1e-12);
    }

    #[test]
    fn truth_without_any_spread_is_the_anatomy() {
        let certain = Habits { bias: 0.0, boundary: 0.0, miss_rate: 0.0 };

        assert_eq!(truth(-0.1, &mut [0.1], certain), [0.0, 1.0, 0.0]);
        assert_eq!(truth(0.1, &mut [0.1], certain), [1.0, 0.0, 0.0]);
        assert_eq!(truth(-0.1, &mut [-0.1], certain), [0.0, 0.0, 1.0]);
    }
}
