//! How far probabilities can be believed, in numbers.

use metrics::BrierParts;

use super::{LARGER, SMALLER, Term, grouped};
use crate::evaluate::{Calibration, Evaluation};
use crate::report::tables::cell;
use crate::report::text::count;

pub(super) const TERMS: &[Term] = &[
    Term::new("Voxels", None, "the number of voxels that were looked at"),
    Term::new(
        "ECE",
        SMALLER,
        "expected calibration error: mean distance between confidence and the share that was right over the bins of the reliability diagram, weighted by their voxels",
    ),
    Term::new(
        "MCE",
        SMALLER,
        "maximum calibration error: the largest of these distances; undefined where it was not computed",
    ),
    Term::new(
        "Class-wise ECE",
        SMALLER,
        "the expected calibration error of the probability of each class by itself, mean over classes; undefined where it was not computed",
    ),
    Term::new(
        "ACE",
        SMALLER,
        "adaptive calibration error: in ranges of equally many voxels, mean over classes; undefined where it was not computed",
    ),
    Term::new(
        "KS",
        SMALLER,
        "Kolmogorov–Smirnov calibration error: the largest distance between the sums of confidence and of what was right, as a share of all voxels; undefined where it was not computed",
    ),
    Term::new("NLL", SMALLER, "negative log likelihood of the truth, mean over voxels")
        .in_unit("nats"),
    Term::new(
        "Brier",
        SMALLER,
        "squared distance between probabilities and truth, summed over classes, mean over voxels",
    ),
    Term::new(
        "Reliability",
        SMALLER,
        "the part of the Brier score that is due to calibration (Murphy 1973): 0 where it is perfect; undefined where it was not computed",
    ),
    Term::new(
        "Resolution",
        LARGER,
        "the part of the Brier score by which predictions tell voxels apart, taken off; undefined where it was not computed",
    ),
    Term::new(
        "Uncertainty",
        None,
        "the part of the Brier score that how often each class occurs makes, whatever is predicted; undefined where it was not computed",
    ),
];

/// As many of [`TERMS`] are about calibration; the others are the Brier score and its parts.
const ERRORS: usize = 7;

/// Calibration near the foreground and over the whole image; empty where no evaluation has it.
pub(in crate::report) fn table(evaluations: &[Evaluation]) -> String {
    type Find = fn(&Evaluation) -> Option<&Calibration>;
    let places: [(&str, Find); 2] = [
        ("near the foreground", |one| one.calibration.as_ref()),
        ("whole image", |one| one.calibration_whole.as_ref()),
    ];
    let of = |caption, terms, cells: fn(&Calibration) -> Vec<String>| {
        let groups = places.into_iter().map(|(place, find)| {
            let models = evaluations.iter().enumerate();
            let rows = models.filter_map(|(index, one)| Some((index, cells(find(one)?))));
            (place, rows.collect())
        });
        grouped(evaluations, caption, "where", terms, groups)
    };
    let caption = "Calibration over the voxels of all cases together";
    let errors = of(caption, &TERMS[..ERRORS], errors);
    errors + &of("The Brier score and its parts", &TERMS[ERRORS..], brier)
}

fn errors(found: &Calibration) -> Vec<String> {
    let voxels = found.bins.iter().map(|bin| bin.count).sum();
    let values = [
        Some(found.pooled_ece),
        found.mce,
        found.classwise_ece,
        found.ace,
        found.ks,
        Some(found.nll),
    ];
    [format!("<td>{}</td>", count(voxels))].into_iter().chain(values.map(cell)).collect()
}

fn brier(found: &Calibration) -> Vec<String> {
    let part = |of: fn(&BrierParts) -> f64| found.brier_parts.as_ref().map(of);
    let values = [
        Some(found.brier),
        part(|parts| parts.reliability),
        part(|parts| parts.resolution),
        part(|parts| parts.uncertainty),
    ];
    values.map(cell).to_vec()
}
