//! `sconce study`: many runs that differ in what is under test alone, and one table.

mod curves;
mod difference;
mod show;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sconce::data::Dataset;
use sconce::engine::evaluate::Evaluation;
use sconce::engine::report::study_html;
use sconce::engine::study::{CellScores, Study, StudyRun, StudyTable};
use sconce::engine::{DeviceChoice, Provenance, RunConfig, RunFolder, file};
use serde::{Deserialize, Serialize};

use self::curves::{epochs, fall};
use self::difference::difference;
use self::show::Report;
use crate::command_line::command_line;
use crate::job::Job;
use crate::output::{Output, Usage};
use crate::progress::{inform, is_quiet};
use crate::shard::Shard;
use crate::workers::{Ended, work};

const SCORES: &str = "scores.csv";
const TABLE: &str = "table.json";
const PAGE: &str = "index.html";
const RAN: &str = "ran.json";
/// Beside the folds that were scored together.
const ENSEMBLE: &str = "ensemble.json";

/// Train what a study file asks for, and make one table and one page of it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A study that is stopped goes on with the same command; processes may share one by --shard, or by mpirun.\n\
                  Its folder then has scores.csv, table.json, index.html and ran.json: --check and --table need nothing else."
)]
pub(crate) struct Args {
    /// The study file (see zoo/studies)
    study: PathBuf,
    /// The data folder, laid out as the study's run file says
    #[arg(long, value_name = "DIR", required_unless_present_any = ["check", "table"])]
    data: Option<PathBuf>,
    /// Where to put scores, table and page [default: beside the study file]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Where runs are kept [default: OUTPUT/runs]
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Runs at a time, each with its share of the cores
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Do every Nth run alone, from the Ith on; whichever process does the last one makes the table
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Keep prepared cases in this folder, for all runs
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// auto, cpu, cuda, cuda:N or metal; several, such as cuda:0,cuda:1, for a run each
    #[arg(long, default_value = "auto", value_name = "DEVICE", value_delimiter = ',')]
    device: Vec<DeviceChoice>,
    /// What the page is to say of the runs, such as machine="two cores"
    #[arg(long, value_name = "KEY=VALUE")]
    note: Vec<String>,
    /// Train nothing: make the table again of the stored scores, and fail where it is another than the stored one
    #[arg(long, conflicts_with_all = ["table", "data"])]
    check: bool,
    /// Train nothing: make table and page of the stored scores, such as after a change of the caption
    #[arg(long, conflicts_with = "data")]
    table: bool,
}

/// What is known of a study's runs beside their scores: `ran.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ran {
    /// The program and its version.
    version: String,
    /// The command.
    command: String,
    /// What whoever ran it has noted, such as the machine.
    notes: Vec<(String, String)>,
    /// Of all epochs of all runs together, hours.
    hours: f64,
    /// How much the held-out loss still fell from the second last tenth of epochs to the last, as a share of what it fell in all: the
    /// median run, and the one where it fell most. Where this is small, curves were flat.
    still_falling: Option<[f64; 2]>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    let study = Study::read(&args.study)?;
    let beside = args.study.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let output = args.output.clone().unwrap_or(beside);
    let place = Place { study, output };
    match &args.data {
        _ if args.check => place.check(),
        Some(data) => place.train(args, data),
        None => place.again(),
    }
}

/// A study, and where its results are.
struct Place {
    study: Study,
    output: PathBuf,
}

impl Place {
    fn stored(&self) -> anyhow::Result<StudyTable> {
        let path = self.output.join(SCORES);
        let text = fs::read(&path).with_context(|| {
            format!("cannot read {}; run the study first, with --data", path.display())
        })?;
        let scores = CellScores::from_csv(&self.study, &text);
        let scores = scores.with_context(|| format!("cannot use {}", path.display()))?;
        Ok(StudyTable::of(&self.study, &scores)?)
    }

    /// Whether the stored table is what the stored scores make.
    fn check(&self) -> anyhow::Result<Output> {
        let path = self.output.join(TABLE);
        let (stored, made): (serde_json::Value, _) =
            (file::read_json(&path)?, serde_json::to_value(self.stored()?)?);
        if let Some(place) = difference(&stored, &made, "") {
            bail!(
                "{} is not what its scores make: {place} differs; make it again with --table",
                path.display()
            );
        }
        let stored: StudyTable = file::read_json(&path)?;
        Ok(Output::of(&self.report(self.study.runs().len(), stored)))
    }

