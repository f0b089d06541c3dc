//! Tiles in plain Rust, as Intel's manual defines the instructions, for tests on any machine.

use half::bf16;

use crate::kernels::amx::tiles::{ROWS, Sums, Tiles, VALUES, check};

/// The contents of eight tiles, as 16 rows of 16 words.
#[derive(Clone, Debug)]
pub(super) struct File(pub(super) [[[u32; ROWS]; ROWS]; 8]);

impl File {
    pub(super) const ZERO: Self = Self([[[0; ROWS]; ROWS]; 8]);

    /// `TDPBF16PS`: for each row and column, a chain of fused products of the first values of all pairs, one
    /// of the second ones, both from zero, and their sum added at last. Denormal numbers are read and
    /// written as zeros; roundings are to nearest, whatever else is set.
    pub(super) fn multiply(&mut self, sum: usize, left: usize, right: usize) {
        let [left, right] = [left, right].map(|tile| self.0[tile].map(|row| row.map(halves)));
        for (sums, left) in self.0[sum].iter_mut().zip(&left) {
            let mut chains = [[0f32; 2]; ROWS];
            for (a, right) in left.iter().zip(&right) {
                for (chains, b) in chains.iter_mut().zip(right) {
                    chains[0] = flushed(a[0].mul_add(b[0], chains[0]));
                    chains[1] = flushed(a[1].mul_add(b[1], chains[1]));
                }
            }
            for (sum, chains) in sums.iter_mut().zip(chains) {
                let before = flushed(f32::from_bits(*sum));
                *sum = flushed(before + flushed(chains[0] + chains[1])).to_bits();
            }
        }
    }
}

/// The two values of a pair, the one at the lower address first.
fn halves(pair: u32) -> [f32; 2] {
    [pair << 16, pair & 0xffff_0000].map(|bits| flushed(f32::from_bits(bits)))
}

/// Zero of the same sign for a denormal number.
fn flushed(value: f32) -> f32 {
    // Most values are none, and a comparison says so fast, in tests that are not optimized too.
    if value.abs() < f32::MIN_POSITIVE { 0f32.copysign(value) } else { value }
}

/// Tiles that may lose what they hold, once.
pub(super) struct Emulated {
    file: File,
    /// Products until it is lost, if it is to be.
    loss: Option<usize>,
}

impl Tiles for Emulated {
    type Grant = Option<usize>;

    fn configure(loss: Self::Grant) -> Self {
        Self { file: File::ZERO, loss }
    }

    fn zero<const TILE: usize>(&mut self) {
        self.file.0[TILE] = [[0; ROWS]; ROWS];
    }

    fn load<const TILE: usize>(&mut self, values: &[bf16], at: usize, step: usize) {
        check(values.len(), at, step);
        for (row, words) in self.file.0[TILE].iter_mut().enumerate() {
            let (pairs, _) = values[at + row * step..][..VALUES].as_chunks();
            for (word, [first, second]) in words.iter_mut().zip(pairs) {
                *word = u32::from(second.to_bits()) << 16 | u32::from(first.to_bits());
            }
        }
    }

    fn store<const TILE: usize>(&self, sums: &mut Sums) {
        sums.0 = self.file.0[TILE].map(|row| row.map(f32::from_bits));
    }

    fn multiply<const SUM: usize, const LEFT: usize, const RIGHT: usize>(&mut self) {
        self.file.multiply(SUM, LEFT, RIGHT);
        self.loss = match self.loss {
            Some(0) => {
                self.file = File::ZERO;
                None
            }
            loss => loss.map(|products| products - 1),
        };
    }
}

#[test]
fn a_product_sums_first_and_second_values_apart() {
    let mut file = File::ZERO;
    let pair = |first: f32, second: f32| second.to_bits() & 0xffff_0000 | first.to_bits() >> 16;
    file.0[1][2][..2].copy_from_slice(&[pair(3.0, 0.5), pair(1e30, -1e30)]);
    file.0[2][0][5] = pair(2.0, 4.0);
    file.0[2][1][5] = pair(1.0, 1.0);
    file.0[0][2][5] = 10f32.to_bits();

    file.multiply(0, 1, 2);

    // The large values are each in a chain of their own, and swallow what was there before.
    assert_eq!(file.0[0][2][5], 10f32.to_bits());
    assert_eq!(file.0[0][3], [0; ROWS]);
    // Denormal numbers are zeros of the same sign.
    assert_eq!(halves(0x0001_8001).map(f32::to_bits), [1 << 31, 0]);
}
