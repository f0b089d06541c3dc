use std::collections::BTreeMap;

use ndarray::Axis;
use rayon::prelude::*;
use volume::LabelMap;

use crate::{Error, Region, Result};

/// Of each voxel, a bit says whether a segmentation holds it.
const MOST: usize = u64::BITS as usize;

/// The squared generalised energy distance of two sets of segmentations of a region, such as what a model thinks possible and what
/// raters drew: `2 E[d(s, r)] − E[d(s, s′)] − E[d(r, r′)]` with `d` one minus the intersection over union, 0 where both are empty.
///
/// 0 where both sets are distributed alike; larger both for a model that is wrong and for one that is certain where raters are not. The
/// expectations are over all pairs, those of a segmentation with itself included, as in the source. Not above 2.
///
/// `None` where either set is empty.
///
/// # Errors
///
/// [`Error::Grid`], where they do not all lie on one grid; [`Error::Segmentations`], where there are more than 64 in all.
///
/// # Source
///
/// Kohl et al.: *A Probabilistic U-Net for Segmentation of Ambiguous Images*, NeurIPS 2018,
/// [arXiv:1806.05034](https://arxiv.org/abs/1806.05034).
pub fn energy_distance(
    samples: &[LabelMap],
    raters: &[LabelMap],
    region: &Region,
) -> Result<Option<f64>> {
    let all: Vec<&LabelMap> = samples.iter().chain(raters).collect();
    let ([first, ..], false) = (&all[..], samples.is_empty() || raters.is_empty()) else {
        return Ok(None);
    };
    if all.len() > MOST {
        return Err(Error::Segmentations { count: all.len(), most: MOST });
    }
    if let Some(difference) = all.iter().find_map(|map| first.grid.difference(&map.grid)) {
        return Err(Error::Grid(difference));
    }
    let distances = distances(&all, region);
    let mean = |one: std::ops::Range<usize>, other: std::ops::Range<usize>| {
        let pairs = (one.len() * other.len()) as f64;
        let sum: f64 = one.map(|a| distances[a][other.clone()].iter().sum::<f64>()).sum();
        sum / pairs
    };
    let (s, r) = (0..samples.len(), samples.len()..all.len());
    Ok(Some(2.0 * mean(s.clone(), r.clone()) - mean(s.clone(), s) - mean(r.clone(), r)))
}

/// One minus the intersection over union of each two.
fn distances(maps: &[&LabelMap], region: &Region) -> Vec<Vec<f64>> {
    let slices = 0..maps[0].grid.size[0];
    // How often which of them hold a voxel: few ways occur, however many voxels there are.
    let of_slice = |z: usize| {
        let mut ways: BTreeMap<u64, u64> = BTreeMap::new();
        let slices: Vec<_> = maps.iter().map(|map| map.data.index_axis(Axis(0), z)).collect();
        let mut held = ndarray::Array2::<u64>::zeros(slices[0].dim());
        for (bit, slice) in slices.iter().enumerate() {
            held.zip_mut_with(slice, |held, &label| {
                *held |= u64::from(region.labels.contains(&label)) << bit;
            });
        }
        for &way in held.iter().filter(|&&way| way > 0) {
            *ways.entry(way).or_default() += 1;
        }
        ways
    };
    let added = |mut all: BTreeMap<u64, u64>, more: BTreeMap<u64, u64>| {
        for (way, count) in more {
            *all.entry(way).or_default() += count;
        }
        all
    };
    let ways = slices.into_par_iter().map(of_slice).reduce(BTreeMap::new, added);
    let count = |holds: &dyn Fn(u64) -> bool| {
        ways.iter().filter(|&(&way, _)| holds(way)).map(|(_, &count)| count).sum::<u64>() as f64
    };
    let distance = |a: usize, b: usize| {
        let (a, b) = (1u64 << a, 1u64 << b);
        let union = count(&|way| way & (a | b) != 0);
        let both = count(&|way| way & a != 0 && way & b != 0);
        if union > 0.0 { 1.0 - both / union } else { 0.0 }
    };
    let row = |a: usize| (0..maps.len()).map(|b| distance(a, b)).collect();
    (0..maps.len()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use ndarray::arr3;
    use volume::Grid;

    use super::*;

    fn map(labels: [u16; 4]) -> LabelMap {
        LabelMap::new(Grid::new([1, 1, 4], [1.0; 3]).unwrap(), arr3(&[[labels]])).unwrap()
    }

    #[test]
    fn a_model_that_shares_the_doubt_of_raters_is_at_no_distance() -> Result<()> {
        let (one, other) = (map([1, 1, 0, 0]), map([1, 0, 0, 0]));
        let region = Region::class(1);
        let both = [one.clone(), other.clone()];

        assert_eq!(energy_distance(&both, &both, &region)?, Some(0.0));
        // Certain of one of them: 2 · (0 + ½) / 2 − 0 − 2 · ½ / 4.
        assert_eq!(energy_distance(from_ref(&one), &both, &region)?, Some(0.25));
        // Empty where the raters are not, and where they are.
        let none = map([0, 0, 2, 0]);
        assert_eq!(energy_distance(from_ref(&none), from_ref(&one), &region)?, Some(2.0));
        assert_eq!(energy_distance(from_ref(&none), from_ref(&none), &region)?, Some(0.0));
        assert_eq!(energy_distance(&[], &[one], &region)?, None);
        Ok(())
    }
}
