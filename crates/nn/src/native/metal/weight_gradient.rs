use candle::{DType, Result, Tensor};

use super::conv::{SIDE, fields};
use super::launch::{Launch, TILE_THREADS};
use crate::geometry::Geometry;

/// See [`conv_weight_gradient`](crate::conv_weight_gradient()).
pub(crate) fn conv_weight_gradient(
    x: &Tensor,
    dy: &Tensor,
    shape: &[usize],
    geometry: &Geometry,
) -> Result<Tensor> {
    weight_gradient(geometry, &x.contiguous()?, &dy.contiguous()?, shape)?.to_dtype(dy.dtype())
}

/// Groups of threads that keep a device busy.
const BUSY: usize = 512;
/// Voxels whose products are summed in one go: longer sums of single precision lose digits.
const LONGEST: usize = 1 << 13;
/// Values that the sums of all splits take at most.
const ROOM: usize = 1 << 24;

/// Voxels of a split.
fn run_of(places: usize, tiles: usize, weights: usize) -> usize {
    let splits = places.div_ceil(LONGEST).max(BUSY.div_ceil(tiles));
    let splits = splits.min(ROOM / weights).max(1);
    places.div_ceil(splits).next_multiple_of(TILE_THREADS)
}

/// The gradient of the weight, of this shape, from both sides of a convolution or its transpose.
pub(super) fn weight_gradient(
    geometry: &Geometry,
    fine: &Tensor,
    coarse: &Tensor,
    shape: &[usize],
) -> Result<Tensor> {
    let run = |tiles| run_of(places(geometry), tiles, shape.iter().product());
    in_runs(geometry, fine, coarse, shape, run)
}

/// Coarse voxels of all samples.
fn places(geometry: &Geometry) -> usize {
    geometry.batch * geometry.coarse.iter().product::<usize>()
}

/// The same, with so many voxels to a split, a multiple of [`TILE_THREADS`], for a number of tiles.
pub(super) fn in_runs(
    geometry: &Geometry,
    fine: &Tensor,
    coarse: &Tensor,
    shape: &[usize],
    run: impl FnOnce(usize) -> usize,
) -> Result<Tensor> {
    let groups = geometry.groups;
    let rows = geometry.coarse_channels / groups;
    let pairs = geometry.fine_channels / groups * geometry.taps();
    let (kernel, tile) = if rows <= SIDE {
        ("weight_gradient_narrow", [SIDE, 4 * SIDE])
    } else {
        ("weight_gradient_wide", [2 * SIDE, 2 * SIDE])
    };
    let tiles = [rows.div_ceil(tile[0]), pairs.div_ceil(tile[1])];
    let weights = groups * rows * pairs;
    let run = run(tiles[0] * tiles[1] * groups);
    let splits = places(geometry).div_ceil(run);

    let element = fine.dtype();
    let settings = fields(geometry)?.and(&[0, 0])?.and(&[splits, run])?;
    let multiply = Launch {
        kernel,
        element,
        settings: settings.clone(),
        groups: [tiles[1], tiles[0], groups * splits],
        threads: TILE_THREADS,
    };
    let [sums] = multiply.run(&[fine, coarse], [(DType::F32, &[splits, weights])])?;
    let merge = Launch::each("merge_weight_gradient", element, settings, weights);
    let [gradient] = merge.run(&[&sums], [(DType::F32, shape)])?;
    Ok(gradient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_whole_tables_and_their_sums_fit_into_memory() {
        for (places, tiles, weights) in [(1, 1, 1), (129, 1, 27), (1 << 21, 14, 27_648)] {
            let run = run_of(places, tiles, weights);

            assert!(run > 0 && run.is_multiple_of(TILE_THREADS));
            assert!(places.div_ceil(run) * weights <= ROOM);
        }
        assert_eq!(run_of(1 << 21, 9, 1 << 30), 1 << 21);
    }
}
