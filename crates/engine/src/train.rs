//! How a run begins and ends; the loop between is the session's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use candle::{Device, Tensor};
use data::{Dataset, Fold};
use models::TextUnet;
use preprocess::Plan;
use ranks::{Group, Shard};

use crate::course::Course;
use crate::distill::Distillation;
use crate::event::{EpochSummary, Event, Observer};
use crate::file::{read_json, write_atomic, write_json};
use crate::learner::Learner;
use crate::network::planned;
use crate::observe::Checkpoint;
use crate::origins::{Origins, Transfer};
use crate::session::Session;
use crate::storage::{Shelf, Storage};
use crate::supervise::{LabelSupervision, Supervision};
use crate::trained::{NetworkConfig, Trained, WeightsMetadata, config_path, plan_path};
use crate::{
    Error, LabelSpace, Loader, MemoryMeter, Recipe, Result, RunConfig, RunFolder, RunProvenance,
    checkpoint, door, memory, prompts,
};

/// What to train, on what, where.
#[derive(Debug)]
pub struct Run<'a> {
    /// The settings.
    pub config: &'a RunConfig,
    /// The cases.
    pub dataset: &'a dyn Dataset,
    /// Where the run's files go.
    pub folder: &'a RunFolder,
    /// What computes.
    pub device: &'a Device,
    /// Whether to go on from the folder's checkpoint.
    pub resume: bool,
    /// The trained networks that it begins with.
    pub origins: Origins<'a>,
    /// Where prepared cases are kept.
    pub storage: Storage,
    /// The processes that train it together, each of which makes a part of every batch; the first one writes.
    pub group: Arc<dyn Group>,
    /// What counts the memory that the program holds, where something does: then a run says how much it will take.
    pub meter: Option<&'a dyn MemoryMeter>,
    /// The command that runs it, without paths of the user: what its provenance says.
    pub command: &'a str,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The trained network, as it was written into the run's folder.
    pub trained: Trained,
    /// What became of each epoch.
    pub history: Vec<EpochSummary>,
    /// The cases that were held out.
    pub held_out: Vec<String>,
    /// Whether an observer ended the run before its last step: its network is not in the folder yet.
    pub stopped: bool,
}

/// Trains a network on the labels of a data set.
///
/// Classes that exclude each other are told apart by softmax; regions that may overlap
/// ([`data::Description::has_regions`]) by a sigmoid for each, and the loss must be set to that.
///
/// Equal settings, data and device make equal weights, bit for bit on the CPU, whatever the number
/// of threads, and whether or not the run was interrupted and resumed.
///
/// # Errors
///
/// Where the settings do not fit the data, a case cannot be used, the loss is no longer finite, or
/// a file cannot be written; where a run is to go on, and the data set has other cases than it
/// began with. The last checkpoint stays.
pub fn train(run: &Run<'_>, observers: &mut [&mut dyn Observer]) -> Result<Outcome> {
    let space = LabelSpace::of(run.dataset.description())?;
    door::loss(run, &space)?;
    door::origins(run, &space)?;
    let loss = run.config.loss.clone();
    match &run.config.supervision {
        Some(config) => {
            if let Some(opinions) = run.origins.opinions {
                opinions.check(config, run.dataset, &space).map_err(Error::unsuitable)?;
            }
            let supervision = Distillation::new(
                config,
                loss,
                &run.origins,
                space.activation(),
                run.config.seed,
                run.device,
            )?;
            train_with(run, &supervision, observers)
        }
        None => train_with(run, &LabelSupervision::new(loss), observers),
    }
}

