use anyhow::{Context, ensure};
use candle::{DType, Result, Tensor, Var};

use super::{Noise, close, compare, is_available, without_matrices};
use crate::geometry::Geometry;
use crate::native::metal::weight_gradient::in_runs;
use crate::native::metal::{conv_input_gradient, conv_weight_gradient, convolve};
use crate::{ConvConfig, ConvTransposeConfig, reference};

/// A convolution, or a transposed one.
#[derive(Clone, Debug)]
struct Case {
    input: Vec<usize>,
    weight: Vec<usize>,
    config: ConvConfig,
    /// `Some` for a transposed one.
    output_padding: Option<Vec<usize>>,
}

impl Case {
    fn new(input: &[usize], outputs: usize, kernel: &[usize], stride: &[usize]) -> Self {
        let weight = [&[outputs, input[input.len() - 1]], kernel].concat();
        let config = ConvConfig::same(kernel, stride);
        Self { input: input.to_vec(), weight, config, output_padding: None }
    }

    fn up(input: &[usize], outputs: usize, stride: &[usize]) -> Self {
        let weight = [&[input[input.len() - 1], outputs], stride].concat();
        let config = ConvConfig { stride: stride.to_vec(), ..ConvConfig::new(stride.len()) };
        let output_padding = Some(vec![0; stride.len()]);
        Self { input: input.to_vec(), weight, config, output_padding }
    }

    /// Of any stride, padding, dilation and groups; `None` where there is no output.
    fn random(noise: &mut Noise) -> Option<Self> {
        let rank = noise.pick(1..4);
        let mut list = |range: std::ops::Range<usize>| -> Vec<usize> {
            (0..rank).map(|_| noise.pick(range.clone())).collect()
        };
        let (space, kernel, stride) = (list(1..8), list(1..4), list(1..4));
        let (padding, dilation, extra) = (list(0..3), list(1..3), list(0..2));
        let [batch, groups] = [noise.pick(1..3), noise.pick(1..4)];
        let [inputs, outputs] = [(); 2].map(|()| [1, 2, 3, 5, 9][noise.pick(0..5)]);
        let transposed = noise.pick(0..2) == 1;
        let fits = (0..rank).all(|axis| {
            let window = dilation[axis] * (kernel[axis] - 1) + 1;
            if transposed {
                let reach = (space[axis] - 1) * stride[axis] + window + extra[axis];
                extra[axis] < stride[axis].max(dilation[axis]) && reach > 2 * padding[axis]
            } else {
                space[axis] + 2 * padding[axis] >= window
            }
        });
        let input = [&[batch], space.as_slice(), &[groups * inputs]].concat();
        let sides =
            if transposed { [groups * inputs, outputs] } else { [groups * outputs, inputs] };
        let weight = [&sides, kernel.as_slice()].concat();
        let config = ConvConfig { stride, padding, dilation, groups };
        fits.then_some(Self { input, weight, config, output_padding: transposed.then_some(extra) })
    }

    fn geometry(&self, x: &Tensor, weight: &Tensor) -> Result<Geometry> {
        match &self.output_padding {
            None => Geometry::of_conv(x, weight, &self.config),
            Some(output_padding) => {
                let ConvConfig { stride, padding, dilation, groups } = self.config.clone();
                let output_padding = output_padding.clone();
                let config =
                    ConvTransposeConfig { stride, padding, output_padding, dilation, groups };
                Geometry::of_transpose(x, weight, &config)
            }
        }
    }

    fn check(&self, dtype: DType, with_bias: bool) -> anyhow::Result<()> {
        let transposed = self.output_padding.is_some();
        let outputs = if transposed { self.weight[1] * self.config.groups } else { self.weight[0] };
        let bias: &[usize] = &[outputs];
        let shapes: &[&[usize]] = &[&self.input, &self.weight, bias];
        compare(
            &|t| {
                let geometry = self.geometry(&t[0], &t[1])?;
                convolve(&t[0], &t[1], t.get(2), geometry, transposed)
            },
            &|t| {
                let geometry = self.geometry(&t[0], &t[1])?;
                let apply = if transposed { reference::scatter } else { reference::gather };
                apply(&t[0], &t[1], t.get(2), &geometry)
            },
            &shapes[..if with_bias { 3 } else { 2 }],
            1,
            dtype,
        )
        .with_context(|| format!("{self:?} in {dtype:?}"))
    }
}

