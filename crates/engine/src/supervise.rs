//! Where the targets of a batch come from.

use std::fmt;

use losses::{Loss, LossConfig, Needs, Target};
use models::{HeadId, Logits};

use crate::{Batch, Result};

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The step since the beginning of the run, from 0.
    pub step: usize,
    /// All steps of the run.
    pub steps: usize,
}

impl Progress {
    /// The share of the run that is done, in `[0, 1]`: below 1 in each step of training, 1 in the
    /// validation after the last one.
    pub fn fraction(self) -> f64 {
        self.step as f64 / self.steps.max(1) as f64
    }
}

/// One summand of the objective: a head of the network, held against a target.
#[derive(Debug)]
pub struct Term<'a> {
    /// How much it counts at this step.
    pub weight: f64,
    /// The head.
    pub head: HeadId,
    /// The loss, as it is at this step.
    pub loss: Box<dyn Loss + 'a>,
    /// The target, at the resolution of the head.
    pub target: Target,
    /// What the head's logits are divided by.
    pub temperature: f64,
}

/// Where targets come from: labels that somebody drew, or a teacher's opinion.
///
/// Everything that a run is supervised by is a list of terms. A second head, a schedule that hands
/// over from one loss to another, deep supervision and distillation are further terms, or terms
/// whose weight changes with `progress`; the training loop knows none of them.
pub trait Supervision: fmt::Debug + Send + Sync {
    /// The terms of the objective for a batch, given what the network said of it: a supervision may
    /// look at the heads, but nothing of its targets carries a graph.
    ///
    /// The validation after each epoch asks, too. There the network is not in training, and may
    /// leave heads out (those of deep supervision, for one): terms of heads that it left out are
    /// skipped, and what remains is the validation loss, or no loss where nothing remains. In
    /// training, a term of a head that is not there is an error.
    ///
    /// # Errors
    ///
    /// Where a target cannot be made, such as where a teacher fails.
    fn terms(&self, batch: &Batch, logits: &Logits, progress: Progress) -> Result<Vec<Term<'_>>>;

    /// What its losses look at beyond labels, so that batches bring it.
    fn needs(&self) -> Needs {
        Needs::default()
    }
}

/// The labels of the data set, held against every head: the main one and the deep ones with
/// nnU-Net's weights (halved at each coarser resolution, the coarsest dropped, normalised to sum
/// to 1), further ones as if they were the main one.
#[derive(Clone, Debug)]
pub struct LabelSupervision {
    loss: LossConfig,
}

impl LabelSupervision {
    /// By one loss.
    pub fn new(loss: LossConfig) -> Self {
        Self { loss }
    }
}

impl Supervision for LabelSupervision {
    fn terms(&self, batch: &Batch, logits: &Logits, progress: Progress) -> Result<Vec<Term<'_>>> {
        let is_deep = |id| matches!(id, HeadId::Main | HeadId::Deep(_));
        let count = logits.heads().iter().filter(|head| is_deep(head.id)).count();
        let weights = losses::deep_supervision::weights(count);
        let mut terms = Vec::new();
        for head in logits.heads() {
            let weight = match head.id {
                HeadId::Main => weights[0],
                HeadId::Deep(level) => weights[level],
                _ => 1.0,
            };
            // A head of weight 0 gets no gradient at all: its parameters stay untouched.
            if weight > 0.0 {
                let target = batch.target.at_resolution(&head.logits.dims()[2..])?;
                let loss = Box::new(self.loss.at(progress.fraction()).into_owned());
                terms.push(Term { weight, head: head.id, loss, target, temperature: 1.0 });
            }
        }
        Ok(terms)
    }

    fn needs(&self) -> Needs {
        self.loss.needs()
    }
}
