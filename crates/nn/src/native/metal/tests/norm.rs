use anyhow::Context;
use candle::{DType, Result, Tensor};

use super::{ACTS, Noise, close, compare, compare_within, is_available};
use crate::native::metal::{normalize, standardize};
use crate::norm::{Affine, Cells, Statistics};
use crate::{Act, Activation, reference};

fn affine(t: &[Tensor]) -> Affine<'_> {
    Affine { weight: t.get(1), bias: t.get(2) }
}

#[test]
fn norms_agree_for_every_activation() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    for (at, channels) in [1, 3, 4, 32, 33, 72].into_iter().cycle().take(2 * ACTS.len()).enumerate()
    {
        let act = ACTS[at % ACTS.len()];
        let groups = if channels % 4 == 0 { channels / 4 } else { 1 };
        let cells = [Cells::Instance, Cells::Group(groups), Cells::Batch][at % 3];
        let dtype = [DType::F32, DType::F32, DType::F16, DType::BF16][at % 4];
        let input: &[usize] = &[2, 3, 11, [5, 16][at % 2], channels];
        let shapes: &[&[usize]] = &[input, &[channels], &[channels]];
        let shapes = &shapes[..[3, 3, 1, 2, 3][at % 5]];
        compare(
            &|t| Ok(normalize(&t[0], affine(t), cells, 1e-3, act.into())?.0),
            &|t| Ok(reference::normalize(&t[0], affine(t), cells, 1e-3, act.into())?.0),
            shapes,
            1,
            dtype,
        )
        .with_context(|| format!("{act:?}, {cells:?}, {input:?}, {dtype:?}"))?;
    }
    Ok(())
}

#[test]
fn norms_agree_far_from_zero() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    let shifted = |x: &Tensor| (x * 0.5)? + 20.0;
    for cells in [Cells::Instance, Cells::Group(4), Cells::Batch] {
        let shapes: &[&[usize]] = &[&[2, 40, 30, 8], &[8], &[8]];
        compare_within(
            1e-4,
            &|t| Ok(normalize(&shifted(&t[0])?, affine(t), cells, 1e-5, Act::Silu.into())?.0),
            &|t| {
                Ok(reference::normalize(
                    &shifted(&t[0])?,
                    affine(t),
                    cells,
                    1e-5,
                    Act::Silu.into(),
                )?
                .0)
            },
            shapes,
            1,
            DType::F32,
        )
        .with_context(|| format!("{cells:?}"))?;
    }
    Ok(())
}

#[test]
fn statistics_are_exact_far_from_zero_and_over_many_chunks() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    // With one channel, a group takes 16384 voxels.
    for (input, cells) in [
        (vec![1, 40_000, 1], Cells::Instance),
        (vec![2, 1_300, 33], Cells::Batch),
        (vec![2, 700, 40], Cells::Group(5)),
    ] {
        let x = (Noise(4).tensor(&input, DType::F32)? + 50.0)?;
        let none = Affine::default();

        let (_, mean, variance) = normalize(&x, none, cells, 1e-5, Act::Identity.into())?;

        let x = x.to_dtype(DType::F64)?;
        let (_, exact_mean, exact) =
            reference::normalize(&x, none, cells, 1e-5, Act::Identity.into())?;
        close(0, &mean, &exact_mean.flatten_all()?, 1e-6)?;
        close(1, &variance, &exact.flatten_all()?, 2e-6)?;
    }
    Ok(())
}

#[test]
fn norms_by_given_statistics_agree() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    let statistics = |dtype| -> Result<Statistics> {
        let mean = Noise(8).tensor(&[5], DType::F32)?.to_dtype(dtype)?;
        let variance = (Noise(9).tensor(&[5], DType::F32)?.sqr()? + 0.5)?.to_dtype(dtype)?;
        Ok(Statistics { mean, variance })
    };
    let (few, many) = (statistics(DType::F32)?, statistics(DType::F64)?);
    for dtype in [DType::F32, DType::BF16] {
        for count in [1, 3] {
            let shapes: &[&[usize]] = &[&[2, 6, 7, 5], &[5], &[5]];
            compare(
                &|t| standardize(&t[0], &few, affine(t), 1e-3, Act::Silu.into()),
                &|t| reference::standardize(&t[0], &many, affine(t), 1e-3, Act::Silu.into()),
                &shapes[..count],
                1,
                dtype,
            )?;
        }
    }
    Ok(())
}

#[test]
fn slopes_that_are_learned_agree() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    for (at, channels) in [1, 3, 33, 40].into_iter().enumerate() {
        let cells = [Cells::Instance, Cells::Group(1), Cells::Batch, Cells::Group(5)][at];
        let dtype = [DType::F32, DType::BF16, DType::F32, DType::F16][at];
        let shapes: &[&[usize]] =
            &[&[2, 3, 11, 7, channels], &[channels], &[channels], &[channels]];
        compare(
            &|t| {
                let (form, both) = Activation::Prelu(&t[3]).behind(Some(&t[2]), channels)?;
                let affine = Affine { weight: Some(&t[1]), bias: both.as_ref() };
                Ok(normalize(&t[0], affine, cells, 1e-3, form)?.0)
            },
            &|t| {
                let affine = Affine { weight: Some(&t[1]), bias: Some(&t[2]) };
                Ok(reference::normalize(&t[0], affine, cells, 1e-3, Activation::Prelu(&t[3]))?.0)
            },
            shapes,
            1,
            dtype,
        )
        .with_context(|| format!("{channels} channels, {cells:?}, {dtype:?}"))?;
    }
    Ok(())
}
