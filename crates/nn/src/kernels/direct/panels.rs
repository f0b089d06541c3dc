//! Weights and biases in panels of two vectors of target channels.

use crate::Isa;
use crate::kernels::fresh::in_pieces;

use super::plan::Plan;

/// Source channels that are packed at a time, so that what is read of the weight stays in the cache.
const SOURCES: usize = 8;

/// The weight of a convolution without groups, as `(panels, kz, ky, taps of the plan, source
/// channels, two vectors)`; zeros stand in for channels that there are not.
#[derive(Debug)]
pub(super) struct Panels {
    values: Vec<f32>,
    bias: Vec<f32>,
    pub(super) width: usize,
    /// Target channels.
    pub(super) channels: usize,
    /// Values of a panel.
    size: usize,
}

impl Panels {
    pub(super) fn new(isa: Isa, plan: &Plan, weight: &[f32], bias: Option<&[f32]>) -> Self {
        let width = 2 * isa.lanes();
        let [deep, high, wide] = plan.kernel;
        let taps = deep * high * wide;
        let (sources, channels) = (plan.source.channels, plan.target.channels);
        // The weight lists the coarse side first: where it is the target, its channels are far apart.
        let (source_step, target_step) =
            if plan.source_is_coarse { (channels * taps, taps) } else { (taps, sources * taps) };
        let count = channels.div_ceil(width);
        let slots: Vec<usize> = (0..deep * high)
            .flat_map(|row| plan.order.iter().map(move |tap| row * wide + tap))
            .collect();
        let size = slots.len() * sources * width;
        let values = in_pieces(count * size, size, |panel, values| {
            let first = panel * width;
            let columns = width.min(channels - first);
            for start in (0..sources).step_by(SOURCES) {
                for (slot, &tap) in slots.iter().enumerate() {
                    for source in start..(start + SOURCES).min(sources) {
                        let weight = &weight[source * source_step + first * target_step + tap..];
                        let row = &mut values[(slot * sources + source) * width..][..columns];
                        for (value, &weight) in
                            row.iter_mut().zip(weight.iter().step_by(target_step))
                        {
                            *value = weight;
                        }
                    }
                }
            }
        });
        let mut padded = vec![0.0; count * width];
        if let Some(bias) = bias {
            padded[..channels].copy_from_slice(bias);
        }
        Self { values, bias: padded, width, channels, size }
    }

    pub(super) fn count(&self) -> usize {
        self.channels.div_ceil(self.width)
    }

    /// Bytes of all weights.
    pub(super) fn bytes(&self) -> usize {
        4 * self.values.len()
    }

    /// Target channels of a panel.
    pub(super) fn columns(&self, panel: usize) -> usize {
        self.width.min(self.channels - panel * self.width)
    }

    /// The weights of a panel, `(kz, ky, taps of the plan, source channels, two vectors)`.
    pub(super) fn weights(&self, panel: usize) -> &[f32] {
        &self.values[panel * self.size..][..self.size]
    }

    pub(super) fn bias(&self, panel: usize) -> &[f32] {
        &self.bias[panel * self.width..][..self.width]
    }
}
