//! Observers that every run may want. What is shown on a terminal is the program's.

mod checkpoint;
mod curves;
mod event_file;
mod log;
#[cfg(feature = "mlflow")]
mod mlflow;
mod pace;
mod tensorboard;

pub use self::checkpoint::Checkpoint;
pub use self::log::Log;
#[cfg(feature = "mlflow")]
pub use self::mlflow::{MlFlow, MlFlowLogin, MlFlowRun, MlFlowServer, RunStatus};
pub use self::tensorboard::TensorBoard;
