use serde::{Deserialize, Serialize};

use super::{Challenge, ChallengeScore, Part, RankRule};
use crate::{Dice, Empty, MaskPair, Metric as _, NonNegative, Nsd, Surface};

/// The rules of KiTS, which are the same for KiTS21 and KiTS23: Dice and surface Dice of three regions that lie within each other, kidneys
/// with all masses, masses, and tumours; 1 where both masks are empty, 0 where one is.
///
/// Surfaces are those of surface-distance; each region has a tolerance of its own, which is how far raters were apart. The challenge ranks
/// by the mean Dice and the mean surface Dice over the regions, a mean of the two ranks, and then by the Dice of tumours.
///
/// # Source
///
/// Heller et al.: *The KiTS21 Challenge*, 2023, [arXiv:2307.01984](https://arxiv.org/abs/2307.01984), and the evaluation in
/// [neheller/kits23](https://github.com/neheller/kits23).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kits23 {}

const PARTS: [Part; 3] = [
    Part { name: "kidney_and_mass", labels: &[1, 2, 3] },
    Part { name: "mass", labels: &[2, 3] },
    Part { name: "tumor", labels: &[2] },
];

/// mm, in the same order.
const TOLERANCES: [f64; 3] =
    [1.033_077_253_239_082_6, 1.132_879_648_859_876_2, 1.149_819_836_143_482_8];

impl Challenge for Kits23 {
    fn name(&self) -> &'static str {
        "kits23"
    }

    fn parts(&self) -> Vec<Part> {
        PARTS.to_vec()
    }

    fn measure(&self, part: &Part, pair: &MaskPair) -> Vec<ChallengeScore> {
        let place = PARTS.iter().position(|it| it == part).unwrap_or(0);
        let dice = Dice { empty: Empty::Perfect };
        let surface = Nsd {
            tolerance: NonNegative::literal(TOLERANCES[place]),
            surface: Surface::Elements,
            empty: Empty::Perfect,
        };
        vec![
            ChallengeScore::new("dice", dice.measure(pair), dice.scale()),
            ChallengeScore::new("surface_dice", surface.measure(pair), surface.scale()),
        ]
    }

    fn rank_rule(&self) -> Option<RankRule> {
        Some(RankRule { scores: &["dice", "surface_dice"], tie: ("tumor", "dice") })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    #[test]
    fn empty_is_perfect_where_both_are() -> crate::Result<()> {
        let mask =
            |until: usize| Array3::from_shape_fn((6, 6, 6), |(z, y, x)| z.max(y).max(x) < until);
        let scores = |reference, prediction| -> crate::Result<Vec<Option<f64>>> {
            let pair = MaskPair::new(&mask(reference), &mask(prediction), &[1.0; 3])?;
            let scores = Kits23 {}.measure(&PARTS[2], &pair);
            Ok(scores.into_iter().map(|score| score.value).collect())
        };

        assert_eq!(scores(0, 0)?, [Some(1.0), Some(1.0)]);
        assert_eq!(scores(0, 2)?, [Some(0.0), Some(0.0)]);
        assert_eq!(scores(2, 0)?, [Some(0.0), Some(0.0)]);
        // A millimetre beside it is within the tolerance.
        let beside =
            Array3::from_shape_fn((6, 6, 6), |(z, y, x)| z.max(y) < 2 && (x == 1 || x == 2));
        let pair = MaskPair::new(&mask(2), &beside, &[1.0; 3])?;
        let scores: Vec<_> =
            Kits23 {}.measure(&PARTS[0], &pair).into_iter().map(|it| it.value).collect();
        assert_eq!(scores, [Some(0.5), Some(1.0)]);
        Ok(())
    }
}
