//! Which slices are looked at, and how they are turned.

use ndarray::{Array2, Array3, ArrayView3, ArrayView4, Axis};

/// The axis of the thickest voxels, if they are much thicker; else the first.
pub(super) fn slice_axis(size: [usize; 3], spacing: [f64; 3]) -> usize {
    const THICK: f64 = 1.5;
    if let Some(flat) = (0..3).find(|&axis| size[axis] == 1) {
        return flat;
    }
    let thick = |&axis: &usize| {
        (0..3).all(|other| other == axis || spacing[axis] >= THICK * spacing[other])
    };
    (0..3).find(thick).unwrap_or(0)
}

/// The first slice with most foreground; `None` where there is none at all.
pub(super) fn fullest(
    labels: &Array3<u16>,
    axis: usize,
    foreground: impl Fn(u16) -> bool,
) -> Option<usize> {
    let counts = labels
        .axis_iter(Axis(axis))
        .map(|slice| slice.iter().filter(|label| foreground(**label)).count());
    let mut best = (0, None);
    for (slice, count) in counts.enumerate() {
        if count > best.0 {
            best = (count, Some(slice));
        }
    }
    best.1
}

/// One slice, as it is looked at.
#[derive(Clone, Copy)]
pub(super) struct View {
    pub(super) axis: Axis,
    pub(super) slice: usize,
    pub(super) flipped: bool,
}

impl View {
    pub(super) fn of<T: Clone>(self, volume: &ArrayView3<'_, T>) -> Array2<T> {
        let mut slice = volume.index_axis(self.axis, self.slice);
        if self.flipped {
            slice.invert_axis(Axis(0));
            slice.invert_axis(Axis(1));
        }
        slice.to_owned()
    }
}

/// The first channel, or the luminance of a colored picture (ITU-R BT.601).
pub(super) fn gray(image: &ArrayView4<'_, f32>, channels: &[String]) -> Array3<f32> {
    let channel = |index: usize| image.index_axis(Axis(0), index).to_owned();
    let names: Vec<String> = channels.iter().map(|name| name.to_lowercase()).collect();
    let colored = [["r", "g", "b"], ["red", "green", "blue"]].iter().any(|known| names == *known);
    if colored && image.shape()[0] == 3 {
        return channel(0) * 0.299 + channel(1) * 0.587 + channel(2) * 0.114;
    }
    channel(0)
}

/// Where the foreground of all masks lies, with as much again around it, at least 64 pixels along
/// each axis; the whole slice where that is most of it, or where there is no foreground.
pub(super) fn close_up(masks: impl Iterator<Item = Array2<bool>>) -> [(usize, usize); 2] {
    const LEAST: usize = 64;
    let (mut low, mut high, mut size) = ([usize::MAX; 2], [0; 2], [0; 2]);
    for mask in masks {
        size = [mask.dim().0, mask.dim().1];
        for ((y, x), _) in mask.indexed_iter().filter(|(_, inside)| **inside) {
            low = [low[0].min(y), low[1].min(x)];
            high = [high[0].max(y + 1), high[1].max(x + 1)];
        }
    }
    let whole = [(0, size[0]), (0, size[1])];
    if high[0] == 0 {
        return whole;
    }
    let side = (0..2).map(|axis| 2 * (high[axis] - low[axis])).fold(LEAST, usize::max);
    let cut: [(usize, usize); 2] = std::array::from_fn(|axis| {
        let middle = usize::midpoint(low[axis], high[axis]);
        let from = middle.saturating_sub(side / 2).min(size[axis].saturating_sub(side));
        (from, (from + side).min(size[axis]))
    });
    let most = |axis: usize| 4 * (cut[axis].1 - cut[axis].0) > 3 * size[axis];
    if most(0) && most(1) { whole } else { cut }
}
