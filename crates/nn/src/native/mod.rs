//! The native path: f32 on the CPU.

use candle::{Result, Tensor};

use crate::axis_map::AxisMap;
use crate::geometry::Geometry;
use crate::norm::{Affine, Cells, Statistics};
use crate::pool::Windows;
use crate::{Act, reference};

pub(crate) fn conv(x: &Tensor, w: &Tensor, b: Option<&Tensor>, g: Geometry) -> Result<Tensor> {
    reference::gather(x, w, b, &g)
}
pub(crate) fn conv_transpose(
    x: &Tensor,
    w: &Tensor,
    b: Option<&Tensor>,
    g: Geometry,
) -> Result<Tensor> {
    reference::scatter(x, w, b, &g)
}
pub(crate) fn activate(x: &Tensor, act: Act) -> Result<Tensor> {
    reference::activate(x, act)
}
pub(crate) fn normalize(
    x: &Tensor,
    a: Affine<'_>,
    c: Cells,
    eps: f64,
    act: Act,
) -> Result<(Tensor, Tensor, Tensor)> {
    reference::normalize(x, a, c, eps, act)
}
pub(crate) fn standardize(
    x: &Tensor,
    s: &Statistics,
    a: Affine<'_>,
    eps: f64,
    act: Act,
) -> Result<Tensor> {
    reference::standardize(x, s, a, eps, act)
}
pub(crate) fn map_axis(x: &Tensor, axis: usize, map: &AxisMap) -> Result<Tensor> {
    reference::map_axis(x, axis, map)
}
pub(crate) fn max_pool(x: &Tensor, w: Windows) -> Result<Tensor> {
    reference::max_pool(x, &w)
}
