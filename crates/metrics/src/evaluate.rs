use serde::{Deserialize, Serialize};
use volume::LabelMap;

use crate::{MaskPair, Metric, Region, Result};

/// What several metrics say of one class, or of a region of several, of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The name of the class or region.
    pub name: String,
    /// One score for each metric, in the order in which they were asked for.
    pub scores: Vec<Score>,
}

/// What one metric says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The metric's label, such as `nsd_1mm`.
    pub metric: String,
    /// The value; `None` where it is undefined.
    pub value: Option<f64>,
}

/// Scores a case: one row for each of `regions`, with one score for each of `metrics`.
///
/// # Errors
///
/// [`Error::Grid`](crate::Error::Grid), where the label maps do not lie on one grid.
///
/// # Examples
///
/// ```
/// use sconce_metrics::{Dice, Hd95, Metric, Region, evaluate};
/// use volume::{Grid, LabelMap};
///
/// let grid = Grid::new([1, 1, 4], [5.0, 1.0, 0.5])?;
/// let reference = LabelMap::new(grid.clone(), ndarray::arr3(&[[[0, 1, 1, 2]]]))?;
/// let prediction = LabelMap::new(grid, ndarray::arr3(&[[[1, 1, 0, 2]]]))?;
///
/// let regions = [("organ", Region::class(1)), ("organ and tumour", Region::union(&[1, 2]))];
/// let metrics: [&dyn Metric; 2] = [&Dice::default(), &Hd95::default()];
/// let rows = evaluate(&reference, &prediction, &regions, &metrics)?;
///
/// assert_eq!(rows[0].scores[0].value, Some(0.5));
/// assert_eq!(rows[1].name, "organ and tumour");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn evaluate(
    reference: &LabelMap,
    prediction: &LabelMap,
    regions: &[(&str, Region)],
    metrics: &[&dyn Metric],
) -> Result<Vec<Row>> {
    let row = |(name, region): &(&str, Region)| {
        let pair = MaskPair::of_region(reference, prediction, region)?;
        let score =
            |metric: &&dyn Metric| Score { metric: metric.label(), value: metric.measure(&pair) };
        Ok(Row { name: (*name).to_owned(), scores: metrics.iter().map(score).collect() })
    };
    // One after the other: each keeps all threads busy by itself, and needs its memory.
    regions.iter().map(row).collect()
}
