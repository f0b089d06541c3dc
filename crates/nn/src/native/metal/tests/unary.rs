use anyhow::Context;
use candle::{DType, Device, Tensor, Var};

use super::{ACTS, compare, is_available, values};
use crate::axis_map::AxisMap;
use crate::native::metal::{activate, concat, map_axis, max_pool, softmax};
use crate::pool::Windows;
use crate::softmax::Along;
use crate::{PoolConfig, reference};

#[test]
fn activations_agree_and_do_not_overflow() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    for act in ACTS {
        for (scale, dtype) in [(8.0, DType::F32), (200.0, DType::F32), (4.0, DType::F16)] {
            compare(
                &|t| activate(&(&t[0] * scale)?, act),
                &|t| reference::activate(&(&t[0] * scale)?, act),
                &[&[3, 7, 31]],
                1,
                dtype,
            )
            .with_context(|| format!("{act:?} in {dtype:?}"))?;
        }
    }
    Ok(())
}

#[test]
fn pooling_maps_and_concatenation_agree() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    let input: &[usize] = &[2, 6, 9, 7, 5];
    let like = Tensor::zeros(1, DType::F32, &Device::Cpu)?.broadcast_as(input)?;
    let overlapping =
        PoolConfig { stride: vec![2, 1, 3], padding: vec![1, 0, 1], ..PoolConfig::new(&[3, 2, 3]) };
    let partial = PoolConfig { ceil_mode: true, ..PoolConfig::new(&[4, 2, 2]) };
    let map =
        AxisMap::new(9, 13, |o| (0..o % 4).map(move |at| ((o + 2 * at) % 9, 0.3 + at as f64)));
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        for config in [&overlapping, &partial] {
            let windows = Windows::new("max_pool", &like, config)?;
            compare(
                &|t| max_pool(&t[0], windows.clone()),
                &|t| reference::max_pool(&t[0], &windows),
                &[input],
                1,
                dtype,
            )?;
        }
        compare(
            &|t| map_axis(&t[0], 2, &map),
            &|t| reference::map_axis(&t[0], 2, &map),
            &[input],
            1,
            dtype,
        )?;
        compare(
            &|t| concat(&t[0], &t[1].narrow(1, 1, 6)?),
            &|t| Tensor::cat(&[&t[0], &t[1].narrow(1, 1, 6)?], 4),
            &[input, &[2, 8, 9, 7, 2]],
            2,
            dtype,
        )?;
    }
    Ok(())
}

#[test]
fn probabilities_agree() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    for (shape, axis) in [([2, 3, 5, 90], 1), ([2, 5, 90, 3], 3)] {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            for logarithm in [false, true] {
                let classes = Along {
                    outer: shape[..axis].iter().product(),
                    classes: shape[axis],
                    inner: shape[axis + 1..].iter().product(),
                    logarithm,
                };
                compare(
                    &|t| softmax(&t[0], classes),
                    &|t| reference::softmax(&t[0], axis, logarithm),
                    &[&shape],
                    1,
                    dtype,
                )?;
            }
        }
    }
    Ok(())
}

#[test]
fn ties_go_to_the_first_voxel_and_nan_wins() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    let x = Var::new(&[[[1f32], [3.0], [3.0], [f32::NAN], [2.0], [5.0]]], &Device::Cpu)?;
    let windows = Windows::new("max_pool", &x, &PoolConfig::new(&[3]))?;

    let y = max_pool(&x, windows)?;
    let gradients = y.sum_all()?.backward()?;

    assert_eq!(values(&y)?.iter().map(f64::to_string).collect::<Vec<_>>(), ["3", "NaN"]);
    let gradient = values(gradients.get(&x).context("no gradient")?)?;
    assert_eq!(gradient, [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    Ok(())
}
