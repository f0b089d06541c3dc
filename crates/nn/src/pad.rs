//! Padding.

use candle::{Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::axis_map::{AxisMap, map_axes};
use crate::extents::Extents;
use crate::reference::pad_constant;

/// What padding is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PadMode {
    /// One value.
    Constant(f64),
    /// The input, mirrored about its outermost voxels, which are not repeated.
    Reflect,
    /// The outermost voxels.
    Replicate,
}

/// `x`, `(N, *S, C)`, with `(before, after)` voxels added along each spatial axis, slowest first.
///
/// # Errors
///
/// Where `widths` does not have one entry for each spatial axis, or [`PadMode::Reflect`] is asked
/// for as many voxels as the input has along an axis, or more.
pub fn pad(x: &Tensor, widths: &[(usize, usize)], mode: PadMode) -> Result<Tensor> {
    let op = "pad";
    let input = Extents::of(op, x)?;
    if widths.len() != input.rank() {
        let (actual, expected) = (widths.len(), input.rank());
        return Err(Error::Axes { op, setting: "widths", actual, expected }.into());
    }
    if let PadMode::Constant(value) = mode {
        let mut y = x.contiguous()?;
        for (axis, &(before, after)) in widths.iter().enumerate() {
            y = pad_constant(&y, axis + 1, before, after, value)?;
        }
        return Ok(y);
    }
    let mirrored = mode == PadMode::Reflect;
    let too_wide = |(&(before, after), &extent): (&(usize, usize), &usize)| {
        before.max(after) >= extent && before.max(after) > 0
    };
    if mirrored && widths.iter().zip(&input.space).any(too_wide) {
        let rule = "reflection needs more voxels than it adds";
        let value = widths.iter().flat_map(|&(before, after)| [before, after]).collect();
        return Err(Error::Setting { op, setting: "widths", value, rule }.into());
    }
    let map = |(&(before, after), &extent): (&(usize, usize), &usize)| {
        AxisMap::new(extent, before + extent + after, |o| {
            let past = (o + 1).saturating_sub(before + extent);
            let at = match (mirrored, o < before, past) {
                (true, true, _) => before - o,
                (false, true, _) => 0,
                (_, false, 0) => o - before,
                (true, false, past) => extent - 1 - past,
                (false, false, _) => extent - 1,
            };
            [(at, 1.0)]
        })
    };
    let maps: Vec<AxisMap> = widths.iter().zip(&input.space).map(map).collect();
    map_axes(op, x, &maps)
}
