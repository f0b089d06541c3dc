//! What holds for all of the crate: reference files, properties, refusals.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::float_cmp, reason = "values that are copied, not computed")]

mod checks;
mod config;
mod convert;
mod damage;
mod dicom;
mod folder;
mod golden;
mod inputs;
mod mend;
mod nnunet;
mod npz;
mod pairs;
#[cfg(feature = "parquet")]
mod parquet;
mod partial;
mod phantom;
mod published;
mod raters;
mod round_trip;
mod samples;
mod text_headers;
mod writers;

use peak_alloc::PeakAlloc;

/// Counts bytes, so that tests can say how many a damaged file may cost.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;
