//! Numbers that a formula gives, so that a reference need not store its weights.

use std::collections::BTreeMap;

use candle::{Result, Tensor};
use nn::Parameters;

use crate::device::floats;

/// `2⁻²⁴`.
const STEP: f64 = 1.0 / 16_777_216.0;

/// Value `i` is `f32((2 uᵢ − 1) · scale + offset)`, with `uᵢ` the upper 24 bits of the `i`-th output of
/// splitmix64, seeded with the FNV-1a hash of `name`: uniform around `offset`.
#[expect(clippy::cast_possible_truncation, reason = "the reference rounds to f32, too")]
pub(crate) fn values(name: &str, count: usize, scale: f64, offset: f64) -> Vec<f64> {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    let mut state = name.bytes().fold(OFFSET, mix);
    let mut value = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        let uniform = (z >> 40) as f64 * STEP;
        f64::from(((2.0 * uniform - 1.0) * scale + offset) as f32)
    };
    (0..count).map(|_| value()).collect()
}

/// The scale and offset of a parameter: those that the references of segmentation-models-pytorch have.
fn range(name: &str, shape: &[usize]) -> (f64, f64) {
    if shape.len() > 1 {
        let fan: usize = shape[1..].iter().product();
        return ((6.0 / fan as f64).sqrt(), 0.0);
    }
    match name.rsplit('.').next() {
        Some("weight" | "running_var") => (0.3, 1.0),
        _ => (0.1, 0.0),
    }
}

/// Gives every parameter the values of its name.
pub(crate) fn fill(parameters: &Parameters) -> Result<()> {
    let mut state = BTreeMap::new();
    for (name, var) in parameters.vars() {
        let (scale, offset) = range(&name, var.dims());
        let values = values(&name, var.elem_count(), scale, offset);
        state.insert(name, floats(&values, var.dims())?);
    }
    parameters.load(&state)
}

/// A tensor of such values around 0.
pub(crate) fn tensor(name: &str, shape: &[usize], scale: f64) -> Result<Tensor> {
    floats(&values(name, shape.iter().product(), scale, 0.0), shape)
}
