//! `sconce distill`: what teachers say of a data set, once and for all.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context as _;
use sconce::data::Layout as _;
use sconce::engine::calibrate::Calibration;
use sconce::engine::{DeviceChoice, Opinions, PredictConfig, Predictor, Trained};
use serde::Serialize;

use super::train::{assignment, open, read_run_file};
use crate::output::{Output, Usage, one_line};
use crate::progress::Progress;
use crate::resolve::resolve;

/// Prepare for a network that learns from others
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Store what the teachers of a run file say of each case, so that they need not be run each step
    Cache(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run file of the student, whose [supervision] names the teachers and the temperature
    run: PathBuf,
    /// The data folder, laid out as the run file's [data] says
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to put what they say; cases that are there already are left as they are
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// Another value for a setting of the run file, such as supervision.temperature=2.0
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    settings: Vec<String>,
    /// auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t, value_name = "DEVICE")]
    device: DeviceChoice,
}

#[derive(Debug, Serialize)]
struct Report {
    run: PathBuf,
    data: PathBuf,
    output: PathBuf,
    /// What was changed of the run file.
    settings: Vec<String>,
    teachers: Vec<String>,
    temperature: f64,
    written: usize,
    /// What was there already.
    kept: usize,
    bytes: u64,
    failed: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct Failure {
    id: String,
    reason: String,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<Output> {
    let Command::Cache(args) = command;
    let config = read_run_file(&args.run, &args.settings)?;
    let teachers = match &config.supervision {
        Some(supervision) if !supervision.teachers.is_empty() => &supervision.teachers,
        _ => {
            return Err(Usage(format!(
                "{} has no [supervision] with teachers; name one with --set \
                 supervision.teachers='[\"MODEL\"]'",
                args.run.display()
            ))
            .into());
        }
    };
    let temperature = config.supervision.as_ref().map_or(1.0, |it| it.temperature.get());
    let dataset = config.data.open(&args.data)?;
    let trained = |name: &String| -> anyhow::Result<(String, Trained)> {
        Ok((name.clone(), Trained::load(&resolve(name)?).with_context(|| name.clone())?))
    };
    let trained = teachers.iter().map(trained).collect::<anyhow::Result<Vec<_>>>()?;
    let device = open(args.device)?;
    let predictor = |(name, teacher): &(String, Trained)| -> anyhow::Result<Predictor> {
        let own = teacher.config.predict.clone();
        Predictor::new(teacher, PredictConfig { calibration: Calibration::None, ..own }, &device)
            .with_context(|| format!("cannot use the teacher {name}"))
    };
    let predictors = trained.iter().map(predictor).collect::<anyhow::Result<Vec<_>>>()?;
    let mut opinions =
        Opinions::create(&args.output, dataset.description(), &trained, temperature)?;

    let mut report = Report {
        run: args.run.clone(),
        data: args.data.clone(),
        output: args.output.clone(),
        settings: args.settings.clone(),
        teachers: teachers.clone(),
        temperature,
        written: 0,
        kept: 0,
        bytes: 0,
        failed: Vec::new(),
    };
    let mut progress = Progress::new("distill");
    let total = dataset.ids().len();
    for (done, id) in dataset.ids().iter().enumerate() {
        progress.count("cases", done, total);
        if opinions.has(id) {
            report.kept += 1;
        } else {
            // One bad case must not cost the others.
            let asked = dataset.read(id).map_err(anyhow::Error::from);
            match asked.and_then(|case| Ok(opinions.write(&predictors, &case)?)) {
                Ok(()) => report.written += 1,
                Err(error) => {
                    let reason = one_line(&error);
                    progress.warn(&format!("{id}: {reason}"));
                    report.failed.push(Failure { id: id.clone(), reason });
                    continue;
                }
            }
        }
        report.bytes += opinions.file(id).metadata().map_or(0, |found| found.len());
    }
    progress.finish();
    let failed = !report.failed.is_empty();
    Ok(Output::of(&report).failing_if(failed))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { written, kept, output, run, data, .. } = self;
        let [run, data, output] = [run, data, output].map(|path| path.display().to_string());
        #[expect(clippy::cast_precision_loss, reason = "a size for people")]
        let size = self.bytes as f64 / f64::from(1 << 20);
        write!(f, "asked    {} at temperature {}", self.teachers.join(", "), self.temperature)?;
        write!(f, "\nwritten  {written} to {output}, {size:.1} MiB in all")?;
        if *kept > 0 {
            write!(f, "\nkept     {kept} that were there already")?;
        }
        if self.failed.is_empty() {
            write!(f, "\ntrain    sconce train {run} --data {data} --output RUN")?;
            self.settings.iter().try_for_each(|setting| write!(f, " --set '{setting}'"))?;
            write!(f, " --set 'supervision.cache=\"{output}\"'")
        } else {
            write!(f, "\nfailed   {}; the same command goes on with them", self.failed.len())
        }
    }
}
