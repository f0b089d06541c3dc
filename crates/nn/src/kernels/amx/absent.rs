//! The tiles of a processor that has none.

use half::bf16;

use super::tiles::{Sums, Tiles};

/// The right to use the tiles, which nobody has here.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Grant {}

impl Grant {
    /// None.
    pub(crate) fn new() -> Option<Self> {
        None
    }
}

/// The tiles, which there are not.
pub(super) struct Hardware(Grant);

impl Tiles for Hardware {
    type Grant = Grant;

    fn configure(grant: Grant) -> Self {
        Self(grant)
    }

    fn zero<const TILE: usize>(&mut self) {
        match self.0 {}
    }

    fn load<const TILE: usize>(&mut self, _: &[bf16], _: usize, _: usize) {
        match self.0 {}
    }

    fn store<const TILE: usize>(&self, _: &mut Sums) {
        match self.0 {}
    }

    fn multiply<const SUM: usize, const LEFT: usize, const RIGHT: usize>(&mut self) {
        match self.0 {}
    }
}
