//! What holds for all of the crate: reference files, properties, refusals.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod golden;

use peak_alloc::PeakAlloc;

/// Counts bytes, so that tests can say how many a damaged file may cost.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;
