//! What is known of a case without its reference.

use std::collections::BTreeMap;

use metrics::{Summary, discrimination};
use ndarray::{ArrayView4, Axis, Zip};

use super::{CaseScores, Failures};

/// The name of [`entropy`] among the kinds of doubt.
pub(super) const ENTROPY: &str = "entropy";

/// Voxels of less foreground than this do not count: almost all of an image is background that nobody doubts.
const LEAST: f32 = 0.05;

/// The mean entropy, nats as a share of the greatest possible, over the voxels where anything is thought to be; 0 where that is nowhere.
/// Classes are channels that exclude each other, the background first, or, where `regions` may overlap, each a choice of its own.
pub(super) fn entropy(probabilities: &ArrayView4<'_, f32>, regions: bool) -> f64 {
    let size = probabilities.index_axis(Axis(0), 0).raw_dim();
    let mut foreground = ndarray::Array3::<f32>::zeros(size);
    for channel in probabilities.outer_iter().skip(usize::from(!regions)) {
        Zip::from(&mut foreground).and(&channel).par_for_each(|foreground, &p| {
            *foreground = if regions { foreground.max(p) } else { *foreground + p };
        });
    }
    let doubt = crate::entropy(probabilities, regions);
    let counted = foreground.iter().zip(&doubt).filter(|(foreground, _)| **foreground >= LEAST);
    let (sum, count) =
        counted.fold((0.0, 0usize), |(sum, count), (_, doubt)| (sum + doubt, count + 1));
    if count > 0 { sum / count as f64 } else { 0.0 }
}

impl Failures {
    /// `None` where no case has any kind of doubt.
    pub(super) fn of(cases: &[CaseScores], below: f64) -> Option<Self> {
        let failed = |case: &CaseScores| {
            // A class that is neither predicted nor there is no failure, one of the two is.
            let dice = |counts: &metrics::Counts| {
                let all = counts.reference() + counts.prediction();
                (all > 0).then(|| 2.0 * counts.true_positives as f64 / all as f64)
            };
            Summary::of(case.voxels.values().map(dice)).mean.is_some_and(|mean| mean < below)
        };
        let mut kinds: BTreeMap<String, Vec<(f64, bool)>> = BTreeMap::new();
        for case in cases {
            for (kind, value) in &case.doubt {
                kinds.entry(kind.clone()).or_default().push((*value, failed(case)));
            }
        }
        let auroc = kinds.iter().map(|(kind, values)| (kind.clone(), discrimination(values)));
        (!kinds.is_empty()).then(|| Self {
            below,
            failed: cases.iter().filter(|case| failed(case)).count(),
            cases: cases.len(),
            auroc: auroc.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use metrics::Counts;
    use ndarray::array;

    use super::*;

    #[test]
    fn entropy_is_that_of_voxels_that_might_be_something() {
        // Certain background, a voxel in full doubt, and one that is certain.
        let p = array![[[[1.0, 0.5, 0.0f32]]], [[[0.0, 0.5, 1.0]]]];
        approx::assert_relative_eq!(entropy(&p.view(), false), 0.5, epsilon = 1e-6);
        // One region: half of its voxels in full doubt.
        let region = array![[[[0.0, 0.5, 1.0f32]]]];
        approx::assert_relative_eq!(entropy(&region.view(), true), 0.5, epsilon = 1e-6);
        assert!(entropy(&array![[[[1.0f32]]], [[[0.0]]]].view(), false).abs() < 1e-12);
    }

    #[test]
    fn doubt_is_good_where_failures_have_more_of_it() {
        let case = |tp, fp, doubt| CaseScores {
            voxels: [(
                "a".to_owned(),
                Counts { true_positives: tp, false_positives: fp, ..Counts::default() },
            )]
            .into(),
            doubt: [(ENTROPY.to_owned(), doubt)].into(),
            ..CaseScores::default()
        };
        let cases = [case(9, 1, 0.1), case(0, 5, 0.6), case(1, 9, 0.4), case(0, 0, 0.2)];

        let found = Failures::of(&cases, 0.5).unwrap_or_default();

        assert_eq!((found.failed, found.cases), (2, 4));
        assert_eq!(found.auroc[ENTROPY], Some(1.0));
        assert_eq!(Failures::of(&[CaseScores::default()], 0.5), None);
    }
}
