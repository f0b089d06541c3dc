//! What networks say of one tile.

use candle::{DType, Device, Tensor};
use models::Input;
use ndarray::{Array4, ArrayView4};

use super::{Member, Predictor};
use crate::calibrate::LogitScaling;
use crate::{Error, Result};

impl Predictor {
    /// The logits `(C, D, H, W)` of one tile `(C_in, D, H, W)`, averaged over networks and over its mirrored versions; with
    /// `apart`, those of each network after them.
    pub(super) fn tile(&self, tile: &ArrayView4<'_, f32>, apart: bool) -> Result<Array4<f32>> {
        let rank = self.config.interface.rank;
        let (c, d, h, w) = tile.dim();
        // Of a network for slices, all slices are channels.
        let (c, d) = if rank == 2 { (c * d, 1) } else { (c, d) };
        let space = [d, h, w];
        let shape = [&[1, c], &space[3 - rank..]].concat();
        let values: Vec<f32> = tile.iter().copied().collect();
        let dtype = self.settings.precision.dtype();
        let input = Tensor::from_vec(values, shape, &self.device)?.to_dtype(dtype)?;
        let mirrored: Vec<usize> = (0..rank)
            .filter(|axis| self.settings.mirror && self.config.mirror_axes[axis + 3 - rank])
            .collect();
        let versions = 1usize << mirrored.len();
        // The mean; then each network, where it is asked for.
        let mut totals: Vec<Option<Tensor>> = vec![None; 1 + self.models.len()];
        for version in 0..versions {
            let chosen = mirrored.iter().enumerate().filter(|(bit, _)| version >> bit & 1 == 1);
            let axes: Vec<usize> = chosen.map(|(_, axis)| axis + 2).collect();
            let images = Input::images(mirror(&input, &axes)?);
            for (at, Member { model, scaling }) in self.models.iter().enumerate() {
                let logits = mirror(model.forward_t(&images, false)?.main(), &axes)?;
                let share = 1.0 / (versions * self.models.len()) as f64;
                add(&mut totals[0], scaled(&logits, scaling, share)?)?;
                if apart {
                    let own = scaled(&logits, scaling, 1.0 / versions as f64)?;
                    add(&mut totals[1 + at], own)?;
                }
            }
        }
        let mut values = Vec::new();
        for total in totals.into_iter().flatten() {
            values.extend(total.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
        }
        if values.iter().any(|logit| !logit.is_finite()) {
            return Err(Error::OutputNotFinite);
        }
        Ok(Array4::from_shape_vec((self.outputs(apart), d, h, w), values)
            .expect("the main head has the resolution of the image"))
    }
}

fn add(total: &mut Option<Tensor>, logits: Tensor) -> Result<()> {
    *total = Some(match total.take() {
        Some(total) => (total + logits)?,
        None => logits,
    });
    Ok(())
}

/// A share of logits `(1, C, *S)`, scaled.
fn scaled(logits: &Tensor, scaling: &LogitScaling, share: f64) -> Result<Tensor> {
    if let Some(temperature) = scaling.temperature() {
        return Ok((logits * (share / temperature))?);
    }
    let channels = logits.dim(1)?;
    let (weights, biases): (Vec<f64>, Vec<f64>) = (0..channels)
        .map(|channel| scaling.of_channel(channel))
        .map(|(weight, bias)| (weight * share, bias * share))
        .unzip();
    let mut shape = vec![1; logits.rank()];
    shape[1] = channels;
    let of_channels = |values: Vec<f64>| -> Result<Tensor> {
        let values = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu)?;
        Ok(values.to_dtype(logits.dtype())?.to_device(logits.device())?)
    };
    let logits = logits.broadcast_mul(&of_channels(weights)?)?;
    Ok(logits.broadcast_add(&of_channels(biases)?)?)
}

/// A tensor reversed along each of `axes`.
fn mirror(tensor: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let mut tensor = tensor.clone();
    for &axis in axes {
        let extent = tensor.dim(axis)?;
        let last = u32::try_from(extent).map_err(candle::Error::wrap)?;
        let reversed: Vec<u32> = (0..last).rev().collect();
        let indices = Tensor::from_vec(reversed, extent, tensor.device())?;
        tensor = tensor.contiguous()?.index_select(&indices, axis)?;
    }
    Ok(tensor)
}
