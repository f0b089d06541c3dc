//! Images to predict are read as those were that a network was trained on.

use sconce_data::{LayoutConfig, ReadImage, find_images};
use volume::Grid;

use crate::folder::Folder;

fn grid() -> Grid {
    Grid::new([3, 2, 4], [2.5, 1.0, 0.5]).unwrap()
}

fn layout(settings: &str) -> LayoutConfig {
    toml::from_str(settings).unwrap()
}

#[test]
fn a_spacing_that_replaced_that_of_files_does_so_again() {
    let folder = Folder::new();
    folder.image("scan.nii.gz", &grid(), 1);
    let layout = layout("[pairs]\nspacing = [9.0, 3.0, 3.0]");
    let inputs = [folder.root().join("scan.nii.gz")];

    let found = find_images(&inputs, 1, Some(&layout)).unwrap().images.remove(0);
    let ReadImage { image, grid: place } = found.read(1).unwrap();

    assert_eq!(image.grid.spacing, [9.0, 3.0, 3.0]);
    assert_eq!(found.grid().unwrap(), image.grid);
    assert!(place.difference(&grid()).is_none(), "what is said lies where the file lies");
    let own = find_images(&inputs, 1, None).unwrap().images.remove(0).read(1).unwrap();
    assert!(own.image.grid.difference(&grid()).is_none());
    assert_eq!(own.image.data, image.data);
}

#[test]
fn slices_that_were_channels_are_again() {
    let folder = Folder::new();
    folder.image("scan.nii.gz", &grid(), 1);
    let layout = layout("[raters]\nslices_are_channels = true");
    let inputs = [folder.root().join("scan.nii.gz")];

    let found = find_images(&inputs, 3, Some(&layout)).unwrap().images.remove(0);
    let ReadImage { image, grid: place } = found.read(3).unwrap();

    assert_eq!(image.data.dim(), (3, 1, 2, 4));
    assert_eq!((place.size, found.grid().unwrap().size), ([1, 2, 4], [1, 2, 4]));
}

#[test]
fn a_tiff_image_has_the_spacing_that_lies_beside_it() {
    let folder = Folder::new();
    folder.image("scan.tif", &grid(), 1).text("scan.json", r#"{"spacing": [5.0, 2.0, 1.0]}"#);

    let found = find_images(&[folder.root().join("scan.tif")], 1, None).unwrap().images.remove(0);

    assert_eq!(found.read(1).unwrap().image.grid.spacing, [5.0, 2.0, 1.0]);
    folder.text("scan.json", "{}");
    assert!(found.read(1).unwrap_err().to_string().contains("scan.json"));
}
