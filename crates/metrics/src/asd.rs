use serde::{Deserialize, Serialize};

use crate::{MaskPair, Metric, Scale, Surface};

/// The average distance, mm, from the prediction's surface to the reference's.
///
/// Undefined where either mask is empty. One-sided: a prediction that is part of the reference's
/// surface scores 0. [`Assd`](crate::Assd) looks from both sides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asd {
    /// What the surfaces consist of. By [`Surface::Voxels`], MedPy and MONAI agree.
    pub surface: Surface,
}

impl Metric for Asd {
    fn name(&self) -> &'static str {
        "asd"
    }

    fn scale(&self) -> Scale {
        Scale::DISTANCE
    }

    fn label(&self) -> String {
        format!("asd{}", self.surface.suffix())
    }

    fn definition(&self) -> String {
        let surface = self.surface.in_words();
        format!(
            "mean distance from the predicted surface to that of the reference, mm; {surface}; undefined where either mask is empty"
        )
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        masks.surfaces(self.surface).from_prediction.mean()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn a_part_of_the_surface_is_no_distance_from_it() -> crate::Result<()> {
        let line = arr2(&[[true, true, true, true]]);
        let end = arr2(&[[false, false, false, true]]);

        let asd = |r, p| {
            MaskPair::new(r, p, &[1.0, 2.0])
                .map(|pair| Asd { surface: Surface::Voxels }.measure(&pair))
        };
        assert_eq!(asd(&line, &end)?, Some(0.0));
        // (6 + 4 + 2 + 0) / 4 mm
        assert_eq!(asd(&end, &line)?, Some(3.0));
        Ok(())
    }
}
