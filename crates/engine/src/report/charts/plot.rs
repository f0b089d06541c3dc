//! A plot of one quantity over another: curves, points, and lines to compare them with.

use super::{Axis, frame};
use crate::report::SERIES;
use crate::report::svg::{Anchor, Svg};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 290.0;
const PLACES: [[f64; 2]; 2] = [[58.0, WIDTH - 22.0], [HEIGHT - 38.0, 12.0]];

/// What is to be drawn, in the units of its axes.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct Plot {
    names: [String; 2],
    ranges: [Option<[f64; 2]>; 2],
    curves: Vec<Curve>,
    marks: Vec<Mark>,
    levels: Vec<Level>,
    diagonal: bool,
}

#[derive(Clone, Debug)]
struct Curve {
    class: String,
    /// Pieces between values that are undefined.
    pieces: Vec<Vec<[f64; 2]>>,
}

#[derive(Clone, Debug)]
struct Mark {
    series: usize,
    at: [f64; 2],
    tip: String,
}

#[derive(Clone, Debug)]
struct Level {
    class: String,
    y: f64,
    label: String,
}

impl Plot {
    /// Nothing yet, over axes of these names.
    pub(in crate::report) fn new(x: &str, y: &str) -> Self {
        Self { names: [x.to_owned(), y.to_owned()], ..Self::default() }
    }

    /// With ends of the axes; one without is drawn around what there is.
    pub(in crate::report) fn within(mut self, x: Option<[f64; 2]>, y: Option<[f64; 2]>) -> Self {
        self.ranges = [x, y];
        self
    }

    /// With the line where both are equal, and one range for both axes.
    pub(in crate::report) fn with_diagonal(mut self) -> Self {
        self.diagonal = true;
        self
    }

    /// A line through points, with a gap where a value is undefined.
    pub(in crate::report) fn curve(
        &mut self,
        style: &str,
        series: usize,
        points: impl Iterator<Item = (f64, Option<f64>)>,
    ) {
        let mut pieces = vec![Vec::new()];
        for (x, y) in points {
            match (y.filter(|y| y.is_finite() && x.is_finite()), pieces.last_mut()) {
                (Some(y), Some(piece)) => piece.push([x, y]),
                _ => pieces.push(Vec::new()),
            }
        }
        self.curves.push(Curve { class: format!("curve {style} s{}", series % SERIES), pieces });
    }

    /// A point of a series, left out where it is not finite.
    pub(in crate::report) fn mark(&mut self, series: usize, at: [f64; 2], tip: String) {
        if at.iter().all(|value| value.is_finite()) {
            self.marks.push(Mark { series, at, tip });
        }
    }

    /// A line from left to right, with what it stands for.
    pub(in crate::report) fn level(&mut self, style: &str, series: usize, y: f64, label: String) {
        let class = format!("curve {style} s{}", series % SERIES);
        self.levels.push(Level { class, y, label });
    }

    /// The drawing; `None` where there is no point at all.
    pub(in crate::report) fn draw(&self) -> Option<Svg> {
        let curves = || self.curves.iter().flat_map(|curve| &curve.pieces).flatten();
        let points = || curves().copied().chain(self.marks.iter().map(|mark| mark.at));
        points().next()?;
        let both = |[x, y]: [f64; 2]| if self.diagonal { [x, y] } else { [x, x] };
        let levels = self.levels.iter().map(|level| level.y);
        let axis = |range: Option<[f64; 2]>, values: &mut dyn Iterator<Item = f64>, at: usize| {
            let around = Axis::around(values, PLACES[at])?;
            Some(range.map_or(around, |values| Axis { values, ..around }))
        };
        let x = axis(self.ranges[0], &mut points().flat_map(both), 0)?;
        let down = |[x, y]: [f64; 2]| if self.diagonal { [x, y] } else { [y, y] };
        let y = axis(self.ranges[1], &mut points().flat_map(down).chain(levels), 1)?;
        let mut svg = Svg::new(WIDTH, HEIGHT);
        let names = [self.names[0].as_str(), self.names[1].as_str()];
        frame(&mut svg, &x, &y, names, [&x.ticks(6), &y.ticks(5)]);
        let place = |[across, up]: [f64; 2]| [x.place(across), y.place(up)];
        if self.diagonal {
            let (low, high) = (x.values[0].max(y.values[0]), x.values[1].min(y.values[1]));
            svg.line("diagonal", place([low, low]), place([high, high]));
        }
        for Level { class, y: value, label } in &self.levels {
            let at = y.place(*value);
            svg.line(class, [PLACES[0][0], at], [PLACES[0][1], at]);
            svg.text("tick", [PLACES[0][1] - 2.0, at - 4.0], Anchor::End, label);
        }
        for curve in &self.curves {
            for piece in &curve.pieces {
                let places: Vec<[f64; 2]> = piece.iter().copied().map(place).collect();
                svg.polyline(&curve.class, &places);
            }
        }
        for Mark { series, at, tip } in &self.marks {
            svg.mark(&format!("mark s{}", series % SERIES), *series, place(*at), tip);
        }
        Some(svg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_values_are_gaps_and_nothing_is_no_plot() {
        let mut plot = Plot::new("threshold", "share");
        assert!(plot.draw().is_none());

        let values = [Some(0.1), Some(0.2), None, Some(0.4), Some(f64::NAN), Some(0.5), Some(0.6)];
        plot.curve("solid", 0, values.into_iter().enumerate().map(|(at, y)| (at as f64, y)));
        plot.mark(1, [1.0, f64::INFINITY], "nowhere".to_owned());

        let drawing = plot.draw().expect("points").inline("", "");
        assert_eq!(drawing.matches("<polyline").count(), 2);
        assert!(!drawing.contains("nowhere") && !drawing.contains("NaN"));
    }

    #[test]
    fn with_a_diagonal_both_axes_hold_all_values() {
        let mut plot = Plot::new("reference", "predicted").with_diagonal();
        plot.mark(0, [2.0, 90.0], String::new());

        let drawing = plot.draw().expect("a point").inline("", "");

        assert_eq!(drawing.matches(">100</text>").count(), 2);
        assert_eq!(drawing.matches("class=\"diagonal\"").count(), 1);
    }
}
