//! Labels that leave out empty slices, put where they belong on the grid of an image.

use volume::Grid;

use crate::format::decoded::{Decoded, Meta, Voxel};

/// How far voxels may lie from those of the image, in voxels.
const OFF: f64 = 0.05;

/// Which voxels of an image those of a part of it are: the first, and how many steps apart the others.
struct Place {
    first: [usize; 3],
    steps: [usize; 3],
}

/// The labels on the image's grid, where theirs is a part of it; else as they are. What is not in the part is
/// background.
pub(super) fn spread<V: Voxel>(decoded: Decoded<V>, grid: &Grid) -> Decoded<V> {
    let own = &decoded.meta.grid;
    if own.difference(grid).is_none() {
        return decoded;
    }
    let Some(Place { first, steps }) = place(own, grid) else { return decoded };
    let value = |value: f64| V::from_f64(value).expect("0 and 1 are labels and probabilities");
    let (voxels, channels) = (grid.len(), decoded.meta.channels);
    let mut data = vec![value(0.0); voxels * channels];
    if channels > 1 {
        data[..voxels].fill(value(1.0));
    }
    let [d, h, w] = own.size;
    for channel in 0..channels {
        for z in 0..d {
            for y in 0..h {
                for x in 0..w {
                    let [z_to, y_to, x_to] =
                        [[z, 0], [y, 1], [x, 2]].map(|[at, axis]| first[axis] + at * steps[axis]);
                    let to = (z_to * grid.size[1] + y_to) * grid.size[2] + x_to;
                    let from = (z * h + y) * w + x;
                    data[channel * voxels + to] = decoded.data[channel * own.len() + from];
                }
            }
        }
    }
    Decoded { meta: Meta { grid: grid.clone(), ..decoded.meta }, data }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be small and positive"
)]
fn place(own: &Grid, grid: &Grid) -> Option<Place> {
    let whole = |value: f64| {
        ((value - value.round()).abs() < OFF && value > -OFF).then(|| value.round() as usize)
    };
    let apart: [f64; 3] = std::array::from_fn(|row| own.origin[row] - grid.origin[row]);
    let mut place = Place { first: [0; 3], steps: [1; 3] };
    for axis in 0..3 {
        let along = |of: &Grid, row: usize| of.direction[row][axis];
        if (0..3).any(|row| (along(own, row) - along(grid, row)).abs() > 1e-3) {
            return None;
        }
        let way: f64 = (0..3).map(|row| along(grid, row) * apart[row]).sum();
        place.first[axis] = whole(way / grid.spacing[axis])?;
        // A single slice has no distance to the next.
        if own.size[axis] > 1 {
            let ratio = own.spacing[axis] / grid.spacing[axis];
            let steps = whole(ratio)?.max(1);
            // What is off adds up; and in the plane nothing is left out.
            let off = (ratio - steps as f64) * (own.size[axis] as f64 - 1.0);
            if off.abs() > OFF || axis > 0 && steps > 1 {
                return None;
            }
            place.steps[axis] = steps;
        }
        if place.first[axis] + (own.size[axis] - 1) * place.steps[axis] >= grid.size[axis] {
            return None;
        }
    }
    Some(place)
}