/// Trains a network as `supervision` says.
///
/// # Errors
///
/// As [`train`].
pub fn train_with(
    run: &Run<'_>,
    supervision: &dyn Supervision,
    observers: &mut [&mut dyn Observer],
) -> Result<Outcome> {
    let is_first = run.group.rank() == 0;
    let _lock = is_first.then(|| run.folder.lock()).transpose()?;
    let config = run.config;
    let space = LabelSpace::of(run.dataset.description())?;
    door::settings(run, &space)?;
    let split = divided(run)?;
    door::labelled(run, &split)?;
    let (plan, network) = planned(run, &space, &split.train)?;
    door::planned(config, &plan, &network)?;
    run.origins.check(&plan, &network, &space).map_err(Error::unsuitable)?;
    door::maps(supervision.needs(), &plan)?;
    let given = run.origins.given(&network).map_err(Error::unsuitable)?;
    let recipe = Recipe {
        plan: &plan,
        space: &space,
        labels: &config.labels,
        augment: &config.augment,
        train: &config.train,
        needs: supervision.needs(),
        opinions: run.origins.opinions,
        seed: config.seed,
    };
    let train = &config.train;
    let mut saving = Checkpoint::new(run.folder.checkpoint(), train.checkpoint_every)
        .every_minutes(train.checkpoint_minutes);
    let saving: Option<&mut dyn Observer> = if is_first { Some(&mut saving) } else { None };
    let observers: &mut [&mut dyn Observer] = &mut with(saving, observers);
    let (training, validation) = loaders(run, &split, recipe, observers)?;
    let provenance = provenance(run, &training, &validation)?;
    run.group.agree("the settings", config.to_toml()?.as_bytes())?;
    run.group.agree("the data", provenance.data.as_bytes())?;
    let mut learner = Learner::new(config, &network, run.device, &run.group)?;
    for others in given.iter().filter(|_| !run.resume) {
        take_over(others, &learner, observers)?;
    }
    if let (Some(encoder), Some(text), false) = (run.origins.text, &network.text, run.resume) {
        let mut parameters = learner.parameters.tensors()?;
        let prompts = text.prompts(encoder, &network.classes)?;
        parameters.insert(TextUnet::PROMPTS.to_owned(), prompts.to_device(run.device)?);
        learner.parameters.load(&parameters)?;
    }
    let course = begin(run, &mut learner, &split, (&plan, &network), &provenance)?;
    if let Some(estimate) = memory::estimate(run, &learner, supervision, &training)? {
        tell(observers, &Event::Memory(estimate))?;
    }
    let stop = run.group.any(tell_of_start(run, &learner, &course, observers)?)?;

    let space = &space;
    let mut session = Session { run, supervision, space, training, validation, learner, course };
    let stopped = stop || session.go(observers)?.is_break();
    let weights = config.train.weights;
    let metadata = WeightsMetadata { weights, ..WeightsMetadata::of(&network, Some(config.seed)) };
    // The first process may still be writing them.
    run.group.barrier()?;
    let parameters = weights.rounded(&session.final_weights()?)?;
    let trained = Trained { config: network, plan: plan.clone(), parameters, metadata };
    if !stopped && is_first {
        publish(run.folder, &trained)?;
    }
    run.group.barrier()?;
    Ok(Outcome { trained, history: session.course.history, held_out: split.val, stopped })
}

/// Tells of how a run begins, or goes on.
fn tell_of_start(
    run: &Run<'_>,
    learner: &Learner,
    course: &Course,
    observers: &mut [&mut dyn Observer],
) -> Result<bool> {
    let classes = run.dataset.description().classes.iter().skip(1);
    let classes: Vec<String> = classes.map(|class| class.name.clone()).collect();
    tell(
        observers,
        &Event::Started {
            epoch: course.epochs_done(),
            step: course.steps,
            epochs: run.config.train.epochs,
            iterations: run.config.train.iterations_per_epoch,
            batch_size: run.config.train.batch_size,
            parameters: learner.parameters.vars().iter().map(|(_, var)| var.elem_count()).sum(),
            classes: &classes,
            history: &course.history,
        },
    )
}

/// Puts a trained network into the folder of its run.
fn publish(folder: &RunFolder, trained: &Trained) -> Result<()> {
    // In this order: no moment has new weights beside what was found out about old ones.
    folder.forget_scores()?;
    trained.save(folder.root())?;
    folder.forget_prepared()
}

/// Which cases are trained on and which held out; of a run that goes on, those that it began with.
fn divided(run: &Run<'_>) -> Result<Fold> {
    let fresh = run.config.split.divide(run.dataset);
    if !run.resume {
        return fresh;
    }
    let path = run.folder.split();
    let split = run.folder.read_split()?.ok_or_else(|| Error::File {
        path: path.clone(),
        reason:
            "it is missing, so that nobody knows which cases were held out; begin a new run in \
                 another folder"
                .to_owned(),
    })?;
    let before: BTreeSet<&String> = split.train.iter().chain(&split.val).collect();
    // A rule may leave cases out; where it no longer applies, cases have come or gone.
    let now: BTreeSet<&String> = match &fresh {
        Ok(fresh) => fresh.train.iter().chain(&fresh.val).collect(),
        Err(_) => run.dataset.ids().iter().collect(),
    };
    if let Some(id) = before.symmetric_difference(&now).next() {
        return Err(Error::Settings(format!(
            "the data set {} has other cases than {} says (case {id} is {}); give the data folder \
             that the run began with, or begin a new run in another folder",
            run.dataset.description().name,
            path.display(),
            if now.contains(id) { "new" } else { "gone" },
        )));
    }
    split.check(run.dataset)?;
    Ok(split)
}

