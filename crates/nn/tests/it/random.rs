use candle::{DType, Device, Result, Tensor};
use proptest::prelude::*;
use sconce_nn::{ConvConfig, ConvTransposeConfig};

/// Values between −1 and 1 without pattern, the same for the same `salt`.
pub(crate) fn noise(salt: u64, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
    let count: usize = shape.iter().product();
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f32> = (0..count)
        .map(|_| {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let bits = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
            bits as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect();
    // Drawn in f32, so that both precisions see the same numbers.
    Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
}

/// A convolution, or a transposed one, of small extents.
#[derive(Clone, Debug)]
pub(crate) struct RandomConv {
    pub(crate) input: Vec<usize>,
    pub(crate) weight: Vec<usize>,
    pub(crate) config: ConvConfig,
    /// `Some` for a transposed one.
    pub(crate) output_padding: Option<Vec<usize>>,
}

impl RandomConv {
    /// Of any stride, padding, dilation and groups, as long as there is an output.
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        (1usize..=3).prop_flat_map(|rank| {
            let per_axis = |range: std::ops::Range<usize>| proptest::collection::vec(range, rank);
            let extents = (1usize..3, per_axis(1..8), 1usize..4, 1usize..4, 1usize..4);
            let config = (per_axis(1..4), per_axis(1..4), per_axis(0..3), per_axis(1..3));
            (extents, config, any::<bool>(), per_axis(0..2)).prop_filter_map(
                "no output",
                |(extents, config, transposed, extra)| {
                    Self::new(extents, config, transposed, extra)
                },
            )
        })
    }

    fn new(
        (batch, space, groups, inputs, outputs): (usize, Vec<usize>, usize, usize, usize),
        (kernel, stride, padding, dilation): (Vec<usize>, Vec<usize>, Vec<usize>, Vec<usize>),
        transposed: bool,
        extra: Vec<usize>,
    ) -> Option<Self> {
        let fits = (0..space.len()).all(|axis| {
            let window = dilation[axis] * (kernel[axis] - 1) + 1;
            if transposed {
                let reach = (space[axis] - 1) * stride[axis] + window + extra[axis];
                extra[axis] < stride[axis].max(dilation[axis]) && reach > 2 * padding[axis]
            } else {
                space[axis] + 2 * padding[axis] >= window
            }
        });
        let input = [&[batch], space.as_slice(), &[groups * inputs]].concat();
        let weight = if transposed {
            [&[groups * inputs, outputs], kernel.as_slice()].concat()
        } else {
            [&[groups * outputs, inputs], kernel.as_slice()].concat()
        };
        let config = ConvConfig { stride, padding, dilation, groups };
        let output_padding = transposed.then_some(extra);
        fits.then_some(Self { input, weight, config, output_padding })
    }

    /// Its result.
    pub(crate) fn apply(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        match &self.output_padding {
            None => sconce_nn::conv(x, weight, bias, &self.config),
            Some(output_padding) => {
                let ConvConfig { stride, padding, dilation, groups } = self.config.clone();
                let output_padding = output_padding.clone();
                let config =
                    ConvTransposeConfig { stride, padding, output_padding, dilation, groups };
                sconce_nn::conv_transpose(x, weight, bias, &config)
            }
        }
    }

    /// The channels of its result.
    pub(crate) fn outputs(&self) -> usize {
        match self.output_padding {
            None => self.weight[0],
            Some(_) => self.weight[1] * self.config.groups,
        }
    }
}
