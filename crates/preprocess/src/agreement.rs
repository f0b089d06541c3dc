//! How far raters agree with each other and with the majority.

use ndarray::ArrayView3;

use crate::Result;
use crate::fusion::weights;
use crate::patterns::Patterns;

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
        Ok(())
    }
}
