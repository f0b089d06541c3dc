//! The picture of a run, for a terminal of any size.

use std::iter;
use std::time::Instant;

use console::{Alignment, measure_text_width, pad_str};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, BorderType, Chart, Dataset, GraphType, Padding, Widget as _};
use sconce::engine::evaluate::decimals;

use super::series::thinned;
use super::units::{amount, clock, rate, small};
use super::watched::{Scores, Watched};

/// From this width and height on, there are a frame and a chart.
const FRAMED: [u16; 2] = [68, 12];

/// Wider pictures are harder to read.
const WIDEST: u16 = 110;

/// Rows that are left to what is said, where there are enough.
const SPARE: u16 = 5;

const TRAIN: Color = Color::Cyan;
const HELD_OUT: Color = Color::Yellow;
const DICE: Color = Color::Green;

/// The height and width of the picture on a terminal of so many rows and columns.
pub(super) fn fitting(watched: &Watched, [rows, columns]: [u16; 2]) -> [u16; 2] {
    // The cursor is below; a row that fills the last column, some terminals break.
    let (rows, width) = (rows.saturating_sub(1), columns.saturating_sub(1).min(WIDEST));
    let scores = u16::try_from(watched.dice.len()).unwrap_or(u16::MAX);
    let wanted = scores.saturating_add(2).clamp(8, 14) + 7;
    let framed = wanted.min(rows.saturating_sub(SPARE)).max(FRAMED[1]);
    let height = if width >= FRAMED[0] && rows >= framed { framed } else { rows.min(6) };
    [height, width]
}

/// Fills a buffer of any size.
pub(super) fn draw(watched: &Watched, now: Instant, buffer: &mut Buffer) {
    let area = buffer.area;
    if area.width >= FRAMED[0] && area.height >= FRAMED[1] {
        framed(watched, now, area, buffer);
    } else {
        compact(watched, area, buffer);
    }
}

fn framed(watched: &Watched, now: Instant, area: Rect, buffer: &mut Buffer) {
    let elapsed = clock(now.saturating_duration_since(watched.started));
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().dim())
        .padding(Padding::horizontal(1))
        .title(Line::from(format!(" {} ", watched.name)).bold())
        .title(Line::from(format!(" {elapsed} elapsed ")).right_aligned());
    let inner = block.inner(area);
    block.render(area, buffer);
    // A blank row, where there is one to spare.
    let blank = u16::from(inner.height > 10);
    let [bars, _, body, footer] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(blank),
        Constraint::Fill(1),
        Constraint::Length(2),
    ])
    .areas(inner);
    lines(&progress(watched, usize::from(bars.width)), bars, buffer);
    // The smallest has room for the names of its curves.
    let chart = (inner.width * 2 / 5).max(32);
    let [left, _, right] =
        Layout::horizontal([Constraint::Length(chart), Constraint::Length(2), Constraint::Fill(1)])
            .areas(body);
    let [legend, chart] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(left);
    lines(&[names(watched)], legend, buffer);
    curves(watched, chart, buffer);
    lines(&held_out(watched, right), right, buffer);
    let width = usize::from(footer.width);
    lines(&[speed(watched, width), memory(watched, width)], footer, buffer);
}

/// As much as there are rows for, what matters most first.
fn compact(watched: &Watched, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width);
    let [run, epoch] = progress(watched, width);
    let (loss, dice) = (&watched.validation_loss, watched.dice.first());
    let best = |scores: &Scores, digits| decimals(scores.best.map(|(best, _)| best), digits);
    let losses = [
        decimals(watched.train_loss, 4),
        format!("held-out {}", decimals(loss.now(), 4)),
        format!("best {}", best(loss, 4)),
    ];
    let dice = dice.map_or_else(Line::default, |scores| {
        let numbers = [decimals(scores.now(), 3), format!("best {}", best(scores, 3))];
        items("Dice   ", &numbers, width)
    });
    let ranked = [
        (0, run),
        (3, epoch),
        (1, items("loss   ", &losses, width)),
        (2, dice),
        (4, speed(watched, width)),
        (5, memory(watched, width)),
    ];
    let shown = ranked.into_iter().filter(|(rank, _)| *rank < area.height).map(|(_, line)| line);
    lines(&shown.collect::<Vec<_>>(), area, buffer);
}

