//! What preprocessing must satisfy, and how it compares with the implementations that it follows.

mod golden;
mod properties;
