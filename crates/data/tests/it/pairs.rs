use std::path::Path;

use volume::{Grid, Label};

use crate::folder::{Folder, block, hard, slice, unreadable, value};

const PHOTOS: &str = r#"
    [pairs]
    image = "{id}/images/{id}.png"
    label = "{id}/masks/*.png"
    classes = [{ name = "background", values = [0] }, { name = "nucleus", values = [255] }]
"#;

#[test]
fn instance_masks_are_merged_and_opacity_is_left_out() {
    let folder = Folder::new();
    folder
        .image("b/images/b.png", &slice(), 4)
        .labels("b/masks/1f.png", &slice(), &[255, 0, 0, 0, 0, 0])
        .labels("b/masks/0a.png", &slice(), &[0, 0, 255, 0, 255, 0])
        .image("a/images/a.png", &slice(), 4);

    let dataset = folder.open(PHOTOS);

    assert_eq!(dataset.ids(), ["a", "b"]);
    assert_eq!(dataset.description().channels, ["R", "G", "B"]);
    let case = dataset.read("b").unwrap();
    assert_eq!(case.image.data.shape(), [3, 1, 2, 3]);
    assert_eq!(case.image.data[[2, 0, 1, 2]], value(2, 0, 1, 2));
    assert_eq!(hard(&case), [1, 0, 1, 0, 1, 0]);
    assert_eq!(dataset.read("a").unwrap().label, None);
    assert_eq!(dataset.files("b").len(), 3);
}

#[test]
fn label_values_without_a_class_bring_the_classes_that_fit() {
    let folder = Folder::new();
    folder.image("images/a.nii.gz", &block(), 1).labels(
        "labels/a.nii.gz",
        &block(),
        &[0, 0, 0, 7, 7, 0, 0, 0, 0, 0, 0, 0],
    );

    let message = unreadable(&*folder.open("[pairs]"), "a");

    assert!(message.contains("it holds the label values [0, 7]"), "{message}");
    assert!(
        message.ends_with(
            "set `classes = [{ name = \"background\", values = [0] }, \
             { name = \"foreground\", values = [7] }]`"
        ),
        "{message}"
    );
}

