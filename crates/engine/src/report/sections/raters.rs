//! Predictions beside several raters.

use super::{LARGER, SMALLER, Term, by_class};
use crate::evaluate::{Evaluation, RaterSummary};
use crate::report::tables::summed_up;
use crate::report::text::{UNDEFINED, number};

pub(super) const TERMS: &[Term] = &[
    Term::new(
        "Dice with raters",
        LARGER,
        "Dice of the prediction with each rater, mean over the raters of a case, then over cases; undefined where all are empty",
    ),
    Term::new(
        "Dice between raters",
        None,
        "Dice of each rater with all others, mean over the raters of a case, then over cases: what another rater would reach; undefined where all are empty",
    ),
    Term::new(
        "Difference",
        LARGER,
        "the first minus the second, over cases where both are defined; in brackets the 95 % interval of its mean by the bootstrap over cases",
    ),
    Term::new(
        "Verdict",
        None,
        "whether predictions agree with raters as well as these with each other: the interval does not lie below 0; – where there is no interval",
    )
    .in_words(),
    Term::new(
        "Energy distance",
        SMALLER,
        "squared generalised energy distance between what is predicted and the raters, with 1 − IoU as distance, mean over cases; undefined where it is in no case",
    ),
    Term::new(
        "Volume CRPS",
        SMALLER,
        "continuous ranked probability score of the predicted volumes against each rater's, mean over raters, then over cases",
    )
    .in_unit("mm³"),
];

pub(super) fn section(evaluations: &[Evaluation]) -> String {
    by_class(evaluations, "Predictions beside raters", TERMS, |one| &one.raters, cells)
}

fn cells(found: &RaterSummary) -> Vec<String> {
    let interval = found.difference_interval.map_or(String::new(), |ends| {
        let [low, high] = ends.map(|end| number(Some(end)));
        format!("<small>[{low}, {high}]</small></td>")
    });
    let difference = summed_up(Some(&found.difference));
    let difference = if interval.is_empty() {
        difference
    } else {
        difference.trim_end_matches("</td>").to_owned() + &interval
    };
    let verdict = match found.as_good_as_a_rater {
        Some(true) => "as good as another rater",
        Some(false) => "not as good as another rater",
        None => UNDEFINED,
    };
    vec![
        summed_up(Some(&found.dice)),
        summed_up(Some(&found.between)),
        difference,
        format!("<td class=\"text\">{verdict}</td>"),
        summed_up(Some(&found.energy_distance)),
        summed_up(Some(&found.volume_crps)),
    ]
}
