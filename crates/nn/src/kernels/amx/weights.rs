//! Weights as right factors of products of tiles.

use half::bf16;
use pulp::{Simd, WithSimd};

use super::sweep::Sweep;
use super::tiles::{Line, ROWS, VALUES};
use crate::isa::Isa;
use crate::kernels::element::Element;
use crate::kernels::fresh::in_pieces;

/// Lines of the two tiles of 32 source channels by 32 target channels.
pub(super) const PAIR: usize = 2 * ROWS;

/// The weight of PyTorch's layout, rounded to bf16, as `(panels of 32 target channels, 32 source channels,
/// taps, two tiles)`; a row of a tile has two source channels of each of 16 target channels. Zeros stand
/// in for channels that there are not.
pub(super) fn pack(isa: Isa, sweep: &Sweep, weight: &[f32]) -> Vec<Line> {
    let taps = sweep.taps();
    let (sources, targets) = (sweep.source.channels, sweep.target.channels);
    // The weight lists the coarse side first: where it is the target, its channels are far apart.
    let (source_step, target_step) =
        if sweep.source_is_coarse { (targets * taps, taps) } else { (taps, sources * taps) };
    let (chunks, panels) = (sources.div_ceil(VALUES), targets.div_ceil(VALUES));
    let none = vec![0.0; taps];
    let piece = taps * PAIR;
    in_pieces(panels * chunks * piece, piece, |index, lines: &mut [Line]| {
        let (chunk, panel) = (index % chunks, index / chunks);
        for row in 0..PAIR {
            let (half, pair) = (row / ROWS, row % ROWS);
            let taps_of = |at: usize| {
                let source = chunk * VALUES + 2 * pair + at % 2;
                let target = panel * VALUES + half * ROWS + at / 2;
                if source < sources && target < targets {
                    &weight[source * source_step + target * target_step..][..taps]
                } else {
                    none.as_slice()
                }
            };
            // A few lines of the cache, which stay there for all taps.
            let values: [&[f32]; VALUES] = std::array::from_fn(taps_of);
            isa.run(OfRow { values, lines: &mut lines[row..] });
        }
    })
}

/// One row of the tiles of all taps.
struct OfRow<'a> {
    values: [&'a [f32]; VALUES],
    lines: &'a mut [Line],
}

impl WithSimd for OfRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (tap, line) in self.lines.iter_mut().step_by(PAIR).enumerate() {
            let mut values = [0.0; VALUES];
            for (value, taps) in values.iter_mut().zip(self.values) {
                *value = taps[tap];
            }
            for (to, value) in line.0.iter_mut().zip(values) {
                *to = bf16::of(value);
            }
        }
    }
}
