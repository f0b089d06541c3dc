//! `sconce dataset`: look at data before training on them.

mod check;
mod convert;
mod get;
mod plan;
mod preview;
mod split;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::bail;
use sconce::data::{
    self, Dataset, ImageInfo, Layout as _, LayoutConfig, Phantom, PhantomConfig, PhantomOrgan,
    Problem,
};
use sconce::engine::Provenance;
use sconce::engine::{self, RunConfig, file};
use serde::Serialize;

use crate::command_line::command_line;
use crate::output::{Output, Usage};
use crate::progress::Progress;

/// Check, summarise or make data sets
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Look for everything that is wrong with a data folder, and say how to mend it
    Check {
        #[command(flatten)]
        source: Source,
        /// A division into folds, as nnU-Net's `splits_final.json`, in which what is held out must be apart
        #[arg(long, value_name = "FILE")]
        splits: Option<PathBuf>,
        /// Copy the folder to this one, and mend there what can be mended without doubt; then look at the copy
        #[arg(long, value_name = "DIR", conflicts_with_all = ["splits", "shard", "facts"])]
        fix: Option<PathBuf>,
        #[command(flatten)]
        part: check::Part,
    },
    /// Say what a data folder, or a single image file, holds
    Summary {
        #[command(flatten)]
        source: Source,
        /// A page to write as well, with pictures, intensities, volumes and agreement of raters
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// How many cases the page shows
        #[arg(long, default_value_t = 12, value_name = "N", requires = "html")]
        pictures: u16,
    },
    /// Write a data set in another layout, or a single image in another format; geometry is kept
    Convert {
        #[command(flatten)]
        source: Source,
        /// The folder to make, or, of a single image, the file
        output: PathBuf,
        /// The layout that is wanted of a data set
        #[arg(long, value_enum, value_name = "LAYOUT")]
        to: Option<convert::Layout>,
        /// What the values of a single image are
        #[arg(long, value_enum, value_name = "KIND", default_value_t, conflicts_with = "to")]
        kind: convert::Kind,
        #[command(flatten)]
        of: convert::Of,
    },
    /// Say where published data sets are to be had, and how their folders must look; or get one from the hub
    Get {
        /// One of them, as run files name it; or hub:owner/name
        name: Option<String>,
        /// The folder that a data set of the hub goes to; default: one of its name, here
        #[arg(long, short, value_name = "DIR")]
        output: Option<PathBuf>,
    },
    /// Write a picture of patches as training sees them, with their target tinted
    Preview {
        #[command(flatten)]
        source: Source,
        /// The PNG file to write
        output: PathBuf,
        /// How many cases to show
        #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
        cases: u16,
        /// How often each is varied by the augmentation, beside itself
        #[arg(long, default_value_t = 0, default_missing_value = "5", num_args = 0..=1, value_name = "N")]
        augment: u8,
    },
    /// Plan networks by nnU-Net's rules, in nnU-Net's format, and say why; every case is read
    Plan {
        #[command(flatten)]
        source: Source,
        /// The file to write, which nnU-Net calls nnUNetPlans.json
        output: PathBuf,
        /// For which of nnU-Net's networks
        #[arg(long, value_enum, value_name = "NAME", default_value_t)]
        preset: plan::Preset,
        /// Memory to plan for, GB of the device as nnU-Net counts them; default: what the preset is made for
        #[arg(long, value_name = "GB", value_parser = plan::memory)]
        memory: Option<f64>,
        /// A run file to write as well, which trains one of the configurations
        #[arg(long, value_name = "FILE")]
        recipe: Option<PathBuf>,
        /// The configuration of that run file; default: that of full resolution, in 3D where there are volumes
        #[arg(long, value_name = "NAME", requires = "recipe")]
        configuration: Option<String>,
    },
    /// Write which cases each fold holds out, as nnU-Net's `splits_final.json`; no image is read
    Split {
        #[command(flatten)]
        source: Source,
        /// The file to write
        output: PathBuf,
        /// By which rule
        #[arg(long, value_enum, value_name = "RULE", default_value_t)]
        rule: split::Rule,
        /// The number of folds
        #[arg(long, default_value_t = 5, value_name = "N")]
        folds: usize,
        /// The seed of the shuffle, where the rule has one
        #[arg(long, default_value_t = data::NNUNET_SEED, value_name = "N")]
        seed: u32,
    },
    /// Write a generated data set of several raters, as QUBIQ lays out its folders
    Phantom {
        /// The folder to make
        output: PathBuf,
        /// The number of cases
        #[arg(long, default_value_t = 12, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        cases: u16,
        /// The number of raters
        #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        raters: u16,
        /// 2: slices; 3: volumes
        #[arg(long, default_value_t = 3, value_name = "2|3", value_parser = clap::value_parser!(u8).range(2..=3))]
        rank: u8,
        /// Where all randomness comes from
        #[arg(long, default_value_t = 0, value_name = "N")]
        seed: u64,
        /// Which organs are labelled, each a class of its own; images show both; default: one organ and its lesions
        #[arg(long, value_enum, value_delimiter = ',', value_name = "ORGAN")]
        organs: Vec<Organ>,
    },
}

/// An organ of the phantom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Organ {
    // The large one.
    Liver,
    // The small, bright one on the other side.
    Kidney,
}

