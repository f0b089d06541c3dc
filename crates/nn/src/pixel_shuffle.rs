//! Channels to voxels.

use candle::{Result, Tensor};

use crate::Error;
use crate::extents::Extents;

/// Each voxel of `x`, `(N, *S, C · factor^R)`, as a block of `factor` voxels along each of the `R`
/// spatial axes: `(N, *(S · factor), C)`.
///
/// The channels of a voxel are ordered as PyTorch's: the output channel slowest, then the position
/// in the block, slowest axis first.
///
/// # Errors
///
/// Where the channels are no multiple of `factor^R`.
///
/// # Source
///
/// Shi et al.: *Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
/// Convolutional Neural Network*, CVPR 2016, [arXiv:1609.05158](https://arxiv.org/abs/1609.05158).
pub fn pixel_shuffle(x: &Tensor, factor: usize) -> Result<Tensor> {
    let op = "pixel_shuffle";
    let input = Extents::of(op, x)?;
    let rank = input.rank();
    let block = vec![factor; rank];
    let volume: usize = block.iter().product();
    if volume == 0 || !input.channels.is_multiple_of(volume) {
        let rule = "its power by the number of axes divides the channels";
        return Err(Error::Setting { op, setting: "factor", value: vec![factor], rule }.into());
    }
    let channels = input.channels / volume;
    let split = [&[input.batch], input.space.as_slice(), &[channels], block.as_slice()].concat();
    // (N, *S, C, *block) to (N, S₁, block₁, S₂, block₂, …, C)
    let mut order = vec![0];
    for axis in 0..rank {
        order.extend([1 + axis, 2 + rank + axis]);
    }
    order.push(1 + rank);
    let space: Vec<usize> = input.space.iter().map(|extent| extent * factor).collect();
    let shape = [&[input.batch], space.as_slice(), &[channels]].concat();
    x.contiguous()?.reshape(split)?.permute(order)?.contiguous()?.reshape(shape)
}
