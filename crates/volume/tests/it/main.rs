//! What holds for all of the crate: reference values and properties.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod golden;
mod properties;
