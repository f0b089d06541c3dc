//! The commands: one file each, with its arguments, what it does, and what it reports.

mod compare;
mod dataset;
mod device;
mod distill;
mod evaluate;
mod labels;
mod losses;
mod models;
mod postprocess;
mod predict;
mod prompts;
mod quickstart;
mod report;
mod study;
mod train;
mod zoo;

use clap::Subcommand;

use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Quickstart(quickstart::Args),
    Device(device::Args),
    #[command(subcommand)]
    Dataset(dataset::Command),
    #[command(subcommand)]
    Labels(labels::Command),
    #[command(subcommand)]
    Distill(distill::Command),
    Train(train::Args),
    Predict(predict::Args),
    #[command(subcommand)]
    Postprocess(postprocess::Command),
    Evaluate(evaluate::Args),
    Compare(compare::Args),
    Study(study::Args),
    Report(report::Args),
    #[command(subcommand)]
    Zoo(zoo::Command),
    Losses(losses::Args),
    Models(models::Args),
}

impl Command {
    pub(crate) fn run(&self) -> anyhow::Result<Output> {
        match self {
            Self::Quickstart(args) => quickstart::run(args),
            Self::Device(args) => device::run(args),
            Self::Dataset(command) => dataset::run(command),
            Self::Labels(command) => labels::run(command),
            Self::Distill(command) => distill::run(command),
            Self::Train(args) => train::run(args),
            Self::Predict(args) => predict::run(args),
            Self::Postprocess(command) => postprocess::run(command),
            Self::Evaluate(args) => evaluate::run(args),
            Self::Compare(args) => compare::run(args),
            Self::Study(args) => study::run(args),
            Self::Report(args) => report::run(args),
            Self::Zoo(command) => zoo::run(command),
            Self::Losses(args) => losses::run(args),
            Self::Models(args) => models::run(args),
        }
    }
}
