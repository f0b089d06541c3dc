use serde::{Deserialize, Serialize};

use crate::{MaskPair, Metric, Scale, Surface};

/// The Hausdorff distance, mm: the largest distance from a place on either surface to the other.
///
/// Undefined where either mask is empty. A single stray voxel decides it:
/// [`Hd95`](crate::Hd95) is less nervous.
///
/// # Source
///
/// Huttenlocher, Klanderman, Rucklidge: *Comparing Images Using the Hausdorff Distance*, IEEE
/// Transactions on Pattern Analysis and Machine Intelligence 15 (1993).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hd {
    /// What the surfaces consist of. By [`Surface::Voxels`], MedPy and MONAI agree.
    pub surface: Surface,
}

impl Metric for Hd {
    fn name(&self) -> &'static str {
        "hd"
    }

    fn scale(&self) -> Scale {
        Scale::DISTANCE
    }

    fn label(&self) -> String {
        format!("hd{}", self.surface.suffix())
    }

    fn definition(&self) -> String {
        let surface = self.surface.in_words();
        format!(
            "largest distance from one surface to the other, mm, the worse of both directions; {surface}; undefined where either mask is empty"
        )
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        let surfaces = masks.surfaces(self.surface);

        Some(surfaces.from_reference.maximum()?.max(surfaces.from_prediction.maximum()?))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn a_stray_voxel_decides() -> crate::Result<()> {
        let reference = arr2(&[[true, true, false, false], [false; 4], [false; 4]]);
        let prediction =
            arr2(&[[true, true, false, false], [false; 4], [false, false, false, true]]);
        let pair = MaskPair::new(&reference, &prediction, &[2.0, 1.5])?;

        // Two rows of 2 mm and two columns of 1.5 mm away.
        assert_eq!(Hd { surface: Surface::Voxels }.measure(&pair), Some(5.0));
        Ok(())
    }

    #[test]
    fn a_distance_to_nothing_is_undefined() -> crate::Result<()> {
        let (none, some) = (arr2(&[[false, false]]), arr2(&[[true, false]]));
        for surface in Surface::ALL {
            for (reference, prediction) in [(&none, &none), (&none, &some), (&some, &none)] {
                let pair = MaskPair::new(reference, prediction, &[1.0, 1.0])?;
                assert_eq!(Hd { surface }.measure(&pair), None);
            }
        }
        Ok(())
    }
}
