//! The reliability diagram: how often predictions of a confidence were right.

use super::{Axis, STYLE, frame, tick_text};
use crate::evaluate::{Calibration, ReliabilityBin};
use crate::report::SERIES;
use crate::report::svg::{Anchor, Svg};
use crate::report::text::{count, label, number};

const WIDTH: f64 = 400.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = WIDTH - 14.0;
const LEGEND_ROW: f64 = 18.0;
const HISTOGRAM: f64 = 62.0;

/// A reliability diagram as an SVG file of its own, for a paper or a README: one series for each
/// name and calibration, such as before and after temperature scaling.
///
/// Above, for each bin, how often predictions were right against their mean confidence; perfect
/// calibration is the diagonal, overconfidence lies below it. Beneath, the number of voxels in each
/// bin, on a logarithmic axis. Empty bins have no point. Follows the reader's light or dark mode.
///
/// Without any series, an empty frame.
///
/// # Source
///
/// Degroot, Fienberg: *The Comparison and Evaluation of Forecasters*, The Statistician 1983; the
/// expected calibration error of the legend as in Guo, Pleiss, Sun, Weinberger: *On Calibration of
/// Modern Neural Networks*, ICML 2017, [arXiv:1706.04599](https://arxiv.org/abs/1706.04599).
pub fn reliability_svg(series: &[(&str, &Calibration)]) -> String {
    let series: Vec<Series<'_>> = series
        .iter()
        .enumerate()
        .map(|(color, (name, calibration))| Series {
            name: (*name).to_owned(),
            calibration,
            color,
            before: false,
        })
        .collect();
    reliability(&series).file(STYLE, &describe(&series))
}

/// One line of the diagram.
#[derive(Clone, Debug)]
pub(in crate::report) struct Series<'a> {
    /// What the legend says.
    pub(in crate::report) name: String,
    pub(in crate::report) calibration: &'a Calibration,
    /// Which model it is of.
    pub(in crate::report) color: usize,
    /// Whether it is drawn as what was before another one.
    pub(in crate::report) before: bool,
}

impl Series<'_> {
    fn class(&self, kind: &str) -> String {
        let before = if self.before { " before" } else { "" };
        format!("{kind}{before} s{}", self.color % SERIES)
    }
}

