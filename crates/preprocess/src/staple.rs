//! How reliable raters are, and what is true in that light: STAPLE for two classes and for more.

use ndarray::{Array3, ArrayView3};

use crate::Result;
use crate::patterns::Patterns;

/// Settings of STAPLE.
///
/// # Source
///
/// Warfield, Zou, Wells: *Simultaneous truth and performance level estimation (STAPLE): an
/// algorithm for the validation of image segmentation*, IEEE TMI 23(7), 2004. The start, the end
/// and the several classes are those of ITK's `STAPLEImageFilter` and `MultiLabelSTAPLEImageFilter`
/// (Rohlfing, Russakoff, Maurer, IPMI 2003).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Staple {
    /// Factor on the share of foreground that is expected before looking at any voxel; below 1
    /// the estimate needs more agreement. For two classes only.
    pub confidence_weight: f64,
    /// How many rounds at most; the estimate usually stands still after ten to thirty.
    pub max_iterations: usize,
}

impl Default for Staple {
    fn default() -> Self {
        Self { confidence_weight: 1.0, max_iterations: 10_000 }
    }
}

/// What STAPLE makes of raters who tell foreground, 1, from background, 0.
#[derive(Clone, Debug, PartialEq)]
pub struct StapleEstimate {
    /// The probability of foreground, `(D, H, W)`; NaN everywhere where all masks are empty, or
    /// all are full, because nothing can be learnt from them.
    pub probability: Array3<f64>,
    /// For each rater, the probability of seeing foreground where there is some; NaN as above.
    pub sensitivity: Vec<f64>,
    /// For each rater, the probability of seeing background where it is; NaN as above.
    pub specificity: Vec<f64>,
    /// How many rounds it took.
    pub iterations: usize,
}

/// What STAPLE makes of raters who choose among several classes.
#[derive(Clone, Debug, PartialEq)]
pub struct MultiLabelStapleEstimate {
    /// The most probable class, `(D, H, W)`; `classes` where two are equally probable.
    pub labels: Array3<u16>,
    /// For each rater, `confusion[said][true]`: how often the rater says one class where another
    /// is true. Its columns sum to 1, its last row, of the index `classes`, is 0.
    pub confusion: Vec<Vec<Vec<f64>>>,
    /// How many rounds it took.
    pub iterations: usize,
}

