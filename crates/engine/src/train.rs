//! The training loop.

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

use candle::{DType, Device};
use data::{Dataset, Fold};
use models::{Input, Interface, Logits, Model, ModelConfig};
use nn::{Optimizer, Parameters};
use preprocess::{Fingerprint, Plan};

use crate::checkpoint::{self, CheckpointState};
use crate::event::{EpochSummary, Event, Observer};
use crate::file::{read_json, write_atomic, write_json};
use crate::step::{objective, scalar, step};
use crate::supervise::{LabelSupervision, Progress, Supervision};
use crate::trained::{NetworkConfig, Trained, config_path, plan_path};
use crate::{Batch, Error, Loader, Result, RunConfig, RunFolder};

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
    /// Whether an observer ended the run before its last epoch.
    pub stopped: bool,
}

/// Trains a network on the labels of a data set.
///
/// Equal settings, data and device make equal weights, bit for bit on the CPU, whatever the number
/// of threads, and whether or not the run was interrupted and resumed.
///
/// # Errors
///
/// Where the settings do not fit the data, a case cannot be used, the loss is no longer finite, or
/// a file cannot be written. The last checkpoint stays.
pub fn train(run: &Run<'_>, observers: &mut [&mut dyn Observer]) -> Result<Outcome> {
    train_with(run, &LabelSupervision::new(run.config.loss.clone()), observers)
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
    let _lock = run.folder.lock()?;
    let config = run.config;
    let division = &config.split;
    let split = Fold::new(run.dataset, division.folds, division.fold, division.seed)?;
    let (plan, network) = network(run, &split.train)?;
    let total = split.train.len() + split.val.len();
    let load = |ids: &[String], before: usize, observers: &mut [&mut dyn Observer]| {
        let (seed, train) = (config.seed, &config.train);
        let mut progress = |done| tell(observers, &Event::Prepared { done: before + done, total });
        let (labels, augment) = (&config.labels, &config.augment);
        Loader::new(run.dataset, ids, &plan, labels, augment, train, seed, |done| {
            progress(done).map(drop)
        })
    };
    let training = load(&split.train, 0, observers)?;
    let validation = load(&split.val, training.len(), observers)?;

    let parameters = Parameters::new(config.seed, run.device);
    let model = network.architecture.as_dyn().build(network.interface, parameters.builder())?;
    let mut optimizer = config.optimizer.build();
    let mut history = Vec::new();
    if run.resume {
        let path = run.folder.checkpoint();
        history = checkpoint::load(&path, &parameters, optimizer.as_mut(), config)?.history;
    } else {
        write_atomic(&run.folder.settings(), config.to_toml()?.as_bytes())?;
        write_json(&run.folder.split(), &split)?;
        write_json(&plan_path(run.folder.root()), &plan)?;
        write_json(&config_path(run.folder.root()), &network)?;
    }
    let (epochs, iterations) = (config.train.epochs, config.train.iterations_per_epoch);
    tell(
        observers,
        &Event::Started {
            epoch: history.len(),
            epochs,
            iterations,
            parameters: parameters.vars().iter().map(|(_, var)| var.elem_count()).sum(),
        },
    )?;

    let mut stopped = false;
    for epoch in history.len()..epochs {
        let started = Instant::now();
        let (mut losses, mut learning_rate) = (0.0, 0.0);
        batches(&training, epoch, iterations, run.device, |iteration, batch| {
            let progress = Progress {
                epoch,
                step: epoch * iterations + iteration,
                steps: epochs * iterations,
            };
            learning_rate = config.train.learning_rate
                * config.schedule.factor(progress.step as f64, progress.steps as f64);
            let clip = config.train.clip_gradient_norm;
            let outcome = step(
                model.as_ref(),
                &parameters,
                optimizer.as_mut(),
                supervision,
                batch,
                progress,
                clip,
                learning_rate,
            )?;
            losses += outcome.loss;
            tell(
                observers,
                &Event::Step {
                    epoch,
                    step: progress.step,
                    loss: outcome.loss,
                    learning_rate,
                    gradient_norm: outcome.gradient_norm,
                },
            )?;
            Ok(())
        })?;
        let (validation_loss, validation_dice) =
            validate(model.as_ref(), supervision, &validation, run, epoch)?;
        history.push(EpochSummary {
            epoch,
            epochs,
            train_loss: losses / iterations as f64,
            validation_loss,
            validation_dice,
            learning_rate,
            seconds: started.elapsed().as_secs_f64(),
        });
        let last = epoch + 1 == epochs;
        if last || (epoch + 1) % config.train.checkpoint_every == 0 {
            save(run, &parameters, optimizer.as_ref(), &history)?;
        }
        let summary = history.last().expect("an epoch has just been added");
        if tell(observers, &Event::Epoch(summary))? && !last {
            save(run, &parameters, optimizer.as_ref(), &history)?;
            stopped = true;
            break;
        }
    }
    let trained =
        Trained { config: network, plan: plan.clone(), parameters: parameters.tensors()? };
    if !stopped {
        trained.save(run.folder.root())?;
    }
    Ok(Outcome { trained, history, held_out: split.val, stopped })
}

/// Plans the network from the training cases, or reads what was planned when the run began.
fn network(run: &Run<'_>, training: &[String]) -> Result<(Plan, NetworkConfig)> {
    let root = run.folder.root();
    if run.resume {
        return Ok((read_json(&plan_path(root))?, read_json(&config_path(root))?));
    }
    let description = run.dataset.description();
    let mut fingerprint = Fingerprint::new(description.channels.len());
    for id in training {
        let case = run.dataset.read(id)?;
        fingerprint.add(&case.image, case.label.as_ref());
    }
    let plan = Plan::new(&run.config.preprocess, &fingerprint, &description.channels)?;
    let interface = Interface {
        channels: description.channels.len(),
        classes: description.classes.len(),
        rank: plan.rank,
    };
    let network = NetworkConfig {
        schema: NetworkConfig::SCHEMA,
        dataset: description.name.clone(),
        architecture: fitted(&run.config.model, &plan)?,
        interface,
        activation: losses::Activation::Softmax,
        channels: description.channels.clone(),
        classes: description.classes.clone(),
        temperature: 1.0,
    };
    Ok((plan, network))
}

