//! The tiles of the processor.
//!
//! Rust has no stable intrinsics for them, but it has their names: `asm!`. A tile keeps its contents from
//! one `asm!` to the next because nothing else uses tiles between [`Hardware::configure`] and the end: the
//! compiler makes code without them, for it may not assume that processors have them, and what is called
//! meanwhile is our own. The system saves and restores them where threads take turns and at signals.

use std::arch::asm;

use half::bf16;

use super::gate;
use super::tiles::{Sums, Tiles, check};

/// The right of this process to use tiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant(());

impl Grant {
    /// Where the processor has tiles and the system lets this process use them.
    pub(crate) fn new() -> Option<Self> {
        #[cfg(test)]
        if super::tests::is_caught() {
            return Some(Self(()));
        }
        gate::is_open().then_some(Self(()))
    }
}

/// The tiles of this thread.
pub(super) struct Hardware {
    /// They belong to a thread.
    _thread: std::marker::PhantomData<*mut ()>,
}

/// Shapes of tiles, as the instruction reads them.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    first_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

static SHAPES: Shapes = {
    let (mut bytes, mut rows) = ([0; 16], [0; 16]);
    let mut tile = 0;
    while tile < 8 {
        bytes[tile] = 64;
        rows[tile] = 16;
        tile += 1;
    }
    Shapes { palette: 1, first_row: 0, reserved: [0; 14], bytes, rows }
};

/// Bytes from one row of sums to the next.
const ROW: usize = 64;

#[expect(unsafe_code, reason = "instructions without intrinsics")]
impl Tiles for Hardware {
    type Grant = Grant;

    #[inline(always)]
    fn configure(_: Grant) -> Self {
        // SAFETY: a grant says that the instructions are there and permitted. It reads `SHAPES`, which are
        // shapes that all processors with tiles have, and changes tiles alone.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly, preserves_flags));
        }
        Self { _thread: std::marker::PhantomData }
    }

    #[inline(always)]
    fn zero<const TILE: usize>(&mut self) {
        // SAFETY: tiles are configured as long as there is `self`; the instruction changes one alone.
        unsafe {
            asm!("tilezero tmm{}", const TILE, options(nostack, nomem, preserves_flags));
        }
    }

    #[inline(always)]
    fn load<const TILE: usize>(&mut self, values: &[bf16], at: usize, step: usize) {
        check(values.len(), at, step);
        // SAFETY: tiles are configured as long as there is `self`. The 16 rows of 64 bytes that are read,
        // `step` values of 2 bytes apart, lie in `values`.
        unsafe {
            asm!(
                "tileloadd tmm{tile}, [{first} + {step}*1]",
                tile = const TILE,
                first = in(reg) values.as_ptr().add(at),
                step = in(reg) step * size_of::<bf16>(),
                options(nostack, readonly, preserves_flags),
            );
        }
    }

    #[inline(always)]
    fn store<const TILE: usize>(&self, sums: &mut Sums) {
        // SAFETY: tiles are configured as long as there is `self`. The 16 rows of 64 bytes that are written
        // are those of `sums`, in which all bits are values.
        unsafe {
            asm!(
                "tilestored [{first} + {step}*1], tmm{tile}",
                tile = const TILE,
                first = in(reg) sums,
                step = in(reg) ROW,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    fn multiply<const SUM: usize, const LEFT: usize, const RIGHT: usize>(&mut self) {
        const { assert!(SUM != LEFT && SUM != RIGHT && LEFT != RIGHT, "a tile used twice") };
        // SAFETY: tiles are configured as long as there is `self`, so that their shapes fit each other;
        // the instruction changes one alone.
        unsafe {
            asm!(
                "tdpbf16ps tmm{sum}, tmm{left}, tmm{right}",
                sum = const SUM,
                left = const LEFT,
                right = const RIGHT,
                options(nostack, nomem, preserves_flags),
            );
        }
    }
}

impl Drop for Hardware {
    #[inline(always)]
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "instructions without intrinsics")]
        // SAFETY: the instruction is there, as this value has been made; it changes tiles alone.
        unsafe {
            asm!("tilerelease", options(nostack, nomem, preserves_flags));
        }
    }
}
