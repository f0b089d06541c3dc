//! How values are distributed.

use super::{Axis, frame};
use crate::report::SERIES;
use crate::report::svg::Svg;

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 250.0;
const PLACES: [[f64; 2]; 2] = [[54.0, WIDTH - 14.0], [HEIGHT - 38.0, 10.0]];
/// Bins of values.
const BINS: usize = 40;

/// The share of the values of each series in bins of equal width, as steps. What lies outside of `range`
/// counts in the bins at its ends. `None` without a value.
pub(in crate::report) fn shares(
    series: &[Vec<f64>],
    range: Option<[f64; 2]>,
    name: &str,
) -> Option<Svg> {
    let finite = || series.iter().flatten().copied().filter(|value| value.is_finite());
    let x = Axis::around(finite(), PLACES[0])?;
    let x = range.map_or(x, |range| Axis::around(range.into_iter(), PLACES[0]).unwrap_or(x));
    let [low, high] = x.values;
    let all: Vec<Vec<f64>> = series.iter().map(|values| binned(values, [low, high])).collect();
    let y = Axis::around(all.iter().flatten().copied().chain([0.0]), PLACES[1])?;
    let mut svg = Svg::new(WIDTH, HEIGHT);
    frame(&mut svg, &x, &y, [name, "share, %"], [&x.ticks(6), &y.ticks(5)]);
    let edge = |bin: usize| x.place(low + (high - low) * bin as f64 / BINS as f64);
    for (index, bins) in all.iter().enumerate() {
        let mut steps = Vec::new();
        for (bin, &share) in bins.iter().enumerate() {
            steps.push([edge(bin), y.place(share)]);
            steps.push([edge(bin + 1), y.place(share)]);
        }
        svg.polyline(&format!("curve solid s{}", index % SERIES), &steps);
    }
    Some(svg)
}

/// How many values lie in each of some bins, as bars. `None` without a value.
pub(in crate::report) fn counts(values: &[f64], name: &str, of: &str) -> Option<Svg> {
    const BARS: usize = 16;
    let x = Axis::around(values.iter().copied(), PLACES[0])?;
    let [low, high] = x.values;
    let mut counts = [0.0; BARS];
    for value in values.iter().filter(|value| value.is_finite()) {
        counts[bin(*value, [low, high], BARS)] += 1.0;
    }
    let y = Axis::around(counts.into_iter().chain([0.0]), PLACES[1])?;
    let whole: Vec<f64> = y.ticks(5).into_iter().filter(|tick| tick.fract() == 0.0).collect();
    let mut svg = Svg::new(WIDTH, HEIGHT);
    frame(&mut svg, &x, &y, [name, of], [&x.ticks(6), &whole]);
    let edge = |bar: usize| low + (high - low) * bar as f64 / BARS as f64;
    for (bar, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        let (left, right, top) = (x.place(edge(bar)), x.place(edge(bar + 1)), y.place(count));
        let tip = format!("{:.4} to {:.4}: {count}", edge(bar), edge(bar + 1));
        svg.rect("bar s0", [left + 0.5, top], [right - left - 1.0, PLACES[1][0] - top], &tip);
    }
    Some(svg)
}

/// The percentage of the values in each bin.
fn binned(values: &[f64], range: [f64; 2]) -> Vec<f64> {
    let mut bins = vec![0.0; BINS];
    let mut all = 0.0;
    for value in values.iter().filter(|value| value.is_finite()) {
        bins[bin(*value, range, BINS)] += 1.0;
        all += 1.0;
    }
    bins.iter().map(|count| if all > 0.0 { 100.0 * count / all } else { 0.0 }).collect()
}

fn bin(value: f64, [low, high]: [f64; 2], bins: usize) -> usize {
    let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to `bins`")]
    let bin = (share * bins as f64) as usize;
    bin.min(bins - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bin() {
        let shares = binned(&[-5.0, 0.0, 0.5, 1.0, 9.0, f64::NAN], [0.0, 1.0]);

        assert!((shares.iter().sum::<f64>() - 100.0).abs() < 1e-9);
        assert!((shares[0] - 40.0).abs() < 1e-9, "outside and at the lower end");
        assert!((shares[BINS - 1] - 40.0).abs() < 1e-9, "outside and at the upper end");
    }

    #[test]
    fn nothing_is_no_chart_and_one_value_is_one_bar() {
        assert!(shares(&[vec![f64::NAN]], None, "HU").is_none());
        assert!(counts(&[], "ml", "cases").is_none());
        let one = counts(&[3.0], "ml", "cases").expect("a value").inline("chart", "");
        assert_eq!(one.matches("<rect").count(), 1);
    }
}
