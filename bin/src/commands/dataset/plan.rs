//! `sconce dataset plan`: networks for a data set, in nnU-Net's format.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sconce::data::{Dataset, LayoutConfig};
use sconce::engine::{self, file};
use sconce::preprocess;
use serde::Serialize;

use super::shared;
use crate::output::Output;
use crate::progress::Progress;

/// One of nnU-Net's networks, as the command line names it.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Preset {
    /// The plain U-Net, for 8 GB
    #[default]
    Plain,
    /// Residual encoder, for 9 to 11 GB
    ResencM,
    /// Residual encoder, for 24 GB
    ResencL,
    /// Residual encoder, for 40 GB
    ResencXl,
}

impl From<Preset> for preprocess::Preset {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Plain => Self::Plain,
            Preset::ResencM => Self::ResencM,
            Preset::ResencL => Self::ResencL,
            Preset::ResencXl => Self::ResencXl,
        }
    }
}

/// Reads a number of gigabytes.
pub(super) fn memory(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(gigabytes) if gigabytes.is_finite() && gigabytes > 0.0 => Ok(gigabytes),
        _ => Err("give a positive number of GB".to_owned()),
    }
}

/// What the command line asks for.
pub(super) struct Wanted<'a> {
    pub(super) preset: preprocess::Preset,
    pub(super) memory: Option<f64>,
    pub(super) folder: &'a Path,
    pub(super) output: &'a Path,
    pub(super) recipe: Option<&'a Path>,
    pub(super) configuration: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Written {
    output: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipe: Option<PathBuf>,
    configurations: Vec<String>,
    /// A paragraph for each choice.
    explanation: Vec<String>,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for paragraph in &self.explanation {
            writeln!(f, "{paragraph}\n")?;
        }
        write!(f, "wrote {} to {}", self.configurations.join(", "), self.output.display())?;
        if let Some(recipe) = &self.recipe {
            write!(f, "\nwrote a run file to {}", recipe.display())?;
        }
        Ok(())
    }
}

/// Writes the plans, and a run file where one is wanted.
pub(super) fn run(
    dataset: &dyn Dataset,
    layout: &LayoutConfig,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Output> {
    let progress = Mutex::new(Progress::new("plan"));
    let mut planned =
        engine::plan_data_set(dataset, wanted.preset, wanted.memory, &|done, total| {
            shared(&progress).count("cases", done, total);
        })?;
    shared(&progress).finish();
    // nnU-Net knows a data set by its folder.
    if let Some(name) = wanted.folder.file_name().and_then(|name| name.to_str())
        && name.starts_with("Dataset")
    {
        name.clone_into(&mut planned.plans.dataset_name);
    }
    let plans = &planned.plans;
    let recipe = match wanted.recipe {
        Some(_) => {
            let has_volumes = plans.configurations.contains_key("3d_fullres");
            let default = if has_volumes { "3d_fullres" } else { "2d" };
            let configuration = wanted.configuration.unwrap_or(default);
            let data = (layout, dataset.description());
            Some(engine::planned_run(plans, wanted.output, configuration, data)?)
        }
        None => None,
    };
    file::write_json(wanted.output, plans)?;
    if let (Some(path), Some(recipe)) = (wanted.recipe, recipe) {
        file::write_atomic(path, recipe.as_bytes())?;
    }
    Ok(Output::of(&Written {
        output: wanted.output.to_owned(),
        recipe: wanted.recipe.map(Path::to_owned),
        configurations: plans.configurations.keys().cloned().collect(),
        explanation: planned.explained(),
    }))
}
