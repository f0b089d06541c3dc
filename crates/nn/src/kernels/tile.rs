//! Blocks of lines that one task works on.

/// Lines `(n, z, y)` of one sample: `z` from `z.0` to `z.1`, `y` from `y.0` to `y.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) n: usize,
    pub(super) z: (usize, usize),
    pub(super) y: (usize, usize),
}

impl Tile {
    /// Where its lines lie, slower axis first.
    pub(super) fn lines(self) -> impl Iterator<Item = [usize; 2]> {
        (self.z.0..self.z.1).flat_map(move |z| (self.y.0..self.y.1).map(move |y| [z, y]))
    }
}

/// How lines are cut into tiles: extents along z and y.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    depth: usize,
    height: usize,
    space: [usize; 2],
}

/// What the lines of a tile need of the other side of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Halo {
    /// Lines that one more line adds, along z and y, times `scale`.
    pub(super) step: [usize; 2],
    /// What `step` is a multiple of.
    pub(super) scale: [usize; 2],
    /// Lines that a single line needs, along z and y.
    pub(super) reach: [usize; 2],
    /// Bytes of one of these lines.
    pub(super) line: usize,
}

/// What a task may keep in its cache.
const CACHE: usize = 320 << 10;
/// Tasks below which threads would wait for each other.
const TASKS: usize = 16;

impl Cut {
    /// The cut of `space` lines, `line` bytes each, of `batch` samples, whose tiles copy the fewest
    /// lines of the other side, fit the cache, and are enough.
    pub(super) fn new(batch: usize, space: [usize; 2], line: usize, halo: &Halo) -> Self {
        let mut best = (f64::INFINITY, Self { depth: 1, height: 1, space });
        for depth in sizes(space[0]) {
            for height in sizes(space[1]) {
                let seen = |axis: usize, lines: usize| {
                    (lines - 1) * halo.step[axis] / halo.scale[axis] + halo.reach[axis]
                };
                let copied = seen(0, depth) * seen(1, height);
                let bytes = copied * halo.line + depth * height * line;
                let tasks = batch * space[0].div_ceil(depth) * space[1].div_ceil(height);
                let too_few = (TASKS as f64 / tasks as f64).max(1.0);
                let too_large = (bytes as f64 / CACHE as f64).max(1.0);
                let cost = copied as f64 / (depth * height) as f64 * too_few * too_large;
                if cost < best.0 {
                    best = (cost, Self { depth, height, space });
                }
            }
        }
        best.1
    }

    fn counts(&self) -> [usize; 2] {
        [self.space[0].div_ceil(self.depth), self.space[1].div_ceil(self.height)]
    }

    /// All tiles of `batch` samples.
    pub(super) fn tiles(&self, batch: usize) -> Vec<Tile> {
        let [deep, high] = self.counts();
        let range = |index: usize, size: usize, extent: usize| {
            (index * size, ((index + 1) * size).min(extent))
        };
        let tile = |index: usize| Tile {
            n: index / (deep * high),
            z: range(index / high % deep, self.depth, self.space[0]),
            y: range(index % high, self.height, self.space[1]),
        };
        (0..batch * deep * high).map(tile).collect()
    }

    /// The number of the tile that line `(n, z, y)` belongs to.
    pub(super) fn tile_of(&self, line: usize) -> usize {
        let [deep, high] = self.counts();
        let (y, rest) = (line % self.space[1], line / self.space[1]);
        let (z, n) = (rest % self.space[0], rest / self.space[0]);
        (n * deep + z / self.depth) * high + y / self.height
    }
}

/// Extents that a tile may have along an axis.
fn sizes(extent: usize) -> impl Iterator<Item = usize> {
    [1, 2, 3, 4, 6, 8, 12, 16, 32].into_iter().filter(move |&size| size == 1 || size <= extent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_belongs_to_the_tile_that_covers_it() {
        let halo = Halo { step: [1, 1], scale: [1, 1], reach: [3, 3], line: 4000 };
        let cut = Cut::new(2, [5, 7], 4000, &halo);
        let tiles = cut.tiles(2);

        for line in 0..70 {
            let (n, z, y) = (line / 35, line / 7 % 5, line % 7);
            let tile = tiles[cut.tile_of(line)];
            assert_eq!(tile.n, n);
            assert!((tile.z.0..tile.z.1).contains(&z) && (tile.y.0..tile.y.1).contains(&y));
        }
        let covered: usize =
            tiles.iter().map(|tile| (tile.z.1 - tile.z.0) * (tile.y.1 - tile.y.0)).sum();
        assert_eq!(covered, 70);
    }

    #[test]
    fn large_lines_make_small_tiles() {
        let halo = Halo { step: [1, 1], scale: [1, 1], reach: [3, 3], line: 8448 };

        let tiles = Cut::new(2, [64, 64], 8192, &halo).tiles(2);

        assert!(tiles.len() >= 400, "{}", tiles.len());
    }
}
