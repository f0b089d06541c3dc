use rayon::prelude::*;

use crate::empty::ratio;

/// The distances between the surfaces of two masks, in both directions.
///
/// Where one mask is empty, its own list is empty, and the other's distances are infinite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surfaces {
    /// From each part of the reference's surface to the prediction's.
    pub from_reference: Distances,
    /// From each part of the prediction's surface to the reference's.
    pub from_prediction: Distances,
}

impl Surfaces {
    /// The distances of both directions in one list.
    pub fn pooled(&self) -> Distances {
        let (a, b) = (&self.from_reference, &self.from_prediction);
        let mut mm = [a.mm.as_slice(), &b.mm].concat();
        if let (Some(a), Some(b)) = (&a.areas, &b.areas) {
            return Distances::sorted(mm, Some([a.as_slice(), b].concat()));
        }
        // Two ascending lists, which a stable sort merges.
        mm.sort_by(f64::total_cmp);
        Distances { mm, areas: None }
    }

    /// The share of both surfaces that lies within `tolerance` mm of the other one, by number or
    /// by area; `None` where there is no surface at all.
    pub fn share_within(&self, tolerance: f64) -> Option<f64> {
        let (a, b) = (&self.from_reference, &self.from_prediction);
        ratio(a.area_within(tolerance) + b.area_within(tolerance), a.area() + b.area())
    }

    /// The mean distance over both surfaces, mm; `None` where either is empty.
    pub fn mean(&self) -> Option<f64> {
        let (a, b) = (&self.from_reference, &self.from_prediction);
        let both = !a.is_empty() && !b.is_empty();
        both.then(|| ratio(a.moment() + b.moment(), a.area() + b.area())).flatten()
    }
}

/// The distances, mm, of all parts of one surface to another, in ascending order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distances {
    mm: Vec<f64>,
    /// The area of each part; `None` where all count alike.
    areas: Option<Vec<f64>>,
}

impl Distances {
    /// In ascending order of distance, then of area.
    pub(super) fn sorted(mut mm: Vec<f64>, areas: Option<Vec<f64>>) -> Self {
        let Some(areas) = areas else {
            mm.par_sort_unstable_by(f64::total_cmp);
            return Self { mm, areas: None };
        };
        let mut parts: Vec<(f64, f64)> = mm.into_iter().zip(areas).collect();
        parts.par_sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let (mm, areas) = parts.into_iter().unzip();
        Self { mm, areas: Some(areas) }
    }

    /// The distances, ascending.
    pub fn millimeters(&self) -> &[f64] {
        &self.mm
    }

    /// The number of parts.
    pub fn len(&self) -> usize {
        self.mm.len()
    }

    /// Whether there is no surface.
    pub fn is_empty(&self) -> bool {
        self.mm.is_empty()
    }

    /// The area of all parts, mm² (length in the plane, mm), or their number where all count alike.
    pub fn area(&self) -> f64 {
        match &self.areas {
            Some(areas) => areas.iter().sum(),
            None => self.mm.len() as f64,
        }
    }

    /// The largest distance; `None` where it is not defined.
    pub fn maximum(&self) -> Option<f64> {
        self.mm.last().copied().filter(|mm| mm.is_finite())
    }

    /// The mean distance; `None` where it is not defined.
    pub fn mean(&self) -> Option<f64> {
        ratio(self.moment(), self.area()).filter(|mm| mm.is_finite())
    }

    /// The share of the surface within `tolerance` mm of the other; `None` where there is none.
    pub fn share_within(&self, tolerance: f64) -> Option<f64> {
        ratio(self.area_within(tolerance), self.area())
    }

    /// The distance that `percent` % of the surface do not exceed; `None` where it is not defined.
    ///
    /// Where all parts count alike, with linear interpolation between neighbouring distances, as
    /// numpy does by default. Where they have areas, the first distance at which that share of the
    /// area is reached, as DeepMind's surface-distance does.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let last = self.mm.len().checked_sub(1)?;
        let share = (percent / 100.0).clamp(0.0, 1.0);
        let found = match &self.areas {
            None => {
                let place = share * last as f64;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a place in the list"
                )]
                let below = place as usize;
                let (low, high) = (self.mm[below], self.mm[(below + 1).min(last)]);
                // The difference of two infinities is not a number.
                if low.is_finite() { low + (high - low) * place.fract() } else { low }
            }
            Some(areas) => {
                let total = self.area();
                let mut sum = 0.0;
                let reached = areas.iter().position(|area| {
                    sum += area;
                    sum / total >= share
                });
                self.mm[reached.unwrap_or(last)]
            }
        };
        Some(found).filter(|mm| mm.is_finite())
    }

    fn area_within(&self, tolerance: f64) -> f64 {
        let count = self.mm.partition_point(|&mm| mm <= tolerance);
        match &self.areas {
            Some(areas) => areas[..count].iter().sum(),
            None => count as f64,
        }
    }

    /// The sum of distances, each times its area.
    fn moment(&self) -> f64 {
        match &self.areas {
            Some(areas) => self.mm.iter().zip(areas).map(|(mm, area)| mm * area).sum(),
            None => self.mm.iter().sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_equal_parts_are_interpolated() {
        let list = Distances::sorted(vec![4.0, 0.0, 1.0], None);

        // Place 0.95 · 2 = 1.9: 1 + 0.9 · (4 − 1).
        approx::assert_abs_diff_eq!(list.percentile(95.0).unwrap(), 3.7, epsilon = 1e-12);
        assert_eq!(list.percentile(50.0), Some(1.0));
        assert_eq!(list.percentile(100.0), list.maximum());
        assert_eq!(Distances::default().percentile(50.0), None);
    }

    #[test]
    fn percentiles_of_areas_are_not() {
        let list = Distances::sorted(vec![4.0, 0.0, 1.0], Some(vec![1.0, 6.0, 3.0]));

        // The distance 0 covers 60 % of the area, 1 mm 90 %.
        assert_eq!(list.percentile(60.0), Some(0.0));
        assert_eq!(list.percentile(61.0), Some(1.0));
        assert_eq!(list.percentile(95.0), Some(4.0));
        // (0 · 6 + 1 · 3 + 4 · 1) / 10
        assert_eq!(list.mean(), Some(0.7));
        assert_eq!(list.share_within(1.0), Some(0.9));
    }

    #[test]
    fn distances_to_nothing_are_undefined() {
        let surfaces = Surfaces {
            from_reference: Distances::sorted(vec![f64::INFINITY; 3], None),
            from_prediction: Distances::default(),
        };

        assert_eq!(surfaces.from_reference.percentile(95.0), None);
        assert_eq!(surfaces.from_reference.mean(), None);
        assert_eq!(surfaces.mean(), None);
        assert_eq!(surfaces.share_within(5.0), Some(0.0));
        assert_eq!(Surfaces::default().share_within(5.0), None);
    }
}
