//! Which source voxels a target voxel is made of, as steps along each axis.

use crate::geometry::{Geometry, three};
use crate::kernels::direct::plan::Side;

/// A convolution or its transpose, as seen from the target: a sum over taps of source voxels.
///
/// Space has three axes here; leading ones stand in for those that are missing.
#[derive(Clone, Debug)]
pub(crate) struct Sweep {
    pub(super) batch: usize,
    pub(super) source: Side,
    pub(super) target: Side,
    pub(super) kernel: [usize; 3],
    /// Whether the source is the coarse side, whose channels the weight lists first.
    pub(super) source_is_coarse: bool,
    /// The targets of each axis: class `r` of `n` has those at `r`, `r + n`, and so on.
    pub(super) axes: [Vec<Class>; 3],
    /// Source voxels from one target of a class to the next.
    pub(super) stride: [usize; 3],
}

/// Targets along an axis that see the same taps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) count: usize,
    /// A tap, and the source voxel that the first target sees by it.
    pub(super) taps: Vec<(usize, isize)>,
}

impl Sweep {
    /// The convolution: from the fine side to the coarse one.
    pub(crate) fn gather(geometry: &Geometry) -> Self {
        let axis = |axis: Axis| {
            let first = |tap: usize| (tap * axis.dilation).cast_signed() - axis.padding;
            let taps = (0..axis.kernel).map(|tap| (tap, first(tap))).collect();
            vec![Class { count: axis.coarse, taps }]
        };
        let (fine, coarse) = sides(geometry);
        let axes = axes(geometry).map(axis);
        Self::new(geometry, [fine, coarse], axes, three(&geometry.stride, 1))
    }

    /// The transposed convolution: from the coarse side to the fine one.
    pub(crate) fn scatter(geometry: &Geometry) -> Self {
        let axis = |axis: Axis| {
            let stride = axis.stride.cast_signed();
            let class = |start: usize| {
                let seen = |tap: usize| {
                    let at = start.cast_signed() + axis.padding;
                    let at = at - (tap * axis.dilation).cast_signed();
                    (at % stride == 0).then_some((tap, at / stride))
                };
                let count = (axis.fine - start).div_ceil(axis.stride);
                Class { count, taps: (0..axis.kernel).filter_map(seen).collect() }
            };
            (0..axis.stride.min(axis.fine)).map(class).collect()
        };
        let (fine, coarse) = sides(geometry);
        let axes = axes(geometry).map(axis);
        Self { source_is_coarse: true, ..Self::new(geometry, [coarse, fine], axes, [1; 3]) }
    }

    fn new(
        geometry: &Geometry,
        [source, target]: [Side; 2],
        axes: [Vec<Class>; 3],
        stride: [usize; 3],
    ) -> Self {
        let (batch, kernel) = (geometry.batch, three(&geometry.kernel, 1));
        Self { batch, source, target, kernel, source_is_coarse: false, axes, stride }
    }

    /// Positions of the kernel.
    pub(super) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }
}

struct Axis {
    fine: usize,
    coarse: usize,
    kernel: usize,
    stride: usize,
    padding: isize,
    dilation: usize,
}

fn axes(geometry: &Geometry) -> [Axis; 3] {
    let (fine, coarse) = (three(&geometry.fine, 1), three(&geometry.coarse, 1));
    let (kernel, stride) = (three(&geometry.kernel, 1), three(&geometry.stride, 1));
    let (padding, dilation) = (three(&geometry.padding, 0), three(&geometry.dilation, 1));
    [0, 1, 2].map(|axis| Axis {
        fine: fine[axis],
        coarse: coarse[axis],
        kernel: kernel[axis],
        stride: stride[axis],
        padding: padding[axis].cast_signed(),
        dilation: dilation[axis],
    })
}

fn sides(geometry: &Geometry) -> (Side, Side) {
    let fine = Side { space: three(&geometry.fine, 1), channels: geometry.fine_channels };
    let coarse = Side { space: three(&geometry.coarse, 1), channels: geometry.coarse_channels };
    (fine, coarse)
}
