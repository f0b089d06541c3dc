//! `sconce labels`: what several raters make of one image.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sconce::data;
use sconce::preprocess::{Agreement, Fusion, Staple, StapleEstimate, Truth, fuse, rng};
use sconce::volume::{Image, Label, LabelMap, SoftLabelMap};
use serde::Serialize;

use crate::output::{Output, Usage};

/// Make one label of the masks of several raters
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Fuse the masks of several raters, and say how far they agree
    Fuse(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One mask for each rater, on one grid
    #[arg(required = true, value_name = "MASK")]
    masks: Vec<PathBuf>,
    /// Where to put the label: class probabilities where raters are averaged or weighed, else a label map
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// How raters become one label
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    fusion: Way,
    /// In a weighted mean, a rater without any overlap weighs 1, as in the published code, and not 0
    #[arg(long)]
    quirk: bool,
    /// Where the draw of a random rater comes from
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Also write the share of pairs of raters who agree, voxel by voxel, to this file
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
}

/// The ways of a run file's [labels].
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum Way {
    #[default]
    Mean,
    WeightedMean,
    Majority,
    RandomRater,
    Staple,
    Any,
    Intersection,
}

impl Way {
    fn fusion(self, quirk: bool) -> Fusion {
        match self {
            Self::Mean => Fusion::Mean,
            Self::WeightedMean => Fusion::WeightedMean { quirk },
            Self::Majority => Fusion::Majority,
            Self::RandomRater => Fusion::RandomRater,
            Self::Staple => Fusion::Staple,
            Self::Any => Fusion::Any,
            Self::Intersection => Fusion::Intersection,
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    output: PathBuf,
    map: Option<PathBuf>,
    /// The values of the classes, background first.
    classes: Vec<u16>,
    raters: Vec<Rater>,
    /// The mean over pairs of raters and classes.
    mean_dice: Option<f64>,
    kappa: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Rater {
    mask: PathBuf,
    with_majority: f64,
    /// The mean Dice with each rater, over the classes that either drew.
    dice: Vec<Option<f64>>,
    /// Of the foreground, against what STAPLE takes for the truth.
    sensitivity: Option<f64>,
    specificity: Option<f64>,
}

/// Values that are classes: more of them are grey values.
const MOST: usize = 256;

pub(crate) fn run(command: &Command) -> anyhow::Result<Output> {
    let Command::Fuse(args) = command;
    for path in [Some(&args.output), args.map.as_ref()].into_iter().flatten() {
        if path.exists() {
            bail!("{} is there already; remove it, or name another file", path.display());
        }
    }
    if args.quirk && !matches!(args.fusion, Way::WeightedMean) {
        return Err(Usage("--quirk is of --fusion weighted_mean alone".to_owned()).into());
    }
    if args.map.as_ref() == Some(&args.output) {
        return Err(Usage("--map and --output name the same file".to_owned()).into());
    }
    let read = |path: &PathBuf| data::read_label_map(path);
    let masks = args.masks.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let values: BTreeSet<u16> = masks.iter().flat_map(|mask| mask.data.iter().copied()).collect();
    // The background is a class whether or not anybody left some.
    let classes: Vec<u16> =
        [0].into_iter().chain(values).collect::<BTreeSet<_>>().into_iter().collect();
    if classes.len() > MOST {
        bail!(
            "the masks hold {} values, more than {MOST}; give masks, whose values are classes, not images",
            classes.len()
        );
    }
    if classes.len() < 2 {
        bail!("no mask holds any foreground; give masks of raters who drew something");
    }
    let indexed: Vec<LabelMap> = masks.into_iter().map(|mask| to_indices(mask, &classes)).collect();
    let label = Label::raters(indexed).with_context(|| {
        format!("{} and the masks after it do not lie on one grid", args.masks[0].display())
    })?;
    let fusion = args.fusion.fusion(args.quirk);
    let truth = fuse(&label, classes.len(), &fusion, &mut rng(args.seed, 0, "fuse"))?;
    let Label::Raters(masks) = &label else { bail!("raters are raters") };
    let views: Vec<_> = masks.iter().map(|mask| mask.data.view()).collect();
    let agreement = Agreement::of(&views, classes.len())?;
    let drawn: Vec<_> =
        masks.iter().map(|mask| mask.data.mapv(|class| u16::from(class > 0))).collect();
    let drawn: Vec<_> = drawn.iter().map(|mask| mask.view()).collect();
    let staple = StapleEstimate::of(&drawn, Staple::default())?;
    write(&args.output, truth, &label, &classes)?;
    if let Some(path) = &args.map {
        let map = agreement.map.clone().insert_axis(ndarray::Axis(0));
        let written = data::write_image(path, &Image::new(label.grid().clone(), map)?);
        if let Err(error) = written {
            // Both or none.
            fs::remove_file(&args.output)?;
            return Err(error.into());
        }
    }
    let finite = |value: f64| value.is_finite().then_some(value);
    let rater = |(at, mask): (usize, &PathBuf)| Rater {
        mask: mask.clone(),
        with_majority: agreement.with_majority[at],
        dice: agreement.dice[at].iter().map(|classes| mean(classes)).collect(),
        sensitivity: finite(staple.sensitivity[at]),
        specificity: finite(staple.specificity[at]),
    };
    Ok(Output::of(&Report {
        output: args.output.clone(),
        map: args.map.clone(),
        raters: args.masks.iter().enumerate().map(rater).collect(),
        mean_dice: agreement.mean_dice(),
        kappa: agreement.kappa,
        classes,
    }))
}

/// The mean of what is defined.
fn mean(values: &[Option<f64>]) -> Option<f64> {
    let defined: Vec<f64> = values.iter().copied().flatten().collect();
    (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
}

/// The index of each value.
fn to_indices(mut mask: LabelMap, classes: &[u16]) -> LabelMap {
    mask.data.mapv_inplace(|value| {
        let at = classes.iter().position(|class| *class == value).unwrap_or_default();
        // No more than values, of 16 bits.
        u16::try_from(at).unwrap_or_default()
    });
    mask
}

fn write(path: &Path, truth: Truth, label: &Label, classes: &[u16]) -> anyhow::Result<()> {
    let grid = label.grid().clone();
    match truth {
        Truth::Hard(mut labels) => {
            // Where raters abstain, there is no class.
            labels
                .mapv_inplace(|index| classes.get(usize::from(index)).copied().unwrap_or_default());
            data::write_label_map(path, &LabelMap::new(grid, labels)?)?;
        }
        Truth::Soft(shares) => data::write_soft_labels(path, &SoftLabelMap::new(grid, shares)?)?,
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<f64>| match value {
            Some(value) => format!("{value:.3}"),
            None => "-".to_owned(),
        };
        let width = self.raters.iter().map(|rater| rater.mask.display().to_string().len()).max();
        let width = width.unwrap_or_default().max(5);
        writeln!(
            f,
            "{:<width$}  majority  sensitivity  specificity  Dice with each rater",
            "rater"
        )?;
        for rater in &self.raters {
            let dice: Vec<String> = rater.dice.iter().map(|dice| number(*dice)).collect();
            writeln!(
                f,
                "{:<width$}  {:>8}  {:>11}  {:>11}  {}",
                rater.mask.display().to_string(),
                number(Some(rater.with_majority)),
                number(rater.sensitivity),
                number(rater.specificity),
                dice.join(" ")
            )?;
        }
        let (dice, kappa) = (number(self.mean_dice), number(self.kappa));
        writeln!(f, "mean Dice of pairs {dice}, Fleiss' kappa {kappa}")?;
        let classes: Vec<String> = self.classes.iter().map(u16::to_string).collect();
        writeln!(f, "classes, background first: {}", classes.join(", "))?;
        write!(f, "wrote {}", self.output.display())?;
        if let Some(map) = &self.map {
            write!(f, " and {}", map.display())?;
        }
        Ok(())
    }
}
