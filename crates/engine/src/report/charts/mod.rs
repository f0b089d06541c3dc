//! The charts of a report.

mod curves;
mod histogram;
mod plot;
mod ranks;
mod reliability;
mod strips;

use super::svg::{Anchor, Svg, short};

pub(super) use super::svg::Svg as Drawing;

pub(super) use self::curves::{dice_curves, loss_curves};
pub(super) use self::histogram::{counts, shares};
pub(super) use self::plot::Plot;
pub(super) use self::ranks::ranks;
pub use self::reliability::reliability_svg;
pub(super) use self::reliability::{Series, describe, reliability};
pub(super) use self::strips::strips;

/// The style of charts, for the page and for drawings that stand alone.
pub(super) const STYLE: &str = include_str!("../chart.css");

/// A straight map from values to places in a drawing.
#[derive(Clone, Copy, Debug)]
struct Axis {
    values: [f64; 2],
    places: [f64; 2],
}

impl Axis {
    /// The place of a value; values outside are put on the nearer end.
    fn place(&self, value: f64) -> f64 {
        let [low, high] = self.values;
        let share = if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
        self.places[0] + share * (self.places[1] - self.places[0])
    }

    /// About `wanted` round values from end to end.
    fn ticks(&self, wanted: usize) -> Vec<f64> {
        let [low, high] = self.values;
        let step = round_step((high - low) / wanted.max(1) as f64);
        let first = (low / step - 1e-9).ceil();
        let mut ticks = Vec::new();
        let mut index = 0.0;
        while (first + index) * step <= high + step * 1e-9 {
            ticks.push((first + index) * step);
            index += 1.0;
        }
        ticks
    }

    /// The axis that holds all of `values` and ends on round numbers; `None` where there are none.
    fn around(values: impl Iterator<Item = f64>, places: [f64; 2]) -> Option<Self> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            return None;
        }
        if high - low < 1e-9 {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let step = round_step((high - low) / 5.0);
        let values = [(low / step).floor() * step, (high / step).ceil() * step];
        Some(Self { values, places })
    }
}

/// The round number of the form 1, 2 or 5 times a power of ten that is just not below `step`.
fn round_step(step: f64) -> f64 {
    if !(step.is_finite() && step > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// The frame of a plot: grid lines with their numbers, and the names of both axes.
fn frame(svg: &mut Svg, x: &Axis, y: &Axis, names: [&str; 2], ticks: [&[f64]; 2]) {
    let ([left, right], [bottom, top]) = (x.places, y.places);
    for &tick in ticks[1] {
        let at = y.place(tick);
        svg.line("grid", [left, at], [right, at]);
        svg.text("tick", [left - 6.0, at + 3.5], Anchor::End, &tick_text(tick));
    }
    for &tick in ticks[0] {
        let at = x.place(tick);
        svg.line("grid", [at, top], [at, bottom]);
        svg.text("tick", [at, bottom + 14.0], Anchor::Middle, &tick_text(tick));
    }
    svg.line("axis", [left, bottom], [right, bottom]).line("axis", [left, bottom], [left, top]);
    let middle = [f64::midpoint(left, right), f64::midpoint(bottom, top)];
    if !names[0].is_empty() {
        svg.text("name", [middle[0], bottom + 30.0], Anchor::Middle, names[0]);
    }
    if !names[1].is_empty() {
        svg.upwards("name", [11.0, middle[1]], names[1]);
    }
}

/// The number beside a tick.
fn tick_text(tick: f64) -> String {
    if tick.abs() >= 1e5 || (tick != 0.0 && tick.abs() < 0.005) {
        return format!("{tick:.0e}").replace('-', "−");
    }
    short(tick).replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        let axis = Axis { values: [0.0, 1.0], places: [0.0, 100.0] };

        let ticks: Vec<String> = axis.ticks(5).into_iter().map(short).collect();

        assert_eq!(ticks, ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
    }

    #[test]
    fn an_axis_around_one_value_or_none_is_usable() {
        let one = Axis::around([3.0].into_iter(), [0.0, 10.0]).expect("one value");

        assert!(one.values[0] < 3.0 && 3.0 < one.values[1]);
        assert!(Axis::around([f64::NAN].into_iter(), [0.0, 1.0]).is_none());
    }

    #[test]
    fn steps_are_one_two_or_five() {
        for (step, round) in [(0.11, 0.2), (0.2, 0.2), (3.0, 5.0), (70.0, 100.0), (0.0, 1.0)] {
            approx::assert_relative_eq!(round_step(step), round, max_relative = 1e-9);
        }
    }
}
