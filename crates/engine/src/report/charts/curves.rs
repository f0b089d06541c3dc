//! Learning curves.

use super::{Axis, frame};
use crate::EpochSummary;
use crate::report::SERIES;
use crate::report::svg::Svg;

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 270.0;
const PLACES: [[f64; 2]; 2] = [[50.0, WIDTH - 10.0], [HEIGHT - 38.0, 10.0]];

type History = [(String, Vec<EpochSummary>)];

/// Loss over epochs: training dashed, validation solid. `None` without an epoch.
pub(in crate::report) fn loss_curves(history: &History) -> Option<Svg> {
    let mut lines = Vec::new();
    for (series, (_, epochs)) in history.iter().enumerate() {
        let line = |loss: fn(&EpochSummary) -> f64| points(epochs, |epoch| Some(loss(epoch)));
        lines.push(Line { style: "dashed", series, runs: line(|epoch| epoch.train_loss) });
        lines.push(Line { style: "solid", series, runs: line(|epoch| epoch.validation_loss) });
    }
    chart(&lines, "loss", None)
}

/// Dice of held-out patches over epochs: the mean over classes, and each class as a thin line.
/// `None` where it is nowhere defined.
pub(in crate::report) fn dice_curves(history: &History) -> Option<Svg> {
    let mut lines = Vec::new();
    for (series, (_, epochs)) in history.iter().enumerate() {
        let classes = epochs.iter().map(|epoch| epoch.validation_dice.len()).max().unwrap_or(0);
        for class in (0..classes).filter(|_| classes > 1) {
            let of_class =
                points(epochs, |epoch| epoch.validation_dice.get(class).copied().flatten());
            lines.push(Line { style: "thin", series, runs: of_class });
        }
        let mean = points(epochs, EpochSummary::mean_dice);
        lines.push(Line { style: "solid", series, runs: mean });
    }
    chart(&lines, "Dice of held-out patches", Some([0.0, 1.0]))
}

/// The runs of neighboring epochs where a value is defined and finite.
fn points(
    epochs: &[EpochSummary],
    value: impl Fn(&EpochSummary) -> Option<f64>,
) -> Vec<Vec<[f64; 2]>> {
    let mut runs = vec![Vec::new()];
    for epoch in epochs {
        match value(epoch).filter(|value| value.is_finite()) {
            Some(value) => {
                let run = runs.last_mut().expect("there is always a last run");
                run.push([epoch.epoch as f64 + 1.0, value]);
            }
            None => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

struct Line {
    style: &'static str,
    series: usize,
    runs: Vec<Vec<[f64; 2]>>,
}

fn chart(lines: &[Line], name: &str, range: Option<[f64; 2]>) -> Option<Svg> {
    let all = || lines.iter().flat_map(|line| &line.runs).flatten();
    let last = all().map(|[epoch, _]| *epoch).fold(0.0, f64::max);
    let x = Axis { values: [1.0, last.max(2.0)], places: PLACES[0] };
    let y = Axis::around(all().map(|[_, value]| *value), PLACES[1])?;
    let y = range.map_or(y, |values| Axis { values, ..y });
    let mut svg = Svg::new(WIDTH, HEIGHT);
    let whole = |ticks: Vec<f64>| -> Vec<f64> {
        ticks.into_iter().filter(|tick| tick.fract().abs() < 1e-9).collect()
    };
    frame(&mut svg, &x, &y, ["epoch", name], [&whole(x.ticks(6)), &y.ticks(5)]);
    for line in lines {
        let series = line.series % SERIES;
        for run in &line.runs {
            let places: Vec<[f64; 2]> =
                run.iter().map(|[epoch, value]| [x.place(*epoch), y.place(*value)]).collect();
            svg.polyline(&format!("curve {} s{series}", line.style), &places);
            if let [alone] = places[..] {
                svg.disc(&format!("point s{series}"), alone, 2.6, "");
            }
        }
    }
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn a_loss_that_is_no_number_is_a_gap() {
        let mut epochs = example::epochs(5);
        epochs[2].validation_loss = f64::NAN;

        let svg = loss_curves(&[("model".to_owned(), epochs)]).expect("four epochs");

        // One line for training, two pieces for validation.
        assert_eq!(svg.inline("chart", "").matches("<polyline").count(), 3);
    }

    #[test]
    fn one_epoch_is_a_point() {
        let svg = loss_curves(&[("model".to_owned(), example::epochs(1))]).expect("one epoch");

        assert_eq!(svg.inline("chart", "").matches("<circle class=\"point s0\"").count(), 2);
    }

    #[test]
    fn no_epoch_is_no_chart() {
        assert!(loss_curves(&[]).is_none());
        assert!(dice_curves(&[("model".to_owned(), Vec::new())]).is_none());
    }
}
