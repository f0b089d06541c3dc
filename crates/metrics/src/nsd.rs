use serde::{Deserialize, Serialize};

use crate::{Empty, MaskPair, Metric, NonNegative, Scale, Surface};

/// The normalized surface distance, or surface Dice: the share of both surfaces that lies within
/// `tolerance` mm of the other one.
///
/// Undefined where both masks are empty, 0 where one is, unless `empty` says otherwise.
///
/// The tolerance is what two experts differ by anyhow, and belongs to the task: the default of 1 mm
/// is nothing but a round number. Surface elements are the default because the definition measures
/// surfaces in mm²; counting voxels, as MONAI does by default, gives other numbers.
///
/// # Source
///
/// Nikolov et al.: *Clinically Applicable Segmentation of Head and Neck Anatomy for Radiotherapy*,
/// Journal of Medical Internet Research 23 (2021), [arXiv:1809.04430](https://arxiv.org/abs/1809.04430).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nsd {
    /// Which distance is no error, mm.
    pub tolerance: NonNegative,
    /// What the surfaces consist of.
    pub surface: Surface,
    /// What it is worth where the class is absent.
    pub empty: Empty,
}

impl Default for Nsd {
    fn default() -> Self {
        Self {
            tolerance: NonNegative::literal(1.0),
            surface: Surface::Elements,
            empty: Empty::Undefined,
        }
    }
}

impl Metric for Nsd {
    fn name(&self) -> &'static str {
        "nsd"
    }

    fn label(&self) -> String {
        let (tolerance, surface) = (self.tolerance.get(), self.surface);
        let surface = if surface == Surface::Elements { "" } else { surface.suffix() };
        format!("nsd_{tolerance}mm{surface}{}", self.empty.suffix())
    }

    fn definition(&self) -> String {
        format!(
            "share of both surfaces within {} mm of the other; {}; {}",
            self.tolerance.get(),
            self.surface.in_words(),
            self.empty.in_words()
        )
    }

    fn scale(&self) -> Scale {
        Scale::OVERLAP
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        let share = masks.surfaces(self.surface).share_within(self.tolerance.get());

        // A share of 1: all of it, where there is any.
        let any = f64::from(u8::from(share.is_some()));
        self.empty.divide(share.unwrap_or(0.0), any, masks.counts().reference() == 0)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, arr2};

    use super::*;

    fn nsd(tolerance: f64, surface: Surface, pair: &MaskPair) -> Option<f64> {
        let tolerance = NonNegative::try_from(tolerance).unwrap();
        Nsd { tolerance, surface, ..Nsd::default() }.measure(pair)
    }

    #[test]
    fn voxels_within_the_tolerance_are_counted() -> crate::Result<()> {
        let line = arr2(&[[true, true, true, true]]);
        let end = arr2(&[[false, false, false, true]]);
        let pair = MaskPair::new(&line, &end, &[1.0, 2.0])?;

        // Distances 6, 4, 2, 0 from one side and 0 from the other.
        assert_eq!(nsd(0.0, Surface::Voxels, &pair), Some(2.0 / 5.0));
        assert_eq!(nsd(2.0, Surface::Voxels, &pair), Some(3.0 / 5.0));
        assert_eq!(nsd(6.0, Surface::Voxels, &pair), Some(1.0));
        Ok(())
    }

    #[test]
    fn elements_are_weighed_by_their_length() -> crate::Result<()> {
        // A square of 4 by 4 voxels, and the same one voxel of 2 mm further down.
        let square =
            |top: usize| Array2::from_shape_fn((12, 4), |(y, _)| (top..top + 4).contains(&y));
        let pair = MaskPair::new(&square(2), &square(3), &[2.0, 1.0])?;

        // Each contour has 3 + 3 corners of the grid with 1 mm of straight line, 3 + 3 with 2 mm, and
        // its own 4 corners with √5/2 mm. 2 mm off the other one are its upper side, with two
        // corners, and the middle of its lower side; the rest of that is 1 mm off, all else is 0.
        let whole = 18.0 + 2.0 * 5f64.sqrt();
        let off = 3.0 + 5f64.sqrt() + 1.0;
        let expected = (whole - off) / whole;
        approx::assert_relative_eq!(
            nsd(1.0, Surface::Elements, &pair).unwrap(),
            expected,
            epsilon = 1e-12
        );
        assert_eq!(nsd(2.0, Surface::Elements, &pair), Some(1.0));
        Ok(())
    }

    #[test]
    fn one_empty_mask_shares_no_surface() -> crate::Result<()> {
        let (none, some) = (arr2(&[[false, false]]), arr2(&[[true, false]]));
        for surface in Surface::ALL {
            let measured =
                |r, p| MaskPair::new(r, p, &[1.0, 1.0]).map(|pair| nsd(9.0, surface, &pair));
            assert_eq!(measured(&none, &none)?, None);
            assert_eq!(measured(&none, &some)?, Some(0.0));
            assert_eq!(measured(&some, &none)?, Some(0.0));
        }
        Ok(())
    }

    #[test]
    fn the_label_names_the_tolerance() {
        assert_eq!(Nsd::default().label(), "nsd_1mm");
    }
}
