//! The lines of a source that a tile sees, with zeros at their ends.

use crate::kernels::tile::Tile;

use super::plan::{Plan, Side};

/// Lines of a source, either as they are or copied.
#[derive(Clone, Copy)]
pub(super) struct Patch<'a> {
    values: &'a [f32],
    /// The first line along z and y, and lines along y.
    first: (usize, usize),
    height: usize,
    /// Values of a line.
    line: usize,
}

/// Values of scratch memory that [`Patch::new`] needs for `tile`.
pub(super) fn scratch(plan: &Plan, tile: Tile) -> usize {
    if plan.margin == (0, 0) {
        return 0;
    }
    let [depths, heights] = seen(plan, tile);
    depths.len() * heights.len() * padded(plan)
}

/// Values of a line with zeros at its ends.
pub(super) fn padded(plan: &Plan) -> usize {
    plan.source.line() + (plan.margin.0 + plan.margin.1) * plan.source.channels
}

/// The source lines that a tile sees, along z and y.
fn seen(plan: &Plan, tile: Tile) -> [std::ops::Range<usize>; 2] {
    [plan.sources(0, tile.z.0, tile.z.1), plan.sources(1, tile.y.0, tile.y.1)]
}

impl<'a> Patch<'a> {
    /// What `tile` sees of `source`; `memory` is for copies, where they are needed.
    pub(super) fn new(plan: &Plan, tile: Tile, source: &'a [f32], memory: &'a mut [f32]) -> Self {
        let Side { space: [depth, height, _], .. } = plan.source;
        let line = plan.source.line();
        if plan.margin == (0, 0) {
            let values = &source[tile.n * depth * height * line..][..depth * height * line];
            return Self { values, first: (0, 0), height, line };
        }
        let [depths, heights] = seen(plan, tile);
        let before = plan.margin.0 * plan.source.channels;
        let padded = padded(plan);
        let mut copies = memory.chunks_exact_mut(padded);
        for z in depths.clone() {
            for (y, copy) in heights.clone().zip(&mut copies) {
                copy[..before].fill(0.0);
                let at = plan.source.line_at(tile.n, z, y) * line;
                copy[before..before + line].copy_from_slice(&source[at..at + line]);
                copy[before + line..].fill(0.0);
            }
        }
        let first = (depths.start, heights.start);
        Self { values: memory, first, height: heights.len(), line: padded }
    }

    /// All lines.
    pub(super) fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Where a line begins, its zeros included.
    pub(super) fn start(&self, [z, y]: [usize; 2]) -> usize {
        ((z - self.first.0) * self.height + y - self.first.1) * self.line
    }

    pub(super) fn line(&self, at: [usize; 2]) -> &'a [f32] {
        &self.values[self.start(at)..][..self.line]
    }
}