/// How far the run and the epoch have come.
fn progress(watched: &Watched, width: usize) -> [Line<'static>; 2] {
    let Watched { epoch, epochs, step, iterations, .. } = *watched;
    let [epoch_left, run_left] = match watched.left() {
        Some(left) => left.map(|left| format!("{} left", clock(left))),
        None => [String::new(), String::new()],
    };
    let epoch_left = if watched.is_scoring() { "scoring".to_owned() } else { epoch_left };
    let wide = width >= WIDE;
    let head = |name: &str, unit: &str, position: String| {
        let unit = if wide { format!("{unit:<6}") } else { String::new() };
        format!("{name:<7}{unit}{position}")
    };
    let run = head("run", "epoch", format!("{}/{epochs}", (epoch + 1).min(epochs)));
    let steps = head("epoch", "step", format!("{step}/{iterations}"));
    let longest = run.len().max(steps.len());
    let rows = [
        (run, watched.share(), run_left),
        (steps, step as f64 / iterations.max(1) as f64, epoch_left),
    ];
    rows.map(|(head, share, left)| {
        let begins = format!("{head:<longest$}  ");
        let percent = (100.0 * share).floor();
        let ends =
            if wide { format!("  {percent:>3} %  {left:>13}") } else { format!("  {left:>10}") };
        let [done, rest] = bar(share, width.saturating_sub(begins.len() + ends.len()));
        Line::from(vec![Span::raw(begins), done, rest, Span::raw(ends)])
    })
}

/// From this width on, there is room for units and percentages.
const WIDE: usize = 56;

fn bar(share: f64, width: usize) -> [Span<'static>; 2] {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the width")]
    let done = ((share.clamp(0.0, 1.0) * width as f64) as usize).min(width);
    let mut filled = "━".repeat(done);
    let mut rest = width - done;
    if rest > 0 && done > 0 {
        filled.push('╸');
        rest -= 1;
    }
    [Span::styled(filled, TRAIN), Span::raw("─".repeat(rest)).dim()]
}

/// What stands for which loss in the chart.
fn names(watched: &Watched) -> Line<'static> {
    Line::from(vec![
        Span::raw("loss  "),
        Span::styled("─", TRAIN),
        Span::raw(format!(" train {}  ", decimals(watched.train_loss, 4))),
        Span::styled("•", HELD_OUT),
        Span::raw(" held-out"),
    ])
}

/// Losses over epochs.
fn curves(watched: &Watched, area: Rect, buffer: &mut Buffer) {
    let (train, validation) = (watched.train.points(), watched.validation.points());
    let all = || train.iter().chain(validation).map(|(_, loss)| *loss);
    let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), loss| {
        (low.min(loss), high.max(loss))
    });
    if !low.is_finite() {
        return lines(&[Line::from("no step is done yet").dim()], area, buffer);
    }
    let high = high.max(low + 1e-6 * (1.0 + low.abs()));
    let epochs = (watched.epoch + usize::from(watched.step > 0)).clamp(1, watched.epochs.max(1));
    let dim = Style::new().dim();
    // As many digits as tell the ends apart.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 5")]
    let digits = (1.0 - (high - low).log10().floor()).clamp(0.0, 5.0) as usize;
    let label = |value: f64| {
        let is_long = value.abs() >= 1e5;
        let text = if is_long { format!("{value:.1e}") } else { format!("{value:.digits$}") };
        Line::from(text).style(dim)
    };
    Chart::new(vec![
        Dataset::default()
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(TRAIN)
            .data(train),
        Dataset::default()
            .marker(Marker::Dot)
            .graph_type(GraphType::Scatter)
            .style(HELD_OUT)
            .data(validation),
    ])
    .x_axis(
        Axis::default()
            .style(dim)
            .bounds([0.0, epochs as f64])
            .labels([Line::from("0").style(dim), Line::from(format!("epoch {epochs}")).style(dim)]),
    )
    .y_axis(Axis::default().style(dim).bounds([low, high]).labels([label(low), label(high)]))
    .render(area, buffer);
}

