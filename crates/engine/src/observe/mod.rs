//! Observers that every run may want. What is shown on a terminal is the program's.

mod checkpoint;
mod event_file;
mod log;
mod pace;
mod tensorboard;

pub use self::checkpoint::Checkpoint;
pub use self::log::Log;
pub use self::tensorboard::TensorBoard;
