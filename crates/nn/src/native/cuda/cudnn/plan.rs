//! How cuDNN computes a pass of a convolution.

use std::ffi::c_int;
use std::ops::Range;

use candle::cuda_backend::cudarc::cudnn::{result, sys};
use candle::{Result, cuda};

use super::descriptors::{Convolution, Filter, Tensor};
use super::is_refusal;
use super::state::Handle;
use crate::native::cuda::launch::{Grid, Kind};

pub(super) type Math = sys::cudnnMathType_t;

/// The largest workspace, in bytes.
const MOST_WORKSPACE: usize = 2 << 30;
/// Versions, 9.8 to before 9.15.1, that compute some convolutions with three axes wrongly, where the
/// units for few digits multiply.
const DISTRUSTED: Range<usize> = 90_800..91_501;

/// A pass of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pass {
    /// From the fine side to the coarse one.
    Gather,
    /// From the coarse side to the fine one.
    Scatter,
    /// The gradient of the weight.
    Weight,
}

/// What a plan depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    grid: Grid,
    kind: Kind,
    pass: Pass,
    /// Whether f32 may be multiplied with ten bits of mantissa.
    reduced: bool,
}

impl Key {
    /// `None` where cuDNN is not to be asked.
    pub(super) fn new(kind: Kind, pass: Pass, grid: &Grid) -> Option<Self> {
        let grid = folded(grid);
        let counts = [
            grid.fine_rows() * grid.fine_channels,
            grid.coarse_rows() * grid.coarse_channels,
            grid.weights(),
        ];
        let holds = counts.iter().all(|&count| c_int::try_from(count).is_ok());
        let reduced = kind == Kind::F32 && cuda::gemm_reduced_precision_f32();
        let exact = kind == Kind::F32 && !reduced;
        // Without its library, which a program may open when it first needs it.
        let version = result::get_version();
        if version == 0 {
            return None;
        }
        let trusted = is_flat(&grid) || exact || !DISTRUSTED.contains(&version);
        (holds && trusted && is_exact(&grid)).then_some(Self { grid, kind, pass, reduced })
    }
}

/// The same convolution with the planes of the first axis as samples, where they do not see each
/// other.
fn folded(grid: &Grid) -> Grid {
    let apart = grid.kernel[0] == 1 && grid.stride[0] == 1 && grid.padding[0] == 0;
    if !apart || grid.fine[0] != grid.coarse[0] {
        return *grid;
    }
    let mut folded = Grid { samples: grid.samples * grid.fine[0], ..*grid };
    (folded.fine[0], folded.coarse[0], folded.dilation[0]) = (1, 1, 1);
    folded
}

/// Whether two axes are enough.
fn is_flat(grid: &Grid) -> bool {
    grid.fine[0] == 1 && grid.coarse[0] == 1 && grid.kernel[0] == 1 && grid.padding[0] == 0
}

/// Whether the coarse side has the extents that a convolution of the fine side has: a transposed
/// convolution may have a larger rest.
fn is_exact(grid: &Grid) -> bool {
    (0..3).all(|axis| {
        let window = grid.dilation[axis] * (grid.kernel[axis] - 1) + 1;
        let padded = grid.fine[axis] + 2 * grid.padding[axis];
        padded
            .checked_sub(window)
            .is_some_and(|room| room / grid.stride[axis] + 1 == grid.coarse[axis])
    })
}

/// What cuDNN calls its ways.
#[derive(Clone, Copy, Debug)]
pub(super) enum Algorithm {
    Gather(sys::cudnnConvolutionFwdAlgo_t),
    Scatter(sys::cudnnConvolutionBwdDataAlgo_t),
    Weight(sys::cudnnConvolutionBwdFilterAlgo_t),
}

/// A way, and the units of the device that it uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) what: Algorithm,
    math: Math,
    bytes: usize,
}

/// Descriptors, and the ways to go, best first.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) fine: Tensor,
    pub(super) coarse: Tensor,
    pub(super) weight: Filter,
    pub(super) convolution: Convolution,
    /// Best last.
    ways: Vec<Way>,
}

