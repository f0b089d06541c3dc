use serde::{Deserialize, Serialize};

use crate::{MaskPair, Metric, Scale, Surface, Surfaces};

/// The Hausdorff distance without the most distant 5 %, mm.
///
/// Undefined where either mask is empty. Programs mean different things by it:
///
/// | | surface | sides | percentile |
/// |---|---|---|---|
/// | the default, [`Hd95::deepmind`], BraTS | elements | worse | of the area |
/// | [`Hd95::monai`] | voxels | worse | interpolated |
/// | [`Hd95::medpy`] | voxels | pooled | interpolated |
///
/// The default takes the worse side because the definition does, and because pooling lets a large
/// surface outvote a small one: an error of more than 5 % of one surface, but less than 5 % of both
/// together, disappears. It measures area, which alone does not depend on how the grid cuts a surface.
///
/// # Source
///
/// The rank-based distance of Huttenlocher, Klanderman, Rucklidge: *Comparing Images Using the
/// Hausdorff Distance*, IEEE Transactions on Pattern Analysis and Machine Intelligence 15 (1993);
/// the larger of both sides as in Maier-Hein, Reinke et al.: *Metrics reloaded*, Nature Methods 21
/// (2024).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hd95 {
    /// What the surfaces consist of.
    pub surface: Surface,
    /// How the two directions are combined.
    pub sides: Sides,
}

/// How distances from the reference to the prediction and back become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sides {
    /// A percentile of each, then the larger of the two.
    #[default]
    Worse,
    /// One percentile of both lists in one.
    Pooled,
}

impl Sides {
    /// The distance, mm, that `percent` % of the surfaces do not exceed; `None` where either
    /// surface is empty.
    pub fn percentile(self, surfaces: &Surfaces, percent: f64) -> Option<f64> {
        let a = surfaces.from_reference.percentile(percent)?;
        let b = surfaces.from_prediction.percentile(percent)?;
        match self {
            Self::Worse => Some(a.max(b)),
            Self::Pooled => surfaces.pooled().percentile(percent),
        }
    }
}

impl Hd95 {
    /// As `medpy.metric.binary.hd95` computes it.
    pub fn medpy() -> Self {
        Self { surface: Surface::Voxels, sides: Sides::Pooled }
    }

    /// As MONAI's `compute_hausdorff_distance` with `percentile=95` computes it.
    pub fn monai() -> Self {
        Self { surface: Surface::Voxels, sides: Sides::Worse }
    }

    /// As `compute_robust_hausdorff` of DeepMind's surface-distance computes it.
    pub fn deepmind() -> Self {
        Self { surface: Surface::Elements, sides: Sides::Worse }
    }
}

impl Metric for Hd95 {
    fn name(&self) -> &'static str {
        "hd95"
    }

    fn scale(&self) -> Scale {
        Scale::DISTANCE
    }

    fn label(&self) -> String {
        match (self.surface, self.sides) {
            (Surface::Elements, Sides::Worse) => "hd95".to_owned(),
            (Surface::Voxels, Sides::Worse) => "hd95_monai".to_owned(),
            (Surface::Voxels, Sides::Pooled) => "hd95_medpy".to_owned(),
            (surface, Sides::Worse) => format!("hd95{}", surface.suffix()),
            (surface, Sides::Pooled) => format!("hd95{}_pooled", surface.suffix()),
        }
    }

    fn definition(&self) -> String {
        let sides = match self.sides {
            Sides::Worse => "the worse of both directions",
            Sides::Pooled => "of both directions together",
        };
        let surface = self.surface.in_words();
        format!(
            "95th percentile of the distances between the surfaces, mm, {sides}; {surface}; undefined where either mask \
             is empty"
        )
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        self.sides.percentile(masks.surfaces(self.surface), 95.0)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    /// A line of 20 voxels, and the same line with one voxel more at its end.
    fn lines() -> MaskPair {
        let line = |end: usize| Array2::from_shape_fn((1, 30), |(_, x)| x < end);
        MaskPair::new(&line(20), &line(21), &[1.0, 1.0]).unwrap()
    }

    #[test]
    fn one_voxel_of_twenty_one_is_less_than_a_twentieth() {
        // Of 21 distances, 20 are 0 and one is 1; place 0.95 · 20 = 19 is the last 0.
        assert_eq!(Hd95::monai().measure(&lines()), Some(0.0));
        assert_eq!(Hd95::medpy().measure(&lines()), Some(0.0));
    }

    #[test]
    fn pooling_hides_what_a_side_shows() {
        // A far voxel besides a line of 9: 1 of 10 on one side, 1 of 19 pooled.
        let line = |far: bool| Array2::from_shape_fn((1, 20), |(_, x)| x < 9 || (far && x == 18));
        let pair = MaskPair::new(&line(false), &line(true), &[1.0, 1.0]).unwrap();

        // Place 0.95 · 9 = 8.55, between 0 and 10 mm; place 0.95 · 18 = 17.1, likewise.
        approx::assert_relative_eq!(Hd95::monai().measure(&pair).unwrap(), 5.5, epsilon = 1e-12);
        approx::assert_relative_eq!(Hd95::medpy().measure(&pair).unwrap(), 1.0, epsilon = 1e-12);
    }
}
