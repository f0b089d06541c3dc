//! What the crates' own pages do not say, because it concerns several of them.
//!
//! | page | |
//! |---|---|
//! | [`getting_started`] | from a run file to a prediction |
//! | [`training`] | settings and presets, memory, interruptions, folds, several processes |
//! | [`datasets`] | which folders are read, where published sets are to be had, how papers divided them |
//! | [`metrics`] | every score: formula, unit, what it is of empty masks, whose definition |
//! | [`prediction`] | what is written, memory, post-processing, several networks averaged |
//! | [`studies`] | many runs that differ in what is under test, one table with tests |
//! | [`zoo`] | models of the Hugging Face hub: getting, publishing and signing them |
//! | [`prompts`] | one network for data sets that label different classes, told in words what to segment |
//! | [`nnunet`] | networks of nnU-Net here, and ours there |
//! | [`onnx`] | models as files for other runtimes: what goes in, what comes out, how exact it is |
//! | [`monai`] | bundles of MONAI and networks of segmentation-models-pytorch |
//! | [`clusters`] | arrays of jobs, jobs that are stopped, and shards, for Slurm and Kubernetes |
//! | [`threads`] | one number of threads for every pool |
//! | [`candle`] | what candle gets wrong, and what to use instead |

#[doc = include_str!("../guide/getting-started.md")]
pub mod getting_started {}

#[doc = include_str!("../guide/training.md")]
pub mod training {}

#[doc = include_str!("../guide/datasets.md")]
pub mod datasets {}

#[doc = include_str!("../guide/metrics.md")]
pub mod metrics {}

#[doc = include_str!("../guide/prediction.md")]
pub mod prediction {}

#[doc = include_str!("../guide/studies.md")]
pub mod studies {}

#[doc = include_str!("../guide/zoo.md")]
pub mod zoo {}

#[doc = include_str!("../guide/prompts.md")]
pub mod prompts {}

#[doc = include_str!("../guide/nnunet.md")]
pub mod nnunet {}

#[doc = include_str!("../guide/onnx.md")]
pub mod onnx {}

#[doc = include_str!("../guide/monai.md")]
pub mod monai {}

#[doc = include_str!("../guide/clusters.md")]
pub mod clusters {}

#[doc = include_str!("../guide/threads.md")]
pub mod threads {}

#[doc = include_str!("../guide/candle.md")]
pub mod candle {}
