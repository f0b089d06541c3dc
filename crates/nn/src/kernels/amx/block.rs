//! Blocks of up to two by two tiles of sums.

use half::bf16;

use super::tiles::{Line, Sums, Tiles, VALUES};

/// Where the factors of products lie.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    pub(super) left: &'a [bf16],
    /// Values from one row of a left tile to the next.
    pub(super) step: usize,
    /// Tiles one after the other.
    pub(super) right: &'a [bf16],
}

/// The tiles that one product of a block takes: two on the left, and the first of two on the right.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) left: [usize; 2],
    pub(super) right: usize,
}

/// Values of a tile.
pub(super) const TILE: usize = 16 * VALUES;

/// A tile that is never written: where it changes, others did as well.
const WITNESS: Line = Line([bf16::ONE; VALUES]);
/// A pair of its values, as a number.
const WITNESSED: u32 = 0x3f80_3f80;

/// Tiles 0 to 3 are sums, by row and column; 4 and 5 are on the left, 6 is on the right; 7 is the witness.
pub(super) struct Block<T>(T);

impl<T: Tiles> Block<T> {
    #[inline(always)]
    pub(super) fn new(grant: T::Grant) -> Self {
        let mut tiles = T::configure(grant);
        tiles.load::<7>(&WITNESS.0, 0, 0);
        Self(tiles)
    }

    /// The sums of the products of `steps`, `rows` by `columns` tiles of them, 1 or 2 each; other sums are
    /// left as they are.
    ///
    /// There have been virtual machines (Firecracker, with guests of kernel 6.12) that lose the contents
    /// of tiles when threads take turns: sums would be wrong in silence. So a tile stands witness, and
    /// what it does not confirm is computed again.
    #[inline(always)]
    pub(super) fn sum(
        &mut self,
        (rows, columns): (usize, usize),
        factors: Factors<'_>,
        steps: &(impl Iterator<Item = Step> + Clone),
        sums: &mut [Sums; 4],
    ) {
        loop {
            let steps = steps.clone();
            match (rows, columns) {
                (1, 1) => self.products::<1, 1>(factors, steps, sums),
                (1, _) => self.products::<1, 2>(factors, steps, sums),
                (_, 1) => self.products::<2, 1>(factors, steps, sums),
                _ => self.products::<2, 2>(factors, steps, sums),
            }
            let mut witness = Sums::ZERO;
            self.0.store::<7>(&mut witness);
            // Counted and not searched, as vectors do.
            let values = witness.0.as_flattened().iter();
            if values.filter(|value| value.to_bits() != WITNESSED).count() == 0 {
                return;
            }
            self.0.load::<7>(&WITNESS.0, 0, 0);
        }
    }

    #[inline(always)]
    fn products<const ROWS: usize, const COLUMNS: usize>(
        &mut self,
        Factors { left, step, right }: Factors<'_>,
        steps: impl Iterator<Item = Step>,
        sums: &mut [Sums; 4],
    ) {
        let tiles = &mut self.0;
        tiles.zero::<0>();
        tiles.zero::<1>();
        tiles.zero::<2>();
        tiles.zero::<3>();
        for at in steps {
            tiles.load::<4>(left, at.left[0], step);
            tiles.load::<6>(right, at.right, VALUES);
            tiles.multiply::<0, 4, 6>();
            if ROWS == 2 {
                tiles.load::<5>(left, at.left[1], step);
                tiles.multiply::<2, 5, 6>();
            }
            if COLUMNS == 2 {
                tiles.load::<6>(right, at.right + TILE, VALUES);
                tiles.multiply::<1, 4, 6>();
                if ROWS == 2 {
                    tiles.multiply::<3, 5, 6>();
                }
            }
        }
        let [first, second, third, fourth] = sums;
        tiles.store::<0>(first);
        if COLUMNS == 2 {
            tiles.store::<1>(second);
        }
        if ROWS == 2 {
            tiles.store::<2>(third);
        }
        if ROWS == 2 && COLUMNS == 2 {
            tiles.store::<3>(fourth);
        }
    }
}