/// Loss and Dice of held-out patches, a row for each class as far as there is room: where it stands,
/// where it has stood best, and how it came there.
fn held_out(watched: &Watched, area: Rect) -> Vec<Line<'static>> {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let Watched { dice, validation_loss, .. } = watched;
    let longest = dice.iter().map(|it| measure_text_width(&it.name)).max().unwrap_or(0);
    // Numbers matter more than names.
    let name_width = longest.clamp(8, 16).min(width.saturating_sub(20));
    let head = format!("{:<name_width$} {:>6} {:>6} epoch", "held-out", "now", "best");
    let mut rows = vec![Line::from(head).dim()];
    let room = height.saturating_sub(2);
    let shown = if dice.len() > room { room.saturating_sub(1) } else { dice.len() };
    let colors = iter::once(HELD_OUT).chain(iter::repeat(DICE));
    for (scores, color) in iter::once(validation_loss).chain(&dice[..shown]).zip(colors) {
        let (best, epoch) = match scores.best {
            Some((best, epoch)) => (Some(best), (epoch + 1).to_string()),
            None => (None, String::new()),
        };
        let name = pad_str(&scores.name, name_width, Alignment::Left, Some("…"));
        let (now, best) = (decimals(scores.now(), 3), decimals(best, 3));
        let numbers = format!("{name} {now:>6} {best:>6} {epoch:>5} ");
        let left = width.saturating_sub(measure_text_width(&numbers));
        let curve = Span::styled(sparkline(&scores.history, left), color);
        rows.push(Line::from(vec![Span::raw(numbers), curve]));
    }
    if shown < dice.len() {
        rows.push(Line::from(format!("and {} more classes", dice.len() - shown)).dim());
    }
    rows
}

/// Blocks between the lowest and the highest value, blanks where there is none.
fn sparkline(history: &[Option<f64>], width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    // What changes by less is noise.
    const LEAST: f64 = 0.05;
    let values = thinned(history, width);
    let defined = || values.iter().copied().flatten();
    let (low, high) =
        (defined().fold(f64::INFINITY, f64::min), defined().fold(f64::NEG_INFINITY, f64::max));
    let low = low.min(high - LEAST);
    let block = |value: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
        BLOCKS[((value - low) / (high - low) * 7.0).round().clamp(0.0, 7.0) as usize]
    };
    values.iter().map(|value| value.map_or(' ', block)).collect()
}

/// How fast it goes.
fn speed(watched: &Watched, width: usize) -> Line<'static> {
    let mut known = Vec::new();
    if let Some((steps, patches)) = watched.per_second() {
        known.push(format!("{} steps/s", rate(steps)));
        known.push(format!("{} patches/s", rate(patches)));
    }
    known.extend(watched.learning_rate.map(|it| format!("learning rate {}", small(it))));
    known.extend(watched.gradient_norm.map(|it| format!("gradient norm {}", rate(it))));
    items("", &known, width)
}

/// What it takes, and where the cases are.
fn memory(watched: &Watched, width: usize) -> Line<'static> {
    let mut known = Vec::new();
    known.extend(watched.resident.map(|bytes| format!("memory {}", amount(bytes))));
    if let Some(device) = watched.device {
        known.push(format!("device {} of {}", amount(device.used), amount(device.total)));
    }
    if let Some(held) = &watched.held {
        let places = [
            (held.in_memory, held.in_memory_bytes, "in memory"),
            (held.on_disk, held.on_disk_bytes, "on disk"),
        ];
        let places: Vec<String> = places
            .into_iter()
            .filter(|(cases, ..)| *cases > 0)
            .map(|(cases, bytes, place)| format!("{cases} {place} ({})", amount(bytes)))
            .collect();
        known.push(format!("cases {}", places.join(", ")));
    }
    items("", &known, width)
}

/// As many of the items as fit, whole.
fn items(name: &'static str, items: &[String], width: usize) -> Line<'static> {
    let mut spans = vec![Span::raw(name)];
    for (at, item) in items.iter().enumerate() {
        let space = if at > 0 { "   " } else { "" };
        spans.push(Span::raw(format!("{space}{item}")));
    }
    fitted(spans, width)
}

/// As many of the spans as fit, whole, but the first ones in any case.
fn fitted(spans: Vec<Span<'static>>, width: usize) -> Line<'static> {
    let mut taken = 0;
    let fits = |span: &Span<'static>| {
        taken += span.width();
        taken <= width
    };
    Line::from(spans.into_iter().take_while(fits).collect::<Vec<_>>())
}

fn lines(lines: &[Line<'_>], area: Rect, buffer: &mut Buffer) {
    for (line, row) in lines.iter().zip(area.rows()) {
        line.render(row, buffer);
    }
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
