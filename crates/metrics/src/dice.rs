use serde::{Deserialize, Serialize};

use crate::{Empty, MaskPair, Metric, Scale};

/// The Dice coefficient `2 |A ∩ B| / (|A| + |B|)`, also called F1 score.
///
/// Undefined where both masks are empty, 0 where one is, unless `empty` says otherwise.
///
/// It says little about small structures, where one row of voxels more or less moves it by tenths,
/// and nothing about where the errors are: read it with [`Nsd`](crate::Nsd).
///
/// # Source
///
/// Dice: *Measures of the Amount of Ecologic Association Between Species*, Ecology 26 (1945).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dice {
    /// What it is worth where the class is absent.
    pub empty: Empty,
}

impl Metric for Dice {
    fn name(&self) -> &'static str {
        "dice"
    }

    fn scale(&self) -> Scale {
        Scale::OVERLAP
    }

    fn label(&self) -> String {
        format!("dice{}", self.empty.suffix())
    }

    fn definition(&self) -> String {
        format!("2 |P ∩ R| / (|P| + |R|); {}", self.empty.in_words())
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        let counts = masks.counts();
        let (reference, prediction) = (counts.reference(), counts.prediction());

        let both = 2.0 * counts.true_positives as f64;
        self.empty.divide(both, (reference + prediction) as f64, reference == 0)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, arr2};

    use super::*;

    fn dice(empty: Empty, reference: &Array2<bool>, prediction: &Array2<bool>) -> Option<f64> {
        let pair = MaskPair::new(reference, prediction, &[1.0, 1.0]).unwrap();
        Dice { empty }.measure(&pair)
    }

    #[test]
    fn two_common_voxels_of_three_and_five() {
        let reference = arr2(&[[true, true, true, false, false, false]]);
        let prediction = arr2(&[[false, true, true, true, true, true]]);

        assert_eq!(dice(Empty::Undefined, &reference, &prediction), Some(0.5));
    }

    #[test]
    fn each_rule_for_absent_classes() {
        let (none, some) = (arr2(&[[false, false]]), arr2(&[[true, false]]));
        let all = |empty| {
            [(&none, &none), (&none, &some), (&some, &none)].map(|(r, p)| dice(empty, r, p))
        };

        assert_eq!(all(Empty::Undefined), [None, Some(0.0), Some(0.0)]);
        assert_eq!(all(Empty::Perfect), [Some(1.0), Some(0.0), Some(0.0)]);
        assert_eq!(all(Empty::SkipReference), [None, None, Some(0.0)]);
    }
}
