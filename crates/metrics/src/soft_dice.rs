use serde::{Deserialize, Serialize};

use crate::empty::ratio;
use crate::{ProbabilityMetric, ProbabilityPair, Scale};

/// The Dice coefficient of probabilities, without a threshold: each class but class 0 by itself, then their mean.
///
/// Classes that the truth has none of, and that are predicted nowhere as the most probable one, are left out, whatever small
/// probability they have been given; undefined where none is left.
///
/// Two extensions of the Dice coefficient to numbers between 0 and 1 are in use, which agree for masks, see [`SoftOverlap`].
///
/// # Source
///
/// Product: Milletari, Navab, Ahmadi: *V-Net*, 3DV 2016, [arXiv:1606.04797](https://arxiv.org/abs/1606.04797), without its squares.
/// Distance: Wang, Popordanoska, Bertels, Lemmens, Blaschko: *Dice Semimetric Losses: Optimizing the Dice Score with Soft Labels*,
/// MICCAI 2023, [arXiv:2303.16296](https://arxiv.org/abs/2303.16296).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SoftDice {
    /// How the overlap of two probabilities is measured.
    pub overlap: SoftOverlap,
}

/// The overlap of a predicted probability `p` and a true one `t`, of which twice the sum over voxels is divided by `Σ (p + t)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SoftOverlap {
    /// `p t`, the usual one. Where the truth is soft, it is less than 1 for the truth itself, and largest for a prediction that is
    /// certain: not to be used to judge how well doubt is predicted.
    #[default]
    Product,
    /// `min(p, t)`, that is `(p + t − |p − t|) / 2`: 1 for the truth itself, and for nothing else.
    Distance,
}

impl SoftOverlap {
    fn of(self, p: f64, t: f64) -> f64 {
        match self {
            Self::Product => p * t,
            Self::Distance => p.min(t),
        }
    }
}

impl SoftDice {
    /// Of one class; `None` where there is no such class, or it is left out.
    pub fn of_class(&self, pair: &ProbabilityPair<'_>, class: usize) -> Option<f64> {
        pair.expect_class(class).ok()?;
        self.each(pair)[class]
    }

    /// Of each class, class 0 included.
    fn each(&self, pair: &ProbabilityPair<'_>) -> Vec<Option<f64>> {
        let classes = pair.classes();
        let sums = pair.fold(
            || vec![Sums::default(); classes],
            |sums: &mut Vec<Sums>, voxel| {
                let chosen = voxel.choice().0;
                for (class, (sum, &p)) in sums.iter_mut().zip(voxel.predicted).enumerate() {
                    let t = voxel.truth(class);
                    sum.overlap += self.overlap.of(p, t);
                    sum.total += p + t;
                    sum.counts |= t > 0.0 || class == chosen;
                }
            },
            |sums, part| {
                for (sum, more) in sums.iter_mut().zip(part) {
                    sum.overlap += more.overlap;
                    sum.total += more.total;
                    sum.counts |= more.counts;
                }
            },
        );
        let dice = |sum: Sums| ratio(2.0 * sum.overlap, sum.total).filter(|_| sum.counts);
        sums.into_iter().map(dice).collect()
    }
}

/// Sums over voxels, of one class.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    overlap: f64,
    total: f64,
    /// Whether the truth has any of it, or the prediction chooses it anywhere.
    counts: bool,
}

impl ProbabilityMetric for SoftDice {
    fn name(&self) -> &'static str {
        "soft_dice"
    }

    fn label(&self) -> String {
        match self.overlap {
            SoftOverlap::Product => "soft_dice".to_owned(),
            SoftOverlap::Distance => "soft_dice_distance".to_owned(),
        }
    }

    fn scale(&self) -> Scale {
        Scale::OVERLAP
    }

    fn definition(&self) -> String {
        let overlap = match self.overlap {
            SoftOverlap::Product => "p t",
            SoftOverlap::Distance => "min(p, t)",
        };
        format!(
            "2 Σ {overlap} / Σ (p + t) of each class but the first, mean over classes that are there or predicted"
        )
    }

    fn measure(&self, pair: &ProbabilityPair<'_>) -> Option<f64> {
        let defined: Vec<f64> = self.each(pair).into_iter().skip(1).flatten().collect();
        ratio(defined.iter().sum(), defined.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::{Probabilities, Truth};

    #[test]
    fn the_truth_itself_is_perfect_by_distance_alone() -> crate::Result<()> {
        let shares = arr2(&[[0.5, 0.75, 1.0], [0.5, 0.25, 0.0]]);
        let pair = ProbabilityPair::new(Probabilities::new(&shares)?, Truth::soft(&shares)?)?;

        assert_eq!(SoftDice { overlap: SoftOverlap::Distance }.measure(&pair), Some(1.0));
        // 2 (0.25 + 0.0625) / 1.5
        let product = SoftDice::default().measure(&pair).unwrap();
        approx::assert_relative_eq!(product, 0.625 / 1.5, epsilon = 1e-12);
        Ok(())
    }

    #[test]
    fn classes_that_nobody_chooses_are_left_out() -> crate::Result<()> {
        let (prediction, truth) = (arr2(&[[0.4, 0.9], [0.5, 0.0], [0.1, 0.1]]), arr1(&[1, 0]));
        let pair =
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(&truth, None))?;

        // Class 1 alone: 2 · 0.5 / 1.5.
        let metric = SoftDice::default();
        approx::assert_relative_eq!(metric.measure(&pair).unwrap(), 2.0 / 3.0, epsilon = 1e-12);
        assert_eq!(metric.of_class(&pair, 2), None);
        assert_eq!(metric.of_class(&pair, 3), None);
        Ok(())
    }
}