/// The network with strides and kernels that fit the plan's patch and spacing, where the settings
/// leave them open.
fn fitted(model: &ModelConfig, plan: &Plan) -> Result<ModelConfig> {
    let topology = plan.topology();
    let axes = |stages: &[[usize; 3]]| -> Vec<Vec<usize>> {
        stages.iter().map(|axes| axes[3 - plan.rank..].to_vec()).collect()
    };
    let (strides, kernels) = (axes(&topology.strides), axes(&topology.kernel_sizes));
    let wrong = |error: serde_json::Error| Error::Settings(error.to_string());
    let mut value = serde_json::to_value(model).map_err(wrong)?;
    let settings = value.get_mut(model.name()).and_then(serde_json::Value::as_object_mut);
    if let Some(settings) = settings {
        let stages = settings["features_per_stage"].as_array().map_or(0, Vec::len);
        if stages > strides.len() {
            return Err(Error::Settings(format!(
                "the network has {stages} stages, but a patch of {:?} voxels can be halved for {} \
                 at most; use fewer features_per_stage, a larger patch_size, or give strides",
                plan.patch_size,
                strides.len()
            )));
        }
        for (name, planned) in [("strides", &strides), ("kernel_sizes", &kernels)] {
            if settings.get(name).and_then(serde_json::Value::as_array).is_some_and(Vec::is_empty) {
                settings.insert(name.to_owned(), serde_json::json!(planned[..stages]));
            }
        }
    }
    serde_json::from_value(value).map_err(wrong)
}

/// Makes an epoch's batches on a thread of their own, a few ahead of their use.
fn batches(
    loader: &Loader<'_>,
    epoch: usize,
    iterations: usize,
    device: &Device,
    mut each: impl FnMut(usize, &Batch) -> Result<()>,
) -> Result<()> {
    thread::scope(|scope| {
        // Batches wait on the CPU; moving them to the device is the consumer's, whose stream it is.
        let (sender, receiver) = sync_channel(2);
        scope.spawn(move || {
            for iteration in 0..iterations {
                let batch = loader.training(epoch, iteration, &Device::Cpu);
                let failed = batch.is_err();
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        });
        for (iteration, batch) in receiver.iter().enumerate() {
            each(iteration, &batch?.to_device(device)?)?;
        }
        Ok(())
    })
}

/// The mean loss of held-out patches, and Dice of each foreground class over all of them together.
fn validate(
    model: &dyn Model,
    supervision: &dyn Supervision,
    loader: &Loader<'_>,
    run: &Run<'_>,
    epoch: usize,
) -> Result<(f64, Vec<Option<f64>>)> {
    let train = &run.config.train;
    let steps = train.epochs * train.iterations_per_epoch;
    let progress = Progress { epoch, step: (epoch + 1) * train.iterations_per_epoch, steps };
    let (mut loss, mut overlap) = (0.0, Vec::new());
    for iteration in 0..train.validation_iterations {
        let batch = loader.validation(iteration, &Device::Cpu)?.to_device(run.device)?;
        let logits = model.forward_t(&Input::images(batch.images.clone()), false)?;
        // Detached: a forward pass through trainable parameters has a graph.
        let logits = Logits::new(logits.main().detach());
        loss += scalar(&objective(&supervision.terms(&batch, &logits, progress)?, &logits)?)?;
        count(&logits, &batch, &mut overlap)?;
    }
    let dice = overlap.iter().skip(1).map(|&[both, sum]| (sum > 0.0).then(|| 2.0 * both / sum));
    Ok((loss / train.validation_iterations as f64, dice.collect()))
}

/// Adds, for each class, the voxels that prediction and target share, and all that they have.
fn count(logits: &Logits, batch: &Batch, overlap: &mut Vec<[f64; 2]>) -> Result<()> {
    let predicted = logits.main().argmax(1)?;
    let expected = batch.target.probabilities(logits.main())?.argmax(1)?;
    let classes = logits.main().dim(1)?;
    overlap.resize(classes, [0.0; 2]);
    let sum = |mask: &candle::Tensor| -> Result<f64> {
        scalar(&mask.to_dtype(DType::F32)?.flatten_all()?.sum(0)?)
    };
    for (class, [both, all]) in overlap.iter_mut().enumerate() {
        let (p, t) = (predicted.eq(class as u32)?, expected.eq(class as u32)?);
        *both += sum(&(&p * &t)?)?;
        *all += sum(&p)? + sum(&t)?;
    }
    Ok(())
}

fn save(
    run: &Run<'_>,
    parameters: &Parameters,
    optimizer: &dyn Optimizer,
    history: &[EpochSummary],
) -> Result<PathBuf> {
    let path = run.folder.checkpoint();
    let state = CheckpointState {
        schema: 1,
        epochs_done: history.len(),
        history: history.to_vec(),
        config: run.config.to_toml()?,
    };
    checkpoint::save(&path, parameters, optimizer, &state)?;
    Ok(path)
}

/// Tells every observer; whether one of them wants the run to end.
pub(crate) fn tell(observers: &mut [&mut dyn Observer], event: &Event<'_>) -> Result<bool, Error> {
    let mut stop = false;
    for observer in observers {
        stop |= observer.on(event)?.is_break();
    }
    Ok(stop)
}
