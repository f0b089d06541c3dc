use std::time::Instant;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use sconce::engine::Held;

use super::super::watched::tests::{Time, begun, step, summary};
use super::*;

/// A run of twelve epochs that is in its eighth.
fn example(classes: &[&str]) -> (Watched, Instant) {
    let time = Time::new();
    let history: Vec<_> = (0..7)
        .map(|epoch| {
            let dice = |class: usize| Some(0.9 - 0.6 / (1.0 + epoch as f64 + class as f64));
            summary(epoch, 12, &(0..classes.len()).map(dice).collect::<Vec<_>>())
        })
        .collect();
    let mut watched = begun(classes, [12, 40], &history, time.at(0));
    for at in 0..30 {
        step(&mut watched, 7 * 40 + at, 0.35, time.at(250 * at as u64));
    }
    watched.resident = Some(1_260_000_000);
    watched.held = Some(Held { in_memory: 52, in_memory_bytes: 840_000_000, ..Held::default() });
    (watched, time.at(125_000))
}

/// What a terminal shows, as text.
fn shown(watched: &Watched, now: Instant, [rows, columns]: [u16; 2]) -> String {
    let [height, width] = fitting(watched, [rows, columns]);
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(watched, now, frame.buffer_mut())).expect("a picture");
    let cells = terminal.backend().buffer().content.chunks(usize::from(width.max(1)));
    let row = |cells: &[ratatui::buffer::Cell]| {
        let text: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        format!("{}\n", text.trim_end())
    };
    cells.map(row).collect()
}

#[test]
fn a_terminal_of_common_size_shows_everything() {
    let (watched, now) = example(&["anterior", "posterior"]);

    let text = shown(&watched, now, [24, 80]);

    let expected = "\
╭ livers ─────────────────────────────────────────────────────── 2:05 elapsed ╮
│ run    epoch 8/12   ━━━━━━━━━━━━━━━━━━━━━╸───────────   64 %      0:42 left │
│ epoch  step  30/40  ━━━━━━━━━━━━━━━━━━━━━━━━╸────────   75 %      0:02 left │
│                                                                             │
│ loss  ─ train 0.3500  • held-out  held-out       now   best epoch           │
│ 1.20│ ⠈⠢•                         loss         0.393  0.393     7 █▆▄▃▂▂▁   │
│     │   ⠈⠢⡀                       Dice         0.820  0.820     7 ▁▅▆▇▇██   │
│     │     ⠈⠑•⢄⡀•                    anterior   0.814  0.814     7 ▁▅▆▇███   │
│     │         ⠈⠉⠒⠢•⢄⣀•              posterior  0.825  0.825     7 ▁▄▆▇▇██   │
│ 0.39│                ⠉⠑⠒⠒•⠤ •                                               │
│     └───────────────────────────                                            │
│     0                    epoch 8                                            │
│ 4.00 steps/s   8.00 patches/s   learning rate 0.00789   gradient norm 1.25  │
│ memory 1.3 GB   cases 52 in memory (840 MB)                                 │
╰─────────────────────────────────────────────────────────────────────────────╯
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn a_small_terminal_shows_what_matters_most() {
    let (watched, now) = example(&["anterior", "posterior"]);

    let small = shown(&watched, now, [10, 40]);
    let tiny = shown(&watched, now, [3, 30]);

    let expected = "\
run    8/12   ━━━━━━━━╸────   0:42 left
epoch  30/40  ━━━━━━━━━╸───   0:02 left
loss   0.3500   held-out 0.3929
Dice   0.820   best 0.820
4.00 steps/s   8.00 patches/s
memory 1.3 GB
";
    assert_eq!(small, expected, "\n{small}");
    let expected = "\
run    8/12   ━╸─   0:42 left
loss   0.3500
";
    assert_eq!(tiny, expected, "\n{tiny}");
}

#[test]
fn numbers_are_whole_wherever_there_is_a_frame() {
    let (watched, now) = example(&["anterior part of it", "posterior part of it"]);

    for columns in [69, 70, 80, 90, 200] {
        let text = shown(&watched, now, [24, columns]);

        for row in ["now   best epoch", "0.820  0.820     7 ", "0.814  0.814     7 "] {
            assert!(text.contains(row), "{columns}: {row}\n{text}");
        }
    }
}

#[test]
fn classes_for_which_there_is_no_room_are_counted() {
    let names: Vec<String> = (1..=104).map(|class| format!("structure {class}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (watched, now) = example(&names);

    let text = shown(&watched, now, [24, 80]);

    assert!(text.contains("structure 1 "), "{text}");
    assert!(text.contains("more classes"), "{text}");
    assert!(text.lines().count() <= 24 - 1 - usize::from(SPARE), "{text}");
}

#[test]
fn no_size_and_no_state_is_too_little() {
    let (full, now) = example(&["a class whose name is longer than any column could be", "肝臓"]);
    let fresh = begun(&[], [0, 0], &[], now);
    let mut wild = begun(&["liver"], [2, 9], &[], now);
    for (at, loss) in [1e30, 1e30, -1e-30, f64::INFINITY].into_iter().enumerate() {
        step(&mut wild, at, loss, now);
    }
    for watched in [&full, &fresh, &wild] {
        for rows in (0..16).chain([20, 24, 40]) {
            for columns in [0, 1, 2, 10, 40, 68, 69, 70, 120, 200] {
                let [height, width] = fitting(watched, [rows, columns]);
                assert!(height < rows.max(1) && width < columns.max(1), "{rows} × {columns}");
                let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                draw(watched, now, &mut buffer);
            }
        }
    }
}

#[test]
fn sparklines_go_from_the_lowest_to_the_highest_value() {
    let rising: Vec<Option<f64>> = (0..8).map(|at| Some(f64::from(at) / 10.0)).collect();

    assert_eq!(sparkline(&rising, 8), "▁▂▃▄▅▆▇█");
    assert_eq!(sparkline(&[None, Some(0.5), None, Some(0.9)], 8), " ▁ █");
    // Changes of less than a few hundredths do not look like much.
    assert_eq!(sparkline(&[Some(0.90), Some(0.91)], 8), "▇█");
    assert_eq!(sparkline(&[], 8), "");
}
