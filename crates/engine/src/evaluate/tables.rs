//! An evaluation as a table: one row for each score of each class of each case.

use std::io;

use super::Evaluation;

/// One score.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The case.
    pub case: String,
    /// The class or region; empty for scores of probabilities, which are of all classes.
    pub class: String,
    /// The name of the score.
    pub score: String,
    /// Its value; `None` where it is undefined.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: String,
}

/// All scores of all cases: masks, probabilities, volumes, lesions, raters, doubt, and challenge.
pub fn rows(evaluation: &Evaluation) -> Vec<Row> {
    let mut rows = Vec::new();
    for case in &evaluation.cases {
        let mut add = |class: &str, score: &str, value: Option<f64>, unit: &str| {
            rows.push(Row {
                case: case.id.clone(),
                class: class.to_owned(),
                score: score.to_owned(),
                value,
                unit: unit.to_owned(),
            });
        };
        let unit = |score: &str| {
            evaluation.definitions.get(score).map_or("", |definition| &definition.unit)
        };
        for (class, scores) in &case.masks {
            for (score, value) in scores {
                add(class, score, *value, unit(score));
            }
        }
        for class in case.voxels.keys() {
            if let Some([predicted, reference]) = case.volumes(class) {
                add(class, "volume_predicted", Some(predicted), "mm³");
                add(class, "volume_reference", Some(reference), "mm³");
            }
        }
        for (class, lesions) in &case.lesions {
            let counts = [
                ("lesions", lesions.lesions),
                ("lesions_found", lesions.found),
                ("candidates", lesions.candidates),
                ("false_alarms", lesions.false_alarms),
            ];
            for (score, count) in counts {
                add(class, score, Some(count as f64), "");
            }
        }
        for (class, raters) in &case.raters {
            add(class, "energy_distance", raters.energy_distance, "");
            add(class, "volume_crps", raters.volume_crps, "mm³");
            for (rater, dice) in raters.dice.iter().enumerate() {
                add(class, &format!("dice_with_rater_{}", rater + 1), *dice, "");
            }
        }
        for (region, scores) in &case.challenge {
            let name = evaluation.challenge.as_ref().map_or("challenge", |it| &it.name);
            for (score, value) in scores {
                let score = format!("{name}/{score}");
                add(region, &score, *value, unit(&score));
            }
        }
        for (score, value) in &case.probabilities {
            add("", score, *value, unit(score));
        }
        for (score, value) in &case.doubt {
            add("", score, Some(*value), "");
        }
    }
    rows
}

/// The same as comma-separated values with a heading; undefined values are empty.
///
/// # Errors
///
/// Where writing fails.
pub fn csv(evaluation: &Evaluation, out: impl io::Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(["case", "class", "score", "value", "unit"])?;
    for Row { case, class, score, value, unit } in rows(evaluation) {
        let value = value.map(|value| value.to_string()).unwrap_or_default();
        writer.write_record([&case, &class, &score, &value, &unit])?;
    }
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::CaseScores;

    #[test]
    fn undefined_is_empty_and_names_are_quoted() -> anyhow::Result<()> {
        let scores = [("dice".to_owned(), None), ("hd95".to_owned(), Some(1.5))].into();
        let case = CaseScores {
            id: "a, b".to_owned(),
            masks: [("liver".to_owned(), scores)].into(),
            doubt: [("entropy".to_owned(), 0.25)].into(),
            ..CaseScores::default()
        };
        let evaluation = Evaluation { cases: vec![case], ..Evaluation::default() };
        let mut text = Vec::new();

        csv(&evaluation, &mut text)?;

        let expected = "case,class,score,value,unit\n\"a, b\",liver,dice,,\n\"a, b\",liver,hd95,1.5,\n\"a, b\",,entropy,0.25,\n";
        assert_eq!(String::from_utf8(text)?, expected);
        Ok(())
    }
}
