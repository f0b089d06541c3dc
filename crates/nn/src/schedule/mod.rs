//! Learning rates over time.

mod plateau;
mod warmup;

use std::f64::consts::PI;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

pub use self::plateau::PlateauConfig;
pub use self::warmup::WarmupConfig;

/// When a learning rate is asked for, and what is known then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment<'a> {
    /// What is done, of whatever is counted.
    pub step: f64,
    /// All that there is to do, counted alike; beyond it rates stay what they are at the end, and so they
    /// do throughout where it is 0.
    pub total: f64,
    /// The validation loss of each epoch that is done, the first one first.
    pub losses: &'a [f64],
}

/// How the learning rate changes over a training.
///
/// # Examples
///
/// ```
/// use sconce_nn::{Moment, ScheduleConfig, WarmupConfig};
///
/// let schedule: ScheduleConfig = serde_json::from_str(r#"{"poly": {"power": 1.0}}"#)?;
/// let warmup = WarmupConfig { share: 0.1, start: 0.05 };
/// let factor = |step| {
///     schedule.at(&Moment { step, total: 100.0, losses: &[] }, Some(&warmup))
/// };
/// assert_eq!([0.0, 5.0, 10.0, 55.0, 100.0].map(factor), [0.05, 0.5, 1.0, 0.5, 0.0]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ScheduleConfig {
    /// It does not.
    Constant {},
    /// It falls as `(1 − t)^power`, as in nnU-Net, where `power` is 0.9.
    Poly {
        /// The exponent.
        #[serde(default = "nnunet_power")]
        power: f64,
    },
    /// It rises linearly during `warmup`, then falls along half a cosine to `minimum`, in each of `cycles`
    /// of equal length anew.
    Cosine {
        /// The part of the training that it rises for, from 0 to 1.
        #[serde(default)]
        warmup: f64,
        /// Where it ends, as a part of the largest.
        #[serde(default)]
        minimum: f64,
        /// How many times it falls, the first step of each cycle being at the largest rate.
        #[serde(default = "once")]
        cycles: NonZeroU32,
    },
    /// It is multiplied by `factor` at each of `milestones`.
    Step {
        /// Parts of the training, from 0 to 1.
        milestones: Vec<f64>,
        /// The multiplier.
        factor: f64,
    },
    /// It is multiplied by a factor whenever the validation loss has not fallen for some epochs.
    Plateau(PlateauConfig),
}

fn once() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn nnunet_power() -> f64 {
    0.9
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Poly { power: nnunet_power() }
    }
}

impl ScheduleConfig {
    /// What the largest learning rate is multiplied by at that moment, behind a warm-up where there is
    /// one: the entry point of a training loop.
    ///
    /// It is a function of its arguments alone: a training that goes on needs no more than the losses of
    /// the epochs that are done.
    ///
    /// # Source
    ///
    /// Loshchilov, Hutter: *SGDR*, [arXiv:1608.03983](https://arxiv.org/abs/1608.03983), for the
    /// cosine and its cycles; `PolyLRScheduler` of nnU-Net for the polynomial.
    pub fn at(&self, moment: &Moment<'_>, warmup: Option<&WarmupConfig>) -> f64 {
        match warmup {
            Some(warmup) => warmup.factor(moment).unwrap_or_else(|rest| self.since_start(&rest)),
            None => self.since_start(moment),
        }
    }

    /// What the learning rate is multiplied by at `step` of `total`, of whatever is counted, without a
    /// warm-up and before any epoch has a validation loss.
    ///
    /// Beyond the end it stays what it is at the end; so it does throughout where `total` is 0.
    pub fn factor(&self, step: f64, total: f64) -> f64 {
        self.since_start(&Moment { step, total, losses: &[] })
    }

    /// Whether it asks for validation losses: without them it is constant.
    pub fn follows_losses(&self) -> bool {
        matches!(self, Self::Plateau(_))
    }

    fn since_start(&self, &Moment { step, total, losses }: &Moment<'_>) -> f64 {
        let time = if total > 0.0 { (step / total).clamp(0.0, 1.0) } else { 1.0 };
        match self {
            Self::Constant {} => 1.0,
            Self::Poly { power } => (1.0 - time).powf(*power),
            Self::Cosine { warmup, minimum, cycles } => {
                // The first step of a warm-up is not 0, so that it teaches something.
                let first = if total > 0.0 { 1.0 / total } else { 0.0 };
                if time < *warmup {
                    return ((time + first) / warmup).min(1.0);
                }
                let rest = 1.0 - warmup;
                let time = if rest > 0.0 { (time - warmup) / rest } else { 1.0 };
                let time = within_cycle(time, f64::from(cycles.get()));
                minimum + (1.0 - minimum) * 0.5 * (1.0 + (PI * time).cos())
            }
            Self::Step { milestones, factor } => {
                milestones.iter().filter(|milestone| **milestone <= time).map(|_| factor).product()
            }
            Self::Plateau(plateau) => plateau.factor(losses),
        }
    }
}

