//! A score of every case: a box and a point for each, by class and model.

use std::collections::BTreeMap;

use super::{Axis, frame};
use crate::evaluate::Evaluation;
use crate::report::svg::{Anchor, Svg};
use crate::report::text::{UNDEFINED, label, number};
use crate::report::{MEAN, SERIES, covers};

const WIDTH: f64 = 440.0;
/// Half of the number below the first tick lies to the left of it.
const LEFT: f64 = 18.0;
const RIGHT: f64 = WIDTH - 78.0;
const ROW: f64 = 34.0;
const HEADING: f64 = 20.0;
/// Above this many cases, points are drawn only where they lie outside the whiskers.
const MANY: usize = 300;

/// The distribution of `score` over cases, for each class and evaluation. `None` where no value of
/// it is defined.
pub(in crate::report) fn strips(evaluations: &[Evaluation], score: &str) -> Option<Svg> {
    let rows = rows(evaluations, score);
    let values = || rows.iter().flat_map(|row| &row.values).map(|(value, _)| *value);
    let larger_is_better = evaluations
        .iter()
        .find_map(|evaluation| evaluation.definitions.get(score))
        .is_some_and(|definition| definition.unit.is_empty());
    let x = Axis::around(values(), [LEFT, RIGHT])?;
    // A fraction that is close to 1 everywhere is looked at closely; its axis still ends at 1.
    let x = if larger_is_better && values().all(|value| (0.0..=1.0).contains(&value)) {
        let lowest = values().fold(0.8, f64::min);
        Axis { values: [(lowest * 5.0 + 1e-9).floor() / 5.0, 1.0], ..x }
    } else {
        x
    };
    let headings = rows.iter().filter(|row| row.heads).count();
    let height = HEADING * headings as f64 + ROW * rows.len() as f64;
    let y = Axis { values: [0.0, 1.0], places: [height + 8.0, 4.0] };
    let mut svg = Svg::new(WIDTH, height + 46.0);
    frame(&mut svg, &x, &y, [&label(score), ""], [&x.ticks(5), &[]]);
    let mut top = 4.0;
    for row in &rows {
        if row.heads {
            svg.text("class", [LEFT + 6.0, top + 14.0], Anchor::Start, row.class);
            top += HEADING;
        }
        draw(&mut svg, &x, row, top + ROW / 2.0);
        top += ROW;
    }
    Some(svg)
}

struct Row<'a> {
    class: &'a str,
    model: &'a str,
    series: usize,
    /// Whether it is the first row of its class.
    heads: bool,
    /// Sorted; each with the case that it is of.
    values: Vec<(f64, &'a str)>,
    undefined: usize,
}

fn rows<'a>(evaluations: &'a [Evaluation], score: &str) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for class in crate::report::classes(evaluations) {
        let mut heads = true;
        for (series, evaluation) in evaluations.iter().enumerate() {
            if !covers(evaluation, class) {
                continue;
            }
            let mut values = Vec::new();
            for case in &evaluation.cases {
                let value = crate::report::value(case, class, score);
                values.extend(value.map(|value| (value, case.id.as_str())));
            }
            values.sort_by(|a, b| a.0.total_cmp(&b.0));
            let undefined = evaluation.cases.len() - values.len();
            let class = if class == MEAN { "mean over classes" } else { class };
            let model = &evaluation.name;
            rows.push(Row { class, model, series, heads, values, undefined });
            heads = false;
        }
    }
    rows
}

