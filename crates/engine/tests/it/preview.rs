//! Contact sheets.

use data::Dataset as _;
use engine::preview;

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
    assert_ne!(pixels.len(), write("c.png", 0).1.len());

    let unknown =
        preview(&config(3, 1), &dataset, &["other".to_owned()], 0, &folder.path().join("d.png"));
    assert!(unknown.unwrap_err().to_string().contains("there is no case other"));
    assert!(!folder.path().join("d.png").exists());
}