impl From<Organ> for PhantomOrgan {
    fn from(organ: Organ) -> Self {
        match organ {
            Organ::Liver => Self::Liver,
            Organ::Kidney => Self::Kidney,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// A data folder, or a single image file
    path: PathBuf,
    /// How the folder is laid out; default: recognised where it can be
    #[arg(long, value_name = "NAME", conflicts_with = "run")]
    layout: Option<String>,
    /// A run file whose [data] says how the folder is laid out
    #[arg(long, value_name = "FILE")]
    run: Option<PathBuf>,
}

impl Source {
    /// The run file, or what run files say by default.
    fn config(&self) -> anyhow::Result<RunConfig> {
        match &self.run {
            Some(run) => Ok(RunConfig::read(run)?),
            None => Ok(RunConfig::from_text(
                "schema = 1\n[data.phantom]\n[model.unet]\n[loss.dice]\n[optimizer.sgd]\n[schedule.poly]",
            )?),
        }
    }

    /// The data set, and what is to be remarked of a published one.
    fn open(&self) -> anyhow::Result<(Box<dyn Dataset>, Option<Problem>)> {
        let (dataset, layout) = self.open_with_layout()?;
        let remark =
            layout.source().and_then(|source| source.remark(dataset.as_ref(), layout.whole()));
        Ok((dataset, remark))
    }

    /// The data set, and how its folder is laid out.
    fn open_with_layout(&self) -> anyhow::Result<(Box<dyn Dataset>, LayoutConfig)> {
        if self.path.is_file() {
            bail!("{} is a file; give a data folder", self.path.display());
        }
        let layout = match (&self.run, &self.layout) {
            (Some(run), _) => RunConfig::read(run)?.data,
            (None, Some(name)) => LayoutConfig::defaults()
                .into_iter()
                .find(|layout| layout.name() == name)
                .ok_or_else(|| {
                    let names = LayoutConfig::NAMES.join(", ");
                    Usage(format!("{name} is not a layout; there are {names}"))
                })?,
            (None, None) => data::recognize(&self.path)?,
        };
        Ok((layout.open(&self.path)?, layout))
    }
}

pub(crate) fn run(command: &Command) -> anyhow::Result<Output> {
    match command {
        Command::Check { source, fix: Some(output), .. } => {
            let (_, layout) = source.open_with_layout()?;
            let progress = Mutex::new(Progress::new("check"));
            let mended = data::mend(layout.as_dyn(), &source.path, output, &|done, total| {
                shared(&progress).count("cases", done, total);
            })?;
            shared(&progress).finish();
            let failed = mended.report.errors() > 0;
            Ok(Output::of(&mended).failing_if(failed))
        }
        Command::Check { source, splits, part, .. } => check::run(source, splits.as_deref(), part),
        Command::Summary { source, html, .. } if source.path.is_file() => {
            if html.is_some() {
                bail!("{} is a file; a page is of a data folder", source.path.display());
            }
            Ok(Output::of(&ImageInfo::read(&source.path)?))
        }
        Command::Summary { source, html, pictures } => {
            let (dataset, _) = source.open()?;
            let progress = Mutex::new(Progress::new("summary"));
            let observe = |done, total| shared(&progress).count("cases", done, total);
            let summary = match html {
                None => data::summary(dataset.as_ref(), &observe),
                Some(path) => {
                    let (summary, page) = engine::report::data_set(
                        dataset.as_ref(),
                        usize::from(*pictures),
                        &Provenance::of_command(&command_line()),
                        &observe,
                    )?;
                    file::write_atomic(path, page.as_bytes())?;
                    summary
                }
            };
            shared(&progress).finish();
            Ok(Output::of(&summary))
        }
        Command::Convert { source, output, to, kind, of } => {
            convert::run(source, output, *to, *kind, of)
        }
        Command::Get { name, output } => get::run(name.as_deref(), output.as_deref()),
        Command::Preview { source, output, cases, augment } => {
            let config = source.config()?;
            let dataset = source.open()?.0;
            preview::run(
                dataset.as_ref(),
                &config,
                usize::from(*cases),
                usize::from(*augment),
                output,
            )
        }
        Command::Plan { source, output, preset, memory, recipe, configuration } => {
            let (dataset, layout) = source.open_with_layout()?;
            let wanted = plan::Wanted {
                preset: (*preset).into(),
                memory: *memory,
                folder: &source.path,
                output,
                recipe: recipe.as_deref(),
                configuration: configuration.as_deref(),
            };
            plan::run(dataset.as_ref(), &layout, &wanted)
        }
        Command::Split { source, output, rule, folds, seed } => {
            split::run(source.open()?.0.as_ref(), (*rule).into(), *folds, *seed, output)
        }
        Command::Phantom { output, cases, raters, rank, seed, organs } => {
            let planar = |size: [usize; 3]| if *rank == 2 { [1, size[1], size[2]] } else { size };
            let default = PhantomConfig::default();
            let (cases, raters, seed) = (usize::from(*cases), usize::from(*raters), *seed);
            let organs = organs.iter().copied().map(PhantomOrgan::from).collect();
            let size = planar(default.size);
            let config = PhantomConfig { cases, raters, seed, size, organs, ..default };
            make(config, output)
        }
    }
}

/// Several threads tell of their progress.
fn shared(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make(config: PhantomConfig, output: &Path) -> anyhow::Result<Output> {
    if output.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty; remove it, or name another folder", output.display());
    }
    let report = Made { output: output.to_owned(), cases: config.cases, raters: config.raters };
    let mut progress = Progress::new("phantom");
    Phantom::new(config)?.write(output, |done, total| progress.count("cases", done, total))?;
    progress.finish();
    Ok(Output::of(&report))
}

#[derive(Debug, Serialize)]
struct Made {
    output: PathBuf,
    cases: usize,
    raters: usize,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "wrote {} cases of {} raters to {}",
            self.cases,
            self.raters,
            self.output.display()
        )
    }
}
