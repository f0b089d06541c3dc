use serde::{Deserialize, Serialize};

use crate::{MaskPair, Metric, Scale, Surface};

/// The average symmetric surface distance, mm: the mean over both surfaces of the distance to the
/// other one.
///
/// Undefined where either mask is empty. It is the mean over all parts of both surfaces together,
/// not the mean of two means: the larger surface weighs more.
///
/// # Source
///
/// Heimann et al.: *Comparison and Evaluation of Methods for Liver Segmentation From CT Datasets*,
/// IEEE Transactions on Medical Imaging 28 (2009).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Assd {
    /// What the surfaces consist of. By [`Surface::Voxels`], MedPy and MONAI agree.
    pub surface: Surface,
}

impl Metric for Assd {
    fn name(&self) -> &'static str {
        "assd"
    }

    fn scale(&self) -> Scale {
        Scale::DISTANCE
    }

    fn label(&self) -> String {
        format!("assd{}", self.surface.suffix())
    }

    fn definition(&self) -> String {
        let surface = self.surface.in_words();
        format!(
            "mean distance between the surfaces, mm, over both directions together; {surface}; undefined where either mask is empty"
        )
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        masks.surfaces(self.surface).mean()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn both_sides_count_by_their_size() -> crate::Result<()> {
        let line = arr2(&[[true, true, true, true]]);
        let end = arr2(&[[false, false, false, true]]);
        let pair = MaskPair::new(&line, &end, &[1.0, 2.0])?;

        // (6 + 4 + 2 + 0 + 0) / 5 mm
        assert_eq!(Assd { surface: Surface::Voxels }.measure(&pair), Some(2.4));
        Ok(())
    }
}
