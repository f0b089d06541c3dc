use serde::{Deserialize, Serialize};

use crate::threshold::Ranking;
use crate::{ProbabilityMetric, ProbabilityPair, Scale};

/// The average precision of one class: the area under the curve of precision over recall, as a sum
/// of steps.
///
/// Undefined where the class does not occur in the truth, or there is no such class. Where the
/// truth is soft, voxels belong to the degree that it says. It asks how well probabilities are
/// ordered, and says nothing about calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AveragePrecision {
    /// The class.
    pub class: usize,
}

impl Default for AveragePrecision {
    fn default() -> Self {
        Self { class: 1 }
    }
}

impl ProbabilityMetric for AveragePrecision {
    fn name(&self) -> &'static str {
        "average_precision"
    }

    fn label(&self) -> String {
        format!("average_precision_{}", self.class)
    }

    fn scale(&self) -> Scale {
        Scale::OVERLAP
    }

    fn definition(&self) -> String {
        let class = self.class;
        format!(
            "area under precision over recall of class {class}, in steps; undefined where the class does not occur"
        )
    }

    fn measure(&self, pair: &ProbabilityPair<'_>) -> Option<f64> {
        let ranking = Ranking::of(pair, self.class)?;
        let (truth, _) = ranking.total;

        let (mut area, mut before) = (0.0, 0.0);
        for (right, wrong) in ranking.found {
            area += (right - before) * (right / (right + wrong));
            before = right;
        }
        (truth > 0.0).then(|| area / truth)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::{Probabilities, Truth};

    #[test]
    fn steps_at_each_probability() -> crate::Result<()> {
        let prediction = arr2(&[[0.1, 0.4, 0.4, 0.8], [0.9, 0.6, 0.6, 0.2]]);
        let truth = arr1(&[1, 0, 1, 1]);
        let pair =
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(&truth, None))?;

        // Recall rises to 1/3 at precision 1, to 2/3 at 2/3, to 1 at 3/4.
        let expected = (1.0 + 2.0 / 3.0 + 0.75) / 3.0;
        approx::assert_relative_eq!(
            AveragePrecision::default().measure(&pair).unwrap(),
            expected,
            epsilon = 1e-12
        );
        assert_eq!(AveragePrecision { class: 2 }.measure(&pair), None);
        Ok(())
    }
}