/// The time since the beginning of a cycle, from 0 to 1, at a time of all cycles; the end is that of the
/// last one.
fn within_cycle(time: f64, cycles: f64) -> f64 {
    // A time that is rounded down belongs to the step that a cycle begins with, and not to the one before.
    const ROUNDING: f64 = 1e-9;
    let at = time * cycles;
    (at - (at + ROUNDING).floor().min(cycles - 1.0)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polynomial_starts_at_one_and_ends_at_zero() {
        let poly = ScheduleConfig::default();

        approx::assert_abs_diff_eq!(poly.factor(0.0, 100.0), 1.0);
        approx::assert_abs_diff_eq!(poly.factor(50.0, 100.0), 0.5f64.powf(0.9));
        approx::assert_abs_diff_eq!(poly.factor(100.0, 100.0), 0.0);
        approx::assert_abs_diff_eq!(poly.factor(150.0, 100.0), 0.0);
    }

    #[test]
    fn the_cosine_rises_then_falls_to_its_minimum() {
        let cosine = ScheduleConfig::Cosine { warmup: 0.1, minimum: 0.2, cycles: once() };

        approx::assert_abs_diff_eq!(cosine.factor(0.0, 100.0), 0.1);
        approx::assert_abs_diff_eq!(cosine.factor(10.0, 100.0), 1.0);
        approx::assert_abs_diff_eq!(cosine.factor(55.0, 100.0), 0.6, epsilon = 1e-12);
        approx::assert_abs_diff_eq!(cosine.factor(100.0, 100.0), 0.2);
    }

    #[test]
    fn each_cycle_begins_at_the_largest_rate() -> anyhow::Result<()> {
        let cycles: ScheduleConfig = serde_json::from_str(r#"{"cosine": {"cycles": 3}}"#)?;

        // Cycles of 4 steps: the cosines of 0, 45, 90 and 135 degrees.
        let fall = [1.0, 0.5 + 0.5 * 0.5f64.sqrt(), 0.5, 0.5 - 0.5 * 0.5f64.sqrt()];
        for step in 0..12u32 {
            let factor = cycles.factor(f64::from(step), 12.0);
            approx::assert_abs_diff_eq!(factor, fall[step as usize % 4], epsilon = 1e-12);
        }
        approx::assert_abs_diff_eq!(cycles.factor(12.0, 12.0), 0.0);
        assert!(serde_json::from_str::<ScheduleConfig>(r#"{"cosine": {"cycles": 0}}"#).is_err());
        Ok(())
    }

    #[test]
    fn every_cycle_begins_with_a_step_of_its_own() {
        // Whatever rounding does to the time at which it begins.
        for (cycles, length) in [(7u32, 3u32), (11, 250), (49, 90)] {
            let total = f64::from(cycles * length);
            let cosine = ScheduleConfig::Cosine {
                warmup: 0.0,
                minimum: 0.1,
                cycles: NonZeroU32::new(cycles).unwrap(),
            };
            for step in 0..cycles * length {
                let factor = cosine.factor(f64::from(step), total);
                let begins = (factor - 1.0).abs() < 1e-9;
                assert_eq!(begins, step % length == 0, "step {step} of {total}: {factor}");
            }
        }
    }

    #[test]
    fn steps_multiply_at_their_milestones() {
        let step = ScheduleConfig::Step { milestones: vec![0.5, 0.75], factor: 0.1 };

        approx::assert_abs_diff_eq!(step.factor(49.0, 100.0), 1.0);
        approx::assert_abs_diff_eq!(step.factor(50.0, 100.0), 0.1);
        approx::assert_abs_diff_eq!(step.factor(80.0, 100.0), 0.01, epsilon = 1e-12);
    }

    #[test]
    fn a_file_names_the_schedule_by_its_table() -> anyhow::Result<()> {
        let cosine: ScheduleConfig = serde_json::from_str(r#"{"cosine": {"warmup": 0.05}}"#)?;

        assert_eq!(cosine, ScheduleConfig::Cosine { warmup: 0.05, minimum: 0.0, cycles: once() });
        assert!(serde_json::from_str::<ScheduleConfig>(r#"{"poly": {"exponent": 1}}"#).is_err());
        Ok(())
    }
}
