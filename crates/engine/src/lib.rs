//! Train, predict, evaluate: the one crate that knows all the others.
//!
//! | to do | use |
//! |---|---|
//! | read a run file | [`RunConfig::read`], with its [`Preset`] and the [`Sources`] of each value |
//! | train a network | [`fn@train`], [`train_with`] a [`Supervision`] of one's own |
//! | go on after an interruption | [`Run::resume`](train::Run), [`checkpoint`] |
//! | look into what a run sees | [`Loader`] by a [`Recipe`], [`Batch`], [`LabelSpace`], [`fn@step`] |
//! | decide how much memory prepared cases take, and where others lie | [`Storage`], [`Held`] |
//! | watch a run, and save it | [`Observer`], [`Event`], [`observe`] |
//! | read or write a trained network | [`Trained`], [`NetworkConfig`], [`StoredAs`] |
//! | know what its JSON files look like | [`SCHEMAS`], each a [`Schema`] |
//! | predict an image | [`Predictor`]; of a network that is told what to segment, [`Trained::prompted`], [`TextRecord`] |
//! | store what teachers say | [`Opinions`] |
//! | score predictions | [`evaluate`], each case scaled by its [`evaluate::Scalings`] |
//! | compare many runs that differ in what is under test | [`study`] |
//! | show results on a page | [`report`] |
//! | choose a device | [`DeviceChoice`] |
//!
//! Letters: `N` batch, `C` classes or channels, `*S` spatial axes, slowest first: `(D, H, W)`.

mod batch;
pub mod calibrate;
pub mod checkpoint;
mod colors;
pub mod config;
mod content;
mod course;
pub mod device;
mod distill;
mod door;
mod entropy;
mod error;
pub mod evaluate;
mod event;
pub mod file;
mod guard;
mod held_out;
mod kde;
mod label_space;
mod learner;
mod loader;
mod maps;
mod memory;
mod neighborhood;
mod network;
pub mod observe;
mod opinions;
mod origins;
mod plans;
mod postprocess;
mod precision;
pub mod predict;
mod pretrained;
mod preview;
mod producer;
mod prompts;
mod provenance;
mod recipe;
pub mod report;
mod resident_memory;
mod run_folder;
mod schema;
mod session;
mod spare_memory;
mod step;
mod storage;
mod stored_as;
pub mod study;
mod supervise;
pub mod train;
mod trained;
mod validate;
pub mod weights;

pub use crate::batch::Batch;
pub use crate::config::{PRESETS, PredictConfig, Preset, RunConfig, Sources};
pub use crate::course::Course;
pub use crate::device::DeviceChoice;
pub use crate::distill::{SupervisionConfig, TermWeight};
pub use crate::entropy::entropy;
pub use crate::error::{Error, Result};
pub use crate::event::{EpochSummary, Event, Observer};
pub use crate::kde::KdeConfig;
pub use crate::label_space::LabelSpace;
pub use crate::loader::Loader;
pub use crate::maps::MapSettings;
pub use crate::memory::{MemoryEstimate, MemoryMeter};
pub use crate::network::plan_run;
pub use crate::opinions::{OpinionRecord, Opinions, TeacherRecord};
pub use crate::origins::{Origins, Transfer};
pub use crate::plans::{plan_data_set, planned_model, planned_run};
pub use crate::postprocess::{
    Postprocess, PostprocessFound, PostprocessStep, PostprocessTrial, Threshold, search_postprocess,
};
pub use crate::precision::Precision;
pub use crate::predict::{ClassStatistics, Statistics};
pub use crate::predict::{
    Ensemble, NetworkNeeds, Prediction, PredictionNeeds, Predictor, PreparedImage, Segmentation,
    Wanted, available_memory,
};
pub use crate::pretrained::{PretrainedConfig, PretrainedEncoder};
pub use crate::preview::{Preview, preview};
pub use crate::prompts::{TextConfig, TextRecord};
pub use crate::provenance::{Provenance, RunProvenance};
pub use crate::recipe::Recipe;
pub use crate::resident_memory::resident_memory;
pub use crate::run_folder::RunFolder;
pub use crate::schema::{SCHEMAS, Schema};
pub use crate::step::{StepOutcome, step};
pub use crate::storage::{Held, Storage};
pub use crate::stored_as::StoredAs;
pub use crate::supervise::{LabelSupervision, Progress, Supervision, Term};
pub use crate::train::{Outcome, Run, train, train_with};
pub use crate::trained::{NetworkConfig, Trained, WeightsMetadata};
pub use crate::validate::{Validation, validate};