    fn again(&self) -> anyhow::Result<Output> {
        let table = self.stored()?;
        let ran: Ran = file::read_json(&self.output.join(RAN))?;
        self.write(&table, &ran)?;
        Ok(Output::of(&self.report(self.study.runs().len(), table)))
    }

    fn report(&self, done: usize, table: impl Into<Option<StudyTable>>) -> Report {
        Report {
            study: self.study.title.clone(),
            done,
            runs: self.study.runs().len(),
            table: table.into(),
            output: self.output.clone(),
        }
    }

    fn write(&self, table: &StudyTable, ran: &Ran) -> anyhow::Result<()> {
        let mut known = ran.notes.clone();
        known.push(("hours".to_owned(), format!("{:.1}", ran.hours)));
        if let Some([median, most]) = ran.still_falling {
            known.push((
                "held-out loss, fall from the second last tenth of epochs to the last, of the fall in all".to_owned(),
                format!("{:.1} % (median run), at most {:.1} %", 100.0 * median, 100.0 * most),
            ));
        }
        let made =
            Provenance { version: ran.version.clone(), ..Provenance::of_command(&ran.command) };
        let page = study_html(table, &known, &made);
        file::write_json(&self.output.join(TABLE), table)?;
        Ok(file::write_atomic(&self.output.join(PAGE), page.as_bytes())?)
    }

    fn train(&self, args: &Args, data: &Path) -> anyhow::Result<Output> {
        let notes: Vec<(String, String)> =
            args.note.iter().map(|it| noted(it)).collect::<Result<_, _>>()?;
        let job = Job::sharing(args.shard)?;
        let own = job.run(|| self.train_own(args, data, &job))?;
        // Several ranks: the first one has the last word, once all are done.
        let Some(done) = job.gather(own)? else {
            job.finish()?;
            return Ok(Job::silent(false));
        };
        let root = self.runs(args);
        let report = if self.study.runs().iter().all(|run| is_done(&root, run)) {
            let table = job.run(|| self.collect(args, data, notes))?;
            self.report(done.iter().sum(), table)
        } else {
            self.report(done.iter().sum(), None)
        };
        job.finish()?;
        Ok(Output::of(&report))
    }

    fn runs(&self, args: &Args) -> PathBuf {
        args.runs.clone().unwrap_or_else(|| self.output.join("runs"))
    }

    /// The runs of this process: how many are done in the end.
    fn train_own(&self, args: &Args, data: &Path, job: &Job) -> anyhow::Result<usize> {
        let root = self.runs(args);
        let all = self.study.runs();
        // Such as a data folder that is laid out otherwise: before anything is trained.
        self.dataset(args, data)?;
        fs::create_dir_all(&self.output)
            .with_context(|| format!("cannot create {}", self.output.display()))?;
        let own: Vec<StudyRun> = job.shard().map_or(all.clone(), |shard| shard.take(all));
        let count = own.len();
        let (done, left): (Vec<StudyRun>, Vec<StudyRun>) =
            own.into_iter().partition(|run| is_done(&root, run));
        self.same_settings(args, &root, &done)?;
        inform(&format!("{} of {count} runs are done", done.len()));
        let devices: Vec<DeviceChoice> = args
            .device
            .iter()
            .copied()
            .cycle()
            .take(args.device.len() * usize::from(args.jobs))
            .collect();
        let run_file = self.study.run_file(&args.study).display().to_string();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cells = self.study.cells();
        let arguments = |run: &StudyRun, device: DeviceChoice| {
            let fold = run.fold.map_or(String::new(), |fold| format!(", fold {fold}"));
            inform(&format!("begins: {}, seed {}{fold}", cells[run.cell].name(), run.seed));
            let (folder, device) = (root.join(&run.folder), device.to_string());
            let (folder, data) = (folder.display().to_string(), data.display().to_string());
            let mut arguments = vec!["train", &run_file, "--data", &data, "--output", &folder];
            arguments.extend(["--device", &device, "--resume", "--format", "json"]);
            let cache = args.cache.as_ref().map(|cache| cache.display().to_string());
            arguments.extend(cache.iter().flat_map(|cache| ["--cache", cache]));
            let threads = (cores / devices.len()).max(1).to_string();
            if devices.len() > 1 {
                arguments.extend(["--threads", &threads]);
            }
            if is_quiet() {
                arguments.push("--quiet");
            }
            arguments.extend(run.settings.iter().flat_map(|setting| ["--set", setting]));
            arguments.into_iter().map(str::to_owned).collect()
        };
        finished(&work(left, &devices, arguments)?, &root)?;
        Ok(count)
    }

