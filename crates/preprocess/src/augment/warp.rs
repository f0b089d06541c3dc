//! Patches at the positions that an affine map says.
//!
//! Arrays are framed by one voxel of what lies beyond them, and positions are kept within that
//! frame: then every position has eight neighbours, and inner loops have no branches.

use ndarray::{Array3, Array4, ArrayView3, Axis};
use rayon::prelude::*;

use super::elastic::Displacement;
use super::spatial::Affine;
use crate::patch::part;
use crate::real::{compact, offset, single};
use crate::resample::settle_ignored;
use crate::resample_labels::Votes;
use crate::{Outside, Patch, Truth};

/// How far two weights of `f32` may differ by rounding alone.
const ROUNDING: f64 = 1e-6;

/// The patch of the map's output size, with intensities and truth from where the map says; what
/// happens to them is said at [`Spatial`](super::Spatial).
pub fn warp(patch: &Patch, affine: &Affine) -> Patch {
    warp_by(patch, Map { affine, moved: None })
}

/// The same, of voxels that are moved before the map takes them to their positions.
pub fn warp_elastically(patch: &Patch, affine: &Affine, moved: &Displacement) -> Patch {
    warp_by(patch, Map { affine, moved: Some(moved) })
}

/// From voxels of the output to positions in the input.
#[derive(Clone, Copy)]
struct Map<'a> {
    affine: &'a Affine,
    moved: Option<&'a Displacement>,
}

fn warp_by(patch: &Patch, map: Map<'_>) -> Patch {
    let affine = map.affine;
    let corner = |axis: usize| {
        let (before, after) = (patch.size()[axis] / 2, affine.out_size[axis] / 2);
        patch.corner[axis] + offset(before) - offset(after)
    };
    let warped = |truth: &Truth| match truth {
        Truth::Hard(labels) => Truth::Hard(warp_labels(labels.view(), map)),
        Truth::Soft(soft) => {
            let beyond: Vec<f32> = background(soft.shape()[0]);
            let mut soft = warp_channels(soft, map, &beyond);
            settle_ignored(&mut soft);
            Truth::Soft(soft)
        }
    };
    let outside = patch.outside.as_ref().map(|outside| Outside {
        voxels: warp_nearest(outside.voxels.view(), map, true),
        channels: outside.channels.clone(),
    });
    let beyond = vec![0.0; patch.image.shape()[0]];
    Patch {
        image: warp_channels(&patch.image, map, &beyond),
        truth: warped(&patch.truth),
        further: patch.further.iter().map(warped).collect(),
        outside,
        corner: std::array::from_fn(corner),
    }
}

/// Certain background.
fn background(classes: usize) -> Vec<f32> {
    (0..classes).map(|class| f32::from(u8::from(class == 0))).collect()
}

/// A row of positions: for each, the index of the first of its neighbours in a framed array, and
/// the weights of the last along each axis.
#[derive(Default)]
struct Row {
    at: Vec<u32>,
    weights: [Vec<f32>; 3],
    exact: Vec<f64>,
    /// 0, 1, 2, …: counting in the loop would keep it from vector units.
    columns: Vec<f64>,
}

impl Row {
    fn places(&self) -> impl Iterator<Item = Place> {
        let [z, y, x] = &self.weights;
        let places = self.at.iter().zip(z).zip(y).zip(x);
        places.map(|(((&at, &z), &y), &x)| Place { at, weights: [z, y, x] })
    }
}

/// One position of a row.
#[derive(Clone, Copy)]
struct Place {
    at: u32,
    weights: [f32; 3],
}

/// From rows of the output to places in a framed array.
struct Places<'a> {
    map: Map<'a>,
    /// Of the array without its frame.
    size: [usize; 3],
    /// Of the framed array, along z and y.
    strides: [usize; 2],
}