#[test]
fn convolutions_agree_for_awkward_extents_and_channels() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    let cases = [
        Case::new(&[2, 3, 4, 5, 31], 33, &[3, 3, 3], &[1, 1, 1]),
        Case::new(&[1, 4, 5, 7, 32], 4, &[3, 3, 3], &[2, 2, 2]),
        Case::new(&[3, 4, 6, 5, 1], 32, &[1, 3, 3], &[1, 2, 2]),
        Case::new(&[2, 3, 5, 4, 33], 3, &[3, 3, 3], &[2, 2, 1]),
        Case::new(&[1, 1, 1, 1, 4], 5, &[3, 3, 3], &[1, 1, 1]),
        Case::new(&[2, 9, 11, 3], 31, &[3, 3], &[1, 1]),
        Case::new(&[1, 23, 31, 4], 3, &[7, 5], &[2, 3]),
        Case::new(&[4, 6, 7, 32], 70, &[1, 1], &[1, 1]),
        Case::new(&[2, 37, 3], 8, &[5], &[2]),
    ];
    for case in &cases {
        case.check(DType::F32, true)?;
        without_matrices(|| case.check(DType::F32, false))?;
    }
    for case in &cases[2..7] {
        case.check(DType::F16, true)?;
        case.check(DType::BF16, true)?;
    }
    Ok(())
}

#[test]
fn transposed_convolutions_agree() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    let cases = [
        Case::up(&[2, 2, 3, 2, 33], 31, &[2, 2, 2]),
        Case::up(&[1, 4, 6, 5, 8], 3, &[1, 2, 2]),
        Case::up(&[3, 5, 4, 32], 40, &[2, 2]),
        Case::up(&[1, 1, 5, 4], 1, &[4, 3]),
    ];
    for case in &cases {
        case.check(DType::F32, true)?;
        without_matrices(|| case.check(DType::F32, false))?;
        case.check(DType::BF16, false)?;
    }
    Ok(())
}

#[test]
fn random_convolutions_agree() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    let mut noise = Noise(3);
    for number in 0..120 {
        if let Some(case) = Case::random(&mut noise) {
            let types = [DType::F32, DType::F32, DType::F16, DType::BF16];
            case.check(types[number % 4], number % 3 != 0)?;
        }
    }
    Ok(())
}

/// Runs of one table and of several, the last of them not full.
#[test]
fn gradients_of_weights_are_the_same_for_any_split() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    for outputs in [5, 40] {
        let case = Case::new(&[2, 13, 22, 7], outputs, &[3, 3], &[1, 1]);
        let mut noise = Noise(6);
        let x = noise.tensor(&case.input, DType::F32)?;
        let weight = noise.tensor(&case.weight, DType::F32)?;
        let geometry = case.geometry(&x, &weight)?;
        let dy = noise.tensor(&geometry.coarse_shape(), DType::F32)?;
        let by = |run| in_runs(&geometry, &x, &dy, &case.weight, |_| run);

        let whole = by(1 << 10)?;

        close(0, &by(1 << 8)?, &whole, 1e-5)?;
        close(0, &by(1 << 7)?, &whole, 1e-5)?;
        close(0, &conv_weight_gradient(&x, &dy, &case.weight, &geometry)?, &whole, 1e-5)?;
    }
    Ok(())
}

#[test]
fn gradients_by_themselves_are_those_of_a_backward_pass() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    let case = Case::new(&[2, 4, 5, 6, 9], 10, &[3, 3, 3], &[1, 2, 1]);
    let mut noise = Noise(5);
    let x = Var::from_tensor(&noise.tensor(&case.input, DType::F32)?)?;
    // As a parameter of half precision, whose gradient is of its type.
    let weight = Var::from_tensor(&noise.tensor(&case.weight, DType::F16)?)?;
    let geometry = case.geometry(&x, &weight)?;
    let y = convolve(&x, &weight, None, geometry.clone(), false)?;
    let dy = noise.tensor(y.dims(), DType::F32)?;
    let gradients = (y * &dy)?.sum_all()?.backward()?;

    let of_input = conv_input_gradient(&weight, &dy, geometry.clone())?;
    let of_weight = conv_weight_gradient(&x, &dy, &case.weight, &geometry)?;

    close(1, gradients.get(&x).context("no gradient")?, &of_input, 1e-6)?;
    let whole = gradients.get(&weight).context("no gradient")?;
    ensure!(whole.dtype() == DType::F16);
    close(2, whole, &of_weight, 1e-3)
}

#[test]
fn nothing_is_computed_for_what_needs_no_gradient() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    let case = Case::new(&[1, 5, 6, 2], 3, &[3, 3], &[1, 1]);
    let mut noise = Noise(5);
    let constant = noise.tensor(&case.input, DType::F32)?;
    let weight = Var::from_tensor(&noise.tensor(&case.weight, DType::F32)?)?;
    let geometry = case.geometry(&constant, &weight)?;

    let y = convolve(&constant, &weight, None, geometry.clone(), false)?;
    let gradients = y.sum_all()?.backward()?;

    ensure!(gradients.get(&constant).is_none());
    ensure!(gradients.get(&weight).context("no gradient")?.dims() == weight.dims());
    ensure!(!convolve(&constant, &weight.as_detached_tensor(), None, geometry, false)?.track_op());
    Ok(())
}
