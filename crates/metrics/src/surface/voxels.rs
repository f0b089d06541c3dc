use ndarray::{Array3, s};
use volume::Connectivity;

use super::{Surfaces, parts, tree};
use crate::scan::Masks;

/// Distances between border voxels.
pub(super) fn distances(masks: &Masks, connectivity: Connectivity, spacing: [f64; 3]) -> Surfaces {
    let size = masks.reference.dim().into();
    let parts = parts::find([&masks.reference, &masks.prediction], size, |mask, row, codes| {
        encode(mask, connectivity, row, codes);
    });
    tree::between(parts, None, spacing)
}

/// For each voxel of a row, 1 where it is inside, but not all of its neighbours are.
fn encode(mask: &Array3<bool>, connectivity: Connectivity, [z, y]: [usize; 2], codes: &mut [u8]) {
    let row = |z: usize, y: usize| mask.slice(s![z, y, ..]).to_slice().unwrap_or_default();
    codes.fill(0);
    if !row(z, y).iter().fold(false, |any, &inside| any | inside) {
        // So are the outermost ones, which have fewer neighbours: the margin around the masks,
        // which is what lies beyond the edge of the array.
        return;
    }
    let last = codes.len() - 1;
    let across = if mask.dim().0 == 1 { 0..=0 } else { -1..=1 };
    for (dz, dy) in across.flat_map(|dz| (-1..=1).map(move |dy| (dz, dy))) {
        let Some(reach) = connectivity.reach(dz, dy) else { continue };
        let row = row(z.wrapping_add_signed(dz), y.wrapping_add_signed(dy));
        for (code, &inside) in codes.iter_mut().zip(row) {
            *code |= u8::from(!inside);
        }
        if reach > 0 {
            for (code, sides) in codes[1..last].iter_mut().zip(row.iter().zip(&row[2..])) {
                *code |= u8::from(!sides.0) | u8::from(!sides.1);
            }
        }
    }
    for (code, &inside) in codes.iter_mut().zip(row(z, y)) {
        *code &= u8::from(inside);
    }
}
