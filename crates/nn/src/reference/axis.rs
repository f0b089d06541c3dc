use candle::{Device, Result, Tensor};

use crate::axis_map::AxisMap;

/// `x` with the map applied along `axis`, as a product with the dense matrix.
pub(crate) fn map_axis(x: &Tensor, axis: usize, map: &AxisMap) -> Result<Tensor> {
    let (inputs, outputs) = (map.inputs(), map.outputs());
    let mut matrix = vec![0.0; inputs * outputs];
    for output in 0..outputs {
        for &(input, weight) in map.terms(output) {
            matrix[input * outputs + output] += weight;
        }
    }
    let matrix = Tensor::from_vec(matrix, (inputs, outputs), &Device::Cpu)?
        .to_dtype(x.dtype())?
        .to_device(x.device())?;
    let outer: usize = x.dims()[..axis].iter().product();
    let inner: usize = x.dims()[axis + 1..].iter().product();
    let mut shape = x.dims().to_vec();
    shape[axis] = outputs;

    let rows = x.contiguous()?.reshape((outer, inputs, inner))?.transpose(1, 2)?.contiguous()?;
    let y = rows.reshape((outer * inner, inputs))?.matmul(&matrix)?;
    y.reshape((outer, inner, outputs))?.transpose(1, 2)?.contiguous()?.reshape(shape)
}
