use serde::{Deserialize, Serialize};

use super::Moment;
use crate::range;

/// A rise of the learning rate that comes before a schedule, which then has the rest of the training.
///
/// With `W = share · total`, the factor is `max(start, step / W)` at each `step < W`; afterwards it is
/// that of the schedule at `step − W` of `total − W`. See [`ScheduleConfig::at`](crate::ScheduleConfig::at).
///
/// # Source
///
/// The training of Wang et al.: *Dice Semimetric Losses*, MICCAI 2023,
/// [arXiv:2303.16296](https://arxiv.org/abs/2303.16296), whose `share` is 0.01, and whose `start` is the
/// rate 10⁻⁶ as a part of the largest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WarmupConfig {
    /// The part of the training that it takes, from 0 to 1.
    #[serde(deserialize_with = "range::part")]
    pub share: f64,
    /// What the factor is at least, from 0 to 1: without it, the first step would teach nothing.
    #[serde(deserialize_with = "range::part")]
    pub start: f64,
}

impl Default for WarmupConfig {
    fn default() -> Self {
        Self { share: 0.01, start: 0.01 }
    }
}

impl WarmupConfig {
    /// The factor at that moment, or where it is over the moment of what follows.
    pub(super) fn factor<'a>(&self, moment: &Moment<'a>) -> Result<f64, Moment<'a>> {
        let &Moment { step, total, losses } = moment;
        let length = self.share * total;
        if step < length {
            return Ok(self.start.max(step / length));
        }
        Err(Moment { step: step - length, total: total - length, losses })
    }
}

#[cfg(test)]
mod tests {
    use crate::{Moment, ScheduleConfig, WarmupConfig};

    fn factor(schedule: &ScheduleConfig, warmup: &WarmupConfig, step: f64, total: f64) -> f64 {
        schedule.at(&Moment { step, total, losses: &[] }, Some(warmup))
    }

    #[test]
    fn it_is_that_of_the_dice_semimetric_losses() {
        let (largest, total) = (6e-5, 2000.0);
        let warmup = WarmupConfig { share: 0.01, start: 1e-6 / largest };
        let schedule = ScheduleConfig::Poly { power: 1.0 };

        // W = 20: 1e-6 / 6e-5 is less than a step of it, and 1/60 for the first.
        approx::assert_relative_eq!(factor(&schedule, &warmup, 0.0, total), 1.0 / 60.0);
        approx::assert_relative_eq!(factor(&schedule, &warmup, 1.0, total), 0.05);
        approx::assert_relative_eq!(factor(&schedule, &warmup, 19.0, total), 0.95);
        approx::assert_relative_eq!(factor(&schedule, &warmup, 20.0, total), 1.0);
        approx::assert_relative_eq!(factor(&schedule, &warmup, 1010.0, total), 0.5);
        approx::assert_abs_diff_eq!(factor(&schedule, &warmup, 2000.0, total), 0.0);
    }

    #[test]
    fn it_takes_no_part_of_the_training_or_all_of_it() {
        let schedule = ScheduleConfig::Poly { power: 1.0 };

        let none = WarmupConfig { share: 0.0, start: 0.5 };
        approx::assert_relative_eq!(factor(&schedule, &none, 0.0, 10.0), 1.0);
        approx::assert_relative_eq!(factor(&schedule, &none, 4.0, 10.0), 0.6);
        let all = WarmupConfig { share: 1.0, start: 0.25 };
        approx::assert_relative_eq!(factor(&schedule, &all, 1.0, 10.0), 0.25);
        approx::assert_relative_eq!(factor(&schedule, &all, 9.0, 10.0), 0.9);
        approx::assert_abs_diff_eq!(factor(&schedule, &all, 10.0, 10.0), 0.0);
    }

    #[test]
    fn settings_outside_their_range_are_refused() -> anyhow::Result<()> {
        for text in [r#"{"share": 1.5}"#, r#"{"start": -0.1}"#, r#"{"length": 3}"#] {
            assert!(serde_json::from_str::<WarmupConfig>(text).is_err(), "{text}");
        }
        let default: WarmupConfig = serde_json::from_str("{}")?;
        assert_eq!(default, WarmupConfig::default());
        Ok(())
    }
}
