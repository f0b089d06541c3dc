//! Predictions in the order of their confidence.

use rayon::prelude::*;

use crate::{Bin, ProbabilityPair, Reliability, Voxel};

/// Predictions of one and the same confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tied {
    pub(crate) confidence: f64,
    pub(crate) count: u64,
    /// How many of them are right; a fraction each where the truth is soft.
    pub(crate) right: f64,
}

/// The bins of a table, each as if all of its predictions had its mean confidence.
pub(crate) fn of_table(table: &Reliability) -> Vec<Tied> {
    let tied = |bin: &Bin| {
        let confidence = bin.confidence()?;
        Some(Tied { confidence, count: bin.count, right: bin.accuracy_sum })
    };
    table.bins().iter().filter_map(tied).collect()
}

/// What `look` finds at each voxel, a confidence and how right it is, in ascending order of confidence; equal ones are one, since
/// none of them comes before another.
pub(crate) fn ordered(
    pair: &ProbabilityPair<'_>,
    look: impl Fn(&Voxel<'_>) -> Option<(f64, f64)> + Sync,
) -> Vec<Tied> {
    let mut found = pair.fold(Vec::new, |all, voxel| all.extend(look(&voxel)), Vec::extend);
    // By what is right as well, so that sums are made in the same order whatever the sort does.
    found.par_sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    #[expect(clippy::float_cmp, reason = "the same confidence, and no other, is a tie")]
    let ties = found.chunk_by(|a, b| a.0 == b.0);
    let tied = |tie: &[(f64, f64)]| Tied {
        confidence: tie[0].0,
        count: tie.len() as u64,
        right: tie.iter().map(|prediction| prediction.1).sum(),
    };
    ties.map(tied).collect()
}