impl<'a> Places<'a> {
    fn new(map: Map<'a>, shape: &[usize]) -> Self {
        let size = [shape[0], shape[1], shape[2]];
        let strides = [(size[1] + 2) * (size[2] + 2), size[2] + 2];
        // Indices have to fit.
        compact(strides[0] * (size[0] + 2));
        Self { map, size, strides }
    }

    /// Fills a row with the places of row `y` of slice `z`.
    ///
    /// Numbers become whole by adding and taking away [`ROUND`], which vector units can do, unlike
    /// `f64::floor` where a processor's age is not known.
    fn fill(&self, z: usize, y: usize, row: &mut Row) {
        let affine = self.map.affine;
        let width = affine.out_size[2];
        let start = affine.position([z, y, 0]);
        let moved = self.map.moved.map(|moved| moved.row(z, y));
        row.exact.clear();
        row.exact.resize(width, ROUND);
        if row.columns.len() != width {
            row.columns = (0..width).map(|x| x as f64).collect();
        }
        for axis in 0..3 {
            let (start, along) = (start[axis], affine.matrix()[axis]);
            let step = along[2];
            let stride = [self.strides[0], self.strides[1], 1][axis] as f64;
            let last = self.size[axis] as f64;
            let weights = &mut row.weights[axis];
            weights.resize(width, 0.0);
            let put = |position: f64, exact: &mut f64, weight: &mut f32| {
                let position = at_most(at_least(position, -1.0), last) + 1.0;
                let nearest = (position + ROUND) - ROUND;
                let below = if nearest > position { nearest - 1.0 } else { nearest };
                let whole = at_most(below, last);
                *weight = single(position - whole);
                *exact += whole * stride;
            };
            let voxels = row.exact.iter_mut().zip(weights).zip(&row.columns);
            match moved {
                None => {
                    voxels.for_each(|((exact, weight), x)| put(start + x * step, exact, weight));
                }
                Some([z, y, x]) => {
                    for (((exact, weight), at), ((&z, &y), &x)) in
                        voxels.zip(z.iter().zip(y).zip(x))
                    {
                        let [dz, dy, dx] = [z, y, x].map(f64::from);
                        let more = along[0] * dz + along[1] * dy + along[2] * dx;
                        put(start + at * step + more, exact, weight);
                    }
                }
            }
        }
        row.at.clear();
        row.at.extend(row.exact.iter().map(|&exact| low_bits(exact)));
    }

    /// The eight neighbours of a place: along x fastest, then y, then z.
    #[inline]
    fn neighbours<T: Copy>(&self, framed: &[T], place: &Place) -> [T; 8] {
        let [plane, row] = self.strides;
        let at = place.at as usize;
        let near = &framed[at..at + row + 2];
        let far = &framed[at + plane..at + plane + row + 2];
        [near[0], near[1], near[row], near[row + 1], far[0], far[1], far[row], far[row + 1]]
    }
}

/// `f64::max` and `f64::min` look for NaN, for which vector units have no instruction.
fn at_least(value: f64, low: f64) -> f64 {
    if value < low { low } else { value }
}

fn at_most(value: f64, high: f64) -> f64 {
    if value > high { high } else { value }
}

/// Numbers of this size have no fraction, and the whole part of what is added in their low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// The index that was added to [`ROUND`].
#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is asked for")]
const fn low_bits(exact: f64) -> u32 {
    exact.to_bits() as u32
}

fn framed<T: Copy>(array: ArrayView3<'_, T>, beyond: T) -> Vec<T> {
    let size = [array.shape()[0], array.shape()[1], array.shape()[2]];
    part(array, [-1; 3], size.map(|voxels| voxels + 2), beyond).into_raw_vec_and_offset().0
}