    /// Scores the folds of each seed together, where the study asks for it and that is not done yet.
    fn score_ensembles(&self, args: &Args, data: &Path) -> anyhow::Result<()> {
        let root = self.runs(args);
        let evaluation = |run: &StudyRun| root.join(&run.folder).join(ENSEMBLE);
        let left = self.study.scored().into_iter().filter(|run| !evaluation(run).exists());
        let left: Vec<StudyRun> = left.filter(|_| self.study.ensemble).collect();
        let arguments = |run: &StudyRun, device: DeviceChoice| {
            let (model, output) = (root.join(&run.folder), evaluation(run));
            let mut arguments =
                vec!["evaluate".to_owned(), "--device".to_owned(), device.to_string()];
            for (name, path) in
                [("--model", model.as_path()), ("--data", data), ("--output", &output)]
            {
                arguments.extend([name.to_owned(), path.display().to_string()]);
            }
            arguments.extend(["--calibration", "none", "--quiet"].map(str::to_owned));
            arguments
        };
        finished(&work(left, &args.device, arguments)?, &root)
    }

    /// That runs were trained by what the study says now: it may have been changed since.
    fn same_settings(&self, args: &Args, root: &Path, done: &[StudyRun]) -> anyhow::Result<()> {
        for run in done {
            let folder = RunFolder::at(&root.join(&run.folder));
            if RunConfig::read(&folder.settings())? != self.study.config(&args.study, run)? {
                bail!(
                    "{} was trained by other settings than the study has now; remove it, or name another folder \
                     with --runs",
                    folder.root().display()
                );
            }
        }
        Ok(())
    }

    fn dataset(&self, args: &Args, data: &Path) -> anyhow::Result<Box<dyn Dataset>> {
        use sconce::data::Layout as _;
        let runs = self.study.runs();
        let config = self.study.config(&args.study, &runs[0])?;
        Ok(config.data.open(data)?)
    }

    /// Scores, table and page of runs that are all done.
    fn collect(
        &self,
        args: &Args,
        data: &Path,
        notes: Vec<(String, String)>,
    ) -> anyhow::Result<StudyTable> {
        self.same_settings(args, &self.runs(args), &self.study.runs())?;
        self.score_ensembles(args, data)?;
        let (root, dataset) = (self.runs(args), self.dataset(args, data)?);
        let mut scores = CellScores::default();
        for run in self.study.scored() {
            let folder = root.join(&run.folder);
            let path = if self.study.ensemble { folder.join(ENSEMBLE) } else { summary(&folder) };
            let evaluation: Evaluation = file::read_json(&path)?;
            scores.add(&self.study, &run, &evaluation, |case| dataset.group(case).to_owned())?;
        }
        let (mut seconds, mut falls) = (0.0, Vec::new());
        for run in self.study.runs() {
            let folder = root.join(&run.folder);
            let epochs = epochs(&folder)?;
            seconds += epochs.iter().map(|epoch| epoch.seconds).sum::<f64>();
            falls.extend(fall(&epochs));
        }
        falls.sort_by(f64::total_cmp);
        let ran = Ran {
            version: Provenance::of_command("").version,
            command: command_line(),
            notes,
            hours: (seconds / 36.0).round() / 100.0,
            still_falling: falls.last().map(|most| [falls[falls.len() / 2], *most]),
        };
        let mut text = Vec::new();
        scores.to_csv(&self.study, &mut text)?;
        // Of the scores as they are stored, so that they make the same table again.
        let scores = CellScores::from_csv(&self.study, &text)?;
        let table = StudyTable::of(&self.study, &scores)?;
        file::write_atomic(&self.output.join(SCORES), &text)?;
        file::write_json(&self.output.join(RAN), &ran)?;
        self.write(&table, &ran)?;
        Ok(table)
    }
}

/// That processes did what they were to do.
fn finished(ended: &Ended<StudyRun>, root: &Path) -> anyhow::Result<()> {
    if ended.asked {
        bail!("it was asked to stop; the same command goes on");
    }
    if let Some(run) = ended.failed.first() {
        let run = root.join(&run.folder);
        bail!("{} failed, as said above; the same command goes on", run.display());
    }
    Ok(())
}

fn summary(run: &Path) -> PathBuf {
    RunFolder::at(run).validation().join("summary.json")
}

fn is_done(root: &Path, run: &StudyRun) -> bool {
    summary(&root.join(&run.folder)).exists()
}

fn noted(text: &str) -> anyhow::Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => bail!(Usage(format!("--note: {text} is not of the form KEY=VALUE"))),
    }
}
