//! The targets of coarse heads lie where the full target lies.

use anyhow::{Result, bail};
use candle::{Device, Tensor};
use proptest::prelude::*;
use sconce_losses::{Labels, Target};

/// Voxels of the axis along which the shape moves: two blocks on either side of it.
const MARGIN: usize = 2;

/// Where the mass of class 1 of a coarse target lies along its axis, in fine voxels.
fn center(target: &Target, stride: usize) -> Result<f64> {
    let mass: Vec<f64> = match target.labels() {
        Labels::Hard(labels) => {
            labels.flatten_all()?.to_vec1::<u32>()?.into_iter().map(f64::from).collect()
        }
        Labels::Soft(labels) => labels.narrow(1, 1, 1)?.flatten_all()?.to_vec1::<f64>()?,
        other => bail!("{other:?}"),
    };
    // A coarse voxel stands for the middle of its block.
    let middle = |at: usize| (at * stride) as f64 + (stride as f64 - 1.0) / 2.0;
    let moment: f64 = mass.iter().enumerate().map(|(at, mass)| mass * middle(at)).sum();
    Ok(moment / mass.iter().sum::<f64>())
}

/// The same object as hard labels and as soft ones, `length` voxels long from voxel `start` on.
fn object(
    start: usize,
    length: usize,
    size: usize,
    axis: usize,
    rank: usize,
) -> Result<[Target; 2]> {
    let inside = |at: usize| (start..start + length).contains(&at);
    let line: Vec<u32> = (0..size).map(|at| u32::from(inside(at))).collect();
    let mut shape = vec![1; rank + 1];
    shape[axis + 1] = size;
    let hard = Tensor::from_vec(line, shape, &Device::Cpu)?;
    let one = hard.to_dtype(candle::DType::F64)?;
    let soft = Tensor::stack(&[&(1.0 - &one)?, &one], 1)?;
    Ok([Target::hard(hard), Target::soft(soft)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Over all places of an object within a block, hard labels are half a voxel off at even
    /// strides, where a block has no middle voxel, and nowhere else; soft labels are never off.
    #[test]
    fn hard_and_soft_coarse_targets_lie_where_the_full_one_lies(
        stride in 1usize..10,
        blocks in 1usize..4,
        (rank, axis) in (1usize..4).prop_flat_map(|rank| (Just(rank), 0..rank)),
    ) {
        let (length, size) = (blocks * stride, (blocks + 2 * MARGIN) * stride);
        let mut strides = vec![1; rank];
        strides[axis] = stride;
        let mut off = [0.0; 2];
        for phase in 0..stride {
            let start = MARGIN * stride + phase;
            let truth = start as f64 + (length as f64 - 1.0) / 2.0;
            let targets = object(start, length, size, axis, rank).unwrap();
            for (off, target) in off.iter_mut().zip(targets) {
                let coarse = target.downsample(&strides).unwrap();
                *off += (center(&coarse, stride).unwrap() - truth) / stride as f64;
            }
        }
        // Towards 0: what lies half a voxel above the middle stands for the middle.
        let expected = if stride.is_multiple_of(2) { -0.5 } else { 0.0 };
        prop_assert!((off[0] - expected).abs() < 1e-9, "hard labels are {} voxels off", off[0]);
        prop_assert!(off[1].abs() < 1e-9, "soft labels are {} voxels off", off[1]);
    }
}