impl StapleEstimate {
    /// Estimates foreground and raters from masks `(D, H, W)` of one shape that hold 0 and 1; a
    /// rater who wrote anything else at a voxel abstains there.
    ///
    /// # Errors
    ///
    /// Where there is no mask, or where they differ in shape.
    pub fn of(masks: &[ArrayView3<'_, u16>], settings: Staple) -> Result<Self> {
        let patterns = Patterns::find(masks)?;
        let found = staple(&patterns, 2, settings);
        Ok(Self {
            probability: patterns.spread(&found.probability),
            sensitivity: found.sensitivity,
            specificity: found.specificity,
            iterations: found.iterations,
        })
    }
}

impl MultiLabelStapleEstimate {
    /// Estimates classes and raters from masks `(D, H, W)` of one shape that hold class indices;
    /// a rater who wrote an index of `classes` or more abstains there.
    ///
    /// # Errors
    ///
    /// Where there is no mask, or where they differ in shape.
    pub fn of(masks: &[ArrayView3<'_, u16>], classes: usize, settings: Staple) -> Result<Self> {
        let patterns = Patterns::find(masks)?;
        let found = multi_label_staple(&patterns, classes, settings);
        let labels: Vec<u16> = found.posterior.iter().map(|p| winner(p, classes)).collect();
        Ok(Self {
            labels: patterns.spread(&labels),
            confusion: found.confusion,
            iterations: found.iterations,
        })
    }
}

/// The class that most raters chose, `(D, H, W)`; `undecided` where two are equally frequent.
///
/// # Errors
///
/// Where there is no mask, or where they differ in shape.
pub fn label_voting(
    masks: &[ArrayView3<'_, u16>],
    classes: usize,
    undecided: u16,
) -> Result<Array3<u16>> {
    let patterns = Patterns::find(masks)?;
    let each: Vec<u16> = patterns
        .iter()
        .map(|(decision, _)| {
            let winner = winner(&count(decision, classes), classes);
            if usize::from(winner) == classes { undecided } else { winner }
        })
        .collect();
    Ok(patterns.spread(&each))
}

pub(crate) struct Found {
    /// For each combination of decisions.
    pub(crate) probability: Vec<f64>,
    pub(crate) sensitivity: Vec<f64>,
    pub(crate) specificity: Vec<f64>,
    pub(crate) iterations: usize,
}

/// STAPLE for two classes, by expectation maximisation over the combinations of decisions.
pub(crate) fn staple(patterns: &Patterns, classes: usize, settings: Staple) -> Found {
    // ITK compares squared changes with this.
    const STANDS_STILL: f64 = 1e-14;
    let raters = patterns.raters();
    let voted = |class: u16| usize::from(class) < classes;
    let share = |decision: &[u16]| {
        let votes = decision.iter().filter(|&&class| voted(class)).count();
        let seen = decision.iter().filter(|&&class| class == 1).count();
        if votes == 0 { 0.0 } else { seen as f64 / votes as f64 }
    };
    let mut probability: Vec<f64> = patterns.iter().map(|(d, _)| share(d)).collect();
    let expected: f64 = patterns.iter().zip(&probability).map(|((_, n), p)| n * p).sum();
    let prior = expected / patterns.voxels() * settings.confidence_weight;

    let (mut sensitivity, mut specificity) = (vec![-10.0; raters], vec![-10.0; raters]);
    let mut iterations = 0;
    while iterations < settings.max_iterations {
        // How each rater fares against the present estimate: [hit, foreground, rejected, background].
        let mut tally = vec![[0.0; 4]; raters];
        for ((decision, count), &p) in patterns.iter().zip(&probability) {
            for (tally, &class) in tally.iter_mut().zip(decision) {
                if voted(class) {
                    let seen = f64::from(u8::from(class == 1));
                    tally[0] += count * p * seen;
                    tally[1] += count * p;
                    tally[2] += count * (1.0 - p) * (1.0 - seen);
                    tally[3] += count * (1.0 - p);
                }
            }
        }
        let moved = |old: f64, new: f64| (old - new).powi(2) > STANDS_STILL;
        let mut still = true;
        for (rater, tally) in tally.iter().enumerate() {
            let (p, q) = (tally[0] / tally[1], tally[2] / tally[3]);
            still &= !moved(sensitivity[rater], p) && !moved(specificity[rater], q);
            (sensitivity[rater], specificity[rater]) = (p, q);
        }
        for ((decision, _), probability) in patterns.iter().zip(&mut probability) {
            let (mut foreground, mut background) = (prior, 1.0 - prior);
            for (rater, &class) in decision.iter().enumerate().filter(|&(_, &class)| voted(class)) {
                let (p, q) = (sensitivity[rater], specificity[rater]);
                foreground *= if class == 1 { p } else { 1.0 - p };
                background *= if class == 1 { 1.0 - q } else { q };
            }
            *probability = foreground / (foreground + background);
        }
        if still {
            break;
        }
        iterations += 1;
    }
    Found { probability, sensitivity, specificity, iterations }
}

pub(crate) struct MultiLabelFound {
    /// For each combination of decisions, the probability of each class.
    pub(crate) posterior: Vec<Vec<f64>>,
    pub(crate) confusion: Vec<Vec<Vec<f64>>>,
    pub(crate) iterations: usize,
}

/// STAPLE for several classes.
pub(crate) fn multi_label_staple(
    patterns: &Patterns,
    classes: usize,
    settings: Staple,
) -> MultiLabelFound {
    const STANDS_STILL: f64 = 1e-5;
    let raters = patterns.raters();
    let empty = || vec![vec![vec![0.0; classes]; classes + 1]; raters];

    // The first guess: what most raters say is true; without a most frequent class, nothing is.
    let mut confusion = empty();
    let mut prior = vec![0.0; classes];
    for (decision, voxels) in patterns.iter() {
        let votes = count(decision, classes);
        let true_class = usize::from(winner(&votes, classes));
        prior.iter_mut().zip(&votes).for_each(|(prior, votes)| *prior += voxels * votes);
        for (confusion, &said) in confusion.iter_mut().zip(decision) {
            if usize::from(said) < classes && true_class < classes {
                confusion[usize::from(said)][true_class] += voxels;
            }
        }
    }
    confusion.iter_mut().flatten().for_each(|row| normalize(row));
    normalize(&mut prior);

    let posterior = |confusion: &[Vec<Vec<f64>>], decision: &[u16]| {
        let mut posterior = prior.clone();
        for (confusion, &said) in confusion.iter().zip(decision) {
            if usize::from(said) < classes {
                let row = &confusion[usize::from(said)];
                posterior.iter_mut().zip(row).for_each(|(p, chance)| *p *= chance);
            }
        }
        normalize(&mut posterior);
        posterior
    };
    let mut iterations = 0;
    while iterations < settings.max_iterations {
        iterations += 1;
        let mut updated = empty();
        for (decision, voxels) in patterns.iter() {
            let posterior = posterior(&confusion, decision);
            for (updated, &said) in updated.iter_mut().zip(decision) {
                if let Some(row) = updated.get_mut(usize::from(said)) {
                    row.iter_mut().zip(&posterior).for_each(|(sum, p)| *sum += voxels * p);
                }
            }
        }
        let mut largest: f64 = 0.0;
        for (old, new) in confusion.iter().zip(&mut updated) {
            normalize_columns(new, classes);
            let changes = old.iter().flatten().zip(new.iter().flatten());
            largest = changes.fold(largest, |largest, (old, new)| largest.max((old - new).abs()));
        }
        confusion = updated;
        if largest < STANDS_STILL {
            break;
        }
    }
    let posterior = patterns.iter().map(|(decision, _)| posterior(&confusion, decision)).collect();
    MultiLabelFound { posterior, confusion, iterations }
}

/// How many raters chose each class.
fn count(decision: &[u16], classes: usize) -> Vec<f64> {
    let mut votes = vec![0.0; classes];
    for &class in decision {
        if let Some(vote) = votes.get_mut(usize::from(class)) {
            *vote += 1.0;
        }
    }
    votes
}

/// The class with the largest value; `classes` where two share it.
#[expect(clippy::float_cmp, reason = "a tie is an exact one")]
fn winner(values: &[f64], classes: usize) -> u16 {
    let largest = values.iter().copied().fold(0.0, f64::max);
    let mut holders = values.iter().enumerate().filter(|&(_, &value)| value == largest);
    match (holders.next(), holders.next()) {
        (Some((class, _)), None) => crate::real::label(class),
        _ => crate::real::label(classes),
    }
}

/// Makes values sum to 1, unless all are 0.
fn normalize(values: &mut [f64]) {
    let sum: f64 = values.iter().sum();
    if sum > 0.0 {
        for value in values.iter_mut() {
            *value /= sum;
        }
    }
}

fn normalize_columns(rows: &mut [Vec<f64>], columns: usize) {
    for column in 0..columns {
        let sum: f64 = rows.iter().map(|row| row[column]).sum();
        if sum > 0.0 {
            for row in rows.iter_mut() {
                row[column] /= sum;
            }
        }
    }
}
