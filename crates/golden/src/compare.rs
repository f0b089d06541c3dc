use anyhow::{Context, bail};
use serde_json::Value;

use crate::TestDevice;

/// How far a value may be from its reference: `atol + rtol · |reference|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Relative part.
    pub rtol: f64,
    /// Absolute part.
    pub atol: f64,
}

impl Tolerance {
    /// Both parts.
    pub const fn new(rtol: f64, atol: f64) -> Self {
        Self { rtol, atol }
    }

    /// What becomes of it on the device that tests run on, where that has no double precision: what
    /// the rounding of single precision leaves.
    #[must_use]
    pub fn on_device(self) -> Self {
        if TestDevice::named().has_double() {
            return self;
        }
        Self { rtol: self.rtol.max(2e-4), atol: self.atol.max(2e-5) }
    }
}

/// Checks that `actual` is `expected`, value by value; NaN and infinities equal themselves.
///
/// # Errors
///
/// Names the value that is furthest out, as a multiple of what is allowed.
pub fn close(actual: &[f64], expected: &[f64], tolerance: Tolerance) -> anyhow::Result<()> {
    if actual.len() != expected.len() {
        bail!("{} values, but the reference has {}", actual.len(), expected.len());
    }
    let excess = |(&a, &e): (&f64, &f64)| {
        #[expect(clippy::float_cmp, reason = "equal infinities are equal")]
        if a == e || (a.is_nan() && e.is_nan()) {
            return 0.0;
        }
        let ratio = (a - e).abs() / (tolerance.atol + tolerance.rtol * e.abs());
        if ratio.is_nan() { f64::INFINITY } else { ratio }
    };
    let worst =
        actual.iter().zip(expected).map(excess).enumerate().fold(
            (0, 0.0),
            |worst: (usize, f64), next| if next.1 > worst.1 { next } else { worst },
        );
    let (at, ratio) = worst;
    if ratio > 1.0 {
        bail!(
            "value {at} is {} but the reference is {} ({ratio:.3e} times what {tolerance:?} allows)",
            actual[at],
            expected[at],
        );
    }
    Ok(())
}

/// A number of a manifest, where non-finite ones are the strings `nan`, `inf` and `-inf`.
///
/// # Errors
///
/// Where it is neither.
pub fn number(value: &Value) -> anyhow::Result<f64> {
    match value {
        Value::Number(number) => number.as_f64().context("a number beyond f64"),
        Value::String(text) => match text.as_str() {
            "nan" => Ok(f64::NAN),
            "inf" => Ok(f64::INFINITY),
            "-inf" => Ok(f64::NEG_INFINITY),
            _ => bail!("{text:?} is not a number"),
        },
        other => bail!("{other} is not a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_outside_its_tolerance_is_named() {
        let tolerance = Tolerance::new(0.0, 0.1);

        assert!(close(&[1.0, 2.05], &[1.0, 2.0], tolerance).is_ok());
        let error = close(&[1.0, 2.5], &[1.0, 2.0], tolerance).unwrap_err().to_string();
        assert!(error.starts_with("value 1 is 2.5 but the reference is 2"), "{error}");
    }

    #[test]
    fn nan_is_only_nan_and_never_close_to_a_number() {
        let tolerance = Tolerance::new(0.0, 1.0);

        assert!(close(&[f64::NAN, f64::INFINITY], &[f64::NAN, f64::INFINITY], tolerance).is_ok());
        assert!(close(&[f64::NAN], &[0.0], tolerance).is_err());
        assert!(close(&[0.0], &[f64::NAN], tolerance).is_err());
        assert!(close(&[f64::INFINITY], &[f64::NEG_INFINITY], tolerance).is_err());
    }
}
