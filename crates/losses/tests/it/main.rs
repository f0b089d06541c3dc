//! What every loss must satisfy, and what other implementations say that each should be.

mod config;
mod conformance;
mod device;
mod golden;
mod identities;
mod partial;
mod resolution;
mod upstream;
