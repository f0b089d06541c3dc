//! Scores of predictions.

mod calibration;
mod challenge;
mod channels;
mod compare;
mod config;
mod dataset;
pub(crate) mod definition;
mod doubt;
mod find;
mod lesions;
mod merging;
mod nnunet;
mod paired;
#[cfg(feature = "parquet")]
mod parquet;
mod part;
mod ranking;
mod raters;
mod reference;
mod regions;
mod scalings;
mod score;
mod scored;
mod table;
mod tables;

mod totals;

pub use self::channels::Predicted;
pub use self::compare::{ComparedScore, Comparison, ModelScore, Pair, compare};
pub use self::config::{Definitions, EvaluateConfig};
pub use self::dataset::{on_dataset, part_of_dataset};
pub use self::find::evaluation_file;
pub use self::nnunet::{Foreground, NnUNetCase};
pub(crate) use self::paired::{paired, ranked};
#[cfg(feature = "parquet")]
pub use self::parquet::parquet;
pub use self::part::{Part, merge};
pub use self::ranking::{ChallengePlace, ChallengeRanking};
pub use self::reference::{Reference, class_indices, most_probable};
pub use self::scalings::{Scaling, Scalings};
pub use self::score::Evaluator;
pub(crate) use self::score::MEAN;
pub use self::table::{
    Absent, Calibration, CaseScores, ChallengeSummary, ChosenThreshold, Definition, Evaluation,
    Failures, LesionScores, LesionSummary, RaterScores, RaterSummary, ReliabilityBin,
    ThresholdStudy, Unmatched, decimals,
};
pub use self::tables::{Row, csv, rows};
pub use metrics::Summary;
