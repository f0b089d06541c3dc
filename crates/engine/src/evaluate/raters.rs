//! A prediction beside several raters.

use metrics::{
    Dice, MaskPair, Metric as _, Region, Summary, bootstrap_interval, crps, energy_distance,
};
use ndarray::ArrayView3;
use volume::LabelMap;

use super::{RaterScores, RaterSummary};
use crate::Result;

/// Where probabilities are cut to say what a network thinks possible.
const CUTS: [f32; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// The level of an interval, and the seed that it is drawn with.
const INTERVAL: (f64, u64) = (0.95, 0);

impl RaterScores {
    /// Of a class that is a union of label `values`; `probability` is what was predicted of it, where that is known.
    pub(super) fn of(
        labels: &LabelMap,
        probability: Option<&ArrayView3<'_, f32>>,
        raters: &[LabelMap],
        region: &Region,
    ) -> Result<Self> {
        let dice = |reference: &LabelMap, prediction: &LabelMap| -> Result<Option<f64>> {
            let pair = MaskPair::of_region(reference, prediction, region)?;
            Ok(Dice::default().measure(&pair))
        };
        let each = raters.iter().map(|rater| dice(rater, labels)).collect::<Result<Vec<_>>>()?;
        let mut table = vec![vec![None; raters.len()]; raters.len()];
        for (a, one) in raters.iter().enumerate() {
            for (b, other) in raters.iter().enumerate().take(a) {
                table[a][b] = dice(one, other)?;
                table[b][a] = table[a][b];
            }
        }
        let between = |(a, row): (usize, &Vec<Option<f64>>)| {
            let others = row.iter().enumerate().filter(|(b, _)| *b != a).map(|(_, dice)| *dice);
            Summary::of(others).mean
        };
        let possible = possible(labels, probability, region)?;
        let voxel = labels.grid.voxel_volume();
        let volume = |map: &LabelMap| {
            map.data.iter().filter(|label| region.labels.contains(label)).count() as f64 * voxel
        };
        let forecast: Vec<f64> = possible.iter().map(volume).collect();
        let against = raters.iter().map(|rater| crps(&forecast, volume(rater)));
        Ok(Self {
            dice: each,
            between: table.iter().enumerate().map(between).collect(),
            energy_distance: energy_distance(&possible, raters, region)?,
            volume_crps: Summary::of(against).mean,
        })
    }
}

/// The segmentations that a prediction holds possible: its labels, or what is left of its probabilities above each cut.
fn possible(
    labels: &LabelMap,
    probability: Option<&ArrayView3<'_, f32>>,
    region: &Region,
) -> Result<Vec<LabelMap>> {
    let (Some(probability), Some(&inside)) = (probability, region.labels.first()) else {
        return Ok(vec![labels.clone()]);
    };
    let outside = (0..=u16::MAX).find(|label| !region.labels.contains(label)).unwrap_or_default();
    let cut = |&cut: &f32| {
        let data = probability.mapv(|p| if p >= cut { inside } else { outside });
        Ok(LabelMap::new(labels.grid.clone(), data)?)
    };
    CUTS.iter().map(cut).collect()
}

impl RaterSummary {
    pub(super) fn of(cases: &[&RaterScores]) -> Self {
        let mean = |all: &[Option<f64>]| Summary::of(all.iter().copied()).mean;
        let dice: Vec<Option<f64>> = cases.iter().map(|case| mean(&case.dice)).collect();
        let between: Vec<Option<f64>> = cases.iter().map(|case| mean(&case.between)).collect();
        let both = dice.iter().zip(&between);
        let difference: Vec<Option<f64>> =
            both.map(|(dice, between)| Some((*dice)? - (*between)?)).collect();
        let interval = bootstrap_interval(difference.iter().copied(), INTERVAL.0, INTERVAL.1);
        Self {
            dice: Summary::of(dice),
            between: Summary::of(between),
            difference: Summary::of(difference),
            difference_interval: interval,
            as_good_as_a_rater: interval.map(|[_, high]| high >= 0.0),
            energy_distance: Summary::of(cases.iter().map(|case| case.energy_distance)),
            volume_crps: Summary::of(cases.iter().map(|case| case.volume_crps)),
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr3, array};
    use volume::Grid;

    use super::*;

    #[test]
    fn a_prediction_that_every_rater_agrees_with_most_is_as_good_as_one() -> anyhow::Result<()> {
        let grid = Grid::new([1, 1, 4], [1.0, 1.0, 2.0])?;
        let map = |labels: [u16; 4]| LabelMap::new(grid.clone(), arr3(&[[labels]]));
        let raters = [map([1, 1, 0, 0])?, map([1, 0, 0, 0])?, map([1, 1, 1, 0])?];
        let region = Region::class(1);

        let alone = RaterScores::of(&map([1, 1, 0, 0])?, None, &raters, &region)?;

        assert_eq!(alone.dice, [Some(1.0), Some(2.0 / 3.0), Some(0.8)]);
        approx::assert_relative_eq!(
            alone.between[0].unwrap_or_default(),
            f64::midpoint(2.0 / 3.0, 0.8)
        );
        approx::assert_relative_eq!(
            alone.between[1].unwrap_or_default(),
            f64::midpoint(2.0 / 3.0, 0.5)
        );
        // 4 mm³ against 4, 2 and 6.
        approx::assert_relative_eq!(alone.volume_crps.unwrap_or_default(), 4.0 / 3.0);
        // As unsure as they are: a third of the cuts is as each of them.
        let p = array![[[0.95, 0.65, 0.35, 0.0f32]]];
        let unsure = RaterScores::of(&map([1, 1, 0, 0])?, Some(&p.view()), &raters, &region)?;
        approx::assert_relative_eq!(unsure.energy_distance.unwrap_or(1.0), 0.0, epsilon = 1e-12);
        assert!(alone.energy_distance > unsure.energy_distance);

        let summary = RaterSummary::of(&[&alone, &unsure]);
        assert_eq!(summary.as_good_as_a_rater, Some(true));
        assert!(summary.difference.mean > Some(0.0));
        Ok(())
    }
}
