//! Linear maps along one axis.

use super::channels::narrow;
use super::fresh::in_pieces;
use crate::axis_map::AxisMap;

/// Values that one task computes.
const TASK: usize = 1 << 14;

/// `x`, `(outer, inputs, inner)`, mapped to `(outer, outputs, inner)`.
pub(crate) fn map(x: &[f32], inner: usize, map: &AxisMap) -> Vec<f32> {
    let (inputs, outputs) = (map.inputs(), map.outputs());
    let outer = x.len() / (inputs * inner);
    let rows = TASK.div_ceil(inner);
    in_pieces(outer * outputs * inner, rows * inner, |task, y| {
        for (row, y) in y.chunks_exact_mut(inner).enumerate() {
            let row = task * rows + row;
            let x = &x[row / outputs * inputs * inner..][..inputs * inner];
            for &(input, weight) in map.terms(row % outputs) {
                let weight = narrow(weight);
                for (y, &x) in y.iter_mut().zip(&x[input * inner..]) {
                    *y += weight * x;
                }
            }
        }
    })
}
