//! Fresh parameters, drawn reproducibly.

use candle::{DType, Device, Result, Shape, Tensor};
use candle_nn::Init;
use candle_nn::init::{FanInOut, NormalOrUniform};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, Uniform};

/// The negative slope that fresh weights are drawn for.
const SLOPE: f64 = 0.01;

/// He's normal initialization for leaky ReLU, with the fan that PyTorch reads off a weight of this
/// shape: all axes but the first.
///
/// # Source
///
/// He, Zhang, Ren, Sun: *Delving Deep into Rectifiers*, ICCV 2015,
/// [arXiv:1502.01852](https://arxiv.org/abs/1502.01852).
pub(crate) fn he_normal(shape: &[usize]) -> Init {
    // As a real number: a shape may be one that no memory holds, which is found out later.
    let fan: f64 = shape.iter().skip(1).map(|&extent| extent as f64).product();
    Init::Randn { mean: 0.0, stdev: (2.0 / (1.0 + SLOPE * SLOPE) / fan.max(1.0)).sqrt() }
}

/// Draws a tensor from a stream of its own, which `seed` and `name` determine: neither the order
/// in which parameters are created nor the device matters.
pub(crate) fn draw(
    init: Init,
    shape: &Shape,
    dtype: DType,
    device: &Device,
    seed: u64,
    name: &str,
) -> Result<Tensor> {
    let count = shape.elem_count();
    let mut rng = stream(seed, name);
    let mut normal = |mean: f64, stdev: f64| -> Vec<f64> {
        let draw = |_| -> f64 { StandardNormal.sample(&mut rng) };
        (0..count).map(draw).map(|value| mean + stdev * value).collect()
    };
    let values = match init {
        Init::Const(value) => vec![value; count],
        Init::Randn { mean, stdev } => normal(mean, stdev),
        Init::Kaiming { dist: NormalOrUniform::Normal, fan, non_linearity } => {
            normal(0.0, kaiming(fan, non_linearity.gain(), shape))
        }
        Init::Uniform { lo, up } => uniform(lo, up, count, &mut rng)?,
        Init::Kaiming { dist: NormalOrUniform::Uniform, fan, non_linearity } => {
            let bound = 3f64.sqrt() * kaiming(fan, non_linearity.gain(), shape);
            uniform(-bound, bound, count, &mut rng)?
        }
    };
    Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
}

fn kaiming(fan: FanInOut, gain: f64, shape: &Shape) -> f64 {
    gain / (fan.for_shape(shape).max(1) as f64).sqrt()
}

fn uniform(low: f64, high: f64, count: usize, rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
    let distribution = Uniform::new_inclusive(low, high).map_err(candle::Error::wrap)?;
    Ok((0..count).map(|_| distribution.sample(rng)).collect())
}

/// The generator that belongs to `seed` and `name`.
fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv(name.bytes()).to_le_bytes());
    key[16..24].copy_from_slice(&fnv(name.bytes().rev()).to_le_bytes());
    key[24..].copy_from_slice(&(name.len() as u64).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// The 64-bit FNV-1a hash: the same on every machine and in every version, unlike the standard
/// library's.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(init: Init, seed: u64, name: &str) -> Result<Vec<f64>> {
        let shape = Shape::from((40, 10, 5));
        draw(init, &shape, DType::F64, &Device::Cpu, seed, name)?.flatten_all()?.to_vec1()
    }

    #[test]
    fn a_stream_belongs_to_its_seed_and_name() -> Result<()> {
        let init = he_normal(&[40, 10, 5]);

        assert_eq!(drawn(init, 1, "a.weight")?, drawn(init, 1, "a.weight")?);
        assert_ne!(drawn(init, 1, "a.weight")?, drawn(init, 2, "a.weight")?);
        assert_ne!(drawn(init, 1, "a.weight")?, drawn(init, 1, "b.weight")?);
        Ok(())
    }

    #[test]
    fn he_normal_has_the_deviation_of_its_formula() -> Result<()> {
        let values = drawn(he_normal(&[40, 10, 5]), 3, "weight")?;

        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.02, "{mean}");
        // 2 / (1 + 0.01²) / 50, within five standard errors of 2,000 draws.
        assert!((square / 0.039_996 - 1.0).abs() < 0.16, "{square}");
        Ok(())
    }

    #[test]
    fn uniform_draws_stay_in_their_range() -> Result<()> {
        let values = drawn(Init::Uniform { lo: -2.0, up: 1.0 }, 5, "weight")?;

        assert!(values.iter().all(|value| (-2.0..=1.0).contains(value)));
        assert!(values.iter().any(|value| *value < -1.9) && values.iter().any(|v| *v > 0.9));
        Ok(())
    }
}
