//! One run of a kernel.

use candle::{DType, Result, Storage, Tensor};

use super::settings::Settings;
use crate::native::node::{self, Backward};

/// Threads of a group, but of those that multiply tiles.
pub(super) const THREADS: usize = 256;
/// Threads of a group that multiplies tiles.
pub(super) const TILE_THREADS: usize = 128;

/// All kernels, with the threads of a group that each runs with.
pub(super) const NAMES: [(&str, usize); 25] = [
    ("activate", THREADS),
    ("activate_gradient", THREADS),
    ("cell_means", THREADS),
    ("channel_sums", THREADS),
    ("class_sums", THREADS),
    ("class_sums_gradient", THREADS),
    ("convolve_narrow", TILE_THREADS),
    ("convolve_plain", THREADS),
    ("convolve_wide", TILE_THREADS),
    ("join", THREADS),
    ("map_axis", THREADS),
    ("max_pool", THREADS),
    ("max_pool_gradient", THREADS),
    ("merge_moments", THREADS),
    ("merge_sums", THREADS),
    ("merge_weight_gradient", THREADS),
    ("moments", THREADS),
    ("norm_gradient_sums", THREADS),
    ("norm_input_gradient", THREADS),
    ("normalize_cells", THREADS),
    ("pack_weight", THREADS),
    ("softmax", THREADS),
    ("softmax_gradient", THREADS),
    ("weight_gradient_narrow", TILE_THREADS),
    ("weight_gradient_wide", TILE_THREADS),
];

/// A kernel and the grid that it runs on.
pub(super) struct Launch {
    pub(super) kernel: &'static str,
    /// The type of the values that are no sums, statistics or parameters.
    pub(super) element: DType,
    pub(super) settings: Settings,
    /// Groups of threads along each axis of the grid.
    pub(super) groups: [usize; 3],
    /// Threads of a group.
    pub(super) threads: usize,
}

impl Launch {
    /// A thread for each of `count` values.
    pub(super) fn each(
        kernel: &'static str,
        element: DType,
        settings: Settings,
        count: usize,
    ) -> Self {
        let groups = [count.div_ceil(THREADS), 1, 1];
        Self { kernel, element, settings, groups, threads: THREADS }
    }

    /// Runs the kernel on `inputs`, which are contiguous and on one device; fresh tensors, without a
    /// graph, hold what it writes.
    pub(super) fn run<const N: usize>(
        &self,
        inputs: &[&Tensor],
        outputs: [(DType, &[usize]); N],
    ) -> Result<[Tensor; N]> {
        let Some(first) = inputs.first() else { candle::bail!("a kernel without inputs") };
        let written = match first.device() {
            #[cfg(feature = "metal")]
            candle::Device::Metal(device) => super::machine::run(device, self, inputs, &outputs)?,
            #[cfg(test)]
            candle::Device::Cpu => super::tests::emulator::run(self, inputs, &outputs)?,
            device => candle::bail!("{} runs on Metal, not on {device:?}", self.kernel),
        };
        let count = written.len();
        <[Tensor; N]>::try_from(written)
            .map_err(|_| candle::Error::msg(format!("{} wrote {count} tensors", self.kernel)))
    }
}

/// `y`, which kernels computed from `inputs`, as a node of their graph, where they have one.
pub(super) fn record(inputs: &[&Tensor], y: &Tensor, backward: impl Backward) -> Result<Tensor> {
    let (storage, layout) = y.storage_and_layout();
    // On Metal this shares the memory of `y`.
    let shared = match &*storage {
        #[cfg(feature = "metal")]
        Storage::Metal(storage) => Storage::Metal(storage.clone()),
        Storage::Cpu(storage) => Storage::Cpu(storage.clone()),
        _ => candle::bail!("a result of Metal is on another device"),
    };
    node::record(inputs, shared, layout.shape(), backward)
}