/// Channels `(C, D, H, W)`, each with its own value beyond the array.
fn warp_channels(array: &Array4<f32>, map: Map<'_>, beyond: &[f32]) -> Array4<f32> {
    let places = Places::new(map, &array.shape()[1..]);
    let channels = array.axis_iter(Axis(0)).zip(beyond);
    let channels: Vec<Vec<f32>> =
        channels.map(|(channel, &beyond)| framed(channel, beyond)).collect();
    let [d, h, w] = map.affine.out_size;
    let mut output = Array4::zeros((channels.len(), d, h, w));
    let slices = output.axis_iter_mut(Axis(1)).into_par_iter().enumerate();
    slices.for_each_init(Row::default, |buffer, (z, mut slice)| {
        for y in 0..h {
            places.fill(z, y, buffer);
            for (framed, mut plane) in channels.iter().zip(slice.axis_iter_mut(Axis(0))) {
                let mut row = plane.row_mut(y);
                let row = row.as_slice_mut().expect("a row of an array in standard layout");
                for (value, place) in row.iter_mut().zip(buffer.places()) {
                    let [tz, ty, tx] = place.weights;
                    let n = places.neighbours(framed, &place);
                    let mix = |low: f32, high: f32, t: f32| low + (high - low) * t;
                    let near = mix(mix(n[0], n[1], tx), mix(n[2], n[3], tx), ty);
                    let far = mix(mix(n[4], n[5], tx), mix(n[6], n[7], tx), ty);
                    *value = mix(near, far, tz);
                }
            }
        }
    });
    output
}

/// Class indices: the class of the most weight; of equal ones, that of the nearest voxel. Beyond
/// the array is background.
fn warp_labels(labels: ArrayView3<'_, u16>, map: Map<'_>) -> Array3<u16> {
    let places = Places::new(map, labels.shape());
    let framed = framed(labels, 0);
    warped(map.affine, 0, |z, y, buffer, row| {
        places.fill(z, y, buffer);
        for (label, place) in row.iter_mut().zip(buffer.places()) {
            let n = places.neighbours(&framed, &place);
            let different = n.iter().fold(0, |different, label| different | (label ^ n[0]));
            *label = if different == 0 { n[0] } else { elected(&n, &place) };
        }
    })
}

fn elected(labels: &[u16; 8], place: &Place) -> u16 {
    let [tz, ty, tx] = place.weights.map(f64::from);
    let mut votes = Votes::default();
    for (i, &label) in labels.iter().enumerate() {
        let along = |bit: usize, t: f64| if i & bit > 0 { t } else { 1.0 - t };
        votes.add(label, along(4, tz) * along(2, ty) * along(1, tx));
    }
    votes.winner(labels[nearest(place)], ROUNDING)
}

/// Which of the eight neighbours is the nearest.
fn nearest(place: &Place) -> usize {
    let bits = place.weights.map(|weight| usize::from(weight >= 0.5));
    4 * bits[0] + 2 * bits[1] + bits[2]
}

fn warp_nearest(array: ArrayView3<'_, bool>, map: Map<'_>, beyond: bool) -> Array3<bool> {
    let places = Places::new(map, array.shape());
    let framed = framed(array, beyond);
    warped(map.affine, beyond, |z, y, buffer, row| {
        places.fill(z, y, buffer);
        for (value, place) in row.iter_mut().zip(buffer.places()) {
            *value = places.neighbours(&framed, &place)[nearest(&place)];
        }
    })
}

/// An array that is filled row by row, slices side by side.
fn warped<T: Copy + Send + Sync>(
    affine: &Affine,
    start: T,
    fill: impl Fn(usize, usize, &mut Row, &mut [T]) + Sync,
) -> Array3<T> {
    let mut output = Array3::from_elem(affine.out_size, start);
    let slices = output.axis_iter_mut(Axis(0)).into_par_iter().enumerate();
    slices.for_each_init(Row::default, |buffer, (z, mut slice)| {
        for (y, mut row) in slice.axis_iter_mut(Axis(0)).enumerate() {
            let row = row.as_slice_mut().expect("a row of an array in standard layout");
            fill(z, y, buffer, row);
        }
    });
    output
}
