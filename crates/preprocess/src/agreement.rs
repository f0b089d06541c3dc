//! How far raters agree with each other and with the majority.

use ndarray::{Array3, ArrayView3};

use crate::Result;
use crate::fusion::weights;
use crate::patterns::Patterns;
use crate::real::single;

/// How raters compare. For how often each hits or misses an estimated truth, see
/// [`StapleEstimate`](crate::StapleEstimate).
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// `dice[a][b][class − 1]`: the Dice of two raters' masks of a class of the foreground; `None`
    /// where neither drew it.
    pub dice: Vec<Vec<Vec<Option<f64>>>>,
    /// For each rater, the Dice of the foreground with that of the majority, summed over classes;
    /// 1 where both are empty.
    pub with_majority: Vec<f64>,
    /// Fleiss' kappa over all voxels, background among the classes: how much more often raters agree than
    /// by chance, 1 at best. Voxels where a rater wrote no class take no part. `None` of a single rater, or
    /// where all raters chose one class everywhere, when there is nothing to agree on.
    ///
    /// # Source
    ///
    /// Fleiss: *Measuring nominal scale agreement among many raters*, Psychological Bulletin 76(5), 1971.
    pub kappa: Option<f64>,
    /// The share of pairs of raters who agree, at each voxel, `(D, H, W)`; 1 of a single rater.
    pub map: Array3<f32>,
}

impl Agreement {
    /// Compares masks `(D, H, W)` of one shape that hold class indices below `classes`. Where a
    /// rater wrote a larger one, that rater is compared with nobody.
    ///
    /// # Errors
    ///
    /// Where there is no mask, or where they differ in shape.
    pub fn of(masks: &[ArrayView3<'_, u16>], classes: usize) -> Result<Self> {
        let patterns = Patterns::find(masks)?;
        let raters = 0..patterns.raters();
        let row = |a: usize| raters.clone().map(|b| pair(&patterns, classes, a, b)).collect();
        Ok(Self {
            dice: raters.clone().map(row).collect(),
            with_majority: weights(&patterns, classes, false),
            kappa: kappa(&patterns, classes),
            map: {
                let shares: Vec<f32> =
                    patterns.iter().map(|(decision, _)| single(agreeing(decision))).collect();
                patterns.spread(&shares)
            },
        })
    }

    /// The mean Dice over all pairs of different raters and all classes that either drew; `None`
    /// where there is no such pair.
    pub fn mean_dice(&self) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0usize);
        for (a, row) in self.dice.iter().enumerate() {
            for dice in row[a + 1..].iter().flatten().flatten() {
                sum += dice;
                count += 1;
            }
        }
        (count > 0).then(|| sum / count as f64)
    }
}

/// The share of pairs of raters who decided alike.
fn agreeing(decision: &[u16]) -> f64 {
    let (mut alike, mut all) = (0.0, 0.0);
    for (at, a) in decision.iter().enumerate() {
        for b in &decision[at + 1..] {
            all += 1.0;
            alike += if a == b { 1.0 } else { 0.0 };
        }
    }
    if all > 0.0 { alike / all } else { 1.0 }
}

fn kappa(patterns: &Patterns, classes: usize) -> Option<f64> {
    let (mut agree, mut voxels) = (0.0, 0.0);
    let mut chosen = vec![0.0; classes];
    for (decision, count) in patterns.iter() {
        if decision.len() < 2 || decision.iter().any(|&class| usize::from(class) >= classes) {
            continue;
        }
        agree += agreeing(decision) * count;
        voxels += count;
        for &class in decision {
            chosen[usize::from(class)] += count;
        }
    }
    let all = voxels * patterns.raters() as f64;
    let by_chance: f64 = chosen.iter().map(|share| (share / all).powi(2)).sum();
    (voxels > 0.0 && by_chance < 1.0).then(|| (agree / voxels - by_chance) / (1.0 - by_chance))
}

fn pair(patterns: &Patterns, classes: usize, a: usize, b: usize) -> Vec<Option<f64>> {
    let mut both = vec![0.0; classes];
    let mut total = vec![0.0; classes];
    for (decision, count) in patterns.iter() {
        let (a, b) = (usize::from(decision[a]), usize::from(decision[b]));
        if a.max(b) < classes {
            total[a] += count;
            total[b] += count;
            both[a] += if a == b { count } else { 0.0 };
        }
    }
    let dice = |(both, total): (f64, f64)| (total > 0.0).then(|| 2.0 * both / total);
    both.into_iter().zip(total).skip(1).map(dice).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn dice_is_symmetric_and_undefined_where_nobody_drew() -> anyhow::Result<()> {
        // Class 1: two voxels and one, of which one in common: 2 · 1 / 3. Class 2: nobody.
        let (a, b) = (array![[[1, 1, 0]]], array![[[0, 1, 0]]]);

        let agreement = Agreement::of(&[a.view(), b.view()], 3)?;

        assert_eq!(agreement.dice[0][1], [Some(2.0 / 3.0), None]);
        assert_eq!(agreement.dice[1][0], agreement.dice[0][1]);
        assert_eq!(agreement.dice[0][0], [Some(1.0), None]);
        assert_eq!(agreement.mean_dice(), Some(2.0 / 3.0));
        assert_eq!(agreement.map, array![[[0.0, 1.0, 1.0]]]);
        Ok(())
    }

    #[test]
    fn kappa_is_that_of_the_paper() -> anyhow::Result<()> {
        // The example of Fleiss: ten subjects, fourteen raters, five categories; kappa is 0.210.
        let counts = [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ];
        let of_subject = |counts: &[usize; 5]| -> Vec<u16> {
            (0u16..).zip(counts).flat_map(|(class, &count)| vec![class; count]).collect()
        };
        let chosen: Vec<Vec<u16>> = counts.iter().map(of_subject).collect();
        let masks: Vec<Array3<u16>> = (0..14)
            .map(|rater| Array3::from_shape_fn((1, 1, 10), |(_, _, x)| chosen[x][rater]))
            .collect();
        let views: Vec<_> = masks.iter().map(|mask| mask.view()).collect();

        let kappa = Agreement::of(&views, 5)?.kappa.expect("raters disagree");

        assert!((kappa - 0.210).abs() < 5e-4, "{kappa}");
        assert_eq!(Agreement::of(&views[..1], 5)?.kappa, None);
        let empty = Array3::zeros((1, 1, 4));
        assert_eq!(Agreement::of(&[empty.view(); 10], 2)?.kappa, None);
        Ok(())
    }
}
