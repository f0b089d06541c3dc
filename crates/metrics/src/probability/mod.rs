//! Predicted probabilities, and the truth that they are compared with.

mod blocks;
mod pair;
mod truth;
mod values;

pub(crate) use self::blocks::{BLOCK, Block};
pub use self::pair::{ProbabilityPair, Voxel};
pub use self::truth::Truth;
pub use self::values::{Float, Probabilities};
