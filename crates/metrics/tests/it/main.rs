//! What holds for all of the crate: reference values, empty cases and properties.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod challenge_properties;
mod conformance;
mod golden;
mod mask_properties;
mod probability_properties;
