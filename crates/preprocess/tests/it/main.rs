//! What preprocessing must satisfy, and how it compares with the implementations that it follows.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers of reference cases are small"
)]
#![expect(clippy::unwrap_used, reason = "a test that cannot make its input fails")]

mod golden;
mod plans;
mod properties;
