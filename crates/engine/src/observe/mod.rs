//! Observers that every run may want. The progress bar is the program's.

mod checkpoint;
mod log;

pub use self::checkpoint::Checkpoint;
pub use self::log::Log;