impl Plan {
    pub(super) fn new(handle: Handle, key: &Key) -> Result<Self> {
        let Key { grid, kind, pass, reduced } = key;
        let axes = if is_flat(grid) { 1..3 } else { 0..3 };
        let ints = |values: &[usize]| {
            let values = values.iter().map(|&value| c_int::try_from(value));
            values.collect::<std::result::Result<Vec<_>, _>>().map_err(candle::Error::wrap)
        };
        let space = |values: [usize; 3]| ints(&values[axes.clone()]);
        let (inputs, _) = grid.of_group();
        let counts = [grid.samples, grid.fine_channels, grid.coarse_channels, inputs, grid.groups];
        let [samples, fine, coarse, inputs, groups] = counts.map(|count| ints(&[count]));
        let (samples, fine, coarse) = (samples?[0], fine?[0], coarse?[0]);
        let (inputs, groups) = (inputs?[0], groups?[0]);
        let mut plan = Self {
            fine: Tensor::new(*kind, samples, fine, &space(grid.fine)?)?,
            coarse: Tensor::new(*kind, samples, coarse, &space(grid.coarse)?)?,
            weight: Filter::new(*kind, coarse, inputs, &space(grid.kernel)?)?,
            convolution: Convolution::new(
                &space(grid.padding)?,
                &space(grid.stride)?,
                &space(grid.dilation)?,
                groups,
            )?,
            ways: Vec::new(),
        };
        // Without leave, f32 is multiplied as f32: the default would take fewer bits.
        let strict = *kind == Kind::F32 && !reduced;
        let math = if strict { Math::CUDNN_FMA_MATH } else { Math::CUDNN_TENSOR_OP_MATH };
        plan.convolution.set_math(math)?;
        let mut ways = plan.ask(handle, *pass)?;
        if strict {
            ways.retain(|way| matches!(way.math, Math::CUDNN_FMA_MATH | Math::CUDNN_DEFAULT_MATH));
            for way in &mut ways {
                way.math = Math::CUDNN_FMA_MATH;
            }
        }
        ways.reverse();
        plan.ways = ways;
        Ok(plan)
    }

    /// The best way that is left, and the bytes of workspace that it needs.
    pub(super) fn best(&self) -> Option<(Way, usize)> {
        self.ways.last().map(|way| (*way, way.bytes))
    }

    /// Forgets the best way.
    pub(super) fn discard(&mut self) {
        self.ways.pop();
    }

    /// Has the convolution use the units of a way.
    pub(super) fn choose(&mut self, way: &Way) -> Result<()> {
        self.convolution.set_math(way.math)
    }

    /// The ways that cuDNN thinks of, fastest first, which give the same bits each time and need no
    /// more memory than they may.
    fn ask(&self, handle: Handle, pass: Pass) -> Result<Vec<Way>> {
        let (fine, coarse) = (self.fine.get(), self.coarse.get());
        let (weight, convolution) = (self.weight.get(), self.convolution.get());
        macro_rules! ask {
            ($call:path, $most:expr, $first:expr, $second:expr, $third:expr, $of:path) => {{
                let mut found = 0;
                #[expect(unsafe_code, reason = "cudarc's safe call gives the first way alone")]
                // SAFETY: handle and descriptors live; plain numbers may be zero, and there is room
                // for as many entries as are asked for, of which `found` are written.
                let asked = unsafe {
                    let mut all = vec![std::mem::zeroed(); $most as usize];
                    $call(
                        handle.0,
                        $first,
                        $second,
                        convolution,
                        $third,
                        $most as c_int,
                        &raw mut found,
                        all.as_mut_ptr(),
                    )
                    .map(|()| all)
                };
                let all = match asked {
                    Ok(all) => all,
                    Err(error) if is_refusal(error) => return Ok(Vec::new()),
                    Err(error) => return Err(candle::Error::wrap(error)),
                };
                let found = usize::try_from(found).unwrap_or_default();
                let deterministic = sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC;
                all.into_iter()
                    .take(found)
                    .filter(|way| way.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS)
                    .filter(|way| way.determinism == deterministic)
                    .filter(|way| way.memory <= MOST_WORKSPACE)
                    .map(|way| Way { what: $of(way.algo), math: way.mathType, bytes: way.memory })
                    .collect()
            }};
        }
        Ok(match pass {
            Pass::Gather => ask!(
                result::get_convolution_forward_algorithm,
                sys::cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_COUNT,
                fine,
                weight,
                coarse,
                Algorithm::Gather
            ),
            Pass::Scatter => ask!(
                result::get_convolution_backward_data_algorithm,
                sys::cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT,
                weight,
                coarse,
                fine,
                Algorithm::Scatter
            ),
            Pass::Weight => ask!(
                result::get_convolution_backward_filter_algorithm,
                sys::cudnnConvolutionBwdFilterAlgo_t::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT,
                fine,
                coarse,
                weight,
                Algorithm::Weight
            ),
        })
    }
}
