//! nnU-Net's own program adds up tiles in half precision.
//!
//! Their weights fall to 6e-8 at the corners, where half precision has hardly a digit left, so that a
//! voxel that corners alone cover gets logits that are off by up to a third. To see that nothing
//! else differs, the same sums are made here.

use engine::Predictor;
use engine::predict::tiles;
use half::f16;
use ndarray::{Array3, Array4, s};

/// The mean over `folds` of the logits of an image on the network's grid, each the weighted mean of
/// its tiles, in half precision throughout.
pub(super) fn logits(folds: &[Predictor], image: &Array4<f32>) -> engine::Result<Array4<f32>> {
    let mut mean: Option<Array4<f16>> = None;
    for fold in folds {
        let logits = of_fold(fold, image)?;
        mean = Some(match mean {
            Some(mean) => mean + logits,
            None => logits,
        });
    }
    let mean = mean.expect("at least one fold");
    let count = f16::from_f32(folds.len() as f32);
    Ok(mean.mapv(|sum| (sum / count).to_f32()))
}

fn of_fold(predictor: &Predictor, image: &Array4<f32>) -> engine::Result<Array4<f16>> {
    let plan = predictor.plan();
    let patch = plan.patch_size;
    let (channels, d, h, w) = image.dim();
    let image_size = [d, h, w];
    let size: [usize; 3] = std::array::from_fn(|axis| image_size[axis].max(patch[axis]));
    let start: [usize; 3] = std::array::from_fn(|axis| (size[axis] - image_size[axis]) / 2);
    let within = s![.., start[0]..start[0] + d, start[1]..start[1] + h, start[2]..start[2] + w];
    let mut padded = Array4::<f32>::zeros((channels, size[0], size[1], size[2]));
    padded.slice_mut(within).assign(image);

    let along: [Vec<usize>; 3] = std::array::from_fn(|axis| match axis {
        0 if plan.rank == 2 => (0..size[0]).collect(),
        _ => tiles::positions(size[axis], patch[axis], 0.5),
    });
    let importance = importance(patch);
    let classes = predictor.config().interface.classes;
    let mut sums = Array4::<f16>::zeros((classes, size[0], size[1], size[2]));
    let mut weights = Array3::<f16>::zeros(size);
    for &z in &along[0] {
        for &y in &along[1] {
            for &x in &along[2] {
                let (zs, ys, xs) = (z..z + patch[0], y..y + patch[1], x..x + patch[2]);
                let tile = padded.slice(s![.., zs.clone(), ys.clone(), xs.clone()]).to_owned();
                let logits = predictor.logits(&tile)?;
                for ((class, i, j, k), logit) in logits.indexed_iter() {
                    let sum = &mut sums[[class, z + i, y + j, x + k]];
                    let product = logit * importance[[i, j, k]].to_f32();
                    *sum = f16::from_f32(sum.to_f32() + product);
                }
                let mut weight = weights.slice_mut(s![zs, ys, xs]);
                weight.zip_mut_with(&importance, |sum, &weight| *sum += weight);
            }
        }
    }
    for mut class in sums.outer_iter_mut() {
        class.zip_mut_with(&weights, |sum, &weight| *sum /= weight);
    }
    Ok(sums.slice(within).to_owned())
}

/// The weights of a tile, of which none is 0.
fn importance(patch: [usize; 3]) -> Array3<f16> {
    let map = tiles::importance(patch, true).mapv(f16::from_f32);
    let positive = map.iter().copied().filter(|&weight| weight > f16::ZERO);
    let least = positive.fold(f16::MAX, f16::min);
    map.mapv(|weight| if weight > f16::ZERO { weight } else { least })
}
