//! Contact sheets.

use data::Dataset as _;
use engine::preview;
use ndarray::{Axis, s};

use crate::fixture::{Balls, config};

#[test]
fn a_sheet_shows_each_case_as_it_is_and_varied_the_same_each_time() {
    let (folder, dataset) = (tempfile::tempdir().unwrap(), Balls::new(4, [10, 20, 18]));
    let ids = [dataset.ids()[0].clone(), dataset.ids()[2].clone()];
    let write = |name: &str, variants: usize| {
        let path = folder.path().join(name);
        let preview = preview(&config(3, 1), &dataset, &ids, variants, &path).unwrap();
        (preview, std::fs::read(path).unwrap())
    };

    let (sheet, pixels) = write("a.png", 2);
    assert_eq!((sheet.cases.as_slice(), sheet.columns), (ids.as_slice(), 3));
    // Panels of 16 × 16 voxels are shown 8 times as large.
    assert_eq!(sheet.size, [3 * 132 + 4, 2 * 132 + 4]);
    assert_eq!(pixels, write("b.png", 2).1);
    let shown = data::read_image(folder.path().join("a.png")).unwrap().data;
    let panel =
        |column: usize| shown.slice(s![.., 0, 4..132, 132 * column + 4..132 * column + 132]);
    assert_ne!(panel(0), panel(1));
    assert_ne!(panel(1), panel(2));
    // The ball is tinted: red without as much green.
    let first = panel(0);
    let (red, green) = (first.index_axis(Axis(0), 0), first.index_axis(Axis(0), 1));
    assert!(red.iter().zip(green.iter()).any(|(red, green)| red - green > 20.0));

    let unknown =
        preview(&config(3, 1), &dataset, &["other".to_owned()], 0, &folder.path().join("d.png"));
    assert!(unknown.unwrap_err().to_string().contains("there is no case other"));
    assert!(!folder.path().join("d.png").exists());
}
