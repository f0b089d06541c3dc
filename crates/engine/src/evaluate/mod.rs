//! Scores of predictions.

mod calibration;
mod definition;
mod merging;
mod reference;
mod regions;
mod score;
mod table;
mod temperatures;

pub use self::reference::Reference;
pub use self::score::{Evaluator, on_dataset};
pub use self::table::{Calibration, CaseScores, Definition, Evaluation, ReliabilityBin, decimals};
pub use self::temperatures::{Scaling, Temperatures};
pub use metrics::Summary;