fn draw(svg: &mut Svg, x: &Axis, row: &Row<'_>, middle: f64) {
    let class = format!("s{}", row.series % SERIES);
    let undefined =
        if row.undefined > 0 { format!(", {UNDEFINED} {}", row.undefined) } else { String::new() };
    let counts = format!("n {}{undefined}", row.values.len());
    svg.text("tick", [WIDTH - 2.0, middle + 3.5], Anchor::End, &counts);
    let whiskers = row.values.len() >= 5;
    let mut inside = [f64::INFINITY, f64::NEG_INFINITY];
    if let Some(first) = row.values.first() {
        let quartiles = [0.25, 0.5, 0.75].map(|share| quantile(&row.values, share));
        let [lower, median, upper] = quartiles;
        let reach = 1.5 * (upper - lower);
        let within = |value: &f64| (lower - reach..=upper + reach).contains(value);
        let tip = format!(
            "{}, {}: median {}, quartiles {} and {}, {} cases",
            row.model,
            row.class,
            number(Some(median)),
            number(Some(lower)),
            number(Some(upper)),
            row.values.len()
        );
        if whiskers {
            let kept = || row.values.iter().map(|(value, _)| *value).filter(within);
            inside = [kept().fold(first.0.max(lower), f64::min), kept().fold(upper, f64::max)];
            let ends = inside.map(|end| x.place(end));
            svg.line(&format!("whisker {class}"), [ends[0], middle], [ends[1], middle]);
            let (from, to) = (x.place(lower), x.place(upper));
            svg.rect(&format!("box {class}"), [from, middle - 10.0], [to - from, 20.0], &tip);
        }
        points(svg, x, row, middle, inside);
        let at = x.place(median);
        svg.line(&format!("median {class}"), [at, middle - 12.0], [at, middle + 12.0]);
    }
}

/// The points, side by side where they would hide each other.
fn points(svg: &mut Svg, x: &Axis, row: &Row<'_>, middle: f64, inside: [f64; 2]) {
    let all = row.values.len() <= MANY;
    let shown = row
        .values
        .iter()
        .filter(|(value, _)| all || *value < inside[0] || *value > inside[1])
        .collect::<Vec<_>>();
    #[expect(clippy::cast_possible_truncation, reason = "a place in a drawing")]
    let column = |value: f64| (x.place(value) / 4.5).floor() as i64;
    let mut heights: BTreeMap<i64, usize> = BTreeMap::new();
    for (value, _) in &shown {
        *heights.entry(column(*value)).or_default() += 1;
    }
    let mut used: BTreeMap<i64, usize> = BTreeMap::new();
    for (value, id) in shown {
        let index = used.entry(column(*value)).or_default();
        let step = (13.0 / (heights[&column(*value)] as f64 / 2.0)).min(4.2);
        let side = if index.is_multiple_of(2) { 1.0 } else { -1.0 };
        let offset = side * index.div_ceil(2) as f64 * step;
        *index += 1;
        let tip = format!("{id}: {}", number(Some(*value)));
        let class = format!("point s{}", row.series % SERIES);
        svg.disc(&class, [x.place(*value), middle + offset], 2.3, &tip);
    }
}

/// The value below which that share of sorted values lies, between neighbors by straight line.
fn quantile(sorted: &[(f64, &str)], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the values"
    )]
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let (low, high) = (sorted[below].0, sorted[above].0);
    low + (high - low) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn quartiles_are_between_neighbors() {
        let values = [1.0, 2.0, 3.0, 4.0].map(|value| (value, ""));

        for (share, expected) in [(0.25, 1.75), (0.5, 2.5), (0.75, 3.25)] {
            approx::assert_relative_eq!(quantile(&values, share), expected);
        }
    }

    #[test]
    fn undefined_values_are_counted_and_not_drawn() {
        let values = [Some(0.9), None, Some(0.8)];
        let evaluation = example::evaluation("model", &values);

        let svg = strips(&[evaluation], "dice").expect("two values").inline("chart", "");

        assert_eq!(svg.matches("class=\"point").count(), 2);
        assert!(svg.contains("n 2, – 1"), "{svg}");
    }

    #[test]
    fn nothing_defined_is_no_chart() {
        assert!(strips(&[example::evaluation("model", &[None, None])], "dice").is_none());
        assert!(strips(&[], "dice").is_none());
    }

    #[test]
    fn of_very_many_cases_only_the_outlying_are_points() {
        let mut values: Vec<_> =
            (0..999).map(|index| Some(0.9 + f64::from(index) * 1e-5)).collect();
        values.push(Some(0.1));

        let svg = strips(&[example::evaluation("model", &values)], "dice").expect("values");

        assert_eq!(svg.inline("chart", "").matches("class=\"point").count(), 1);
    }
}
