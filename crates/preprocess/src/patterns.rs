//! Voxels at which all raters decided alike.

use ndarray::{Array3, ArrayView3, Zip};

use crate::real::compact;
use crate::{Error, Result};

/// The distinct combinations of decisions that several raters made, and where.
///
/// However large a volume, a handful of raters decide in a handful of combinations. Every way of
/// fusing raters depends on a voxel only through its combination, so each is computed once for a
/// combination, and looked up for a voxel.
#[derive(Clone, Debug)]
pub(crate) struct Patterns {
    /// `(D, H, W)`: which combination a voxel has.
    of: Array3<u32>,
    /// One class for each rater, for each combination; in the order of first appearance.
    decisions: Vec<Vec<u16>>,
    /// How many voxels have each combination.
    counts: Vec<f64>,
}

impl Patterns {
    /// Looks for the combinations of decisions in masks of one shape.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], where the masks differ in shape; [`volume::Error::NoRaters`].
    pub(crate) fn find(masks: &[ArrayView3<'_, u16>]) -> Result<Self> {
        let [first, ..] = masks else { return Err(volume::Error::NoRaters.into()) };
        let mut of = Array3::zeros(first.raw_dim());
        let mut decisions: Vec<Vec<u16>> = vec![Vec::new()];
        for mask in masks {
            if mask.shape() != first.shape() {
                let (expected, actual) = (first.shape().to_vec(), mask.shape().to_vec());
                return Err(Error::Shape { expected, actual });
            }
            // (combination so far, this rater's class) → combination
            let width = usize::from(mask.fold(0, |most: u16, &class| most.max(class))) + 1;
            let mut known = vec![u32::MAX; decisions.len() * width];
            let mut longer: Vec<Vec<u16>> = Vec::new();
            Zip::from(&mut of).and(mask).for_each(|pattern: &mut u32, &class| {
                let before = *pattern as usize;
                let entry = &mut known[before * width + usize::from(class)];
                if *entry == u32::MAX {
                    *entry = compact(longer.len());
                    let mut decision = decisions[before].clone();
                    decision.push(class);
                    longer.push(decision);
                }
                *pattern = *entry;
            });
            decisions = longer;
        }
        let mut counts = vec![0.0; decisions.len()];
        of.for_each(|&pattern| counts[pattern as usize] += 1.0);
        Ok(Self { of, decisions, counts })
    }

    /// How many raters there are.
    pub(crate) fn raters(&self) -> usize {
        self.decisions.first().map_or(0, Vec::len)
    }

    /// Each combination, and how many voxels have it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u16], f64)> {
        self.decisions.iter().map(Vec::as_slice).zip(self.counts.iter().copied())
    }

    /// The number of voxels.
    pub(crate) fn voxels(&self) -> f64 {
        self.counts.iter().sum()
    }

    /// Something that was worked out for each combination, put at the voxels that have it.
    pub(crate) fn spread<T: Copy>(&self, each: &[T]) -> Array3<T> {
        self.of.mapv(|pattern| each[pattern as usize])
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn combinations_are_counted_and_found_again() -> anyhow::Result<()> {
        let (a, b) = (array![[[0, 1, 1, 0]]], array![[[0, 1, 2, 0]]]);

        let patterns = Patterns::find(&[a.view(), b.view()])?;

        let found: Vec<_> = patterns.iter().map(|(decision, n)| (decision.to_vec(), n)).collect();
        assert_eq!(found, [(vec![0, 0], 2.0), (vec![1, 1], 1.0), (vec![1, 2], 1.0)]);
        assert_eq!(
            patterns.spread(&["none", "one", "two"]),
            array![[["none", "one", "two", "none"]]]
        );
        Ok(())
    }
}
