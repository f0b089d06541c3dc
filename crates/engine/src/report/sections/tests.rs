use super::*;
use crate::evaluate::CaseScores;
use crate::report::{ReportInput, example, html};

const IDS: [&str; 8] =
    ["thresholds", "volumes", "lesions", "raters", "failures", "fine", "challenge", "unmatched"];

fn page(evaluations: Vec<Evaluation>) -> String {
    html(&ReportInput { evaluations, ..ReportInput::default() })
}

#[test]
fn a_section_without_content_is_left_out() {
    let without = page(vec![example::evaluation("model", &[Some(0.5)])]);
    let with = page(vec![example::full("model", 1, 0.0)]);

    for id in IDS {
        assert_eq!(without.matches(&format!("<section id=\"{id}\"")).count(), 0, "{id}");
        assert_eq!(with.matches(&format!("<section id=\"{id}\"")).count(), 1, "{id}");
    }
    assert!(terms(&[example::evaluation("model", &[Some(0.5)])]).is_empty());
}

#[test]
fn each_number_has_its_definition_and_no_two_share_a_name() {
    let evaluations = [example::full("model", 1, 0.0)];
    let page = page(evaluations.to_vec());
    let definitions = page.split("<section id=\"definitions\">").nth(1).expect("a section");

    let mut names = Vec::new();
    for term in terms(&evaluations) {
        assert!(definitions.contains(&format!("text\">{}</th>", term.name)), "{}", term.name);
        assert!(!names.contains(&term.name), "{} is defined twice", term.name);
        names.push(term.name);
    }
    assert!(names.len() > 40);
}

#[test]
fn limits_of_agreement_are_those_of_a_worked_example() {
    let mut evaluation = example::evaluation("model", &[Some(0.5); 3]);
    for (case, predicted) in evaluation.cases.iter_mut().zip([9, 10, 14]) {
        let counts = metrics::Counts {
            true_positives: 9,
            false_positives: predicted - 9,
            false_negatives: 1,
            true_negatives: 0,
        };
        case.voxel_volume = 1000.0;
        case.voxels = [("organ".to_owned(), counts)].into();
    }
    evaluation.cases.push(CaseScores { id: "unknown".to_owned(), ..CaseScores::default() });

    let section = volumes::section(&[evaluation]);

    // Differences of −1, 0 and 4 ml: mean 1, standard deviation √7, limits 1 ∓ 1.96 √7.
    let row = section.split("<tbody>").nth(1).expect("a table");
    let shown: Vec<&str> =
        row.split("</td>").filter_map(|cell| cell.rsplit('>').next()).take(6).collect();
    assert_eq!(shown, ["3", "1.000", "2.646", "−4.186", "6.186", "10.00"]);
    assert_eq!(section.matches("class=\"mark s0\"").count(), 6);
}

#[test]
fn one_volume_has_a_mean_and_no_limits() {
    let mut evaluation = example::evaluation("model", &[Some(0.5)]);
    evaluation.cases[0].voxel_volume = 1.0;
    evaluation.cases[0].voxels = [("organ".to_owned(), metrics::Counts::default())].into();

    let section = volumes::section(&[evaluation]);

    assert_eq!(section.matches("<td>–</td>").count(), 3);
    assert!(!section.contains("NaN"));
}

#[test]
fn a_goal_that_no_threshold_serves_is_undefined() {
    let section = thresholds::section(&[example::full("model", 1, 0.0)]);

    let row = section.split("precision of at least 0.999").nth(1).expect("a row");
    assert!(row.starts_with("</td><td>–</td><td>–</td><td>–</td><td>–</td>"), "{row}");
    assert!(section.contains("largest Dice") && section.contains("recall of at least 0.95"));
}

#[test]
fn the_verdict_on_raters_is_in_words() {
    let good = raters::section(&[example::full("model", 1, 0.02)]);
    let bad = raters::section(&[example::full("model", 1, -0.02)]);

    assert!(good.contains(">as good as another rater<"));
    assert!(bad.contains(">not as good as another rater<"));
    assert!(good.contains("<small>[0.0040, 0.0160]</small>"), "{good}");
}

#[test]
fn files_without_their_other_half_are_named_and_escaped() {
    let mut evaluation = example::full("model", 1, 0.0);
    evaluation.unmatched.predictions = vec!["<b>".to_owned()];

    let section = unmatched::section(&[evaluation]);

    assert!(section.contains("<li>predictions without a reference (1): &lt;b&gt;</li>"));
    assert!(section.contains("case_901, case_902"));
}

#[test]
fn of_what_was_not_computed_calibration_is_undefined() {
    let mut evaluation = example::full("model", 1, 0.0);
    let near = evaluation.calibration.as_mut().expect("the example is calibrated");
    (near.mce, near.brier_parts) = (None, None);
    evaluation.calibration_whole = None;

    assert_eq!(calibration::table(&[evaluation]).matches("<td>–</td>").count(), 4);
    assert!(calibration::table(&[]).is_empty());
}

#[test]
fn differences_of_models_come_with_intervals_and_tests() {
    let models = [example::full("one", 1, 0.0), example::full("two", 2, 0.1)];

    let section = comparison::section(&models);

    assert!(section.contains("<td class=\"text\">one − two</td>"), "{section}");
    assert!(section.contains("<td data-value=\"1\">1 <small>[1, "), "{section}");
    assert!(section.contains("&lt; 0.0001</td>"), "{section}");
    assert!(comparison::section(&models[..1]).is_empty());
    let mut other = models[1].clone();
    for case in &mut other.cases {
        case.id += " of another set";
    }
    assert!(comparison::section(&[models[0].clone(), other]).is_empty());
}
