//! `sconce zoo rebuild`: a model of `zoo/models` from its recipe and its data.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sconce::data::{Phantom, PhantomConfig};
use sconce::engine::evaluate::decimals;
use sconce::engine::{DeviceChoice, file};
use sconce::zoo::{self, Content, Headline, Packed, SHIPPED, Shipped};
use serde::Serialize;

use crate::output::{Output, Usage};
use crate::progress::{inform, is_quiet};
use crate::workers::work;

/// Which model, of what, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The model, as `zoo/models` calls it
    name: String,
    /// The data that its card names, as downloaded; none for a model of generated data
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The model folder to make
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// Where its training is kept, and gone on with where it was stopped [default: OUTPUT.run]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Where the models are that it learns from and is compared with
    #[arg(long, default_value = "zoo/models", value_name = "DIR")]
    models: PathBuf,
    /// Another value for a setting of its recipe, such as train.epochs=1; the model is another one then
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t, value_name = "DEVICE")]
    device: DeviceChoice,
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    packed: Packed,
    run: PathBuf,
    scores: Vec<Compared>,
    /// Whether the weights are those that ship, to the bit; `None` where there are none to compare with.
    same_weights: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Compared {
    #[serde(flatten)]
    now: Headline,
    /// Of the model that ships.
    shipped: Option<f64>,
}

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<Output> {
        let Some(model) = zoo::shipped(&self.name) else {
            let names: Vec<&str> = SHIPPED.iter().map(|model| model.name).collect();
            bail!(Usage(format!(
                "there is no model {}; there are {}",
                self.name,
                names.join(", ")
            )));
        };
        if self.output.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            bail!(
                "{} is not empty; remove it, or name another folder with --output",
                self.output.display()
            );
        }
        let mut beside = self.output.clone().into_os_string();
        beside.push(".run");
        let run = self.run.clone().unwrap_or_else(|| beside.into());
        let place = Place::new(&run)?;
        let data = match (&self.data, model.data) {
            (Some(_), "") => bail!(Usage(format!(
                "{} is trained on generated data; leave out --data",
                model.name
            ))),
            (Some(data), _) if !data.is_dir() => {
                bail!("there is no {}; name with --data: {}", data.display(), model.data)
            }
            (Some(data), _) => data.clone(),
            (None, "") => place.generated()?,
            (None, data) => {
                bail!(Usage(format!("name the folder of its data with --data: {data}")))
            }
        };
        let (recipe, mut settings) = (place.recipe(&model)?, self.settings.clone());
        if let Some(teacher) = model.teacher {
            let teacher = self.models.join(teacher);
            if !teacher.is_dir() {
                bail!(Usage(format!(
                    "there is no {}, which it learns from; name the folder with --models",
                    teacher.display()
                )));
            }
            settings.push(format!("supervision.teachers=[{:?}]", teacher.display().to_string()));
        }
        self.train(&recipe, &data, &run, &settings)?;
        let packed = zoo::pack(&run, &self.output, &model.pack_options())?;
        Ok(Output::of(&self.report(packed, run)?))
    }

    /// As a process of its own: it is `sconce train`, and nothing else.
    fn train(
        &self,
        recipe: &Path,
        data: &Path,
        run: &Path,
        settings: &[String],
    ) -> anyhow::Result<()> {
        let path = |path: &Path| path.display().to_string();
        let (recipe, data, run) = (path(recipe), path(data), path(run));
        let arguments = |(): &(), device: DeviceChoice| {
            let device = device.to_string();
            let mut arguments = vec!["train", &recipe, "--data", &data, "--output", &run];
            arguments.extend(["--resume", "--device", &device]);
            arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
            if is_quiet() {
                arguments.push("--quiet");
            }
            arguments.into_iter().map(str::to_owned).collect()
        };
        let ended = work([()], &[self.device], arguments)?;
        if ended.asked {
            bail!("it was asked to stop; the same command goes on");
        }
        if !ended.failed.is_empty() {
            bail!(
                "the training failed, as said above; what it did is kept, and the same command goes on"
            );
        }
        Ok(())
    }

    fn report(&self, packed: Packed, run: PathBuf) -> anyhow::Result<Report> {
        let shipped = self.models.join(&self.name);
        let scores = |folder: &Path| -> anyhow::Result<Vec<Headline>> {
            match zoo::show(folder)?.content {
                Content::Model(details) => Ok(details.scores),
                Content::Problem(problem) => bail!("{}: {problem}", folder.display()),
            }
        };
        let before = if shipped.is_dir() { Some(scores(&shipped)?) } else { None };
        let now = scores(&packed.folder)?.into_iter().map(|now| {
            let same = before.iter().flatten().find(|it| it.score == now.score);
            Compared { shipped: same.and_then(|it| it.value), now }
        });
        let weights = |folder: &Path| -> anyhow::Result<Vec<u8>> {
            let path = folder.join("model.safetensors");
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let same_weights = match before {
            Some(_) => Some(weights(&shipped)? == weights(&packed.folder)?),
            None => None,
        };
        Ok(Report { scores: now.collect(), packed, run, same_weights })
    }
}

/// A folder beside the run, for what the training is told.
struct Place(PathBuf);

impl Place {
    fn new(run: &Path) -> anyhow::Result<Self> {
        let Some(name) = run.file_name().map(|name| name.to_string_lossy()) else {
            bail!(Usage(format!("{} has no name; give another folder with --run", run.display())));
        };
        let path = run.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    fn recipe(&self, model: &Shipped) -> anyhow::Result<PathBuf> {
        let recipe = zoo::recipe(model.recipe).context("the program lacks a recipe of its own")?;
        let path = self.0.join(format!("{}.toml", recipe.name));
        file::write_atomic(&path, recipe.text.as_bytes())?;
        Ok(path)
    }

    /// The phantom as `sconce quickstart` has it.
    fn generated(&self) -> anyhow::Result<PathBuf> {
        let path = self.0.join("phantom-3d");
        inform("writing generated cases");
        Phantom::new(PhantomConfig::default())?.write(&path, |_, _| ())?;
        Ok(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The run has its settings; what will not go does no harm.
        _ = std::fs::remove_dir_all(&self.0);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.packed)?;
        for Compared { now, shipped } in &self.scores {
            write!(f, "{:<19} {} {}", now.score, decimals(now.value, 4), now.unit)?;
            match shipped {
                Some(_) => writeln!(f, "  (the one that ships: {})", decimals(*shipped, 4))?,
                None => writeln!(f)?,
            }
        }
        match self.same_weights {
            Some(true) => write!(f, "weights: those of the model that ships, to the bit"),
            Some(false) => write!(f, "weights: others than those of the model that ships"),
            None => write!(f, "weights: there is no model that ships to compare with"),
        }
    }
}
