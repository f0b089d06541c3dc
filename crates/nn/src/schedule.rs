//! Learning rates over time.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How the learning rate changes over a training.
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
    /// It rises linearly during `warmup`, then falls along half a cosine to `minimum`.
    Cosine {
        /// The part of the training that it rises for, from 0 to 1.
        #[serde(default)]
        warmup: f64,
        /// Where it ends, as a part of the largest.
        #[serde(default)]
        minimum: f64,
    },
    /// It is multiplied by `factor` at each of `milestones`.
    Step {
        /// Parts of the training, from 0 to 1.
        milestones: Vec<f64>,
        /// The multiplier.
        factor: f64,
    },
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
    /// What the learning rate is multiplied by at `step` of `total`, of whatever is counted.
    ///
    /// Beyond the end it stays what it is at the end; so it does throughout where `total` is 0.
    ///
    /// # Source
    ///
    /// Loshchilov, Hutter: *SGDR*, [arXiv:1608.03983](https://arxiv.org/abs/1608.03983), for the
    /// cosine; `PolyLRScheduler` of nnU-Net for the polynomial.
    pub fn factor(&self, step: f64, total: f64) -> f64 {
        let time = if total > 0.0 { (step / total).clamp(0.0, 1.0) } else { 1.0 };
        match self {
            Self::Constant {} => 1.0,
            Self::Poly { power } => (1.0 - time).powf(*power),
            Self::Cosine { warmup, minimum } => {
                // The first step of a warm-up is not 0, so that it teaches something.
                let first = if total > 0.0 { 1.0 / total } else { 0.0 };
                if time < *warmup {
                    return ((time + first) / warmup).min(1.0);
                }
                let rest = 1.0 - warmup;
                let time = if rest > 0.0 { (time - warmup) / rest } else { 1.0 };
                minimum + (1.0 - minimum) * 0.5 * (1.0 + (PI * time).cos())
            }
            Self::Step { milestones, factor } => {
                milestones.iter().filter(|milestone| **milestone <= time).map(|_| factor).product()
            }
        }
    }
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
        let cosine = ScheduleConfig::Cosine { warmup: 0.1, minimum: 0.2 };

        approx::assert_abs_diff_eq!(cosine.factor(0.0, 100.0), 0.1);
        approx::assert_abs_diff_eq!(cosine.factor(10.0, 100.0), 1.0);
        approx::assert_abs_diff_eq!(cosine.factor(55.0, 100.0), 0.6, epsilon = 1e-12);
        approx::assert_abs_diff_eq!(cosine.factor(100.0, 100.0), 0.2);
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

        assert_eq!(cosine, ScheduleConfig::Cosine { warmup: 0.05, minimum: 0.0 });
        assert!(serde_json::from_str::<ScheduleConfig>(r#"{"poly": {"exponent": 1}}"#).is_err());
        Ok(())
    }
}
