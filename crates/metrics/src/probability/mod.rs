//! Predicted probabilities, and the truth that they are compared with.

mod pair;
mod truth;
mod values;

pub use self::pair::{ProbabilityPair, Voxel};
pub use self::truth::Truth;
pub use self::values::{Float, Probabilities};
