use serde::{Deserialize, Serialize};

use crate::empty::ratio;
use crate::threshold::Ranking;
use crate::{ProbabilityMetric, ProbabilityPair, Scale};

/// The area under the receiver operating characteristic of one class: how often a voxel of the
/// class has a higher probability than another one, ties counting half.
///
/// Undefined where all voxels or none belong to the class, or there is no such class. Where the
/// truth is soft, voxels belong to the degree that it says. Most voxels being certain background,
/// it is close to 1 for all but poor models; [`AveragePrecision`](crate::AveragePrecision) is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RocAuc {
    /// The class.
    pub class: usize,
}

impl Default for RocAuc {
    fn default() -> Self {
        Self { class: 1 }
    }
}

impl ProbabilityMetric for RocAuc {
    fn name(&self) -> &'static str {
        "roc_auc"
    }

    fn label(&self) -> String {
        format!("roc_auc_{}", self.class)
    }

    fn scale(&self) -> Scale {
        Scale::OVERLAP
    }

    fn definition(&self) -> String {
        let class = self.class;
        format!(
            "chance that a voxel of class {class} has a larger probability of it than one of another; undefined where either \
             does not occur"
        )
    }

    fn measure(&self, pair: &ProbabilityPair<'_>) -> Option<f64> {
        let ranking = Ranking::of(pair, self.class)?;
        let (truth, rest) = ranking.total;

        let (mut area, mut before) = (0.0, (0.0, 0.0));
        for (right, wrong) in ranking.found {
            area += (wrong - before.1) * f64::midpoint(right, before.0);
            before = (right, wrong);
        }
        ratio(area, truth * rest)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::{Probabilities, Truth};

    #[test]
    fn pairs_in_order_and_ties() -> crate::Result<()> {
        let prediction = arr2(&[[0.1, 0.4, 0.4, 0.8], [0.9, 0.6, 0.6, 0.2]]);
        let pair = |truth| {
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(truth, None))
        };

        // Three pairs with the one voxel of background at 0.6: above, tie, below.
        let mixed = arr1(&[1, 0, 1, 1]);
        assert_eq!(RocAuc::default().measure(&pair(&mixed)?), Some(0.5));
        let all = arr1(&[1, 1, 1, 1]);
        assert_eq!(RocAuc::default().measure(&pair(&all)?), None);
        Ok(())
    }
}