/// What the diagram shows, in words.
pub(in crate::report) fn describe(series: &[Series<'_>]) -> String {
    let parts: Vec<String> = series
        .iter()
        .map(|Series { name, calibration, .. }| {
            let ece = number(Some(calibration.pooled_ece));
            format!("{name}: pooled expected calibration error {ece}")
        })
        .collect();
    format!("Reliability diagram. {}", parts.join("; "))
}

/// The same for a page that has the style.
pub(in crate::report) fn reliability(series: &[Series<'_>]) -> Svg {
    let top = 14.0 + LEGEND_ROW * series.len() as f64;
    let bottom = top + (RIGHT - LEFT);
    let base = bottom + 34.0 + HISTOGRAM;
    let mut svg = Svg::new(WIDTH, base + 38.0);
    for (index, one) in series.iter().enumerate() {
        let y = 10.0 + LEGEND_ROW * index as f64;
        svg.line(&one.class("curve"), [LEFT, y], [LEFT + 22.0, y]);
        svg.mark(&one.class("mark"), one.color, [LEFT + 11.0, y], "");
        let text = format!(
            "{} · {} {}",
            one.name,
            label("pooled_ece"),
            number(Some(one.calibration.pooled_ece))
        );
        svg.text("legend", [LEFT + 29.0, y + 4.0], Anchor::Start, &text);
    }
    let x = Axis { values: [0.0, 1.0], places: [LEFT, RIGHT] };
    let y = Axis { values: [0.0, 1.0], places: [bottom, top] };
    let ticks = x.ticks(5);
    frame(&mut svg, &x, &y, ["", "share that was right"], [&ticks, &ticks]);
    svg.line("diagonal", [LEFT, bottom], [RIGHT, top]);
    for one in series {
        points(&mut svg, (&x, &y), one, series.len() == 1);
    }
    histogram(&mut svg, &x, base, series);
    svg
}

/// The points of one series; with `gaps`, also how far each is from the diagonal.
fn points(svg: &mut Svg, (x, y): (&Axis, &Axis), one: &Series<'_>, gaps: bool) {
    let full = || one.calibration.bins.iter().filter(|bin| usable(bin));
    let place = |bin: &ReliabilityBin| [x.place(bin.confidence), y.place(bin.accuracy)];
    if gaps {
        for bin in full() {
            let [at, accuracy] = place(bin);
            svg.line(&one.class("gap"), [at, y.place(bin.confidence)], [at, accuracy]);
        }
    }
    let places: Vec<[f64; 2]> = full().map(place).collect();
    svg.polyline(&one.class("curve"), &places);
    for bin in full() {
        svg.mark(&one.class("mark"), one.color, place(bin), &tip(&one.name, bin));
    }
}

fn usable(bin: &ReliabilityBin) -> bool {
    bin.count > 0 && bin.confidence.is_finite() && bin.accuracy.is_finite()
}

fn tip(name: &str, bin: &ReliabilityBin) -> String {
    format!(
        "{name}, confidence {} to {}: mean confidence {}, right {}, {} voxels",
        number(Some(bin.lower)),
        number(Some(bin.upper)),
        number(Some(bin.confidence)),
        number(Some(bin.accuracy)),
        count(bin.count)
    )
}

/// The number of voxels in each bin, on a logarithmic axis that begins at 0.
fn histogram(svg: &mut Svg, x: &Axis, base: f64, series: &[Series<'_>]) {
    let bins = || series.iter().flat_map(|one| &one.calibration.bins);
    let most = bins().map(|bin| bin.count).max().unwrap_or(0).max(10);
    let log = |count: f64| (1.0 + count).log10();
    let y = Axis { values: [0.0, log(most as f64)], places: [base, base - HISTOGRAM] };
    let decades = most.ilog10();
    // At most four numbers fit beside the bars.
    for power in (0..=decades).rev().step_by(decades.div_ceil(3).max(1) as usize) {
        let count = 10f64.powi(power.cast_signed());
        let at = y.place(log(count));
        svg.line("grid", [LEFT, at], [RIGHT, at]);
        let text = if power < 4 { tick_text(count) } else { format!("10{}", superscript(power)) };
        svg.text("tick", [LEFT - 6.0, at + 3.5], Anchor::End, &text);
    }
    for (index, one) in series.iter().enumerate() {
        let class = one.class("bar");
        for bin in one.calibration.bins.iter().filter(|bin| bin.count > 0) {
            let (from, to) = (x.place(bin.lower), x.place(bin.upper));
            let width = (to - from) / series.len() as f64;
            let left = from + width * index as f64;
            let top = y.place(log(bin.count as f64));
            let size = [(width - 1.0).max(0.5), base - top];
            svg.rect(&class, [left + 0.5, top], size, &tip(&one.name, bin));
        }
    }
    svg.line("axis", [LEFT, base], [RIGHT, base]);
    for tick in x.ticks(5) {
        svg.text("tick", [x.place(tick), base + 14.0], Anchor::Middle, &tick_text(tick));
    }
    svg.text("name", [f64::midpoint(LEFT, RIGHT), base + 31.0], Anchor::Middle, "confidence");
    svg.upwards("name", [11.0, base - HISTOGRAM / 2.0], "voxels");
}

fn superscript(power: u32) -> String {
    power
        .to_string()
        .chars()
        .map(|digit| match digit {
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '0' => '⁰',
            // The others lie in a row from U+2074.
            digit => char::from_u32(0x2070 + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration(counts: &[u64]) -> Calibration {
        let width = 1.0 / counts.len() as f64;
        let bins = counts.iter().enumerate().map(|(index, &count)| ReliabilityBin {
            lower: width * index as f64,
            upper: width * (index + 1) as f64,
            confidence: width * (index as f64 + 0.5),
            accuracy: 0.5,
            count,
        });
        let bins = bins.collect();
        Calibration {
            pooled_ece: 0.0312,
            brier: 0.1,
            nll: 0.2,
            voxels: "all".to_owned(),
            bins,
            ..Calibration::default()
        }
    }

    #[test]
    fn empty_bins_have_neither_point_nor_bar() {
        let one = calibration(&[0, 12, 0, 70_000]);

        let drawing = reliability_svg(&[("a<b", &one)]);

        // One mark in the legend and one for each bin that is not empty.
        assert_eq!(drawing.matches("<circle class=\"mark").count(), 1 + 2);
        assert_eq!(drawing.matches("class=\"bar").count(), 2);
        assert!(drawing.contains("a&lt;b · Pooled ECE 0.0312"), "{drawing}");
        assert!(drawing.contains("70\u{2009}000 voxels"), "{drawing}");
    }

    #[test]
    fn nothing_at_all_is_an_empty_frame() {
        let nothing = calibration(&[0, 0]);

        for drawing in [reliability_svg(&[]), reliability_svg(&[("none", &nothing)])] {
            assert!(drawing.starts_with("<svg xmlns") && drawing.ends_with("</svg>\n"));
            assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{drawing}");
        }
    }

    #[test]
    fn powers_are_set_high() {
        assert_eq!(superscript(12), "¹²");
        assert_eq!(superscript(6), "⁶");
    }
}
