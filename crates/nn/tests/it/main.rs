//! What must hold of every layer, optimizer and parameter store.

mod device;
mod golden;
mod golden_ops;
