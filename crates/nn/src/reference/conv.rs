use candle::{Result, Tensor};

use crate::geometry::Geometry;

/// The convolution, from the fine side to the coarse one: for each tap, the shifted input times a
/// matrix.
pub(crate) fn gather(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: &Geometry,
) -> Result<Tensor> {
    let mut padded = x.contiguous()?;
    for axis in 0..geometry.rank() {
        let before = geometry.padding[axis];
        let reach = (geometry.kernel[axis] - 1) * geometry.dilation[axis]
            + geometry.coarse[axis] * geometry.stride[axis];
        let after = reach.saturating_sub(before + geometry.fine[axis]);
        padded = padded.pad_with_zeros(axis + 1, before, after)?;
    }
    // (taps, groups, fine channels of a group, coarse channels of a group)
    let weight = by_tap(weight, geometry)?.permute((3, 0, 2, 1))?.contiguous()?;

    let mut sum: Option<Tensor> = None;
    for tap in 0..geometry.taps() {
        let mut seen = padded.clone();
        for (axis, position) in geometry.tap(tap).into_iter().enumerate() {
            let start = position * geometry.dilation[axis];
            seen = every(&seen, axis + 1, start, geometry.coarse[axis], geometry.stride[axis])?;
        }
        let rows = seen.elem_count() / geometry.fine_channels;
        let seen = seen.contiguous()?.reshape((rows, geometry.fine_channels))?;
        let product = times(&seen, &weight.get(tap)?)?;
        sum = Some(match sum {
            Some(sum) => (sum + product)?,
            None => product,
        });
    }
    let sum = sum.expect("a kernel has at least one tap").reshape(geometry.coarse_shape())?;
    bias.map_or(Ok(sum.clone()), |bias| sum.broadcast_add(bias))
}

/// The transposed convolution, from the coarse side to the fine one: for each tap, the input times
/// a matrix, spread out by the stride and shifted.
pub(crate) fn scatter(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: &Geometry,
) -> Result<Tensor> {
    let rows = x.elem_count() / geometry.coarse_channels;
    let x = x.contiguous()?.reshape((rows, geometry.coarse_channels))?;
    // (taps, groups, coarse channels of a group, fine channels of a group)
    let weight = by_tap(weight, geometry)?.permute((3, 0, 1, 2))?.contiguous()?;
    let shape = [&[geometry.batch], geometry.coarse.as_slice(), &[geometry.fine_channels]].concat();

    let mut sum: Option<Tensor> = None;
    for tap in 0..geometry.taps() {
        let mut product = times(&x, &weight.get(tap)?)?.reshape(shape.as_slice())?;
        for (axis, position) in geometry.tap(tap).into_iter().enumerate() {
            product = spread(&product, axis + 1, geometry.stride[axis])?;
            let start = position * geometry.dilation[axis];
            let spread = geometry.coarse[axis] * geometry.stride[axis];
            let reach = (geometry.kernel[axis] - 1) * geometry.dilation[axis] + spread;
            let reach = reach.max(geometry.padding[axis] + geometry.fine[axis]);
            product = product.pad_with_zeros(axis + 1, start, reach - start - spread)?.narrow(
                axis + 1,
                geometry.padding[axis],
                geometry.fine[axis],
            )?;
        }
        sum = Some(match sum {
            Some(sum) => (sum + product)?,
            None => product.contiguous()?,
        });
    }
    let sum = sum.expect("a kernel has at least one tap");
    bias.map_or(Ok(sum.clone()), |bias| sum.broadcast_add(bias))
}

/// The weight as (groups, coarse channels of a group, fine channels of a group, taps).
fn by_tap(weight: &Tensor, geometry: &Geometry) -> Result<Tensor> {
    let groups = geometry.groups;
    weight.contiguous()?.reshape((
        groups,
        geometry.coarse_channels / groups,
        geometry.fine_channels / groups,
        geometry.taps(),
    ))
}

/// `x`, `(M, groups · I)`, times `weight`, `(groups, I, O)`, group by group: `(M, groups · O)`.
fn times(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (groups, inputs, outputs) = weight.dims3()?;
    if groups == 1 {
        return x.matmul(&weight.squeeze(0)?);
    }
    let rows = x.dim(0)?;
    let x = x.reshape((rows, groups, inputs))?.transpose(0, 1)?.contiguous()?;
    x.matmul(weight)?.transpose(0, 1)?.contiguous()?.reshape((rows, groups * outputs))
}

/// `count` entries of `axis`, every `step`-th from `start` on.
pub(crate) fn every(
    x: &Tensor,
    axis: usize,
    start: usize,
    count: usize,
    step: usize,
) -> Result<Tensor> {
    if step == 1 {
        return x.narrow(axis, start, count);
    }
    let mut shape = x.dims().to_vec();
    shape.splice(axis..=axis, [count, step]);
    let x = x.narrow(axis, start, count * step)?.contiguous()?.reshape(shape)?;
    x.narrow(axis + 1, 0, 1)?.squeeze(axis + 1)
}

/// `x` with `step − 1` zeros after each entry of `axis`.
fn spread(x: &Tensor, axis: usize, step: usize) -> Result<Tensor> {
    if step == 1 {
        return Ok(x.clone());
    }
    let mut shape = x.dims().to_vec();
    shape[axis] *= step;
    x.unsqueeze(axis + 1)?.pad_with_zeros(axis + 1, 0, step - 1)?.contiguous()?.reshape(shape)
}
