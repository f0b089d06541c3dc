use serde::{Deserialize, Serialize};

use crate::range;

/// A fall of the learning rate whenever the validation loss has stopped falling.
///
/// An epoch improves where its loss is less than the least one so far by more than `min_delta`; one that
/// is not a number never does. After `patience` epochs in a row that do not, the learning rate is
/// multiplied by `factor`.
///
/// | | default |
/// |---|---|
/// | `factor` | 0.1 |
/// | `patience` | 10 |
/// | `min_delta` | 0.0001 |
/// | `cooldown` | 0 |
/// | `minimum` | 0 |
///
/// # Source
///
/// `ReduceLROnPlateau` of Keras 3, whose defaults these are; there `minimum` is a learning rate, here a
/// part of the largest one, and there a first loss that is not a number is never improved upon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlateauConfig {
    /// What the learning rate is multiplied by, from 0 to below 1.
    #[serde(deserialize_with = "range::kept")]
    pub factor: f64,
    /// Epochs in a row without improvement that are borne; 0 is as 1.
    pub patience: u32,
    /// By how much more than this a loss must fall to be an improvement, 0 or more.
    #[serde(deserialize_with = "range::decay")]
    pub min_delta: f64,
    /// Epochs after a fall before those without improvement are counted again; the last of them counts.
    pub cooldown: u32,
    /// Where the learning rate stays, as a part of the largest, from 0 to 1.
    #[serde(deserialize_with = "range::part")]
    pub minimum: f64,
}

impl Default for PlateauConfig {
    fn default() -> Self {
        Self { factor: 0.1, patience: 10, min_delta: 1e-4, cooldown: 0, minimum: 0.0 }
    }
}

impl PlateauConfig {
    /// The factor after epochs with these validation losses; 1 before the first.
    pub(super) fn factor(&self, losses: &[f64]) -> f64 {
        let (mut factor, mut least) = (1.0, f64::INFINITY);
        let (mut waited, mut resting) = (0u32, 0u32);
        for loss in losses {
            if resting > 0 {
                resting -= 1;
                waited = 0;
            }
            if loss + self.min_delta < least {
                least = *loss;
                waited = 0;
            } else if resting == 0 {
                waited += 1;
                if waited >= self.patience && factor > self.minimum {
                    factor = f64::max(factor * self.factor, self.minimum);
                    resting = self.cooldown;
                    waited = 0;
                }
            }
        }
        factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Moment, ScheduleConfig};

    /// The factor after each of the epochs.
    fn factors(plateau: &PlateauConfig, losses: &[f64]) -> Vec<f64> {
        let schedule = ScheduleConfig::Plateau(plateau.clone());
        let moment = |done: usize| Moment { step: 3.0, total: 9.0, losses: &losses[..done] };
        (1..=losses.len()).map(|done| schedule.at(&moment(done), None)).collect()
    }

    /// Epochs behind each of which the rate was lower than before, and what it was then.
    type Falls<'a> = &'a [(usize, f64)];

    /// What Keras 3.15.1 makes of a learning rate of 1:
    /// `ReduceLROnPlateau(monitor="val_loss", factor=.., patience=.., min_delta=.., cooldown=.., min_lr=..)`,
    /// its `on_epoch_end` being called with each loss.
    #[test]
    fn it_falls_where_that_of_keras_falls() {
        let losses = [
            1.0, 0.8, 0.81, 0.80005, 0.7, 0.75, 0.72, 0.71, 0.69995, 0.9, 0.9, 0.6, 0.61, 0.62,
            0.63, 0.64, 0.65, 0.66, 0.67, 0.68,
        ];
        let all: [(f64, u32, f64, u32, f64, Falls<'_>); 4] = [
            (
                0.5,
                2,
                1e-4,
                0,
                0.0,
                &[
                    (3, 0.5),
                    (6, 0.25),
                    (8, 0.125),
                    (10, 0.0625),
                    (13, 0.03125),
                    (15, 0.015_625),
                    (17, 0.007_812_5),
                    (19, 0.003_906_25),
                ],
            ),
            (0.5, 2, 1e-4, 2, 0.2, &[(3, 0.5), (6, 0.25), (9, 0.2)]),
            (0.1, 3, 1e-7, 1, 1e-3, &[(7, 0.1), (14, 0.01), (17, 0.001)]),
            (0.5, 0, 0.0, 1, 0.1, &[(2, 0.5), (3, 0.25), (5, 0.125), (6, 0.1)]),
        ];
        for (factor, patience, min_delta, cooldown, minimum, falls) in all {
            let plateau = PlateauConfig { factor, patience, min_delta, cooldown, minimum };
            for (epoch, after) in factors(&plateau, &losses).into_iter().enumerate() {
                let fallen = falls.iter().rev().find(|(at, _)| *at <= epoch);
                let expected = fallen.map_or(1.0, |(_, factor)| *factor);
                approx::assert_relative_eq!(after, expected, max_relative = 1e-12);
            }
        }
    }

    #[test]
    fn a_loss_that_is_not_a_number_is_no_improvement() {
        let plateau = PlateauConfig { factor: 0.5, patience: 2, ..PlateauConfig::default() };

        let losses = [f64::NAN, f64::INFINITY, 3.0, f64::NAN, 2.0, f64::NAN, f64::NAN];

        assert_eq!(factors(&plateau, &losses), [1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn before_any_loss_it_is_constant() {
        let schedule = ScheduleConfig::Plateau(PlateauConfig::default());

        approx::assert_relative_eq!(schedule.factor(90.0, 100.0), 1.0);
        assert!(schedule.follows_losses() && !ScheduleConfig::default().follows_losses());
    }

    #[test]
    fn settings_outside_their_range_are_refused() -> anyhow::Result<()> {
        for text in [
            r#"{"plateau": {"factor": 1.0}}"#,
            r#"{"plateau": {"min_delta": -1.0}}"#,
            r#"{"plateau": {"minimum": 2.0}}"#,
            r#"{"plateau": {"min_lr": 0.1}}"#,
        ] {
            assert!(serde_json::from_str::<ScheduleConfig>(text).is_err(), "{text}");
        }
        let read: ScheduleConfig = serde_json::from_str(r#"{"plateau": {"patience": 25}}"#)?;
        let expected = PlateauConfig { patience: 25, ..PlateauConfig::default() };
        assert_eq!(read, ScheduleConfig::Plateau(expected));
        Ok(())
    }
}
