//! Reference cases from other implementations.

mod augment;
mod io;
mod nnunet;
mod raters;

use anyhow::{Context, bail};
use golden::{Exempt, Tensor, Tolerance};
use ndarray::{Array3, Array4, ArrayView3};
use sconce_preprocess::Real;

/// What this crate does not support; nothing.
const EXEMPT: &[Exempt] = &[];

/// Exact equality.
const EXACT: Tolerance = Tolerance::new(0.0, 0.0);

/// The values of a tensor of two or three axes as `(D, H, W)`.
fn volume<T: Real>(tensor: &Tensor) -> anyhow::Result<Array3<T>> {
    let values = tensor.values.iter().map(|&value| T::of(value)).collect();
    Ok(Array3::from_shape_vec(space(&tensor.shape)?, values)?)
}

/// The values of a tensor with one leading axis as `(C, D, H, W)`.
fn channels<T: Real>(tensor: &Tensor) -> anyhow::Result<Array4<T>> {
    let (&first, rest) = tensor.shape.split_first().context("a tensor without axes")?;
    let [d, h, w] = space(rest)?;
    let values = tensor.values.iter().map(|&value| T::of(value)).collect();
    Ok(Array4::from_shape_vec((first, d, h, w), values)?)
}

/// The labels of a tensor with one leading axis, of masks or of a batch, each as `(D, H, W)`.
fn labels(tensor: &Tensor) -> anyhow::Result<Vec<Array3<u16>>> {
    let all = channels::<f64>(tensor)?;
    let label = |&value: &f64| {
        let whole = value.fract().abs() < f64::EPSILON && (0.0..65536.0).contains(&value);
        whole.then_some(value as u16).context("not a label")
    };
    all.outer_iter()
        .map(|one| {
            let values = one.iter().map(label).collect::<anyhow::Result<_>>()?;
            Ok(Array3::from_shape_vec(one.raw_dim(), values)?)
        })
        .collect()
}

fn views<T>(arrays: &[Array3<T>]) -> Vec<ArrayView3<'_, T>> {
    arrays.iter().map(|array| array.view()).collect()
}

/// Two or three spatial extents as three; a plane is one slice.
fn space(shape: &[usize]) -> anyhow::Result<[usize; 3]> {
    match *shape {
        [h, w] => Ok([1, h, w]),
        [d, h, w] => Ok([d, h, w]),
        _ => bail!("{shape:?} is neither a plane nor a volume"),
    }
}

fn wide<'a, T: Real>(values: impl IntoIterator<Item = &'a T>) -> Vec<f64> {
    values.into_iter().map(|value| value.wide()).collect()
}
