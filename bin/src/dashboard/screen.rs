//! Some rows at the end of what a terminal shows, which are painted again and again.
//!
//! The cursor waits below them, and every place is found by going up from there. The terminal is not
//! asked where its cursor is, since its answer would be read from the keyboard, nor is it put into
//! another mode: whenever the program ends, by Ctrl-C as well, it is as it was before. Started in the
//! background, a program that changes the mode would be stopped.

use std::io::Write;

use console::measure_text_width;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// Where rows are painted.
#[derive(Debug)]
pub(crate) struct Screen<W> {
    out: W,
    colors: bool,
    /// What is there, and how many columns there were when it was painted.
    rows: Vec<Row>,
    columns: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    text: String,
    width: usize,
}

impl<W: Write> Screen<W> {
    pub(crate) fn new(out: W, colors: bool) -> Self {
        Self { out, colors, rows: Vec::new(), columns: 0 }
    }

    /// Shows a buffer in place of what is there, on a terminal with so many columns.
    pub(crate) fn paint(&mut self, buffer: &Buffer, columns: u16) {
        let rows = rows(buffer, self.colors);
        let same_place = rows.len() == self.rows.len() && columns == self.columns;
        let mut text = if same_place { self.up() } else { self.cleared(columns) };
        for (at, row) in rows.iter().enumerate() {
            // What has not changed is not sent again: terminals may be far away.
            if !same_place || self.rows[at] != *row {
                text.push_str(&row.text);
                text.push_str("\x1b[K");
            }
            text.push_str("\r\n");
        }
        (self.rows, self.columns) = (rows, columns);
        self.write(&text);
    }

    /// Writes lines that stay, above what is painted.
    pub(crate) fn above(&mut self, lines: &str) {
        let mut text = self.cleared(self.columns);
        for line in lines.lines() {
            text.push_str(line);
            text.push_str("\r\n");
        }
        for row in &self.rows {
            text.push_str(&row.text);
            text.push_str("\r\n");
        }
        self.write(&text);
    }

    /// Takes away what is painted.
    pub(crate) fn clear(&mut self, columns: u16) {
        let text = self.cleared(columns);
        self.rows.clear();
        self.write(&text);
    }

    /// Leaves what is painted where it is: something else has been written below it.
    pub(crate) fn forget(&mut self) {
        self.rows.clear();
    }

    fn up(&self) -> String {
        if self.rows.is_empty() { String::new() } else { format!("\r\x1b[{}A", self.rows.len()) }
    }

    /// Goes to the first row and clears all; where the terminal has become narrower, most have broken
    /// rows that are too long.
    fn cleared(&self, columns: u16) -> String {
        let columns = usize::from(columns.max(1));
        let height: usize = self.rows.iter().map(|row| row.width.div_ceil(columns).max(1)).sum();
        if height == 0 { String::new() } else { format!("\r\x1b[{height}A\x1b[J") }
    }

    /// In one piece, so that a program that is killed leaves no half of a row. A terminal that is gone
    /// is no reason to end a run.
    fn write(&mut self, text: &str) {
        _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// What a terminal is to be sent for each row, without blanks at its end.
fn rows(buffer: &Buffer, colors: bool) -> Vec<Row> {
    let width = usize::from(buffer.area.width).max(1);
    buffer.content.chunks(width).map(|cells| row(cells, colors)).collect()
}

fn row(cells: &[Cell], colors: bool) -> Row {
    let blank = |cell: &Cell| cell.symbol().trim().is_empty();
    let end = cells.iter().rposition(|cell| !blank(cell)).map_or(0, |last| last + 1);
    let (mut text, mut width, mut style) = (String::new(), 0, String::new());
    let mut cells = cells[..end].iter();
    while let Some(cell) = cells.next() {
        let wanted = if colors { codes(cell) } else { String::new() };
        if wanted != style {
            text.push_str("\x1b[0");
            text.push_str(&wanted);
            text.push('m');
            style = wanted;
        }
        text.push_str(cell.symbol());
        let columns = measure_text_width(cell.symbol()).max(1);
        width += columns;
        // A wide letter covers the cells after it.
        for _ in 1..columns {
            cells.next();
        }
    }
    if !style.is_empty() {
        text.push_str("\x1b[0m");
    }
    Row { text, width }
}

/// The codes of a cell's style: the few that the dashboard uses.
fn codes(cell: &Cell) -> String {
    let color = match cell.fg {
        Color::Red => ";31",
        Color::Green => ";32",
        Color::Yellow => ";33",
        Color::Cyan => ";36",
        _ => "",
    };
    let modifier = |flag, code| if cell.modifier.contains(flag) { code } else { "" };
    [modifier(Modifier::BOLD, ";1"), modifier(Modifier::DIM, ";2"), color].concat()
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    fn buffer(lines: &[&str]) -> Buffer {
        Buffer::with_lines(lines.iter().copied())
    }

    /// What a screen sends.
    fn sent(work: impl FnOnce(&mut Screen<Vec<u8>>)) -> String {
        let mut screen = Screen::new(Vec::new(), true);
        work(&mut screen);
        String::from_utf8(screen.out).expect("text")
    }

    #[test]
    fn only_what_changes_is_sent_again() {
        let text = sent(|screen| {
            screen.paint(&buffer(&["one", "two"]), 80);
            screen.out.clear();
            screen.paint(&buffer(&["one", "2"]), 80);
        });

        assert_eq!(text, "\r\x1b[2A\r\n2\x1b[K\r\n");
    }

    #[test]
    fn lines_that_stay_go_above() {
        let text = sent(|screen| {
            screen.paint(&buffer(&["one", "two"]), 80);
            screen.out.clear();
            screen.above("said\nin two lines");
        });

        assert_eq!(text, "\r\x1b[2A\x1b[Jsaid\r\nin two lines\r\none\r\ntwo\r\n");
    }

    #[test]
    fn rows_that_a_narrower_terminal_has_broken_are_cleared_as_well() {
        let text = sent(|screen| {
            screen.paint(&buffer(&["0123456789", "two"]), 80);
            screen.out.clear();
            screen.clear(4);
            // Nothing is there any more.
            screen.clear(4);
        });

        assert_eq!(text, "\r\x1b[4A\x1b[J");
    }

    #[test]
    fn what_was_forgotten_is_left_where_it_is() {
        let text = sent(|screen| {
            screen.paint(&buffer(&["one"]), 80);
            screen.out.clear();
            screen.forget();
            screen.paint(&buffer(&["one"]), 80);
        });

        assert_eq!(text, "one\x1b[K\r\n");
    }

    #[test]
    fn styles_end_with_their_row_and_wide_letters_cover_two_cells() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, "肝", Style::new().fg(Color::Cyan).bold());
        buffer.set_string(2, 0, "ab", Style::new());
        buffer.set_string(4, 0, "c", Style::new().dim());

        let [with, without] = [true, false].map(|colors| rows(&buffer, colors).remove(0));

        assert_eq!(with.text, "\x1b[0;1;36m肝\x1b[0mab\x1b[0;2mc\x1b[0m");
        assert_eq!(without.text, "肝abc");
        assert_eq!((with.width, without.width), (5, 5));
    }
}
