//! `sconce quickstart`: everything once, on generated data, without network.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use sconce::data::{Layout as _, Phantom, PhantomConfig};
use sconce::engine::evaluate::{Evaluation, decimals};
use sconce::engine::observe::{Log, TensorBoard};
use sconce::engine::{
    DeviceChoice, Observer, Origins, Run, RunConfig, RunFolder, Storage, file, report, train,
    validate,
};
use sconce::ranks::Alone;
use sconce::zoo::{self, PackOptions};
use serde::Serialize;

use crate::allocator::Meter;
use crate::command_line::command_line;
use crate::invocation::{invocation, quoted};
use crate::output::Output;
use crate::progress::Progress;

/// Generate data, train a 3D and a 2D network on soft labels, score, report and pack them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to put everything; must not exist, or be empty
    #[arg(long, short, default_value = "sconce-quickstart", value_name = "DIR")]
    output: PathBuf,
    /// auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t, value_name = "DEVICE")]
    device: DeviceChoice,
}

/// Held-out Dice of the organ that each network must reach.
const TARGET_DICE: f64 = 0.85;

/// The class that the target is for.
const ORGAN: &str = "organ";

struct Part {
    recipe: &'static str,
    data: PhantomConfig,
}

#[derive(Debug, Serialize)]
struct Trained {
    name: String,
    organ_dice: Option<f64>,
    pooled_ece_before: Option<f64>,
    pooled_ece_after: Option<f64>,
    seconds: f64,
    run: PathBuf,
    model: PathBuf,
    verified: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    output: PathBuf,
    #[serde(rename = "report")]
    page: PathBuf,
    models: Vec<Trained>,
    seconds: f64,
    /// What starts this program.
    #[serde(skip)]
    program: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    let root = &args.output;
    if root.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty; remove it, or name another folder with --output", root.display());
    }
    let device = super::train::open(args.device)?;
    let started = Instant::now();
    // Now, since a build may replace the program in the meantime.
    let program = invocation();
    let mut models = Vec::new();
    for part in parts() {
        models.push(one(&part, root, &device).with_context(|| format!("{} failed", part.recipe))?);
    }
    let runs: Vec<PathBuf> = models.iter().map(|model| model.run.clone()).collect();
    let page = root.join("report.html");
    file::write_atomic(&page, report::html(&report::of_folders(&runs)?).as_bytes())?;
    let seconds = started.elapsed().as_secs_f64();
    let output = Report { output: root.clone(), page, models, seconds, program };
    let good = |model: &Trained| {
        model.verified && model.organ_dice.is_some_and(|dice| dice >= TARGET_DICE)
    };
    let failed = !output.models.iter().all(good);
    Ok(Output::of(&output).failing_if(failed))
}

fn parts() -> [Part; 2] {
    [
        Part { recipe: "phantom-3d", data: PhantomConfig::default() },
        Part {
            recipe: "phantom-2d",
            data: PhantomConfig { size: [1, 64, 64], cases: 64, ..PhantomConfig::default() },
        },
    ]
}

fn one(part: &Part, root: &Path, device: &sconce::Device) -> anyhow::Result<Trained> {
    let started = Instant::now();
    let name = part.recipe;
    let data = root.join("data").join(name);
    let mut progress = Progress::new(name).on_device(device);
    let phase = format!("writing cases of {} raters", part.data.raters);
    let phantom = Phantom::new(part.data.clone())?;
    phantom.write(&data, |done, total| progress.count(&phase, done, total))?;
    progress.finish();

    let recipe = zoo::recipe(name).context("the program lacks a recipe of its own")?;
    let config = RunConfig::from_text(recipe.text)?;
    let dataset = config.data.open(&data)?;
    let run = root.join("runs").join(name);
    let folder = RunFolder::create(&run, false)?;
    let task = Run {
        config: &config,
        dataset: dataset.as_ref(),
        folder: &folder,
        device,
        resume: false,
        origins: Origins::default(),
        storage: Storage::default(),
        group: Arc::new(Alone),
        meter: Some(&Meter),
        command: &command_line(),
    };
    let mut log = Log::open(&folder.log())?;
    let mut board = TensorBoard::new(folder.tensorboard());
    let mut observers: [&mut dyn Observer; 3] = [&mut progress, &mut log, &mut board];
    let outcome = train(&task, &mut observers)?;
    let validation = validate(&task, &outcome, &mut observers)?;
    progress.finish();

    let model = root.join("models").join(name);
    let options = PackOptions {
        name: name.to_owned(),
        license: "cc0-1.0".to_owned(),
        description:
            "Trained by `sconce quickstart` on generated data, to show and test the tools."
                .to_owned(),
        ..PackOptions::default()
    };
    let mut phase = |done| progress.count("packing and verifying", done, 2);
    phase(0);
    zoo::pack(&run, &model, &options)?;
    phase(1);
    let verified = zoo::verify(&model, device)?;
    progress.finish();
    if !verified.ok() {
        bail!("the packed model does not compute what it computed before: {verified}");
    }
    let ece = |evaluation: &Evaluation| evaluation.calibration.as_ref().map(|it| it.pooled_ece);
    let organ = validation.calibrated.masks.get(ORGAN).and_then(|scores| scores.get("dice"));
    Ok(Trained {
        name: name.to_owned(),
        organ_dice: organ.and_then(|aggregate| aggregate.mean),
        pooled_ece_before: ece(&validation.raw),
        pooled_ece_after: ece(&validation.calibrated),
        seconds: started.elapsed().as_secs_f64(),
        run,
        model,
        verified: true,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<f64>| decimals(value, 3);
        let head =
            "network      held-out organ Dice   pooled ECE before → after calibration   time";
        writeln!(f, "{head}")?;
        for model in &self.models {
            let verdict = match model.organ_dice {
                Some(dice) if dice >= TARGET_DICE => "",
                _ => "   BELOW THE TARGET OF 0.85",
            };
            writeln!(
                f,
                "{:<12} {:<21} {:<39} {:.0} s{verdict}",
                model.name,
                number(model.organ_dice),
                format!("{} → {}", number(model.pooled_ece_before), number(model.pooled_ece_after)),
                model.seconds,
            )?;
        }
        let root = self.output.display();
        writeln!(f, "\nwritten in {:.0} s:", self.seconds)?;
        writeln!(
            f,
            "  {root}/data      two data sets of several raters, as folders of NIfTI files"
        )?;
        writeln!(
            f,
            "  {root}/runs      settings, plan, log, checkpoint and scores of each training"
        )?;
        writeln!(f, "  {root}/models    the two networks, packed and verified")?;
        writeln!(f, "  {}   open it in a browser", self.page.display())?;
        let (sconce, root) = (&self.program, quoted(&self.output));
        let (model, data) =
            (format!("{root}/models/phantom-3d"), format!("{root}/data/phantom-3d"));
        writeln!(f, "\nnext:")?;
        writeln!(f, "  {sconce} zoo show {model}")?;
        writeln!(f, "  {sconce} predict -m {model} -i {data}/case01/image.nii.gz -o predictions")?;
        write!(
            f,
            "  {sconce} train {root}/runs/phantom-3d/run.toml --data {data} --output my-run --set train.epochs=20"
        )
    }
}
