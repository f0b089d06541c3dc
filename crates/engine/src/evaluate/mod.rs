//! Scores of predictions.

mod calibration;
mod definition;
mod reference;
mod regions;
mod score;
mod table;

pub use self::reference::Reference;
pub use self::score::{Evaluator, on_dataset};
pub use self::table::{Aggregate, Calibration, CaseScores, Definition, Evaluation, ReliabilityBin};
