//! `sconce zoo pack`: a model folder of a finished run.

use std::path::PathBuf;

use sconce::zoo::{self, DataSet, PackOptions};

use crate::commands::train::title;
use crate::output::Output;

/// Which run, and what is to be said of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Pack {
    /// The run folder, or one with a folder for each fold
    run: PathBuf,
    /// The model folder to make
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// The model's name; default: the folder's
    #[arg(long)]
    name: Option<String>,
    /// The licence of the weights, which follows the data's, such as cc-by-4.0
    #[arg(long, default_value = "other")]
    license: String,
    /// A file with the text of the licence
    #[arg(long, value_name = "FILE")]
    license_text: Option<PathBuf>,
    /// One paragraph on what the model is for
    #[arg(long, default_value = "")]
    description: String,
    /// What it is not for, beyond what every card says
    #[arg(long, default_value = "", value_name = "TEXT")]
    not_for: String,
    /// A data set that it was trained on: NAME, NAME,LICENCE or NAME,LICENCE,SOURCE; repeatable
    #[arg(long = "data-set", value_name = "DATA")]
    data_sets: Vec<DataSet>,
    /// Whose the model is, for its CITATION.cff: "Family, Given", or a group; repeatable
    #[arg(long = "author", value_name = "NAME")]
    authors: Vec<String>,
    /// A CITATION.cff of your own
    #[arg(long, value_name = "FILE", conflicts_with = "authors")]
    citation: Option<PathBuf>,
    /// Of a distilled network: its teacher on the hub, owner/name
    #[arg(long, value_name = "NAME")]
    base_model: Option<String>,
}

impl Pack {
    pub(super) fn run(&self) -> anyhow::Result<Output> {
        let options = PackOptions {
            name: self.name.clone().unwrap_or_else(|| title(&self.output)),
            license: self.license.clone(),
            license_text: self.license_text.clone(),
            description: self.description.clone(),
            not_for: self.not_for.clone(),
            datasets: self.data_sets.clone(),
            authors: self.authors.clone(),
            citation: self.citation.clone(),
            base_model: self.base_model.clone(),
            ..PackOptions::default()
        };
        Ok(Output::of(&zoo::pack(&self.run, &self.output, &options)?))
    }
}
