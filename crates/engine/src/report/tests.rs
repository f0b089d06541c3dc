use ndarray::Array2;

use super::*;
use crate::report::example;

/// A text that would be noticed if it got through.
const MARKUP: &str = "<script>alert('x\"&')</script>";

#[test]
fn equal_input_makes_equal_bytes() {
    assert_eq!(html(&example::report()), html(&example::report()));
}

#[test]
fn the_page_needs_nothing_else() {
    let page = html(&example::report());

    for outside in ["http:", "https:", "src=", "@import", "url(", "<link", "\"//"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for target in page.split("href=\"").skip(1) {
        assert!(target.starts_with('#') || target.starts_with("data:image/png;base64,"));
    }
}

#[test]
fn every_section_has_its_heading_and_the_menu_leads_there() {
    let page = html(&example::report());

    for id in ["classes", "calibration", "pictures", "curves", "cases", "definitions", "settings"] {
        assert_eq!(page.matches(&format!("<section id=\"{id}\"><h2>")).count(), 1, "{id}");
        assert_eq!(page.matches(&format!("<a href=\"#{id}\">")).count(), 1, "{id}");
    }
    assert_eq!(page.matches("<table>").count(), page.matches("<caption>").count());
    assert_eq!(
        page.matches("role=\"img\"").count(),
        page.matches("role=\"img\" aria-label=\"").count()
    );
}

#[test]
fn tags_are_balanced() {
    let page = html(&example::report());

    for tag in [
        "div",
        "table",
        "tr",
        "td",
        "th",
        "figure",
        "figcaption",
        "svg",
        "section",
        "ul",
        "li",
        "p",
    ] {
        let opened =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn no_text_is_taken_for_markup() {
    let mut report = example::report();
    report.title = MARKUP.to_owned();
    let evaluation = &mut report.evaluations[0];
    evaluation.name = MARKUP.to_owned();
    evaluation.dataset = MARKUP.to_owned();
    evaluation.cases[0].id = MARKUP.to_owned();
    evaluation.classes[0] = MARKUP.to_owned();
    for definition in evaluation.definitions.values_mut() {
        definition.text = MARKUP.to_owned();
        definition.unit = MARKUP.to_owned();
    }
    evaluation.calibration.as_mut().unwrap().voxels = MARKUP.to_owned();
    let masks = evaluation.masks["mean"].clone();
    evaluation.masks.insert(MARKUP.to_owned(), masks.clone());
    evaluation.masks.get_mut("mean").unwrap().insert(MARKUP.to_owned(), masks["dice"]);
    report.history[0].0 = MARKUP.to_owned();
    report.settings = vec![(MARKUP.to_owned(), MARKUP.to_owned())];
    report.provenance = Provenance {
        version: MARKUP.to_owned(),
        command: MARKUP.to_owned(),
        seed: None,
        training_data: Some(MARKUP.to_owned()),
        scored_data: None,
    };
    report.evaluations[0].provenance = Some(report.provenance.clone());
    let contour = Contour {
        name: MARKUP.to_owned(),
        role: Role::Rater,
        class: 0,
        mask: Array2::from_elem((2, 2), true),
    };
    let picture = Picture::new(MARKUP, MARKUP, Array2::zeros((2, 2)), [1.0, 1.0]).unwrap();
    report.pictures = vec![picture.with_contour(contour).unwrap()];

    let page = html(&report);

    let escaped = "&lt;script&gt;alert(&#39;x&quot;&amp;&#39;)&lt;/script&gt;";
    assert!(page.matches(escaped).count() > 20);
    // The one script is the page's own.
    assert_eq!(page.to_lowercase().matches("<script>").count(), 1);
    assert_eq!(page.to_lowercase().matches("alert(").count(), page.matches("alert(&#39;").count());
}

#[test]
fn without_any_case_the_page_says_so() {
    for evaluations in [vec![], vec![example::evaluation("model", &[])]] {
        let page = html(&ReportInput { evaluations, ..ReportInput::default() });

        assert!(page.contains("No case was evaluated."));
        assert!(!page.contains("NaN") && !page.contains("<section id=\"cases\""));
    }
}

#[test]
fn one_case_has_no_spread() {
    let evaluations = vec![example::evaluation("model", &[Some(0.5)])];

    let page = html(&ReportInput { evaluations, ..ReportInput::default() });

    assert!(page.contains("<strong>0.500</strong><small>1 case</small>"));
    assert!(!page.contains("± 0") && !page.contains("± –"));
}

#[test]
fn where_all_is_undefined_no_number_is_shown() {
    let evaluations = vec![example::evaluation("model", &[None, None])];

    let page = html(&ReportInput { evaluations, ..ReportInput::default() });

    assert!(page.contains("<strong>–</strong><small>defined in 0 of 2 cases</small>"));
    assert!(page.contains("n&nbsp;0, –&nbsp;2"));
    assert!(!page.contains("NaN") && !page.contains("0.000"));
    assert!(exemplars(&example::evaluation("model", &[None])).is_empty());
}

#[test]
fn values_that_are_not_finite_are_undefined() {
    let mut evaluation = example::evaluation("model", &[Some(f64::INFINITY), Some(0.5)]);
    evaluation.masks.get_mut("organ").unwrap().get_mut("dice").unwrap().mean = Some(f64::NAN);

    let page = html(&ReportInput { evaluations: vec![evaluation], ..ReportInput::default() });

    assert!(!page.contains("NaN") && !page.contains("inf"));
}

#[test]
fn cases_are_listed_from_the_worst_to_the_undefined() {
    let evaluation = example::evaluation("model", &[Some(0.9), None, Some(0.2), Some(0.5)]);

    let page = html(&ReportInput { evaluations: vec![evaluation], ..ReportInput::default() });

    let place = |case: usize| page.find(&format!("<th scope=\"row\" class=\"text\">case_00{case}"));
    let order = [2, 3, 0, 1].map(|case| place(case).expect("every case is listed"));
    assert!(order.is_sorted());
}

#[test]
fn exemplars_are_best_median_and_worst_without_repetition() {
    let of = |values: &[f64]| {
        let values: Vec<_> = values.iter().map(|value| Some(*value)).collect();
        let found = example::evaluation("model", &values);
        exemplars(&found).iter().map(|(kind, id)| format!("{kind:?} {id}")).collect::<Vec<_>>()
    };

    assert_eq!(of(&[0.5]), ["Worst case_000"]);
    assert_eq!(of(&[0.5, 0.4]), ["Best case_000", "Worst case_001"]);
    assert_eq!(of(&[0.5, 0.4, 0.9, 0.8]), ["Best case_002", "Median case_000", "Worst case_001"]);
}

#[test]
fn models_of_other_classes_leave_no_rows_of_undefined_values() {
    let mut other = example::evaluation("other", &[Some(0.5)]);
    other.classes = vec!["lesion".to_owned()];
    other.cases[0].masks = [("lesion".to_owned(), other.cases[0].masks["organ"].clone())].into();
    other.masks = [("lesion".to_owned(), other.masks["organ"].clone())].into();
    let evaluations = vec![example::evaluation("model", &[Some(0.25)]), other];

    let page = html(&ReportInput { evaluations, ..ReportInput::default() });

    // One row for each class, and both models in that of the mean.
    assert_eq!(page.matches("<tr class=\"first").count(), 3);
    assert_eq!(page.matches("<tr class=\"next").count(), 1);
    assert!(!page.contains("<br>n&nbsp;0") && !page.contains(">n 0"), "{page}");
}

#[test]
fn cases_of_several_data_sets_are_not_set_side_by_side() {
    let one = example::evaluation("model", &[Some(0.25)]);
    let mut other = example::evaluation("other", &[Some(0.5), Some(0.75)]);
    let page = |evaluations| html(&ReportInput { evaluations, ..ReportInput::default() });

    assert!(page(vec![one.clone(), other.clone()]).contains("Dice of each case in each model"));
    other.dataset = "another".to_owned();
    let page = page(vec![one, other]);
    assert!(!page.contains("Dice of each case in each model"));
    assert!(page.contains("Data sets: example (1 case), another (2 cases)."));
}

#[test]
fn without_scripts_the_table_of_cases_is_a_plain_table() {
    let page = html(&example::report());
    let (before, script) = page.split_once("<script>").expect("a script");

    // Boxes and buttons would do nothing there.
    assert!(!before.contains("<input") && !before.contains("<button"));
    assert!(before.contains("<div class=\"scroll cases\"") && script.contains("dice<0.8"));
}

/// Beside the build, so that `benchmarks/interop/report_page.py` finds it: a page with all that there is.
#[test]
fn the_example_is_written_for_the_browser() -> std::io::Result<()> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).expect("target/debug/deps/program");
    std::fs::write(target.join("report-example.html"), html(&example::report()))
}
