//! The part of an image that is not empty.

use ndarray::{Array3, ArrayView3, ArrayView4, ArrayViewMut3, ArrayViewMut4, Axis, Zip, s};

use crate::real::compact;

/// A box of voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Its first voxel, `(z, y, x)`.
    pub start: [usize; 3],
    /// Its voxels along each axis.
    pub size: [usize; 3],
}

impl Region {
    /// All of an array of this size.
    pub fn whole(size: [usize; 3]) -> Self {
        Self { start: [0; 3], size }
    }

    fn slices(self) -> [std::ops::Range<usize>; 3] {
        std::array::from_fn(|axis| self.start[axis]..self.start[axis] + self.size[axis])
    }
}

/// The voxels of a region.
pub(crate) fn cut<T>(array: ArrayView3<'_, T>, region: Region) -> ArrayView3<'_, T> {
    let [z, y, x] = region.slices();
    array.slice_move(s![z, y, x])
}

/// The voxels of a region, in all channels.
pub(crate) fn cut_channels<T>(array: ArrayView4<'_, T>, region: Region) -> ArrayView4<'_, T> {
    let [z, y, x] = region.slices();
    array.slice_move(s![.., z, y, x])
}

/// The voxels of a region, to be written.
pub(crate) fn cut_mut<T>(array: ArrayViewMut3<'_, T>, region: Region) -> ArrayViewMut3<'_, T> {
    let [z, y, x] = region.slices();
    array.slice_move(s![z, y, x])
}

/// The voxels of a region, in all channels, to be written.
pub(crate) fn cut_channels_mut<T>(
    array: ArrayViewMut4<'_, T>,
    region: Region,
) -> ArrayViewMut4<'_, T> {
    let [z, y, x] = region.slices();
    array.slice_move(s![.., z, y, x])
}

/// Where an image is not 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Nonzero {
    /// The smallest box that holds all voxels which are not 0 in some channel; the whole image
    /// where there is none.
    pub region: Region,
    /// The voxels of that box, `(D, H, W)`, from which the border of the image can be reached
    /// through voxels that are 0 in all channels: the air around a head, but not its ventricles. In
    /// a single slice all voxels are at the border, and none is enclosed.
    /// `None` where there is none.
    pub outside: Option<Array3<bool>>,
}

/// Finds where an image `(C, D, H, W)` is not 0.
///
/// # Source
///
/// `crop_to_nonzero` of nnU-Net v2: the union over channels, with holes filled.
pub fn nonzero(image: ArrayView4<'_, f32>) -> Nonzero {
    let mut mask = Array3::from_elem(image.index_axis(Axis(0), 0).raw_dim(), false);
    for channel in image.axis_iter(Axis(0)) {
        Zip::from(&mut mask).and(&channel).par_for_each(|mask, &value| *mask |= value != 0.0);
    }
    let size = [mask.shape()[0], mask.shape()[1], mask.shape()[2]];
    let Some(region) = bounding_box(&mask) else {
        return Nonzero { region: Region::whole(size), outside: None };
    };
    let mask = cut(mask.view(), region);
    if mask.iter().all(|&inside| inside) {
        return Nonzero { region, outside: None };
    }
    let outside = reachable(mask.map(|&inside| !inside));
    let outside = outside.iter().any(|&outside| outside).then_some(outside);
    Nonzero { region, outside }
}

fn bounding_box(mask: &Array3<bool>) -> Option<Region> {
    let occupied = |axis: usize| {
        let any = |plane: ndarray::ArrayView2<'_, bool>| plane.iter().any(|&set| set);
        let first = mask.axis_iter(Axis(axis)).position(any)?;
        let after = mask.shape()[axis] - mask.axis_iter(Axis(axis)).rev().position(any)?;
        Some((first, after - first))
    };
    let found = [occupied(0)?, occupied(1)?, occupied(2)?];
    Some(Region { start: found.map(|(start, _)| start), size: found.map(|(_, size)| size) })
}

/// The set voxels that are connected with a face of the array through faces of set voxels.
fn reachable(open: Array3<bool>) -> Array3<bool> {
    let [d, h, w] = [open.shape()[0], open.shape()[1], open.shape()[2]];
    let open = open.into_raw_vec_and_offset().0;
    let mut reached = vec![false; open.len()];
    let mut waiting: Vec<u32> = Vec::new();
    let visit = |at: usize, waiting: &mut Vec<u32>, reached: &mut [bool]| {
        if open[at] && !reached[at] {
            reached[at] = true;
            waiting.push(compact(at));
        }
    };
    for z in 0..d {
        for y in 0..h {
            let row = (z * h + y) * w;
            let inner = z > 0 && z + 1 < d && y > 0 && y + 1 < h;
            let step = if inner { (w - 1).max(1) } else { 1 };
            for x in (0..w).step_by(step) {
                visit(row + x, &mut waiting, &mut reached);
            }
        }
    }
    while let Some(at) = waiting.pop() {
        let at = at as usize;
        let (z, y, x) = (at / (h * w), at / w % h, at % w);
        let neighbours = [
            (z > 0).then(|| at - h * w),
            (z + 1 < d).then(|| at + h * w),
            (y > 0).then(|| at - w),
            (y + 1 < h).then(|| at + w),
            (x > 0).then(|| at - 1),
            (x + 1 < w).then(|| at + 1),
        ];
        for next in neighbours.into_iter().flatten() {
            visit(next, &mut waiting, &mut reached);
        }
    }
    Array3::from_shape_vec((d, h, w), reached).expect("one for each voxel")
}

#[cfg(test)]
mod tests {
    use ndarray::{Array4, array, s};

    use super::*;

    #[test]
    fn the_box_holds_all_channels_and_holes_are_not_outside() {
        let mut image = Array4::zeros((2, 6, 6, 6));
        // A hollow cube in channel 0, and one voxel further along z in channel 1.
        image.slice_mut(s![0, 1..4, 1..4, 1..4]).fill(1.0);
        image[[0, 2, 2, 2]] = 0.0;
        image[[1, 4, 1, 1]] = -3.0;

        let found = nonzero(image.view());

        assert_eq!(found.region, Region { start: [1, 1, 1], size: [4, 3, 3] });
        let outside = found.outside.map(|outside| outside.mapv(usize::from));
        let each =
            outside.map(|outside| outside.map_axis(Axis(2), |row| row.sum()).sum_axis(Axis(1)));
        assert_eq!(each, Some(array![0, 0, 0, 8]), "the hollow is inside");
    }

    #[test]
    fn an_empty_image_is_kept_whole() {
        let found = nonzero(Array4::zeros((1, 2, 3, 4)).view());

        assert_eq!(found, Nonzero { region: Region::whole([2, 3, 4]), outside: None });
    }
}
