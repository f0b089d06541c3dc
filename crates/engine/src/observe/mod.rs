//! Observers that every run may want. The progress bar is the program's.

mod log;

pub use self::log::Log;
