//! The scores of a model card.

use std::fmt::Write as _;

use engine::evaluate::{Calibration, Evaluation, Summary, decimals};

use crate::card::{MEAN, POOLED_ECE, aggregates, plain};

/// The evaluation as tables.
pub(crate) fn text(evaluation: &Evaluation) -> String {
    let cases = evaluation.cases.len();
    let mut text = format!(
        "{cases} cases of {}; all values and their definitions are in `eval/summary.json`.\n\n\
         | class | score | mean | sd | median | defined | undefined |\n|---|---|--:|--:|--:|--:|--:|\n",
        plain(&evaluation.dataset)
    );
    let mut row = |class: &str, score: &str, found: &Summary| {
        let unit = evaluation.definitions.get(score).map_or("", |definition| &definition.unit);
        let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
        _ = writeln!(
            text,
            "| {} | {}{} | {} | {} | {} | {} | {} |",
            plain(class),
            plain(score),
            plain(&unit),
            number(found.mean),
            number(found.standard_deviation),
            number(found.median),
            found.defined,
            found.undefined
        );
    };
    for (class, score, found) in aggregates(evaluation) {
        row(if class == MEAN { "mean of classes" } else { class }, score, found);
    }
    for (score, found) in &evaluation.probabilities {
        row("probabilities", score, found);
    }
    text += &false_alarms(evaluation);
    if let Some(calibration) = &evaluation.calibration {
        _ = writeln!(
            text,
            "\nExpected calibration error of all cases together, `{POOLED_ECE}`: {} ({}).",
            number(Some(calibration.pooled_ece)),
            plain(&calibration.voxels)
        );
    }
    if let Some(scaling) = evaluation.scaling {
        _ = writeln!(text, "\nProbabilities were scored {}.", scaling.in_words());
    }
    text += &raters(evaluation);
    text += &evaluation.calibration.as_ref().map(reliability).unwrap_or_default();
    text
}

/// How often something is seen where there is nothing; and, as such cases are 0 or 1 in the mean above, the Dice of the others.
fn false_alarms(evaluation: &Evaluation) -> String {
    let mut text = String::new();
    for (class, absent) in &evaluation.absent {
        let there = evaluation
            .cases
            .iter()
            .filter(|case| case.voxels.get(class).is_some_and(|counts| counts.reference() > 0));
        let dice = there.map(|case| case.masks.get(class)?.get("dice").copied().flatten());
        let there = Summary::of(dice);
        let (class, cases) = (plain(class), absent.cases);
        let (alarms, rate) = (absent.false_alarms, decimals(absent.rate(), 3));
        _ = writeln!(
            text,
            "\nOf {cases} cases without {class}, it sees some in {alarms}: a rate of false alarms of {rate}."
        );
        if there.defined > 0 {
            let (others, dice) = (there.defined, number(there.mean));
            _ = writeln!(text, "In the {others} cases with {class}, its mean Dice is {dice}.");
        }
    }
    text
}

/// Whether it agrees with raters as well as these with one another.
fn raters(evaluation: &Evaluation) -> String {
    if evaluation.raters.is_empty() {
        return String::new();
    }
    let mut text = "\n### Raters\n\nDice with each rater, and of the raters with one another, means over cases.\n\n\
                    | class | model and rater | rater and rater | difference | 95 % interval | as good as a rater |\n\
                    |---|--:|--:|--:|--:|---|\n"
        .to_owned();
    for (class, found) in &evaluation.raters {
        let interval = found.difference_interval.map_or_else(
            || "–".to_owned(),
            |[low, high]| format!("{} to {}", number(Some(low)), number(Some(high))),
        );
        let verdict = found.as_good_as_a_rater.map_or("–", |good| if good { "yes" } else { "no" });
        _ = writeln!(
            text,
            "| {} | {} | {} | {} | {interval} | {verdict} |",
            plain(class),
            number(found.dice.mean),
            number(found.between.mean),
            number(found.difference.mean),
        );
    }
    text
}

/// What came true of what it was sure of.
fn reliability(calibration: &Calibration) -> String {
    let bins: Vec<_> = calibration.bins.iter().filter(|bin| bin.count > 0).collect();
    if bins.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n### Reliability\n\nHow sure it is of a voxel, and how often it is right, of {}.\n\n\
         | confidence | right | voxels |\n|--:|--:|--:|\n",
        plain(&calibration.voxels)
    );
    for bin in bins {
        _ = writeln!(
            text,
            "| {} | {} | {} |",
            number(Some(bin.confidence)),
            number(Some(bin.accuracy)),
            bin.count
        );
    }
    text
}

/// A value of a table; undefined is a dash, never 0.
fn number(value: Option<f64>) -> String {
    decimals(value, 4)
}

#[cfg(test)]
mod tests {
    use engine::evaluate::{Absent, CaseScores, RaterSummary, ReliabilityBin};

    use super::*;

    #[test]
    fn what_is_undefined_is_a_dash() {
        assert_eq!(number(None), "–");
        assert_eq!(number(Some(f64::NAN)), "–");
    }

    #[test]
    fn false_alarms_raters_and_reliability_are_told_where_they_are_known() {
        let bin =
            ReliabilityBin { lower: 0.5, upper: 0.6, confidence: 0.55, accuracy: 0.5, count: 10 };
        let empty = ReliabilityBin { count: 0, ..bin };
        let rater = RaterSummary {
            dice: Summary::of([Some(0.5)]),
            difference_interval: Some([-0.1, 0.2]),
            as_good_as_a_rater: Some(true),
            ..RaterSummary::default()
        };
        let seen = |reference: u64, dice: f64| {
            let mut case = CaseScores::default();
            case.voxels.entry("polyp".to_owned()).or_default().false_negatives = reference;
            case.masks.entry("polyp".to_owned()).or_default().insert("dice".to_owned(), Some(dice));
            case
        };
        let evaluation = Evaluation {
            cases: vec![seen(10, 0.75), seen(0, 0.0), seen(9, 0.25)],
            absent: [("polyp".to_owned(), Absent { cases: 20, false_alarms: 5 })].into(),
            raters: [("polyp".to_owned(), rater)].into(),
            calibration: Some(Calibration { bins: vec![bin, empty], ..Calibration::default() }),
            ..Evaluation::default()
        };

        let text = text(&evaluation);

        assert!(
            text.contains(
                "Of 20 cases without polyp, it sees some in 5: a rate of false alarms of 0.250.\n\
                 In the 2 cases with polyp, its mean Dice is 0.5000."
            ),
            "{text}"
        );
        assert!(text.contains("| polyp | 0.5000 | – | – | -0.1000 to 0.2000 | yes |\n"), "{text}");
        assert!(text.contains("| 0.5500 | 0.5000 | 10 |\n") && !text.contains("| 0 |"), "{text}");
        let nothing = super::text(&Evaluation::default());
        assert!(!nothing.contains("###") && !nothing.contains("false alarms"), "{nothing}");
    }
}
