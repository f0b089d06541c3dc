//! Files of PyTorch: real ones, damaged ones, and those that mean harm.

mod archive;
mod files;
mod golden;
mod pickle;
