//! The learning curves of runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use sconce::engine::{EpochSummary, RunFolder};

/// The epochs of a run; of one that was stopped and went on, each once.
pub(super) fn epochs(run: &Path) -> anyhow::Result<Vec<EpochSummary>> {
    let path = RunFolder::at(run).log();
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let of_epoch = |line: &str| serde_json::from_str::<EpochSummary>(line).ok();
    let found: BTreeMap<usize, EpochSummary> =
        text.lines().filter_map(of_epoch).map(|epoch| (epoch.epoch, epoch)).collect();
    Ok(found.into_values().collect())
}

/// How much the held-out loss fell from the second last tenth of epochs to the last, as a share of what it fell in all.
pub(super) fn fall(epochs: &[EpochSummary]) -> Option<f64> {
    let tenth = epochs.len() / 10;
    let mean = |part: &[EpochSummary]| {
        part.iter().map(|epoch| epoch.validation_loss).sum::<f64>() / part.len() as f64
    };
    let last = epochs.get(epochs.len().checked_sub(tenth)?..)?;
    let before = epochs.get(epochs.len().checked_sub(2 * tenth)?..epochs.len() - tenth)?;
    let first = epochs.first()?.validation_loss;
    let fall = (mean(before) - mean(last)) / (first - mean(last)).abs();
    fall.is_finite().then_some(fall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_that_is_flat_in_the_end_no_longer_falls() {
        let curve = |loss: &dyn Fn(f64) -> f64| -> Vec<EpochSummary> {
            (0..20u32)
                .map(|epoch| EpochSummary {
                    epoch: epoch as usize,
                    validation_loss: loss(f64::from(epoch)),
                    ..EpochSummary::default()
                })
                .collect()
        };

        let flat = fall(&curve(&|epoch| 0.2 + (-epoch).exp())).expect("twenty epochs");
        assert!(flat.abs() < 1e-6, "{flat}");
        // Two steps, of the 18.5 to the middle of the last two epochs.
        let falling = fall(&curve(&|epoch| 1.0 - 0.01 * epoch)).expect("twenty epochs");
        assert!((falling - 2.0 / 18.5).abs() < 1e-9, "{falling}");
        assert!(fall(&curve(&|_| 0.5)).is_none());
        assert!(fall(&curve(&|epoch| epoch)[..5]).is_none());
    }
}
