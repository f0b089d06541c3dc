//! A check of a device.

use candle::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::Init;
use serde::Serialize;

use crate::{
    Act, Backend, ConvConfig, ConvTransposeConfig, conv, conv_transpose, init, instance_norm,
    with_backend,
};

/// How far a device is from the reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Each quantity with its difference, in the order in which they are computed.
    pub differences: Vec<Difference>,
}

/// How far one quantity is from the reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// What was computed.
    pub quantity: String,
    /// The largest difference of a value, relative to the largest value.
    pub relative: f64,
}

/// The largest relative difference that single precision explains.
const SOUND: f64 = 1e-4;

impl Report {
    /// The largest difference of all; NaN where any is.
    pub fn worst(&self) -> f64 {
        // `f64::max` would pass over NaN.
        let worse = |a: f64, b: f64| if b.is_nan() || b > a { b } else { a };
        self.differences.iter().map(|difference| difference.relative).fold(0.0, worse)
    }

    /// Whether the device computes what it should, up to rounding in single precision.
    pub fn is_sound(&self) -> bool {
        self.worst() <= SOUND
    }
}

/// Computes a convolution, an instance norm and a transposed convolution on `device`, forward and
/// backward in f32, and compares them with the reference in f64 on the CPU.
///
/// # Errors
///
/// Where the device cannot compute one of them.
///
/// # Examples
///
/// ```
/// let report = sconce_nn::self_test(&candle::Device::Cpu)?;
/// assert!(report.is_sound());
/// # Ok::<(), candle::Error>(())
/// ```
pub fn self_test(device: &Device) -> Result<Report> {
    let computed = compute(DType::F32, device)?;
    let expected = with_backend(Backend::Reference, || compute(DType::F64, &Device::Cpu))?;
    let differences = computed.into_iter().zip(expected).map(|((quantity, actual), (_, exact))| {
        let actual = actual.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
        let largest = |x: &Tensor| x.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>();
        // A NaN must not vanish in the maximum.
        let finite = actual.flatten_all()?.to_vec1::<f64>()?.iter().all(|value| value.is_finite());
        let relative =
            if finite { largest(&(actual - &exact)?)? / largest(&exact)? } else { f64::NAN };
        Ok(Difference { quantity: quantity.to_owned(), relative })
    });
    Ok(Report { differences: differences.collect::<Result<_>>()? })
}

/// The quantities that are compared.
fn compute(dtype: DType, device: &Device) -> Result<Vec<(&'static str, Tensor)>> {
    let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
    let var = |name: &str, shape: &[usize]| {
        // Drawn in f32, so that both precisions see the same numbers.
        let drawn = init::draw(normal, &Shape::from(shape), DType::F32, &Device::Cpu, 0, name)?;
        Var::from_tensor(&drawn.to_dtype(dtype)?.to_device(device)?)
    };
    let x = var("input", &[2, 7, 6, 9, 5])?;
    let weight = var("conv.weight", &[8, 5, 3, 3, 3])?;
    let bias = var("conv.bias", &[8])?;
    let (scale, shift) = (var("norm.weight", &[8])?, var("norm.bias", &[8])?);
    let up = var("up.weight", &[8, 3, 2, 2, 2])?;
    let cotangent = var("cotangent", &[2, 14, 6, 10, 3])?;

    let config = ConvConfig::same(&[3, 3, 3], &[1, 2, 2]);
    let convolved = conv(&x, &weight, Some(&bias), &config)?;
    let normalized =
        instance_norm(&convolved, Some(&scale), Some(&shift), 1e-5, Act::LeakyRelu(0.01))?;
    let finer = conv_transpose(&normalized, &up, None, &ConvTransposeConfig::upsample(&[2, 2, 2]))?;
    let loss = (&finer * cotangent.as_tensor())?.sum_all()?;
    let gradients = loss.backward()?;

    let mut quantities = vec![
        ("convolution", convolved.detach()),
        ("instance norm", normalized.detach()),
        ("transposed convolution", finer.detach()),
    ];
    let parameters = [
        ("gradient of the input", &x),
        ("gradient of the convolution's weight", &weight),
        ("gradient of the norm's weight", &scale),
        ("gradient of the norm's bias", &shift),
        ("gradient of the transposed convolution's weight", &up),
    ];
    for (quantity, parameter) in parameters {
        let gradient = gradients.get(parameter.as_tensor());
        let gradient = gradient.ok_or_else(|| candle::Error::msg(format!("no {quantity}")))?;
        quantities.push((quantity, gradient.detach()));
    }
    Ok(quantities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_or_undefined_value_is_not_sound() {
        let report = |relative| Report {
            differences: [1e-7, relative, 1e-6]
                .map(|relative| Difference { quantity: "q".to_owned(), relative })
                .to_vec(),
        };

        assert!(report(2e-6).is_sound());
        assert!(!report(1e-2).is_sound());
        assert!(!report(f64::NAN).is_sound());
    }
}