/// Prepares all cases, those of training first.
fn loaders<'a>(
    run: &Run<'a>,
    split: &Fold,
    recipe: Recipe<'a>,
    observers: &mut [&mut dyn Observer],
) -> Result<(Loader<'a>, Loader<'a>)> {
    let total = split.train.len() + split.val.len();
    let made = recipe.made(run.dataset).of_layout(&run.config.data);
    let mut shelf = Shelf::new(&run.storage, &run.folder.prepared(), made)?;
    let mut load = |ids: &[String], before: usize| {
        Loader::on(&mut shelf, run.dataset, ids, recipe, |done| {
            tell(observers, &Event::Prepared { done: before + done, total }).map(drop)
        })
    };
    let (training, validation) = (load(&split.train, 0)?, load(&split.val, split.train.len())?);
    tell(observers, &Event::Held(shelf.held()))?;
    let shard = Shard::of(run.group.as_ref());
    Ok((training.of_shard(shard), validation.of_shard(shard)))
}

/// What the run comes from; of one that goes on, what it began with, which its data must be.
fn provenance(
    run: &Run<'_>,
    training: &Loader<'_>,
    validation: &Loader<'_>,
) -> Result<RunProvenance> {
    let cases = training.contents().chain(validation.contents());
    let cases = cases.map(|(id, content)| (id.to_owned(), content.to_owned())).collect();
    let before = if run.resume { run.folder.read_provenance()? } else { None };
    if let Some(before) = before {
        before.expect(&cases)?;
        return Ok(before);
    }
    Ok(RunProvenance::new(run.command, run.config.seed, cases))
}

/// Gives a fresh network the weights that it is to start from, where they fit.
fn take_over(
    others: &BTreeMap<String, Tensor>,
    learner: &Learner,
    observers: &mut [&mut dyn Observer],
) -> Result<()> {
    let (parameters, transfer) = Transfer::of(learner.parameters.tensors()?, others);
    if transfer.reused == 0 {
        return Err(Error::unsuitable(Error::Settings(
            "the network to start from has no parameter of the name and shape of any of this one; give \
             one of the same architecture"
                .to_owned(),
        )));
    }
    learner.parameters.load(&parameters)?;
    tell(observers, &Event::Transferred(&transfer)).map(drop)
}

/// Takes up the run where its checkpoint left it, or writes down how it begins; how far it has come.
fn begin(
    run: &Run<'_>,
    learner: &mut Learner,
    split: &Fold,
    (plan, network): (&Plan, &NetworkConfig),
    provenance: &RunProvenance,
) -> Result<Course> {
    let root = run.folder.root();
    let mut course = Course::default();
    if run.resume {
        course = checkpoint::load(&run.folder.checkpoint(), learner, run.config)?;
        let (path, now) = (run.folder.origins(), run.origins.record()?);
        if path.exists() && !now.teachers_are_those_of(&read_json(&path)?) {
            return Err(Error::File {
                path,
                reason:
                    "the run began with other teachers; give those, or begin a new run in another \
                         folder"
                        .to_owned(),
            });
        }
    } else if run.group.rank() == 0 {
        let path = run.folder.origins();
        if !run.origins.is_empty() {
            write_json(&path, &run.origins.record()?)?;
        } else if path.exists() {
            // Of a run that was given up here.
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
        write_json(&run.folder.provenance(), provenance)?;
        write_json(&run.folder.split(), split)?;
        write_json(&plan_path(root), plan)?;
        write_json(&config_path(root), network)?;
        if let Some(encoder) = run.origins.text.filter(|_| network.text.is_some()) {
            prompts::keep(encoder, root)?;
        }
    }
    if run.group.rank() == 0 {
        write_atomic(&run.folder.settings(), run.config.to_toml()?.as_bytes())?;
    }
    Ok(course)
}

/// The observer that every run has, before those that it was given.
fn with<'a>(
    first: Option<&'a mut dyn Observer>,
    others: &'a mut [&mut dyn Observer],
) -> Vec<&'a mut dyn Observer> {
    let mut all: Vec<&'a mut dyn Observer> = first.into_iter().collect();
    for observer in others {
        all.push(&mut **observer);
    }
    all
}

/// Tells every observer; whether one of them wants the run to end.
pub(crate) fn tell(observers: &mut [&mut dyn Observer], event: &Event<'_>) -> Result<bool> {
    let mut stop = false;
    for observer in observers {
        stop |= observer.on(event)?.is_break();
    }
    Ok(stop)
}
