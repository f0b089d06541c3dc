//! Ranges of settings: a config file is refused, with its line, where it holds a number outside.

use serde::de::{Deserialize, Deserializer};

/// How much of a running mean is kept: from 0 to below 1. Kept whole, it would never move, or grow
/// without end.
pub(crate) fn kept<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    within(deserializer, "a number from 0 to below 1", |value| (0.0..1.0).contains(&value))
}

/// How much of each of two running means is kept.
pub(crate) fn both_kept<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f64; 2], D::Error> {
    let both = <[f64; 2]>::deserialize(deserializer)?;
    for value in both {
        check(value, "a number from 0 to below 1", |value| (0.0..1.0).contains(&value))?;
    }
    Ok(both)
}

/// A part of a whole: from 0 to 1.
pub(crate) fn part<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    within(deserializer, "a number from 0 to 1", |value| (0.0..=1.0).contains(&value))
}

/// How strongly parameters are drawn to 0: not away from it.
pub(crate) fn decay<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let holds = |value: f64| value >= 0.0 && value.is_finite();
    within(deserializer, "a finite number of 0 or more", holds)
}

/// What something is multiplied by to grow, or stay as it is.
pub(crate) fn growth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let holds = |value: f64| value >= 1.0 && value.is_finite();
    within(deserializer, "a finite number of 1 or more", holds)
}

/// What keeps a quotient finite.
pub(crate) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let holds = |value: f64| value > 0.0 && value.is_finite();
    within(deserializer, "a positive, finite number", holds)
}

fn within<'de, D: Deserializer<'de>>(
    deserializer: D,
    range: &'static str,
    holds: impl Fn(f64) -> bool,
) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    check(value, range, holds)?;
    Ok(value)
}

/// A number that is none is in no range: comparisons with NaN are false.
fn check<E: serde::de::Error>(
    value: f64,
    range: &'static str,
    holds: impl Fn(f64) -> bool,
) -> Result<(), E> {
    if holds(value) { Ok(()) } else { Err(E::custom(format_args!("{value} is not {range}"))) }
}

#[cfg(test)]
mod tests {
    use crate::OptimizerConfig;

    fn refusal(text: &str) -> String {
        serde_json::from_str::<OptimizerConfig>(text).expect_err(text).to_string()
    }

    #[test]
    fn settings_that_cannot_learn_are_refused() {
        let kept = "is not a number from 0 to below 1";
        let decay = "is not a finite number of 0 or more";
        let positive = "0 is not a positive, finite number";
        for (text, expected) in [
            (r#"{"sgd": {"momentum": 2.0}}"#, kept),
            (r#"{"sgd": {"momentum": 1.0}}"#, kept),
            (r#"{"sgd": {"momentum": -0.1}}"#, kept),
            (r#"{"sgd": {"dampening": 1.5}}"#, "1.5 is not a number from 0 to 1"),
            (r#"{"sgd": {"weight_decay": -1e-5}}"#, decay),
            (r#"{"adam": {"betas": [0.9, 1.0]}}"#, kept),
            (r#"{"adam": {"eps": 0.0}}"#, positive),
            (r#"{"adam": {"weight_decay": -1.0}}"#, decay),
            (r#"{"adam_w": {"betas": [1.5, 0.9]}}"#, kept),
            (r#"{"adam_w": {"eps": 0.0}}"#, positive),
            (r#"{"adam_w": {"weight_decay": -1.0}}"#, decay),
            (r#"{"r_adam": {"betas": [-0.5, 0.9]}}"#, kept),
            (r#"{"r_adam": {"eps": 0.0}}"#, positive),
            (r#"{"r_adam": {"weight_decay": -1.0}}"#, decay),
            (r#"{"n_adam": {"betas": [0.9, 1.0]}}"#, kept),
            (r#"{"n_adam": {"eps": 0.0}}"#, positive),
            (r#"{"n_adam": {"weight_decay": -1.0}}"#, decay),
            (r#"{"n_adam": {"momentum_decay": -1.0}}"#, decay),
            (r#"{"rms_prop": {"alpha": 1.0}}"#, kept),
            (r#"{"rms_prop": {"momentum": 1.0}}"#, kept),
            (r#"{"rms_prop": {"eps": 0.0}}"#, positive),
            (r#"{"rms_prop": {"weight_decay": -1.0}}"#, decay),
        ] {
            let error = refusal(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn the_ends_of_a_range_that_belong_to_it_are_taken() -> Result<(), serde_json::Error> {
        for text in [
            r#"{"sgd": {"momentum": 0.0, "dampening": 1.0, "weight_decay": 0.0}}"#,
            r#"{"adam": {"betas": [0.0, 0.0]}}"#,
            r#"{"rms_prop": {"alpha": 0.0, "momentum": 0.0}}"#,
        ] {
            serde_json::from_str::<OptimizerConfig>(text)?;
        }
        Ok(())
    }
}
