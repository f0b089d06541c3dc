//! How firmly models hold their ranks.

use metrics::RankStability;

use super::{Axis, frame};
use crate::report::SERIES;
use crate::report::svg::{Anchor, Svg};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 250.0;
const RIGHT: f64 = WIDTH - 14.0;
const ROW: f64 = 22.0;

/// Ranks from the best on, each with the interval that 95 % of its draws lie in: name, series and rank. `None` where there are none.
pub(in crate::report) fn ranks(rows: &[(String, usize, &RankStability)]) -> Option<Svg> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by(|a, b| a.2.rank.total_cmp(&b.2.rank));
    let last = rows.len() as f64;
    if rows.is_empty() {
        return None;
    }
    let x = Axis { values: [0.5, last + 0.5], places: [LEFT, RIGHT] };
    let bottom = ROW * last + 8.0;
    let y = Axis { values: [0.0, 1.0], places: [bottom, 4.0] };
    let mut svg = Svg::new(WIDTH, bottom + 38.0);
    let step = (last / 10.0).ceil().max(1.0);
    let ticks: Vec<f64> =
        (0..10).map(|at| 1.0 + step * f64::from(at)).filter(|tick| *tick <= last).collect();
    frame(&mut svg, &x, &y, ["rank, 1 the best", ""], [&ticks, &[]]);
    let mut middle = 4.0 + ROW / 2.0;
    for (name, series, RankStability { rank, interval: [low, high], first }) in rows {
        let class = format!("s{}", series % SERIES);
        svg.text("legend", [LEFT - 10.0, middle + 4.0], Anchor::End, name);
        let ends = [*low, *high].map(|end| [x.place(end), middle]);
        svg.line(&format!("whisker {class}"), ends[0], ends[1]);
        let tip = format!(
            "{name}: rank {rank}, {low} to {high} in 95 % of draws, first in {:.0} %",
            100.0 * first
        );
        svg.disc(&format!("mark {class}"), [x.place(*rank), middle], 5.0, &tip);
        middle += ROW;
    }
    Some(svg)
}