#[test]
fn a_threshold_makes_masks_of_pictures_and_classes_may_be_inverted() {
    let folder = Folder::new();
    folder.image("images/a.png", &slice(), 1).labels(
        "masks/a.png",
        &slice(),
        &[0, 3, 128, 255, 127, 250],
    );

    let bright = folder.open(
        r#"
        [pairs]
        image = "images/{id}.png"
        label = "masks/{id}.png"
        threshold = 127
        "#,
    );
    assert_eq!(hard(&bright.read("a").unwrap()), [0, 0, 1, 1, 0, 1]);

    let dark = folder.open(
        r#"
        [pairs]
        image = "images/{id}.png"
        label = "masks/{id}.png"
        threshold = 0
        classes = [{ name = "background", values = [1] }, { name = "cell", values = [0] }]
        "#,
    );
    assert_eq!(hard(&dark.read("a").unwrap()), [1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_label_elsewhere_in_the_patient_is_refused_unless_its_header_is_known_to_be_wrong() {
    let folder = Folder::new();
    let elsewhere = Grid { origin: [0.0, 0.0, 40.0], ..block() };
    let labels = [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    folder.image("images/a.nii.gz", &block(), 1).labels("labels/a.nii.gz", &elsewhere, &labels);

    let message = unreadable(&*folder.open("[pairs]"), "a");
    assert!(message.contains("labels/a.nii.gz for case a: its grid is not that"), "{message}");
    assert!(message.contains("origin [0.0, 0.0, 0.0] and [0.0, 0.0, 40.0] mm"), "{message}");

    let lenient = folder.open("[pairs]\nlabel_geometry = \"from_image\"");
    let case = lenient.read("a").unwrap();
    assert_eq!(hard(&case), labels);
    assert_eq!(case.label.unwrap().grid(), &case.image.grid);

    let other = Grid::new([1, 2, 3], [1.0; 3]).unwrap();
    folder.labels("labels/a.nii.gz", &other, &[0; 6]);
    let message = unreadable(&*folder.open("[pairs]\nlabel_geometry = \"from_image\""), "a");
    assert!(message.contains("size [2, 2, 3] and [1, 2, 3]"), "{message}");
}

#[test]
fn channels_come_from_one_file_each() {
    let folder = Folder::new();
    for name in ["p1/p1_t1.nii.gz", "p1/p1_flair.nii.gz", "p2/p2_t1.nii.gz"] {
        folder.image(name, &block(), 1);
    }
    folder.labels("p1/p1_seg.nii.gz", &block(), &[1; 12]);

    let dataset = folder.open(
        r#"
        [pairs]
        image = "{id}/{id}_{channel}.nii.gz"
        label = "{id}/{id}_seg.nii.gz"
        channels = ["flair", "t1"]
        "#,
    );

    assert_eq!(dataset.ids(), ["p1", "p2"]);
    let case = dataset.read("p1").unwrap();
    assert_eq!(case.image.data.shape(), [2, 2, 2, 3]);
    assert_eq!(case.image.grid, block());
    let message = unreadable(&*dataset, "p2");
    assert!(message.contains("p2/p2_flair.nii.gz: No such file"), "{message}");
}

#[test]
fn soft_labels_are_probabilities() {
    let folder = Folder::new();
    let p = [0.0, 0.25, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.125, 0.0, 0.0, 0.0];
    folder.image("images/a.nii.gz", &block(), 1).soft("labels/a.nii.gz", &block(), &p);

    let case = folder.open("[pairs]\nsoft = true").read("a").unwrap();

    let Some(Label::Soft(soft)) = case.label else { panic!("not soft") };
    assert_eq!(soft.data.shape(), [2, 2, 2, 3]);
    assert_eq!(soft.data[[1, 0, 0, 1]], 0.25);
    assert_eq!(soft.data[[0, 1, 0, 2]], 0.875);
    let message = unreadable(&*folder.open("[pairs]"), "a");
    assert!(message.contains("soft = true"), "{message}");
    let three = r#"[{ name = "a", values = [0] }, { name = "b", values = [1] },
        { name = "c", values = [2] }]"#;
    let three = folder.open(&format!("[pairs]\nsoft = true\nclasses = {three}"));
    assert!(unreadable(&*three, "a").contains("probabilities of 2 classes, not 3"));
}

#[test]
fn several_folders_make_one_set_and_names_say_who_belongs_together() {
    let folder = Folder::new();
    for name in ["polyps/x_1", "polyps/x_2", "healthy/y_1"] {
        folder.image(&format!("{name}.png"), &slice(), 3);
        folder.labels(&format!("{name}_mask.png"), &slice(), &[0; 6]);
    }
    let settings = r#"
        [pairs]
        image = ["polyps/{patient}_{n}.png", "healthy/{patient}_{n}.png"]
        label = ["polyps/{patient}_{n}_mask.png", "healthy/{patient}_{n}_mask.png"]
        id = "{patient}.{n}"
        group = "{patient}"
        spacing = [1.0, 0.5, 0.25]
    "#;

    // Masks lie beside the images, and look like images of other patients.
    let dataset = folder.open(settings);

    assert_eq!(dataset.ids(), ["x.1", "x.2", "x_1.mask", "x_2.mask", "y.1", "y_1.mask"]);
    assert_eq!(dataset.group("x.2"), "x");
    assert_eq!(dataset.read("y.1").unwrap().image.grid.spacing, [1.0, 0.5, 0.25]);
    let message = folder.refusal(&settings.replace("id = \"{patient}.{n}\"", "id = \"{n}\""));
    assert!(message.starts_with("two files are case "), "{message}");
}

#[test]
fn slices_may_be_channels() {
    let folder = Folder::new();
    let stack = Grid::new([4, 2, 3], [1.0; 3]).unwrap();
    folder.image("images/a.nii.gz", &stack, 1).labels("labels/a.nii.gz", &slice(), &[1; 6]);

    let case = folder.open("[pairs]\nslices_are_channels = true").read("a").unwrap();

    assert_eq!(case.image.data.shape(), [4, 1, 2, 3]);
    assert_eq!(case.image.data[[3, 0, 1, 2]], value(0, 3, 1, 2));
    assert_eq!(hard(&case), [1; 6]);
}

#[test]
fn settings_that_cannot_be_met_are_refused_when_the_folder_is_opened() {
    let folder = Folder::new();
    folder.image("images/a.nii.gz", &block(), 1);

    let refusal = |settings: &str| folder.refusal(settings);

    assert!(refusal("[pairs]\nimage = \"{id}.png\"").starts_with("cannot find a case in "));
    assert!(refusal("[pairs]\nlabel = \"labels/all.nii.gz\"").contains("no name in common"));
    assert!(refusal("[pairs]\ngroup = \"{patient}\"").contains("which `images/{id}.nii.gz` does"));
    assert!(
        refusal("[pairs]\nlabel = []\nimage = \"images/*.{channel}\"").contains("no `channels`")
    );
    assert!(refusal("[pairs]\nclasses = []").contains("0 classes are too few"));
    let classes = "[{ name = \"a\", values = [0] }, { name = \"b\", values = [] }]";
    assert!(refusal(&format!("[pairs]\nclasses = {classes}")).contains("b has no label value"));
    let gone = toml::from_str::<sconce_data::LayoutConfig>("[pairs]").unwrap();
    let error = sconce_data::Layout::open(&gone, Path::new("/nowhere")).unwrap_err();
    assert!(error.to_string().starts_with("cannot read /nowhere: "), "{error}");
    // Read one by one, cases say what is wrong with them.
    let colour = folder.open("[pairs]\nchannels = [\"R\", \"G\", \"B\"]");
    assert!(unreadable(&*colour, "a").contains("it has 1 channels, not 3"));
    let spacing = folder.open("[pairs]\nspacing = [1.0, 0.0, 1.0]");
    assert!(unreadable(&*spacing, "a").contains("is not positive and finite"));
    assert!(unreadable(&*spacing, "b").contains("there is no case b in "));
}

#[test]
fn a_picture_to_be_predicted_has_the_channels_of_the_network_where_it_can() {
    use ndarray::Array4;
    use sconce_data::{find_images, write_image};
    use volume::{Grid, Image};

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, channels: usize, values: fn(usize) -> f32| {
        let grid = Grid::new([1, 2, 3], [1.0; 3]).unwrap();
        let data = Array4::from_shape_fn((channels, 1, 2, 3), |(c, ..)| values(c));
        write_image(folder.path().join(name), &Image::new(grid, data).unwrap()).unwrap();
    };
    write("gray.png", 1, |_| 7.0);
    write("equal.png", 3, |_| 7.0);
    write("color.png", 3, |c| 7.0 + c as f32);
    write("opaque.png", 4, |c| 7.0 + c as f32);
    let read = |name: &str, wanted| {
        let found = find_images(&[folder.path().join(name)], wanted, None).unwrap();
        found.images[0]
            .read(wanted)
            .map(|read| read.image.data.iter().copied().step_by(6).collect())
    };
    let channels = |name: &str, wanted| -> Vec<f32> { read(name, wanted).unwrap() };

    assert_eq!(channels("gray.png", 3), [7.0; 3]);
    assert_eq!(channels("equal.png", 1), [7.0]);
    assert_eq!(channels("opaque.png", 3), [7.0, 8.0, 9.0]);
    let refused = read("color.png", 1).unwrap_err().to_string();
    assert!(
        refused.contains("it is in colour") && refused.contains("give a grey picture"),
        "{refused}"
    );
    // What fits in no way is for the network to refuse.
    assert_eq!(channels("color.png", 4), [7.0, 8.0, 9.0]);
}
