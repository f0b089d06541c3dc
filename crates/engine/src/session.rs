//! The training loop.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use candle::Tensor;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Snapshot;
use crate::course::Course;
use crate::event::{Event, Observer};
use crate::learner::Learner;
use crate::supervise::Supervision;
use crate::train::tell;
use crate::{Error, LabelSpace, Loader, Result, Run, held_out, weights};

/// A run from its first step to its last.
pub(crate) struct Session<'a> {
    pub(crate) run: &'a Run<'a>,
    pub(crate) supervision: &'a dyn Supervision,
    pub(crate) space: &'a LabelSpace,
    pub(crate) training: Loader<'a>,
    pub(crate) validation: Loader<'a>,
    pub(crate) learner: Learner,
    pub(crate) course: Course,
}

/// What the file of the best weights says beside them.
#[derive(Debug, Serialize, Deserialize)]
struct OfEpoch {
    epoch: usize,
}

impl Session<'_> {
    /// Trains until nothing is left to do, or an observer breaks.
    pub(crate) fn go(&mut self, observers: &mut [&mut dyn Observer]) -> Result<ControlFlow<()>> {
        while !self.course.is_over(&self.run.config.train) {
            let started = Instant::now();
            if self.steps(observers)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let found = self.validate()?;
            let seconds = started.elapsed().as_secs_f64();
            let summary = self.course.end_epoch(self.run.config, found, seconds);
            self.keep_best(summary.epoch)?;
            let stop = self.run.group.any(tell(observers, &Event::Epoch(&summary))?)?;
            let over = self.course.is_over(&self.run.config.train);
            let snapshot =
                &Snapshot { config: self.run.config, learner: &self.learner, course: &self.course };
            if between(self.run, snapshot, stop || over, observers)? && !over {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The steps that are left of an epoch.
    fn steps(&mut self, observers: &mut [&mut dyn Observer]) -> Result<ControlFlow<()>> {
        let Self { run, supervision, training, learner, course, .. } = self;
        let (config, epoch) = (run.config, course.epochs_done());
        let train = &config.train;
        let of_step = train.accumulate_grad_batches;
        let batches = of_step * course.steps..of_step * train.iterations_per_epoch;
        let group = run.group.as_ref();
        let mut flow = ControlFlow::Continue(());
        // Batches wait on the CPU; moving them to the device is the consumer's, whose stream it is.
        training.epoch(epoch, batches, |_, batch| {
            let progress = course.next_step(train);
            let learning_rate = course.learning_rate(config, progress);
            let outcome = nn::step_scope(run.device, || {
                learner.gather(*supervision, &batch.to_device(run.device)?, progress)?;
                let is_whole = learner.gathered() == of_step;
                is_whole.then(|| learner.step(progress, learning_rate)).transpose()
            })?;
            let Some(outcome) = outcome else { return Ok(ControlFlow::Continue(())) };
            course.steps += 1;
            course.losses += outcome.loss;
            let event = Event::Step {
                epoch,
                step: progress.step,
                loss: outcome.loss,
                learning_rate,
                gradient_norm: outcome.gradient_norm,
            };
            let stop = group.any(tell(observers, &event)?)?;
            let snapshot = &Snapshot { config, learner, course };
            if between(run, snapshot, stop, observers)? {
                flow = ControlFlow::Break(());
            }
            Ok(flow)
        })?;
        Ok(flow)
    }

    /// Loss and Dice of held-out patches.
    fn validate(&self) -> Result<(f64, Vec<Option<f64>>)> {
        let (run, model) = (self.run, self.learner.model.as_ref());
        let epoch = self.course.epochs_done();
        let score =
            || held_out::score(run, model, self.supervision, &self.validation, self.space, epoch);
        self.learner.judged(|| nn::step_scope(run.device, score))
    }

    /// Keeps the weights of an epoch that is the best so far, where the best are wanted.
    fn keep_best(&self, epoch: usize) -> Result<()> {
        let is_best = self.course.kept(&self.run.config.train) == Some(epoch);
        if !is_best || self.run.group.rank() > 0 {
            return Ok(());
        }
        weights::save(&self.run.folder.best(), &self.learner.weights()?, &OfEpoch { epoch })
    }

    /// The weights that the run ends with.
    pub(crate) fn final_weights(&self) -> Result<BTreeMap<String, Tensor>> {
        let Some(best) = self.course.kept(&self.run.config.train) else {
            return self.learner.weights();
        };
        let path = self.run.folder.best();
        let (tensors, OfEpoch { epoch }) = weights::load(&path)?;
        if epoch != best {
            let reason = format!(
                "its weights are those after epoch {epoch}, but the best were those after {best}; begin a new \
                 run in another folder, or set train.keep = \"last\""
            );
            return Err(Error::File { path, reason });
        }
        Ok(tensors)
    }
}

/// Tells that the run is between two steps; whether it is to end, which `ends` says already or an observer asks for now.
fn between(
    run: &Run<'_>,
    snapshot: &Snapshot<'_>,
    ends: bool,
    observers: &mut [&mut dyn Observer],
) -> Result<bool> {
    let asked = run.group.any(tell(observers, &Event::Between { snapshot, ends })?)?;
    if asked && !ends {
        // Who saves was told that there would be another moment.
        tell(observers, &Event::Between { snapshot, ends: true })?;
    }
    Ok(ends || asked)
}
